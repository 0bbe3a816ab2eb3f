"""Folders of pictures, and the splits made of them."""

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("skimage")
pytest.importorskip("tqdm")

from PIL import Image

from huenet.data import download
from huenet.data import loading as data
from huenet.data.loading import DataError, load


def paint(path, colour, size=(20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def folder_of(path, n: int):
    """Make `n` flat images whose colour is their number, so that arrays tell which file they came from."""
    for i in range(n):
        paint(path / f"{i:03d}.png", (i, 255 - i, 7))
    return path


def read(folder, size=8, seed=0):
    return load(folder, size, seed, progress=False)


def test_arrays_and_names_agree(tmp_path):
    images = read(folder_of(tmp_path, 30))
    assert images.train.shape == (27, 3, 8, 8)
    assert images.validation.shape == (3, 3, 8, 8)
    assert images.train.dtype == images.validation.dtype == np.uint8
    for array, names in ((images.train, images.record["train"]), (images.validation, images.record["validation"])):
        numbers = [int(name.removesuffix(".png")) for name in names]
        np.testing.assert_array_equal(array[:, 0, 0, 0], numbers)
        np.testing.assert_array_equal(array[:, 1, 3, 5], [255 - i for i in numbers])
        assert (array == array[:, :, :1, :1]).all()
    assert sorted(images.record["train"] + images.record["validation"]) == [f"{i:03d}.png" for i in range(30)]
    assert images.record["skipped"] == {}
    assert (images.record["size"], images.record["seed"]) == (8, 0)
    json.dumps(images.record)


def test_split_depends_on_the_seed_and_the_names_alone(tmp_path):
    first, again = read(folder_of(tmp_path / "a", 40)).record, read(folder_of(tmp_path / "b", 40)).record
    assert first["validation"] == again["validation"]
    assert first["train"] == again["train"]
    assert set(first["validation"]) != set(read(tmp_path / "a", seed=1).record["validation"])


def test_split_is_the_same_in_another_process(tmp_path):
    folder_of(tmp_path, 12)
    load = f"load({str(tmp_path)!r}, 8, 3, progress=False)"
    code = f"from huenet.data.loading import load; print({load}.record['validation'])"
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == str(read(tmp_path, seed=3).record["validation"])


def test_one_more_file_moves_next_to_nothing(tmp_path):
    before = set(read(folder_of(tmp_path, 100)).record["validation"])
    paint(tmp_path / "new.png", "red")
    after = set(read(tmp_path).record["validation"])
    assert len(before) == len(after) == 10
    assert len(before - after) <= 1


@pytest.mark.parametrize(("n", "held_out"), [(4, 2), (14, 2), (25, 2), (26, 3), (100, 10)])
def test_share_of_validation(tmp_path, n, held_out):
    assert len(read(folder_of(tmp_path, n)).validation) == held_out


def test_split_of_the_flowers_is_the_papers(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_image_names", lambda folder: ([f"{i}.jpg" for i in range(8189)], {}))
    monkeypatch.setattr(data, "read_square", lambda path, size: np.zeros((size, size, 3), np.uint8))
    images = read(tmp_path, size=1)
    assert (len(images.train), len(images.validation)) == (7370, 819)


def test_nested_hidden_and_other_files(tmp_path):
    names = ["a.png", "B/c.JPG", "B/deep/er/d.webp", "with space/é.bmp"]
    for name in names:
        paint(tmp_path / name, "red")
    paint(tmp_path / ".hidden.png", "red")
    paint(tmp_path / ".thumbnails" / "e.png", "red")
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / "labels.mat").write_bytes(b"no image")
    record = read(tmp_path).record
    assert sorted(record["train"] + record["validation"]) == sorted(names)
    assert record["skipped"] == {
        ".hidden.png": "hidden",
        ".thumbnails": "hidden",
        "._a.png": "hidden",
        "labels.mat": "not a picture, by its name",
    }


@pytest.mark.posix
def test_links(tmp_path):
    folder_of(tmp_path / "real", 5)
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "data" / "linked")
    os.symlink(tmp_path / "data", tmp_path / "data" / "loop")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "data" / "broken.png")
    record = read(tmp_path / "data").record
    assert sorted(record["train"] + record["validation"]) == [f"linked/{i:03d}.png" for i in range(5)]
    assert record["skipped"] == {"broken.png": "no such file", "loop": "searched already, as the folder itself"}


def test_bad_files_are_skipped_and_listed(tmp_path):
    folder_of(tmp_path, 20)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "a_text.png").write_bytes(b"not at all")
    whole = (tmp_path / "003.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    images = read(tmp_path)
    assert list(images.record["skipped"]) == ["a_text.png", "cut.png", "empty.jpg"]
    assert images.record["skipped"]["empty.jpg"] == "empty file"
    assert len(images.train) + len(images.validation) == 20
    for array, names in ((images.train, images.record["train"]), (images.validation, images.record["validation"])):
        np.testing.assert_array_equal(array[:, 0, 0, 0], [int(name.removesuffix(".png")) for name in names])


def test_a_bad_file_does_not_change_the_split(tmp_path):
    before = read(folder_of(tmp_path, 30)).record["validation"]
    (tmp_path / "bad.png").write_bytes(b"")
    assert read(tmp_path).record["validation"] == before


def one_line(folder, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files: trouble of this machine"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error: trouble of this machine"),
        (MemoryError(), "out of memory: trouble of this machine"),
        (ImportError("No module named 'imagecodecs'"), "No module named 'imagecodecs': trouble of this machine"),
    ],
)
def test_trouble_of_the_machine_does_not_change_the_split(tmp_path, monkeypatch, error, match):
    def fail(path, **_):
        if path.name == "007.png":
            raise error
        return whole(path, **_)

    whole = Image.open
    monkeypatch.setattr(Image, "open", fail)
    one_line(folder_of(tmp_path, 20), rf"007.png: {match}.*run again")


def test_too_few_open_files(tmp_path):
    resource = pytest.importorskip("resource")
    folder_of(tmp_path / "sub", 20)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_file = os.dup(0)
    os.close(next_file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_file, limits[1]))
    try:
        one_line(tmp_path, "Too many open files: trouble of this machine")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_are_no_text(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xe9.jpg")).write_bytes(b"")
    for path in (folder, folder / "missing", folder / os.fsdecode(b"\xe9.jpg")):
        with pytest.raises(DataError, match=r"caf\\udce9") as caught:
            read(path)
        str(caught.value).encode()
    folder_of(folder, 4)
    json.dumps(read(folder).record)


def test_folders_that_cannot_be_used(tmp_path):
    one_line(tmp_path / "missing", "no such folder")
    one_line(tmp_path, "0 readable images found, at least 4 are needed; put .*png")
    (tmp_path / "notes.txt").write_text("hello")
    one_line(tmp_path, "0 readable images found")
    one_line(tmp_path / "notes.txt", "not a folder")
    (tmp_path / "a.png").write_text("hello")
    one_line(tmp_path, r"0 readable images found.*2 left out \(a.png: not an image")
    folder_of(tmp_path, 3)
    one_line(tmp_path, "3 readable images found, at least 4")


@pytest.mark.posix
@pytest.mark.skipif("getattr(os, 'geteuid', int)() == 0", reason="root opens every folder")
def test_closed_folder_is_listed(tmp_path):
    folder_of(tmp_path, 5)
    (tmp_path / "closed").mkdir(mode=0)
    assert read(tmp_path).record["skipped"] == {"closed": "Permission denied"}


def test_images_are_cropped_not_squeezed(tmp_path):
    for i in range(4):
        image = np.zeros((10, 30, 3), np.uint8)
        image[:, 10:20] = 255
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    assert read(tmp_path, size=10).train.min() == 255


@pytest.mark.posix
@pytest.mark.parametrize("limit", ["MOST_IN_MEMORY", "MOST_OF_MEMORY", "LOCAL_WORLD_SIZE"])
def test_more_than_memory_goes_to_a_file(tmp_path, monkeypatch, limit):
    in_memory = read(folder_of(tmp_path, 20))
    assert not isinstance(in_memory.train, np.memmap)
    if limit == "LOCAL_WORLD_SIZE":  # a great many processes, each with its own copy
        monkeypatch.setenv(limit, str(2**40))
    else:
        monkeypatch.setattr(data, limit, 1e-9)
    on_disk = read(tmp_path)
    assert isinstance(on_disk.train, np.memmap)
    np.testing.assert_array_equal(on_disk.train, in_memory.train)
    np.testing.assert_array_equal(on_disk.validation, in_memory.validation)


def test_memory_that_is_promised_and_not_given(tmp_path, monkeypatch):
    def refused(*_):
        raise MemoryError

    folder_of(tmp_path, 20)
    in_memory, empty = read(tmp_path), np.empty
    monkeypatch.setattr(np, "empty", lambda shape, *rest: refused() if shape[0] == 20 else empty(shape, *rest))
    on_disk = read(tmp_path)
    assert isinstance(on_disk.train, np.memmap)
    np.testing.assert_array_equal(on_disk.train, in_memory.train)


def test_no_room_for_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data, "MOST_IN_MEMORY", 100)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(DataError, match=r"No space left on device.*TMPDIR"):
        read(folder_of(tmp_path, 20))


def test_names_of_data_sets_are_folders_in_the_cache(tmp_path, monkeypatch):
    folder_of(tmp_path / "cars", 5)
    monkeypatch.setenv("HUENET_CACHE", str(tmp_path))
    assert len(read("cars").train) == 3
    assert set(download.DATASETS) == {"cars", "flowers102"}


def test_pictures_without_colour_and_copies_are_told(tmp_path):
    for i in range(6):
        Image.new("RGB", (9, 9), (20 * i, 20 * i, 20 * i + 5)).save(tmp_path / f"grey{i}.png")
    with pytest.raises(DataError, match="none of its 6 pictures has colour to learn from"):
        data.remarks(read(tmp_path))
    folder_of(tmp_path, 5)
    assert data.remarks(read(tmp_path)) == ["6 of 11 pictures have no colour"]
    shutil.copy(tmp_path / "003.png", tmp_path / "copy.png")
    told = data.remarks(read(tmp_path))[1]
    assert told.startswith("1 of 12 pictures are the same as others, such as ")
    assert "003.png" in told
    assert "copy.png" in told
    assert data.remarks(read(folder_of(tmp_path / "fine", 9))) == []

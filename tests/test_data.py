"""Folders, splits, scikit-image's photographs, and the order of pairs."""

import errno
import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("skimage")
pytest.importorskip("tqdm")

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from huenet import data, download
from huenet.data import DataError, PairSampler, load, photographs


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


# --- folders ---


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
    code = f"from huenet.data import load; print(load({str(tmp_path)!r}, 8, 3, progress=False).record['validation'])"
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
    assert record["skipped"] == {}


def test_links(tmp_path):
    folder_of(tmp_path / "real", 5)
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "data" / "linked")
    os.symlink(tmp_path / "data", tmp_path / "data" / "loop")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "data" / "broken.png")
    record = read(tmp_path / "data").record
    assert sorted(record["train"] + record["validation"]) == [f"linked/{i:03d}.png" for i in range(5)]
    assert record["skipped"] == {"broken.png": "no such file"}


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


def test_photographs_and_trouble_of_the_machine(monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(DataError, match=r"astronaut.png: out of memory"):
        photographs()


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
    one_line(tmp_path, r"0 readable images found.*1 could not be read \(a.png: not an image")
    folder_of(tmp_path, 3)
    one_line(tmp_path, "3 readable images found, at least 4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens every folder")
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


# --- scikit-image's photographs ---


def test_photographs_are_those_of_scikit_image():
    io = pytest.importorskip("skimage.io")
    import skimage

    whole = photographs()
    assert set(data.TRAINING + data.VALIDATION) == set(whole)
    folder = os.path.join(os.path.dirname(skimage.__file__), "data")
    for name in ("astronaut.png", "coffee.png"):
        np.testing.assert_array_equal(whole[name], io.imread(os.path.join(folder, name)))
    for image in whole.values():
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3


def test_photographs_need_neither_network_nor_scikit_image_itself():
    code = (
        "import sys, socket\n"
        "socket.socket.connect = None\n"
        "from huenet.data import photographs\n"
        "assert photographs()\n"
        "assert not {'skimage', 'pooch', 'torch'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def crops():
    return load(None, 32, 0)


def chroma(images: np.ndarray) -> np.ndarray:
    return np.ptp(images, axis=1) / 255


def hue_shares(images: np.ndarray, bins: int) -> np.ndarray:
    """Chroma-weighted histogram of hue of each image, by Pillow's own conversion."""
    shares = []
    for image, weight in zip(images, chroma(images), strict=True):
        hue = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("HSV"))[..., 0]
        counts = np.histogram(hue, bins, (0, 256), weights=weight)[0]
        shares.append(counts / counts.sum())
    return np.array(shares)


def test_crops_hold_out_whole_photographs(crops):
    train, validation = set(crops.record["train"]), set(crops.record["validation"])
    assert not train & validation
    assert {"motorcycle_left.png", "motorcycle_right.png"} <= train
    json.dumps(crops.record)


def test_crops_are_colourful_and_varied(crops):
    for images in (crops.train, crops.validation):
        assert images.shape[1:] == (3, 32, 32)
        assert images.flags.c_contiguous
        assert chroma(images).mean((1, 2)).min() > 0.08
        shares = hue_shares(images, 6)
        assert shares[:, [0, 5]].sum(1).max() > 0.9  # a red crop
        assert shares[:, 3:5].sum(1).max() > 0.9  # a blue crop
    assert hue_shares(crops.train, 6).mean(0).min() > 0.1  # every hue is there to learn from


def test_validation_keeps_the_colours_of_the_camera(crops):
    whole = photographs()
    colours = {name: {tuple(c) for c in whole[name][::2, ::2].reshape(-1, 3) // 32} for name in data.VALIDATION}
    for i, crop in enumerate(crops.validation):
        own = colours[data.VALIDATION[i % 2]]
        seen = [tuple(c) in own for c in crop.reshape(3, -1).T // 32]
        assert np.mean(seen) > 0.9


def test_hue_turns_keep_saturation_and_value():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)
    turned = data._turn_hues(images.copy(), rng)
    assert np.abs(turned.max(1).astype(int) - images.max(1)).max() <= 1
    assert np.abs(turned.min(1).astype(int) - images.min(1)).max() <= 1
    assert (turned != images).mean() > 0.8


def test_crops_are_a_function_of_the_seed(monkeypatch):
    monkeypatch.setattr(data, "TRAINING_CROPS", 12)
    monkeypatch.setattr(data, "VALIDATION_CROPS", 4)
    first, again, other = load(None, 32, 0), load(None, 32, 0), load(None, 32, 1)
    np.testing.assert_array_equal(first.train, again.train)
    np.testing.assert_array_equal(first.validation, again.validation)
    assert (first.train != other.train).any()
    assert (first.validation != other.validation).any()


# --- pairs ---


def take(sampler: PairSampler, count: int) -> np.ndarray:
    """`count` batches in a row, as (4, count * batch_size): source, target and the two flips."""
    return np.concatenate([np.stack(next(sampler)) for _ in range(count)], axis=1)


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 2**32))
def test_every_image_is_a_source_and_a_target_once_an_epoch(n, batch_size, seed):
    stream = take(PairSampler(n, batch_size, seed), -(-3 * n // batch_size))
    for epoch in range(3):
        source, target = stream[:2, epoch * n : (epoch + 1) * n]
        assert sorted(source) == sorted(target) == list(range(n))
        if n > 1:
            assert (source != target).all()


def test_types():
    batch = next(PairSampler(5, 3, 0))
    assert batch.source.dtype == batch.target.dtype == np.int64
    assert batch.flip_source.dtype == batch.flip_target.dtype == bool
    assert all(array.shape == (3,) for array in batch)
    assert iter(sampler := PairSampler(5, 3, 0)) is sampler


def test_pairs_are_new_each_epoch_and_uniform():
    n, epochs = 6, 4000
    source, target = take(PairSampler(n, n, 0), epochs)[:2]
    pairs = [frozenset(zip(source[i : i + n], target[i : i + n], strict=True)) for i in range(0, n * epochs, n)]
    assert len(set(pairs[:50])) > 40
    counts = Counter(zip(source, target, strict=True))
    assert len(counts) == n * (n - 1)
    expected = epochs / (n - 1)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())
    firsts = Counter(source[::n])
    assert all(abs(count - epochs / n) < 5 * (epochs / n) ** 0.5 for count in firsts.values())


def test_sources_and_targets_of_a_batch_are_different_images():
    sampler = PairSampler(1000, 10, 0)
    batches = [next(sampler) for _ in range(500)]
    assert np.mean([len(np.intersect1d(batch.source, batch.target)) for batch in batches]) < 0.5


def test_flips_are_fair_and_independent():
    flips = take(PairSampler(100, 100, 0), 100)[2:]
    combinations = Counter(zip(*flips, strict=True))
    assert len(combinations) == 4
    assert all(abs(count - 2500) < 250 for count in combinations.values())


def test_seed_decides():
    assert (take(PairSampler(50, 8, 1), 9) == take(PairSampler(50, 8, 1), 9)).all()
    assert (take(PairSampler(50, 8, 1), 9) != take(PairSampler(50, 8, 2), 9)).any()


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_what_one_sees(n, world):
    one = PairSampler(n, 4 * world, seed=5)
    ranks = [PairSampler(n, 4, seed=5, rank=rank, world=world) for rank in range(world)]
    for _ in range(20):
        together = np.concatenate([np.stack(next(rank)) for rank in ranks], axis=1)
        np.testing.assert_array_equal(together, np.stack(next(one)))
    assert all(rank.state_dict() == one.state_dict() for rank in ranks)


@given(n=st.integers(1, 30), batch_size=st.integers(1, 40), done=st.integers(0, 10))
def test_resume_is_exact(n, batch_size, done):
    straight = PairSampler(n, batch_size, 3)
    for _ in range(done):
        next(straight)
    resumed = PairSampler(n, batch_size, 3)
    resumed.load_state_dict(json.loads(json.dumps(straight.state_dict())))
    assert resumed.epoch == straight.epoch == done * batch_size // n
    np.testing.assert_array_equal(take(resumed, 5), take(straight, 5))


def test_resume_with_another_number_of_processes():
    one = PairSampler(30, 8, 3)
    take(one, 5)
    two = PairSampler(30, 4, 3, rank=1, world=2)
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(np.stack(next(two)), np.stack(next(one))[:, 4:])


def test_resume_with_other_data_is_refused():
    state = PairSampler(30, 8, 3).state_dict()
    with pytest.raises(ValueError, match="`n` of the saved sampler must be 31, got 30"):
        PairSampler(31, 8, 3).load_state_dict(state)
    with pytest.raises(ValueError, match="`seed` of the saved sampler must be 4, got 3"):
        PairSampler(30, 8, 4).load_state_dict(state)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0, 1, 0), "`n` must be at least 1, got 0"),
        ((1, 0, 0), "`batch_size` must be at least 1, got 0"),
        ((1, 1, -1), "`seed` must be at least 0, got -1"),
        ((1, 1, 0, 0, 0), "`world` must be at least 1, got 0"),
        ((1, 1, 0, 2, 2), r"`rank` must be from 0 to 1 \(`world` is 2\), got 2"),
        ((1, 1, 0, -1, 2), r"`rank` must be from 0 to 1 \(`world` is 2\), got -1"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        PairSampler(*arguments)

"""What a person at work asks of `huenet transfer`: many files, pipes, quality, going on, ending well."""

import io
import os
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from commands import refusal, status
from PIL import Image
from scenes import scene

from huenet import transfer
from huenet.images.picture import Picture, read_picture, write_picture
from huenet.images.read import ImageError

command = partial(status, transfer.main)
error_of = partial(refusal, transfer.main)
FAST = "--method", "transport"


@pytest.fixture
def pictures(files):
    """Three pictures in a folder, with what else lies in folders."""
    (files / "in" / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "deep/c.png")):
        Image.fromarray(scene(i)).save(files / "in" / name)
    (files / "in" / "notes.txt").write_text("")
    (files / "in" / "IMG_1.CR2").write_text("")
    return files / "in"


# Quality


def kind_of_webp(path):
    return b"VP8L" if b"VP8L" in path.read_bytes() else b"VP8 "


def test_a_webp_is_what_its_source_was(tmp_path):
    for lossless in (True, False):
        Image.fromarray(scene(0)).save(tmp_path / "source.webp", lossless=lossless)
        picture = read_picture(tmp_path / "source.webp")
        write_picture(tmp_path / "out.webp", picture)
        same = np.array_equal(read_picture(tmp_path / "out.webp").pixels, picture.pixels)
        assert same == lossless == (kind_of_webp(tmp_path / "out.webp") == b"VP8L")
    frames = [Image.fromarray(scene(i)) for i in range(2)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert read_picture(tmp_path / "moving.webp").lossless


@pytest.mark.parametrize(("suffix", "lossless"), [(".png", True), (".tif", True), (".jpg", False), (".bmp", True)])
def test_a_webp_from_another_format_is_what_that_was(tmp_path, suffix, lossless):
    Image.fromarray(scene(0)).save(tmp_path / f"source{suffix}")
    picture = read_picture(tmp_path / f"source{suffix}")
    write_picture(tmp_path / "out.webp", picture)
    assert (kind_of_webp(tmp_path / "out.webp") == b"VP8L") == lossless


def test_colours_under_transparency_survive_a_lossless_webp(tmp_path):
    pixels = np.dstack([scene(0), np.zeros((48, 64), np.uint8)])
    write_picture(tmp_path / "out.webp", Picture(pixels))
    np.testing.assert_array_equal(read_picture(tmp_path / "out.webp").pixels, pixels)


def test_quality_is_chosen(files, capsys):
    paths = files / "source.png", files / "target.png", "-o"
    sizes = {}
    for suffix in (".jpg", ".webp"):
        for quality in (30, 95):
            out = files / f"out{quality}{suffix}"
            assert command(*paths, out, *FAST, "--quality", quality) == 0
            sizes[quality] = out.stat().st_size
        assert sizes[30] < 0.7 * sizes[95]
    assert command(*paths, files / "out.webp", *FAST, "--quality", "lossless") == 0
    assert kind_of_webp(files / "out.webp") == b"VP8L"
    out = files / "out.jpg"
    assert f"--quality lossless: {out}: JPEG is never lossless; choose .png" in error_of(
        capsys, *paths, out, "--quality", "lossless"
    )
    assert "PNG is always lossless and has no quality; choose .jpg or .webp" in error_of(
        capsys, *paths, files / "out.png", "--quality", 90
    )
    for wrong in ("0", "101", "best", "9.5"):
        assert "must be a whole number from 1 to 100, or lossless" in error_of(capsys, *paths, out, "--quality", wrong)
    assert not out.exists()


def test_quality_in_a_folder_is_for_those_that_have_one(files, pictures):
    assert command(pictures, files / "target.png", "-o", files / "out", *FAST, "--quality", 20) == 0
    assert command(pictures, files / "target.png", "-o", files / "fine", *FAST) == 0
    assert (files / "out/b.jpg").stat().st_size < 0.7 * (files / "fine/b.jpg").stat().st_size
    np.testing.assert_array_equal(read_picture(files / "out/a.png").pixels, read_picture(files / "fine/a.png").pixels)


# Many files


def test_several_sources_and_a_new_folder(files, pictures):
    sources = pictures / "a.png", pictures / "b.jpg", pictures / "deep"
    assert command(*sources, files / "target.png", "-o", f"{files}/new/", *FAST) == 0
    names = sorted(p.relative_to(files / "new").as_posix() for p in (files / "new").rglob("*.*"))
    assert names == ["a.png", "b.jpg", "deep/c.png"]
    assert command(pictures / "a.png", files / "target.png", "-o", f"{files}/one/", *FAST) == 0
    assert (files / "one/a.png").is_file()


def test_what_is_left_out_of_a_folder_is_counted_and_listed(files, pictures, capsys):
    assert command(pictures, files / "target.png", "-o", files / "out", *FAST) == 0
    assert capsys.readouterr().err.splitlines() == [
        "note: 2 left out:",
        f"  {pictures}/IMG_1.CR2 (not a picture, by its name)",
        f"  {pictures}/notes.txt (not a picture, by its name)",
    ]
    for i in range(30):
        (pictures / f"{i}.xmp").touch()
    assert command(pictures, files / "target.png", "-o", files / "more", *FAST) == 0
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("note: 32 left out:", "  and 12 more", 22)


def test_a_folder_that_was_interrupted_is_gone_on_with(files, pictures, capsys):
    (files / "out").mkdir()
    (files / "out/a.png").write_bytes(b"precious")
    assert "a.png exists; --force replaces, --skip-existing goes on" in error_of(
        capsys, pictures, files / "target.png", "-o", files / "out"
    )
    assert command(pictures, files / "target.png", "-o", files / "out", *FAST, "--skip-existing") == 0
    assert "note: 1 of 3 exist already and stay as they are" in capsys.readouterr().err
    assert (files / "out/a.png").read_bytes() == b"precious"
    assert (files / "out/deep/c.png").is_file()
    assert command(pictures, files / "target.png", "-o", files / "out", "--skip-existing") == 0


def test_a_bad_picture_that_alone_is_left_of_a_folder_is_one_of_its(files, pictures, capsys):
    (pictures / "a.png").write_bytes(b"no picture")
    for options in ([], ["--skip-existing"]):
        assert command(pictures, files / "target.png", "-o", files / "out", *FAST, *options) == 1
        assert "a.png: not an image" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-o", "--mask", "--run", "--map", "--add-target"])
def test_an_empty_name_is_not_this_folder(files, capsys, option):
    """A variable of the shell that is not set."""
    rest = [files / "source.png", files / "target.png", *(() if option == "-o" else ("-o", files / "out.png"))]
    assert "is empty; name a file or folder" in error_of(capsys, *rest, option, "")
    assert "is empty; name a file or folder" in error_of(capsys, files / "source.png", "", "-o", files / "out.png")


# Pipes


def test_standard_input_and_output(files, monkeypatch, capsys):
    assert command(files / "source.png", files / "target.png", "-o", files / "out.png", *FAST) == 0
    Image.fromarray(scene(0)).save(files / "source.jpg", quality=95)
    for name, kind in (("source.png", "PNG"), ("source.jpg", "JPEG")):
        for pipe in ((files / name, files / "target.png"), ("-", files / "target.png"), (files / name, "-")):
            given = files / (name if pipe[0] == "-" else "target.png")
            out = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False)
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given.read_bytes())))
                patch.setattr(sys, "stdout", out)
                assert command(*pipe, "-o", "-", *FAST) == 0
            with Image.open(out.buffer) as image:
                assert image.format == kind
                if kind == "PNG":
                    np.testing.assert_array_equal(np.asarray(image), read_picture(files / "out.png").pixels)


def test_pipes_that_make_no_sense_are_refused(files, pictures, monkeypatch, capsys):
    assert "can stand for one picture alone" in error_of(capsys, "-", "-", "-o", files / "out.png")
    assert "-o - is for one picture; name a folder" in error_of(capsys, pictures, files / "target.png", "-o", "-")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"no picture")))
    assert error_of(capsys, "-", files / "target.png", "-o", files / "out.png").startswith(
        "huenet transfer: standard input: not an image of a known format"
    )
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit):
        transfer.main([str(files / "source.png"), str(files / "target.png"), "-o", "-"])


# Ends


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_begun(tmp_path, number):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)).save(tmp_path / "s.png")
    program = [sys.executable, "-m", "huenet.transfer", "s.png", "s.png", "-o", "out.png", *FAST]
    process = subprocess.Popen(program, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        while not list(tmp_path.glob(".*.part")):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        assert process.wait(60) in (128 + number, 0)
    finally:
        process.kill()
        process.wait()
    assert not list(tmp_path.glob(".*.part"))


def test_a_full_disk_ends_the_run_with_one_line(files, pictures, monkeypatch, capsys):
    attempts = []

    def full(*_):
        attempts.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    error = error_of(capsys, pictures, files / "target.png", "-o", files / "out", *FAST)
    assert "a.png: cannot be written: No space left on device; see to it, and go on with --skip-existing" in error
    assert len(attempts) == 1
    assert not list((files / "out").rglob("*.*"))


@pytest.mark.posix
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_what_stops_an_encoder_is_named(tmp_path, suffix):
    """Pillow's say "encoder error -2" where they write on their own. A limit on files stands for the full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ImageError, match="cannot be written: File too large"):
            write_picture(tmp_path / f"out{suffix}", Picture(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_memory_that_is_not_there_is_one_line(files, pictures, monkeypatch, capsys):
    def refused(*_, **__):
        raise MemoryError

    monkeypatch.setattr("huenet.transfer.command.recolor_picture", refused)
    out = files / "out"
    assert f"{files / 'source.png'}: needs more memory than there is" in error_of(
        capsys, files / "source.png", files / "target.png", "-o", files / "out.png", *FAST
    )
    assert command(pictures, files / "target.png", "-o", out, *FAST) == 1
    assert "3 of 3 pictures skipped" in capsys.readouterr().err
    monkeypatch.setattr("huenet.transfer.command.read_picture", refused)
    assert "more memory is needed than there is" in error_of(capsys, pictures, files / "target.png", "-o", out, *FAST)


@pytest.mark.slow
@pytest.mark.posix
def test_an_allocation_that_fails_is_one_line(tmp_path):
    """For real: a picture of 60 megapixels in a process that may have less than its pixels take."""
    pytest.importorskip("resource")
    Image.new("RGB", (10_000, 6_000), (200, 40, 40)).save(tmp_path / "large.png", compress_level=1)
    Image.fromarray(scene(0)).save(tmp_path / "target.png")
    code = (
        "import resource, sys, skimage.transform, scipy.ndimage, PIL.ImageCms; from huenet.transfer import main; "
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() if sys.platform == 'linux' "
        "else 0; limit = used + 150_000_000; resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); "
        "sys.exit(main(sys.argv[1:]))"
    )
    program = [sys.executable, "-c", code, "large.png", "target.png", "-o", "out.png", *FAST]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert ended.returncode == 2
    assert "memory" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "out.png").exists()

"""Reading image files: every odd kind of file is made here, with Pillow or byte by byte."""

import errno
import os
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from pictures import BLUE, GREEN, RED, STORED, WHITE, assert_one_line, corners, png  # noqa: E402

from huenet.images.read import MAX_PIXELS, ImageError, read_image, read_square, square  # noqa: E402


def test_rgb_is_read_exactly(tmp_path):
    want = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    for name in ("a.png", "a.bmp", "a.tif", "a.ppm"):
        Image.fromarray(want).save(tmp_path / name)
        got = read_image(tmp_path / name)
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.uint8
        assert got.flags.writeable


def test_suffix_does_not_matter(tmp_path):
    Image.fromarray(corners()).save(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), corners())


@pytest.mark.parametrize("orientation", sorted(STORED))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](corners())))
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a{suffix}"
    options = {".jpg": {"quality": 95, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    stored.save(path, exif=exif, **options)
    got = read_image(path).astype(int)
    assert got.shape == (24, 16, 3)
    assert np.abs(got - corners()).mean() < 8
    reads = read_square(path, 8).astype(int)
    assert np.abs(reads[:3, :3] - RED).mean() < 40
    assert np.abs(reads[-3:, :3] - BLUE).mean() < 40


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\x7fgarbage", b"garbage, not even a header"])
def test_damaged_exif_does_not_cost_the_picture(tmp_path, exif):
    Image.fromarray(corners()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    assert read_image(tmp_path / "a.jpg").shape == (24, 16, 3)


def test_damaged_exif_in_a_png(tmp_path):
    body = b"Raw profile type exif\0\nexif\n 4\nno hex\n"
    chunk = struct.pack(">I", len(body)) + b"tEXt" + body + struct.pack(">I", zlib.crc32(b"tEXt" + body))
    (tmp_path / "a.png").write_bytes(png(1, 1, 8, 2, b"\0\1\2\3", extra=chunk))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[1, 2, 3]]])


def test_grey_and_one_bit(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=-1))
    Image.fromarray(grey > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 1], np.where(grey > 127, 255, 0))


def test_palette(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([2, 0, 1])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.gif")
    for name in ("a.png", "a.gif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), [[BLUE, RED, GREEN]])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_palette_with_transparency_lies_on_white(tmp_path, transparency):
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, 1, 2, 3, *BLUE])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "a.png", transparency=transparency)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[RED, WHITE, BLUE]])


def test_alpha_is_composited_over_white(tmp_path):
    rgba = np.zeros((1, 256, 4), np.uint8)
    rgba[..., 0], rgba[..., 3] = 100, np.arange(256)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    alpha = np.arange(256)[:, None] / 255
    want = alpha * (100, 0, 0) + (1 - alpha) * 255
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[0], want, atol=1)


def test_grey_with_alpha_and_colour_key(tmp_path):
    Image.merge("LA", [Image.new("L", (2, 2), 10), Image.new("L", (2, 2), 0)]).save(tmp_path / "la.png")
    assert (read_image(tmp_path / "la.png") == 255).all()
    Image.new("RGB", (2, 2), (9, 8, 7)).save(tmp_path / "key.png", transparency=(9, 8, 7))
    assert (read_image(tmp_path / "key.png") == 255).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk(tmp_path, name):
    inks = [(0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0), (0, 0, 0, 0), (0, 0, 0, 255)]
    quarters = np.repeat(np.repeat(np.array([inks], np.uint8), 16, axis=0), 16, axis=1)
    Image.frombytes("CMYK", (80, 16), quarters.tobytes()).save(tmp_path / name)
    with Image.open(tmp_path / name) as stored:
        assert stored.mode == "CMYK"
    got = read_image(tmp_path / name)[8, 8::16].astype(int)
    assert np.abs(got - [RED, GREEN, BLUE, WHITE, (0, 0, 0)]).max() < 12
    assert read_square(tmp_path / name, 4).shape == (4, 4, 3)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    for name in ("a.gif", "a.tif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(read_image(tmp_path / name).astype(int) - RED).max() < 6, name


# --- what cannot be read ---


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOMEM", "EIO", "ESTALE"])
def test_trouble_of_the_machine_is_not_the_files(tmp_path, monkeypatch, name):
    Image.fromarray(corners()).save(tmp_path / "a.png")

    def fail(*_, **__):
        raise OSError(getattr(errno, name), name)

    for owner in (os, Image):
        with monkeypatch.context() as patch:
            patch.setattr(owner, "stat" if owner is os else "open", fail)
            with pytest.raises(OSError, match=name):
                read_image(tmp_path / "a.png")


def test_out_of_memory_is_not_the_files(tmp_path, monkeypatch):
    Image.fromarray(corners()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "convert", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".gif"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_truncated(tmp_path, suffix, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(kept * len(whole))])
    for read in (read_image, lambda p: read_square(p, 8)):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert_one_line(caught.value, path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am no image\n" * 9, "not an image of a known format"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
            "not an image of a known format",
        ),
    ],
)
def test_no_image(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert caught.value.reason == reason
    assert_one_line(caught.value, path)


def test_missing_folder_and_pipe(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path)


@pytest.mark.posix
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.posix
@pytest.mark.skipif("getattr(os, 'geteuid', int)() == 0", reason="root reads everything")
def test_unreadable(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(corners()).save(path)
    path.chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        read_image(path)


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (10_000, 9_000), (50_000, 50_000), (1, MAX_PIXELS + 1)])
def test_bomb_is_refused_before_it_is_decoded(tmp_path, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height, 8, 2, b"\0" * 64))
    with pytest.raises(ImageError, match="too large") as caught:
        read_image(path)
    assert_one_line(caught.value, path)


def test_bomb_in_a_text_chunk(tmp_path):
    body = b"Comment\0\0" + zlib.compress(b"a" * 80_000_000)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    path = tmp_path / "bomb.png"
    path.write_bytes(png(1, 1, 8, 2, b"\0\1\2\3", extra=chunk))
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert_one_line(caught.value, path)


def test_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "truncated")))
    assert (str(error), error.path, error.reason) == ("a.jpg: truncated", "a.jpg", "truncated")


# --- squares ---


def test_square_keeps_the_centre():
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 12:20] = RED
    np.testing.assert_array_equal(square(wide, 8), wide[:, 12:20])
    np.testing.assert_array_equal(square(wide.transpose(1, 0, 2), 8), wide[:, 12:20])


def test_square_is_resize_then_crop():
    image = np.asarray(Image.effect_mandelbrot((192, 128), (-2, -1.5, 1, 1.5), 40).convert("RGB"))
    whole = Image.fromarray(image).resize((48, 32), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(square(image, 32).astype(int), np.asarray(whole)[:, 8:40], atol=1)


def test_square_of_a_ribbon_needs_no_ribbon_in_memory(tmp_path):
    pytest.importorskip("resource")
    Image.new("RGB", (1, 60_000), RED).save(tmp_path / "a.png")
    code = (
        "import resource, sys\n"
        "from huenet.images.read import read_square\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "peak = lambda: unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_square(sys.argv[1], 1)\n"
        "before = peak()\n"
        "assert (read_square(sys.argv[1], 32) == (255, 0, 0)).all()\n"
        "print(peak() - before)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 30e6  # the ribbon, 32 pixels wide: 180 MB


def test_read_square_of_a_large_jpeg_agrees_with_the_full_decode(tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    smooth = coarse.resize((1600, 1200), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.jpg", quality=95)
    for size in (32, 100, 300):
        small, full = read_square(tmp_path / "a.jpg", size), square(read_image(tmp_path / "a.jpg"), size)
        assert small.shape == (size, size, 3)
        assert np.abs(small.astype(int) - full).mean() < 1

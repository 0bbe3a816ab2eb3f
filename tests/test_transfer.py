"""Recolouring pictures and files: what must change, what must stay, and what is said when it cannot be done."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import tifffile
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from huenet import transfer
from huenet.color import rgb_to_hsv
from huenet.grid import read_grid, rotation_grid, splat_grid
from huenet.methods import METHODS, small_copy
from huenet.metrics import hue_emd
from huenet.picture import Picture, read_picture, write_picture
from huenet.transfer import TransferError, recolor

RED, GREEN, GREY = (200, 40, 40), (40, 200, 40), (90, 90, 90)
OPTIMIZE = pytest.param("optimize", marks=pytest.mark.slow)
FREE_METHODS = [OPTIMIZE if method == "optimize" else method for method in METHODS if method != "huenet"]


def plain(colour, height=24, width=32):
    return np.tile(np.uint8(colour), (height, width, 1))


def scene(seed=0, height=48, width=64, dtype=np.uint8):
    """Smooth shading over a few hues, no two pictures alike."""
    from skimage.color import hsv2rgb

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    a, b, c = rng.random(3)
    hue = (a + 0.15 * np.sin(5 * x + 6 * b) + 0.4 * (y > c * 0.5 + 0.25)) % 1
    rgb = hsv2rgb(np.stack([hue, 0.4 + 0.5 * y, 0.3 + 0.6 * x], axis=-1))
    return np.rint(rgb * np.iinfo(dtype).max).astype(dtype)


def hsv_of(pixels):
    return np.moveaxis(rgb_to_hsv(pixels[..., :3] / np.float64(np.iinfo(pixels.dtype).max), axis=-1), -1, 0)


def distance(one, other):
    (hue_a, s_a, v_a), (hue_b, s_b, v_b) = hsv_of(one), hsv_of(other)
    return hue_emd(hue_a, hue_b, s_a * v_a, s_b * v_b, bins=64)


def command(*arguments):
    """Exit status of the command line."""
    try:
        return transfer.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def files(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "source.png")
    Image.fromarray(scene(1, 40, 40)).save(tmp_path / "target.png")
    return tmp_path


def error_of(capsys, *arguments):
    """The one line that a wrong command line gets."""
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


# The grid


def test_splat_is_the_transpose_of_read(rng):
    grid, values, hue = rng.random((3, 5, 16)), rng.random((20, 30)), rng.random((20, 30))
    assert (read_grid(grid, hue) * values).sum() == pytest.approx((splat_grid(values, hue, grid.shape) * grid).sum())


def test_a_grid_reads_the_same_in_parts(rng):
    grid, hue = rng.random((4, 3, 8)), rng.random((40, 20))
    parts = [read_grid(grid, hue[i : i + 7], first=i, height=40) for i in range(0, 40, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), read_grid(grid, hue))


def test_a_grid_is_a_circle_in_hue():
    grid = np.arange(8.0)[None, None]
    np.testing.assert_allclose(read_grid(grid, np.array([[0.0, 1.0, 0.5 / 8, 1 - 0.25 / 8]])), [[3.5, 3.5, 0, 5.25]])


def test_a_grid_holds_a_field_that_follows_place_and_hue(rng):
    hue = 0.1 + 0.5 * (np.arange(128) > 63) + 0.02 * rng.random((128, 128))
    field = np.where(hue < 0.3, 0.2, -0.3) + 0.1 * np.linspace(0, 1, 128)[:, None]
    grid = rotation_grid(field, hue, np.ones_like(hue), (16, 16, 64))
    error = np.angle(read_grid(grid, hue) * np.exp(-2j * np.pi * field)) / (2 * np.pi)
    assert np.abs(error).max() < 0.01
    # hues that the picture does not have take the rotation of their neighbours
    assert np.abs(np.angle(grid)).min() / (2 * np.pi) > 0.1


# The result


@pytest.mark.parametrize("method", FREE_METHODS)
def test_the_result_has_the_targets_colours(method):
    source, target = scene(0), scene(1, 40, 40)
    before, after = distance(target, source), distance(target, recolor(source, target, method=method))
    assert after < (0.8 if method == "reinhard" else 0.6) * before


@pytest.mark.parametrize("method", [OPTIMIZE, "transport"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_hue_changes(method, dtype):
    source = scene(0, dtype=dtype)
    before, after = hsv_of(source), hsv_of(recolor(source, scene(1), method=method))
    np.testing.assert_allclose(after[1:], before[1:], atol=2.01 / np.iinfo(dtype).max)


@pytest.mark.parametrize("method", FREE_METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_0_and_a_black_mask_change_nothing(method, dtype):
    source, target = scene(0, dtype=dtype), scene(1)
    np.testing.assert_array_equal(recolor(source, target, method=method, strength=0), source)
    half = np.zeros(source.shape[:2], bool)
    half[:, 32:] = True
    masked = recolor(source, target, method=method, mask=half)
    np.testing.assert_array_equal(masked[:, :32], source[:, :32])
    assert (masked[:, 32:] != source[:, 32:]).any()


@pytest.mark.parametrize("method", FREE_METHODS)
def test_a_picture_recoloured_after_itself_stays(method):
    source = scene(0)
    assert np.abs(recolor(source, source, method=method).astype(int) - source).max() <= (
        30 if method == "optimize" else 2
    )


def test_strength_is_a_mixture():
    source, target = scene(0).astype(np.float32) / 255, scene(1)
    whole, half = recolor(source, target), recolor(source, target, strength=0.5)
    np.testing.assert_allclose(half, (source + whole) / 2, atol=1e-6)


def test_the_kind_of_the_source_is_kept():
    target = scene(1)
    for source in (scene(0), scene(0, dtype=np.uint16), scene(0) / 255, (scene(0) / 255).astype(np.float32)):
        before = source.copy()
        result = recolor(source, target)
        assert result.dtype == source.dtype
        assert result.shape == source.shape
        np.testing.assert_array_equal(source, before)  # the caller's own is left alone
    image = Image.fromarray(scene(0))
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = recolor(image, Image.fromarray(target))
    assert result.info["icc_profile"] == image.info["icc_profile"]
    np.testing.assert_array_equal(np.asarray(result), recolor(scene(0), target))


def test_what_transparency_hides_does_not_count():
    target = np.dstack([scene(1), np.full((48, 64), 255, np.uint8)])
    hidden = target.copy()
    hidden[24:, :, :3], hidden[24:, :, 3] = RED, 0
    source = np.dstack([scene(0), np.arange(48 * 64, dtype=np.uint16).reshape(48, 64).astype(np.uint8)])
    result = recolor(source, hidden, method="transport")
    np.testing.assert_array_equal(result[..., 3], source[..., 3])
    np.testing.assert_array_equal(result, recolor(source, target[:24], method="transport"))


def test_the_working_copy_averages_what_counts():
    picture = np.zeros((700, 1100, 4), np.uint8) + np.uint8([*GREEN, 255])
    picture[::2, ::3] = [*RED, 0]
    copy = small_copy(picture)
    assert max(copy.rgb.shape) <= 512
    np.testing.assert_allclose(copy.rgb, plain(GREEN, *copy.rgb.shape[:2]) / 255, atol=1e-6)
    masked = small_copy(picture[..., :3], (picture[..., 3] // 2).astype(np.uint8))
    np.testing.assert_allclose(masked.rgb, copy.rgb, atol=1e-6)
    np.testing.assert_allclose(masked.weights, copy.weights * 127 / 255, atol=1e-6)


def test_dithering_is_seeded_and_leaves_no_bands():
    ramp = np.linspace(0.2, 0.22, 512, dtype=np.float32)
    source = np.zeros((256, 512, 3), np.float32) + np.array([0.5, 0, 0.1], np.float32)
    source[..., 1] = ramp  # less than six steps of 8 bits over the width
    as_bytes = np.rint(source * 255).astype(np.uint8)
    one, same, other = (recolor(as_bytes, scene(1), strength=0.7, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    exact = recolor(as_bytes / 255, scene(1), strength=0.7)
    np.testing.assert_allclose(one.mean(axis=0) / 255, exact.mean(axis=0), atol=0.2 / 255)


def test_tiles_leave_no_seam(monkeypatch):
    """A rotation that varies over the picture reads the same in tiles of ten rows and whole."""
    source, target = scene(0) / 255, scene(1)
    monkeypatch.setattr("huenet.optimize.optimize", lambda hsv, _: hsv[0] + np.linspace(0, 0.4, hsv.shape[1])[:, None])
    mask = np.linspace(0.1, 1, source.shape[0])[:, None] * np.ones(source.shape[1])
    whole = recolor(source, target, method="optimize", mask=mask)
    monkeypatch.setattr("huenet.methods.TILE", 640)
    np.testing.assert_allclose(recolor(source, target, method="optimize", mask=mask), whole, atol=1e-6)


# Odd pictures


@pytest.mark.parametrize("method", FREE_METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (3, 2)])
def test_pictures_of_any_shape(method, shape):
    source = scene(0)[: shape[0]] if shape[1] == 700 else scene(0)[: shape[0], : shape[1]]
    assert recolor(source, scene(1), method=method).shape == source.shape
    assert recolor(scene(1), source, method=method).shape == scene(1).shape


@pytest.mark.parametrize("method", [OPTIMIZE, "transport"])
def test_grey_stays_and_says_so(method):
    with pytest.warns(UserWarning, match="the source has no colour"):
        np.testing.assert_array_equal(recolor(plain(GREY), scene(1), method=method), plain(GREY))
    with pytest.warns(UserWarning, match="the target has no colour"):
        np.testing.assert_array_equal(recolor(scene(0), plain(GREY), method=method), scene(0))
    mixed = scene(0)
    mixed[:10] = GREY
    np.testing.assert_array_equal(recolor(mixed, scene(1), method=method)[:10], mixed[:10])


def test_reinhard_of_one_colour_is_finite():
    assert recolor(plain(GREY), plain(RED), method="reinhard").shape == plain(GREY).shape
    np.testing.assert_allclose(recolor(plain(GREEN), plain(RED), method="reinhard"), plain(RED), atol=1)


@pytest.mark.parametrize("method", [OPTIMIZE, "transport"])
def test_a_target_of_one_hue_gives_a_picture_of_that_hue(method):
    hue, s, v = hsv_of(recolor(scene(0), plain(GREEN), method=method))
    apart = np.abs(hue - 1 / 3)
    assert np.average(apart, weights=s * v) < 0.03
    assert apart.max() < (0.2 if method == "optimize" else 0.025)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": np.full((4, 4, 3), np.nan)}, r"source must lie in \[0, 1\], got values from nan"),
        ({"target": np.full((4, 4, 3), 255.0)}, r"target must lie in \[0, 1\], got values from 255"),
        (
            {"source": np.zeros((4, 4), np.uint8)},
            r"source must have the shape .* got \(4, 4\)",
        ),
        ({"source": np.zeros((0, 4, 3), np.uint8)}, "source must have the shape"),
        ({"source": np.zeros((4, 4, 3), np.int64)}, "source must be uint8, uint16 or float, got int64"),
        ({"mask": np.ones((4, 5))}, "the mask has 5 x 4 pixels and the source 64 x 48"),
        ({"mask": np.full((48, 64), 2.0)}, r"mask must lie in \[0, 1\]"),
        ({"method": "magic"}, "method must be one of huenet, optimize, transport, reinhard, got 'magic'"),
        ({"method": "transport", "run": "x"}, "--run is for method huenet, got transport"),
        ({"run": "x"}, "x has no model.safetensors"),
        ({"strength": 1.5}, "strength must be from 0 to 1, got 1.5"),
        ({"strength": float("nan")}, "strength must be from 0 to 1, got nan"),
        ({"smooth": -1}, "smooth must be from 0 to 256, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"source": scene(0), "target": scene(1), **change}
    with pytest.raises(TransferError, match=message):
        recolor(arguments.pop("source"), arguments.pop("target"), **arguments)


# Files


def metadata():
    """A colour profile that is not sRGB, and EXIF with a camera, an exposure and a place."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # another date, so that it is told from a default
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "Maker", "2024:05:06 07:08:09"
    exif.get_ifd(0x8769)[0x829A] = IFDRational(1, 125)
    exif.get_ifd(0x8825)[1] = "N"
    return bytes(profile), exif


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("deep", [False, True])
def test_profile_exif_and_depth_survive(tmp_path, suffix, deep):
    if deep:
        pytest.importorskip("imagecodecs")
        if suffix in (".jpg", ".webp"):
            pytest.skip("holds 8 bits")
    profile, exif = metadata()
    pixels = scene(dtype=np.uint16 if deep else np.uint8)
    write_picture(tmp_path / f"source{suffix}", Picture(pixels, profile, exif.tobytes()))
    Image.fromarray(scene(1)).save(tmp_path / "target.png")
    out = tmp_path / f"out{suffix}"
    assert command(tmp_path / f"source{suffix}", tmp_path / "target.png", "-o", out) == 0
    with Image.open(out) as image:
        assert image.info["icc_profile"] == profile
        found = image.getexif()
        assert (found[0x010F], found[0x0132]) == ("Maker", "2024:05:06 07:08:09")
        assert float(found.get_ifd(0x8769)[0x829A]) == pytest.approx(1 / 125)
        assert found.get_ifd(0x8825)[1] == "N"
    result = read_picture(out).pixels
    assert result.dtype == pixels.dtype
    assert result.shape == pixels.shape
    assert (result != pixels).any()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("height", [1, 5, 300])
def test_16_bits_come_back_as_they_were(tmp_path, suffix, channels, height):
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = np.random.default_rng(0).integers(0, 65536, (height, 2000, channels), dtype=np.uint16)
    path = tmp_path / f"deep{suffix}"
    write_picture(path, Picture(pixels))
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)
    if suffix == ".png":
        np.testing.assert_array_equal(imagecodecs.png_decode(path.read_bytes()), pixels)
    else:
        with tifffile.TiffFile(path) as file:
            np.testing.assert_array_equal(file.asarray(), pixels)
            assert [sample.name for sample in file.pages[0].extrasamples] == ["UNASSALPHA"] * (channels - 3)


def test_16_bits_written_by_others_are_read(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = scene(0, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="lzw")
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(pixels))
    Image.fromarray(pixels[..., 0]).save(tmp_path / "c.png")
    for name in ("a.tif", "b.png"):
        np.testing.assert_array_equal(read_picture(tmp_path / name).pixels, pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / "c.png").pixels, pixels[..., [0, 0, 0]])


def test_16_bits_are_refused_where_they_would_be_cut(files, monkeypatch, capsys):
    tifffile.imwrite(files / "deep.tif", scene(0, dtype=np.uint16), photometric="rgb")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert "deep.tif: reading 16 bits a sample needs: pip install imagecodecs" in error_of(
        capsys, files / "deep.tif", files / "target.png", "-o", files / "out.png"
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright(tmp_path, orientation):
    pixels = scene(0)
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    from PIL import ImageOps

    with Image.open(tmp_path / "turned.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert command(tmp_path / "turned.png", tmp_path / "plain.png", "-o", tmp_path / "out.png", "--strength", 0) == 0
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), expected)
        assert image.getexif()[0x0112] == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "I;16", "RGBA"])
def test_pictures_of_every_mode_are_read(files, mode):
    image = Image.fromarray(scene(0))
    image = Image.fromarray(scene(0, dtype=np.uint16)[..., 0]) if mode == "I;16" else image.convert(mode)
    path = files / ("odd.tif" if mode in ("CMYK", "YCbCr") else "odd.png")
    image.save(path)
    grey = mode in ("1", "L", "LA", "I;16")
    if mode == "I;16":
        pytest.importorskip("imagecodecs")
    assert command(path, files / "target.png", "-o", files / "out.png") == 0
    before, after = read_picture(path).pixels, read_picture(files / "out.png").pixels
    assert before.shape == after.shape
    assert np.array_equal(before, after) == grey


def test_a_target_in_another_profile_is_understood():
    """Red and green exchanged by the target's profile: its numbers say green and mean red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {profile[i : i + 4]: i + 4 for i in range(132, 132 + 12 * profile[131], 12)}
    swapped = bytearray(profile)
    red, green = (profile[tags[name] : tags[name] + 8] for name in (b"rXYZ", b"gXYZ"))
    swapped[tags[b"rXYZ"] : tags[b"rXYZ"] + 8], swapped[tags[b"gXYZ"] : tags[b"gXYZ"] + 8] = green, red
    source, target = Image.fromarray(scene(0)), Image.fromarray(plain(GREEN))
    target.info["icc_profile"] = bytes(swapped)
    hue = hsv_of(np.asarray(recolor(source, target, method="transport")))[0]
    assert np.abs(hue - np.round(hue)).max() < 0.03


def test_16_bits_need_a_format_that_holds_them(files, capsys):
    write_picture(files / "deep.tif", Picture(scene(0, dtype=np.uint16)))
    for suffix in (".jpg", ".webp"):
        out = files / f"out{suffix}"
        error = error_of(capsys, files / "deep.tif", files / "target.png", "-o", out)
        assert "holds 8 bits a sample and the picture has 16; choose .png or .tif" in error
        assert not out.exists()


def test_transparency_needs_a_format_that_holds_it(files, capsys):
    pixels = np.dstack([scene(0), np.full((48, 64), 255, np.uint8)])
    Image.fromarray(pixels).save(files / "opaque.png")
    assert command(files / "opaque.png", files / "target.png", "-o", files / "out.jpg") == 0
    pixels[0, 0, 3] = 7
    Image.fromarray(pixels).save(files / "hole.png")
    out = files / "hole.jpg"
    assert "JPEG holds no transparency; choose .png" in error_of(
        capsys, files / "hole.png", files / "target.png", "-o", out
    )
    assert not out.exists()
    for suffix in (".png", ".webp", ".tif"):
        assert command(files / "hole.png", files / "target.png", "-o", files / f"hole-out{suffix}") == 0
        assert read_picture(files / f"hole-out{suffix}").pixels[0, 0, 3] == 7


def test_nothing_is_overwritten_without_force(files, capsys):
    out = files / "out.png"
    out.write_bytes(b"precious")
    assert "out.png exists; --force replaces" in error_of(capsys, files / "source.png", files / "target.png", "-o", out)
    assert out.read_bytes() == b"precious"
    assert command(files / "source.png", files / "target.png", "-o", out, "--force") == 0
    assert read_picture(out).pixels.shape == (48, 64, 3)


def test_inputs_are_never_overwritten(files, capsys):
    before = (files / "source.png").read_bytes()
    for out in (files / "source.png", files / "target.png", files):
        error = error_of(capsys, files / "source.png", files / "target.png", "-o", out, "--force")
        assert "is one of the pictures read" in error
    assert (files / "source.png").read_bytes() == before


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    """Killed at any moment of the writing, the output is whole."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)).save(tmp_path / "s.png")
    out = tmp_path / "out.png"
    Image.fromarray(plain(RED)).save(out)
    old = out.read_bytes()
    program = [sys.executable, "-m", "huenet.transfer", "s.png", "s.png", "-o", "out.png", "--force"]
    process = subprocess.Popen(program, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        while not (parts := list(tmp_path.glob(".*.part"))) or parts[0].stat().st_size < 1000:
            assert process.poll() is None
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    assert out.read_bytes() == old or read_picture(out).pixels.shape == (900, 900, 3)


def test_a_failed_write_leaves_no_trace(files, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    error = error_of(capsys, files / "source.png", files / "target.png", "-o", files / "out.png")
    assert "out.png: cannot be written: No space left on device" in error
    assert sorted(path.name for path in files.iterdir()) == ["source.png", "target.png"]


# Folders


def test_folders_in_and_out(tmp_path, capsys):
    for i, name in enumerate(["a/1.png", "a/b/2.jpg", "a/3.bmp", "t/x.png", "t/y.png", "t/z.png"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(i)).save(path)
    assert command(tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "out") == 0
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")) == [
        "1.png",
        "3.png",
        "b/2.jpg",
    ]
    # paired in order of name: 1.png, 3.bmp, b/2.jpg with x, y, z
    assert command(tmp_path / "a", tmp_path / "t", "-o", tmp_path / "pairs") == 0
    expected = recolor(scene(2), scene(4))
    np.testing.assert_array_equal(read_picture(tmp_path / "pairs/3.png").pixels, expected)
    assert command(tmp_path / "a/1.png", tmp_path / "t", "-o", tmp_path / "many") == 0
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["x.png", "y.png", "z.png"]
    # results inside the source folder are not read again
    assert command(tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "a/out") == 0
    assert command(tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "a/out", "--force") == 0
    assert len(list((tmp_path / "a/out").rglob("*.*"))) == 3
    capsys.readouterr()
    assert "and 2 more exist; --force" in error_of(capsys, tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "out")


def test_a_bad_file_costs_itself_alone(files, capsys):
    folder = files / "in"
    folder.mkdir()
    Image.fromarray(scene(2)).save(folder / "good.png")
    (folder / "bad.png").write_text("not a picture")
    assert command(folder, files / "target.png", "-o", files / "out") == 1
    assert [p.name for p in (files / "out").iterdir()] == ["good.png"]
    error = capsys.readouterr().err
    assert "1 of 2 pictures skipped" in error
    assert "bad.png: not an image of a known format" in error


def test_folders_that_do_not_fit_are_refused(files, capsys):
    two, empty = files / "two", files / "empty"
    for folder in (two, empty):
        folder.mkdir()
    for name in ("a.png", "a.bmp"):
        Image.fromarray(scene(0)).save(two / name)
    target = files / "target.png"
    assert "no pictures in this folder" in error_of(capsys, empty, target, "-o", files / "out")
    assert "has 2 pictures and" in error_of(capsys, two, files, "-o", files / "two" / "out")
    assert "is a file; for a folder of pictures -o must name a folder" in error_of(capsys, two, target, "-o", target)
    assert "a.png would be written more than once" in error_of(capsys, two, target, "-o", files / "out")
    assert "--mask is for one SOURCE" in error_of(capsys, two, target, "-o", files / "out", "--mask", target)
    assert not (files / "out").exists()


# Wrong input


def test_one_line_for_every_wrong_input(files, capsys):
    source, target, out = files / "source.png", files / "target.png", files / "out.png"
    (files / "text.png").write_text("I am no picture")
    (files / "empty.png").write_bytes(b"")
    (files / "cut.png").write_bytes(source.read_bytes()[:-300])
    (files / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    tifffile.imwrite(files / "float.tif", np.full((8, 8, 3), np.nan, np.float32), photometric="rgb")
    os.mkfifo(files / "pipe.png")
    for name in ("text.png", "empty.png", "cut.png", "cut.jpg", "float.tif", "pipe.png", "missing.png"):
        assert name in error_of(capsys, files / name, target, "-o", out)
        assert name in error_of(capsys, source, files / name, "-o", out)
    assert "must end in one of .png, .jpg" in error_of(capsys, source, target, "-o", files / "out.gif")
    assert "strength must be from 0 to 1, got 3.0" in error_of(capsys, source, target, "-o", out, "--strength", 3)
    assert "the mask has 40 x 40 pixels and the source 64 x 48" in error_of(
        capsys, source, target, "-o", out, "--mask", target
    )
    assert "invalid choice: 'magic'" in error_of(capsys, source, target, "-o", out, "--method", "magic")
    options = "--method", "reinhard", "--run", files
    assert "--run is for method huenet, got reinhard" in error_of(capsys, source, target, "-o", out, *options)
    assert not out.exists()


def test_pictures_too_large_are_refused_before_they_are_decoded(files, capsys, monkeypatch):
    monkeypatch.setattr("huenet.picture.MAX_PIXELS", 3000)
    error = error_of(capsys, files / "source.png", files / "target.png", "-o", files / "out.png")
    assert "64 x 48 pixels are more than" in error


def test_a_grey_source_is_copied_with_a_note(files, capsys):
    Image.fromarray(plain(GREY)).save(files / "grey.png")
    assert command(files / "grey.png", files / "target.png", "-o", files / "out.png") == 0
    assert "note:" in (error := capsys.readouterr().err)
    assert "the source has no colour" in error
    np.testing.assert_array_equal(read_picture(files / "out.png").pixels, plain(GREY))


def test_mask_file(files):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    Image.fromarray(mask).save(files / "mask.png")
    out = files / "out.png"
    assert command(files / "source.png", files / "target.png", "-o", out, "--mask", files / "mask.png") == 0
    np.testing.assert_array_equal(read_picture(out).pixels, recolor(scene(0), scene(1, 40, 40), mask=mask))


# A trained network


@pytest.fixture
def run(tmp_path):
    """A run folder with the weights of an untrained network, whose last layer turns every hue by a tenth."""
    import torch

    from huenet import checkpoint
    from huenet.config import from_preset
    from huenet.networks import Generator
    from huenet.state import MODEL

    config = from_preset("quick", size=32, width=4, prior=0.0)
    torch.manual_seed(0)
    generator = Generator(config)
    torch.nn.init.constant_(generator.unet.last.bias, 0.1)
    folder = tmp_path / "run"
    folder.mkdir()
    checkpoint.save(folder / MODEL, generator.state_dict(), {"step": 1, "config": config.to_json()})
    return folder


def test_a_network_rotates_hue_at_any_size(run):
    source, target = scene(0, 300, 171), scene(1)
    before, after = hsv_of(source), hsv_of(recolor(source, target, run=run))
    turn = after[0] - before[0] - 0.1
    assert np.abs(turn - np.round(turn))[before[1] * before[2] > 0.2].max() < 0.03
    np.testing.assert_allclose(after[1:], before[1:], atol=2.01 / 255)


def test_networks_that_cannot_be_used_get_one_line(files, run, capsys):
    from huenet import checkpoint
    from huenet.state import MODEL

    arguments = files / "source.png", files / "target.png", "-o", files / "out.png", "--run"
    assert command(*arguments, run) == 0
    (files / "out.png").unlink()
    tensors, meta = checkpoint.load(run / MODEL)
    for change in ({"width": 8}, {"size": 64}, {"circle": False}, {"new_field": 1}, {"size": 33}):
        import json

        config = json.dumps({**json.loads(meta["config"]), **change})
        checkpoint.save(run / MODEL, tensors, {**meta, "config": config})
        assert "does not fit the configuration it names" in error_of(capsys, *arguments, run)
    (run / MODEL).write_bytes((run / MODEL).read_bytes()[:-50])
    assert "is not a readable checkpoint" in error_of(capsys, *arguments, run)
    assert f"has no {MODEL}" in error_of(capsys, *arguments, files)
    assert not (files / "out.png").exists()


# The console command


def test_the_console_command_is_the_modules(files, capsys):
    from huenet.__main__ import main

    assert main(["transfer", str(files / "source.png"), str(files / "target.png"), "-o", str(files / "out.png")]) == 0
    assert (files / "out.png").exists()
    for arguments in (["--help"], ["transfer", "--help"], ["train", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert "usage: huenet" in capsys.readouterr().out
    for arguments in ([], ["paint"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_memory_is_bounded(tmp_path):
    """48 megapixels: less than 10 bytes a pixel above what an empty run takes."""
    rng = np.random.default_rng(0)
    block = np.kron(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), np.ones((100, 100, 1), np.uint8))
    Image.fromarray(block).save(tmp_path / "large.jpg")
    Image.fromarray(scene(0)).save(tmp_path / "small.png")
    script = (
        "import resource, sys; from huenet.transfer import main; main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for name in ("small.png", "large.jpg"):
        out = subprocess.run(
            [sys.executable, "-c", script, tmp_path / name, tmp_path / "small.png", "-o", tmp_path / f"out-{name}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(out.stdout))
    assert (peaks[1] - peaks[0]) * 1024 < 10 * 48e6

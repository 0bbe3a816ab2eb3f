"""Picture files through `huenet transfer`: depth, profile, EXIF and transparency come out as they went in."""

import sys
import tracemalloc
import zlib
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import tifffile
from commands import refusal, status
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational
from scenes import GREEN, hsv_of, plain, scene

from huenet import transfer
from huenet.images.metadata import Metadata
from huenet.images.picture import Picture, read_picture, write_picture
from huenet.transfer import recolor

command = partial(status, transfer.main)
error_of = partial(refusal, transfer.main)


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
    write_picture(tmp_path / f"source{suffix}", Picture(pixels, profile, Metadata(exif.tobytes()[6:])))
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


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_written_in_bands(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 65536, (1500, 1000, 3), dtype=np.uint16)
    tracemalloc.start()
    write_picture(tmp_path / f"deep{suffix}", Picture(pixels))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < pixels.nbytes / 2


def test_smooth_16_bits_take_little_room(tmp_path):
    """Noise in the lowest 4 of 16 bits alone: far from what packing the numbers themselves would take."""
    ramp = np.add.outer(np.arange(300), np.arange(400))[..., None] * (64, 32, 16)
    pixels = (ramp + np.random.default_rng(0).integers(0, 16, ramp.shape)).astype(np.uint16)
    write_picture(tmp_path / "deep.png", Picture(pixels))
    assert (tmp_path / "deep.png").stat().st_size < 0.7 * len(zlib.compress(pixels.astype(">u2")))


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


def test_16_bits_in_other_formats_are_refused(files, capsys):
    """Pillow opens them as 8-bit RGB and says nothing."""
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = scene(0, dtype=np.uint16)
    (files / "deep.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels))
    (files / "grey.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels[..., 0].copy()))
    (files / "deep.ppm").write_bytes(b"P6 64 48 65535\n" + pixels.astype(">u2").tobytes())
    (files / "grey.pgm").write_bytes(b"P5 64 48 65535\n" + pixels[..., 0].astype(">u2").tobytes())
    for name in ("deep.jp2", "grey.jp2", "deep.ppm", "grey.pgm"):
        error = error_of(capsys, files / name, files / "target.png", "-o", files / "out.png")
        assert f"{name}: 16 bits a sample are read from PNG and TIFF" in error
    for name, options in (("flat.jp2", {"irreversible": False}), ("flat.ppm", {})):
        Image.fromarray(scene(0)).save(files / name, **options)
        np.testing.assert_array_equal(read_picture(files / name).pixels, scene(0))
    (files / "few.ppm").write_bytes(b"P6 2 1 100\n" + bytes([100, 50, 0, 0, 0, 100]))
    np.testing.assert_array_equal(read_picture(files / "few.ppm").pixels, [[[255, 128, 0], [0, 0, 255]]])


def test_a_profile_that_does_not_fit_is_left_out(tmp_path):
    """A profile of greys would make no sense of the RGB that comes out; a damaged one of CMYK cannot be followed."""
    pytest.importorskip("imagecodecs")
    grey = bytes(16) + b"GRAY" + bytes(108)
    Image.fromarray(scene(0)[..., 0]).save(tmp_path / "flat.png", icc_profile=grey)
    Image.fromarray(scene(0, dtype=np.uint16)[..., 0]).save(tmp_path / "deep.png", icc_profile=grey)
    cmyk = Image.fromarray(scene(0)).convert("CMYK")
    cmyk.save(tmp_path / "cmyk.tif", icc_profile=bytes(16) + b"CMYK" + bytes(108))
    for name in ("flat.png", "deep.png", "cmyk.tif"):
        assert read_picture(tmp_path / name).profile is None
    np.testing.assert_array_equal(read_picture(tmp_path / "cmyk.tif").pixels, np.asarray(cmyk.convert("RGB")))


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
    """The target's profile passes the primaries on: what its numbers call red means green, green blue, blue red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {profile[i : i + 4]: i + 4 for i in range(132, 132 + 12 * profile[131], 12)}
    passed = bytearray(profile)
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    for name, meaning in zip(names, (*names[1:], names[0]), strict=True):
        passed[tags[name] : tags[name] + 8] = profile[tags[meaning] : tags[meaning] + 8]
    source, target = Image.fromarray(scene(0)), Image.fromarray(plain(GREEN))
    target.info["icc_profile"] = bytes(passed)
    hue = hsv_of(np.asarray(recolor(source, target, method="transport")))[0]
    assert np.abs(hue - 2 / 3).max() < 0.03
    target = Image.fromarray(plain(GREEN))
    source.info["icc_profile"] = bytes(passed)  # green is called red there
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


@pytest.mark.parametrize(("suffix", "most"), [(".jpg", 1.5), (".webp", 3)])
def test_what_is_compressed_keeps_its_quality(tmp_path, suffix, most):
    """Steps of 8 bits in the mean: JPEG at 95 loses 0.7 and at 40 4.2, WebP, of half the colour, 2.2 and at 30 4.3."""
    write_picture(tmp_path / f"a{suffix}", Picture(scene(0)))
    assert np.abs(read_picture(tmp_path / f"a{suffix}").pixels.astype(float) - scene(0)).mean() < most


def test_a_jpeg_to_look_at_comes_averaged_and_upright(tmp_path):
    blocks = np.random.default_rng(0).integers(40, 216, (50, 100, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(blocks.repeat(16, axis=0).repeat(16, axis=1)).save(
        tmp_path / "a.jpg", quality=95, subsampling=0, exif=exif
    )
    whole, small = read_picture(tmp_path / "a.jpg").pixels, read_picture(tmp_path / "a.jpg", 300).pixels
    assert (whole.shape, small.shape) == ((1600, 800, 3), (400, 200, 3))
    means = whole.reshape(400, 4, 200, 4, 3).mean(axis=(1, 3))
    assert np.abs(means - small).mean() < 2
    assert read_picture(tmp_path / "a.jpg", 1000).pixels.shape == (1600, 800, 3)


def test_pictures_too_large_are_refused_before_they_are_decoded(files, capsys, monkeypatch):
    monkeypatch.setattr("huenet.images.picture.MAX_PIXELS", 3000)
    error = error_of(capsys, files / "source.png", files / "target.png", "-o", files / "out.png")
    assert "64 x 48 pixels are more than" in error

"""Reading files of other depths than 8 bits a sample, which Pillow alone would change without a word."""

import os
import struct
import zlib

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from pictures import RED, STORED, WHITE, assert_one_line, corners, png  # noqa: E402

from huenet.images.read import ImageError, read_image  # noqa: E402


def test_16_bit_grey_is_scaled(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    values[0, :2] = 0, 65535
    want = np.rint(values / 257)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tif")
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "int32.tif")
    (tmp_path / "a.pgm").write_bytes(b"P5 16 16 65535\n" + values.astype(">u2").tobytes())
    for name in ("a.png", "a.tif", "int32.tif", "a.pgm"):
        np.testing.assert_array_equal(read_image(tmp_path / name)[..., 0], want, err_msg=name)


DEEP = np.random.default_rng(0).integers(0, 65536, (6, 5, 3), dtype=np.uint16)
ALPHA = np.linspace(0, 65535, 30).reshape(6, 5).astype(np.uint16)


def over_white(pixels: np.ndarray) -> np.ndarray:
    """8-bit RGB of 16-bit RGB with alpha."""
    alpha = pixels[..., 3:] / 65535
    return np.rint(255 * (alpha * (pixels[..., :3] / 65535) + 1 - alpha))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planes", [False, True])
def test_16_bit_rgb_in_tiff_is_rounded(tmp_path, planes, compression):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    for name, pixels, want, options in (
        ("rgb", DEEP, np.rint(DEEP / 257), {}),
        ("rgba", rgba := np.dstack([DEEP, ALPHA]), over_white(rgba), {"extrasamples": ["unassalpha"]}),
    ):
        options |= {"planarconfig": "separate" if planes else "contig", "compression": compression}
        stored = np.moveaxis(pixels, -1, 0) if planes else pixels
        tifffile.imwrite(tmp_path / name, stored, photometric="rgb", **options)
        np.testing.assert_array_equal(read_image(tmp_path / name), want)


def test_16_bit_grey_with_white_at_0(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", 65535 - DEEP[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.rint(DEEP[..., :1] / 257).repeat(3, axis=2))


@pytest.mark.parametrize("orientation", [3, 6])
def test_16_bit_tiff_is_turned_upright(tmp_path, orientation):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    stored = STORED[orientation](corners()).astype(np.uint16) * 257
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=tags)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), corners())


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (DEEP[..., 0] >> 4, {"bitspersample": 12}, "12 bits"),
        (DEEP[..., 0].astype(np.int16), {}, "of type int16"),
        (DEEP[..., 0].astype(np.int8), {}, "of type int8"),
        (DEEP[..., 0] / np.float32(65535), {"photometric": "miniswhite"}, "MINISWHITE of type float32"),
        (
            np.moveaxis(np.dstack([DEEP, ALPHA]), -1, 0),
            {"photometric": "separated", "planarconfig": "separate"},
            "SEPARATED of type uint16",
        ),
        (
            np.moveaxis(DEEP[..., :2].astype(np.uint8), -1, 0),
            {"planarconfig": "separate", "extrasamples": ["unassalpha"], "compression": "zlib"},
            "8 bits",
        ),
    ],
)
def test_tiffs_that_nobody_here_reads_correctly_are_refused(tmp_path, pixels, options, reason):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", np.ascontiguousarray(pixels), **options)
    with Image.open(tmp_path / "a.tif") as image:
        image.load()  # Pillow does, in its way
    with pytest.raises(ImageError, match=reason):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 8}])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_truncated_16_bit_tiff(tmp_path, options, kept):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    noise = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", noise, photometric="rgb", **options)
    os.truncate(tmp_path / "a.tif", int(kept * os.path.getsize(tmp_path / "a.tif")))
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.tif")
    assert_one_line(caught.value, tmp_path / "a.tif")


@pytest.mark.parametrize("bomb", ["size", "depth", "tile"])
def test_16_bit_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch, bomb):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    options = {"size": {}, "depth": {"extratags": [(65000, "I", 1, 2_000_000, True)]}, "tile": {"tile": (16, 16)}}[bomb]
    tifffile.imwrite(path, np.zeros((16, 16, 3), np.uint16), photometric="rgb", **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages.first.tags
        for tag in {"size": (256, 257), "depth": (), "tile": (322, 323)}[bomb]:
            tags[tag].overwrite(48_000)
        if bomb == "depth":  # tifffile writes none
            file.filehandle.seek(tags[65000].offset)
            file.filehandle.write(struct.pack("<H", 32997))
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    with pytest.raises(ImageError, match="too large") as caught:
        read_image(path)
    assert_one_line(caught.value, path)


def test_bmp_whose_alpha_nobody_wrote(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    for alpha, want in ((0, rgba[..., :3]), ((0, 255), np.where([[[False], [True]] * 3], rgba[..., :3], 255))):
        rgba[..., 3] = np.resize(alpha, 6)
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        header = struct.pack("<IiiHHIIiiII", 108, 6, -4, 1, 32, 3, 96, 0, 0, 0, 0) + masks + bytes(108 - 56)
        body = rgba[..., [2, 1, 0, 3]].tobytes()
        start = struct.pack("<2sIHHI", b"BM", 14 + 108 + len(body), 0, 0, 14 + 108)
        (tmp_path / "a.bmp").write_bytes(start + header + body)
        with Image.open(tmp_path / "a.bmp") as image:
            assert image.mode == "RGBA"
        np.testing.assert_array_equal(read_image(tmp_path / "a.bmp"), want)


def test_colour_key_of_other_depths_than_8_bits(tmp_path):
    pytest.importorskip("imagecodecs")
    rgb = np.array([[[1000, 2000, 3000], [1001, 2000, 3000], [65535, 0, 0]]])  # the first two: the same high bytes
    for bits, colour, key, row, want in (
        (16, 2, (1000, 2000, 3000), rgb.astype(">u2").tobytes(), [WHITE, (4, 8, 12), RED]),
        (16, 0, (1000,), np.array([1000, 1001, 65535], ">u2").tobytes(), [WHITE, (4, 4, 4), WHITE]),
        (2, 0, (1,), b"\x1b", [(0, 0, 0), WHITE, (170, 170, 170)]),
        (4, 0, (2,), b"\x12\x30", [(17, 17, 17), WHITE, (51, 51, 51)]),
    ):
        body = struct.pack(f">{len(key)}H", *key)
        chunk = struct.pack(">I", len(body)) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))
        (tmp_path / "a.png").write_bytes(png(3, 1, bits, colour, b"\0" + row, chunk))
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [want], err_msg=f"{bits} bits, {colour}")


def test_16_bit_rgb_keeps_the_high_byte(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (4, 6, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    (tmp_path / "a.png").write_bytes(png(6, 4, 16, 2, rows))
    assert np.abs(read_image(tmp_path / "a.png") - values / 257).max() <= 1


def test_float_grey(tmp_path):
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize("bad", [-0.5, 300.0, np.nan])
def test_float_grey_of_unknown_scale_is_refused(tmp_path, bad):
    Image.fromarray(np.full((4, 4), bad, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"outside 0\.\.1"):
        read_image(tmp_path / "a.tif")


def test_32_bit_integers_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"outside 0\.\.65535"):
        read_image(tmp_path / "a.tif")

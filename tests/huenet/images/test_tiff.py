"""TIFFs of every kind that cameras, scanners and editors write: read as what they mean, or refused by name."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")
pytest.importorskip("imagecodecs")

import tifffile
from commands import refusal
from scenes import scene

from huenet import transfer
from huenet.images.picture import read_picture

error_of = partial(refusal, transfer.main)
DEEP = scene(0, dtype=np.uint16)
ALPHA = np.linspace(0, 65535, DEEP[..., 0].size).reshape(DEEP.shape[:2]).astype(np.uint16)


def read(path, pixels, **options):
    tifffile.imwrite(path, pixels, **options)
    return read_picture(path).pixels


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"tile": (32, 32)},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "rowsperstrip": 5},
    ],
)
def test_16_bits_of_any_layout(tmp_path, options):
    np.testing.assert_array_equal(read(tmp_path / "a.tif", DEEP, photometric="rgb", **options), DEEP)


def test_planes_one_after_the_other(tmp_path):
    planes = np.moveaxis(DEEP, -1, 0)
    pixels = read(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(pixels, DEEP)


def test_the_first_page_of_several(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "a.tif", np.stack([DEEP, DEEP[::-1]]), photometric="rgb"), DEEP)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_is_black_at_0_whichever_way_it_is_stored(tmp_path, photometric):
    grey = DEEP[..., 1]
    stored = grey if photometric == "minisblack" else 65535 - grey
    np.testing.assert_array_equal(
        read(tmp_path / "a.tif", stored, photometric=photometric), np.repeat(grey[..., None], 3, axis=2)
    )


def test_alpha_that_is_multiplied_in_is_divided_out(tmp_path):
    rgba = np.dstack([DEEP, ALPHA])
    np.testing.assert_array_equal(read(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"]), rgba)
    multiplied = np.dstack([np.rint(DEEP * (ALPHA[..., None] / 65535)), ALPHA]).astype(np.uint16)
    pixels = read(tmp_path / "b.tif", multiplied, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_array_equal(pixels[..., 3], ALPHA)
    error = np.abs(pixels[..., :3] - DEEP.astype(float))
    assert (error <= 1 + 32768 / ALPHA[..., None].clip(0.5)).all()  # half a step of what was stored


def test_a_fourth_channel_that_is_no_alpha_is_left_out(tmp_path):
    rgbx = np.dstack([DEEP, ALPHA])
    np.testing.assert_array_equal(read(tmp_path / "a.tif", rgbx, photometric="rgb", extrasamples=["unspecified"]), DEEP)


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.dstack([DEEP, ALPHA]), {"photometric": "separated"}, "SEPARATED of type uint16"),
        (DEEP, {"photometric": "cielab"}, "CIELAB of type uint16"),
        (DEEP[..., 0] // 16, {"bitspersample": 12}, "12 bits a sample; 8 and 16 are read"),
        (DEEP.astype(np.int16), {"photometric": "rgb"}, "RGB of type int16"),
        (DEEP / np.float32(65535), {"photometric": "rgb"}, "RGB of type float32; 8- and 16-bit RGB and grey are read"),
        (DEEP.astype(np.uint32), {"photometric": "rgb"}, "RGB of type uint32"),
        (DEEP[..., 0] / np.float32(65535), {}, "32 bits a sample; 8 and 16 are read"),
    ],
)
def test_what_is_not_read_is_named(files, capsys, pixels, options, message):
    tifffile.imwrite(files / "odd.tif", pixels, **options)
    assert message in error_of(capsys, files / "odd.tif", files / "target.png", "-o", files / "out.png")
    assert not (files / "out.png").exists()

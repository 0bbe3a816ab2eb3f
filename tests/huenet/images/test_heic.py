"""What telephones write, HEIC and AVIF: read for training and for people, or said by name where that cannot be had."""

import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from PIL import Image, features
from scenes import scene

from huenet.data.loading import load
from huenet.images import read
from huenet.images.picture import read_picture, write_picture
from huenet.images.read import ImageError, read_image


@pytest.fixture(params=["heic", "avif"])
def photograph(request, tmp_path):
    """A picture in that format, turned by EXIF, as a telephone writes it."""
    if request.param == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    elif not features.check("avif"):
        pytest.skip("this build of Pillow does not write AVIF")
    exif, path = Image.Exif(), tmp_path / f"IMG_1.{request.param.upper()}"
    exif[0x0112] = 6
    colours = {"heic": {"chroma": 444}, "avif": {"subsampling": "4:4:4"}}[request.param]
    Image.fromarray(scene(0)).save(path, request.param.replace("c", "f"), exif=exif.tobytes(), quality=95, **colours)
    return path


def test_pictures_of_telephones_are_read_upright(photograph):
    upright = np.rot90(scene(0), -1).astype(float)
    for pixels in (read_image(photograph), read_picture(photograph).pixels):
        assert pixels.shape == upright.shape
        assert np.abs(pixels - upright).mean() < 3
    assert not read_picture(photograph).lossless


def test_pictures_of_telephones_are_written(photograph):
    out = photograph.with_name(f"out{photograph.suffix.lower()}")
    write_picture(out, read_picture(photograph))
    assert np.abs(read_image(out) - read_image(photograph).astype(float)).mean() < 3


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_a_reader_that_is_not_there_is_named(tmp_path, monkeypatch, brand):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic")
    for reader in (read_image, read_picture):
        with pytest.raises(ImageError, match=r"IMG_1\.HEIC: HEIC needs: pip install 'diffhist\[heic\]'"):
            reader(path)
    for i in range(4):
        Image.fromarray(scene(i)).save(tmp_path / f"{i}.png")
    assert load(tmp_path, 8, progress=False).record["skipped"] == {
        "IMG_1.HEIC": "HEIC needs: pip install 'diffhist[heic]'"
    }


def test_avif_that_this_pillow_does_not_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "FORMATS", tuple(name for name in read.FORMATS if name != "AVIF"))
    path = tmp_path / "a.avif"
    path.write_bytes(b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf")
    for reader in (read_image, read_picture):
        with pytest.raises(ImageError, match="AVIF, which this build of Pillow does not read"):
            reader(path)


def test_a_depth_that_is_cut_is_said(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    deep = heif.from_bytes(mode="RGB;16", size=(64, 48), data=scene(0, dtype=np.uint16).tobytes())
    deep.save(tmp_path / "deep.heic", quality=95)
    with pytest.warns(UserWarning, match="left out: 2 of 10 bits a sample"):
        write_picture(tmp_path / "out.png", read_picture(tmp_path / "deep.heic"))


def test_the_depth_of_an_avif_is_seen(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    if not features.check("avif"):
        pytest.skip("this build of Pillow does not read AVIF")
    for bits, lost in ((8, ()), (10, ("2 of 10 bits a sample",))):
        pixels = (scene(0, dtype=np.uint16) >> 16 - bits).astype(np.uint8 if bits == 8 else np.uint16)
        (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(pixels, bitspersample=bits))
        assert read_picture(tmp_path / "a.avif").metadata.lost == lost

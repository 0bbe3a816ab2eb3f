"""EXIF blocks taken apart and put together, whole or damaged."""

import contextlib
import io
import struct

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from camera import MAKER_NOTE, camera
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scenes import scene

from huenet.images import exif
from huenet.images.metadata import Metadata, fitted
from huenet.images.picture import Picture, read_picture, write_picture
from huenet.images.tiff import write


def with_thumbnail(block):
    """The block with a second directory, of a picture's place and length, as cameras add it."""
    order, picture = ("<" if block[:2] == b"II" else ">"), b"\xff\xd8 an old picture"
    first = struct.unpack(order + "I", block[4:8])[0]
    end = first + 2 + 12 * struct.unpack(order + "H", block[first : first + 2])[0]
    second = struct.pack(order + "HHHIIHHIII", 2, 0x0201, 4, 1, len(block) + 30, 0x0202, 4, 1, len(picture), 0)
    return block[:end] + struct.pack(order + "I", len(block)) + block[end + 4 :] + second + picture


def test_a_thumbnail_of_what_was_is_left_out_and_nothing_else_moves():
    block = camera(6)
    changed = exif.upright(with_thumbnail(block), 6)
    assert b"an old picture" not in changed
    assert changed.index(MAKER_NOTE) == block.index(MAKER_NOTE)
    assert changed == exif.upright(block, 6)


@given(
    st.sampled_from("<>"),
    st.dictionaries(st.integers(1, 65535), st.binary(min_size=1, max_size=20), max_size=20),
    st.data(),
)
def test_tags_that_are_edited_are_read_back(order, values, data):
    block = exif.edited(exif.EMPTY[order], {tag: exif.Tag(7, value) for tag, value in values.items()})
    gone = data.draw(st.sets(st.sampled_from(sorted(values)))) if values else set()
    changed = exif.edited(block, dict.fromkeys(gone))
    for result, wanted in ((block, values), (changed, {tag: v for tag, v in values.items() if tag not in gone})):
        assert {tag: value for tag, (_, value) in exif.tags(result).items()} == wanted
        found = Image.Exif()
        found.load(result)
        assert set(found) == wanted.keys()
    assert changed[8 : len(block)] == block[8:]


@given(st.integers(0, 400), st.binary(min_size=1, max_size=30))
def test_damaged_exif_costs_no_more_than_the_exif(at, noise):
    whole = with_thumbnail(camera(6))
    for block in (whole[:at] + noise + whole[at + len(noise) :], whole[:at]):
        with contextlib.suppress(ValueError):
            metadata = Metadata(block, dpi=(9.0, 9.0)).upright()
            for kind in ("PNG", "TIFF"):
                write(io.BytesIO(), scene(0), metadata=fitted(metadata, kind)[0])


def test_exif_that_is_no_structure_is_left_out_and_said(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "source.png", exif=b"Exif\0\0II*\0\xff\xff\0\0")
    picture = read_picture(tmp_path / "source.png")
    np.testing.assert_array_equal(picture.pixels, scene(0))
    with pytest.warns(UserWarning, match="left out: EXIF, which is damaged"):
        write_picture(tmp_path / "out.png", picture)


def test_what_is_larger_than_jpeg_holds_is_said(tmp_path):
    block = exif.edited(camera(), {0xC000: exif.Tag(7, bytes(70_000))})
    picture = Picture(scene(0), metadata=Metadata(block, b"<" * 70_000))
    write_picture(tmp_path / "out.png", picture)
    with pytest.warns(UserWarning, match="EXIF, which is more than JPEG holds; XMP, which is more"):
        write_picture(tmp_path / "out.jpg", picture)

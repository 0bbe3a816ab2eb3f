"""Batches of the training set against NumPy and Pillow's idea of a flip."""

import numpy as np
import pytest
import torch
from PIL import Image

from huenet.color import rgb_to_hsv
from huenet.data.batches import Pictures
from huenet.data.pairs import PairBatch

FLIPS = {
    "vertical": Image.Transpose.FLIP_TOP_BOTTOM,
    "horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "none": None,
}


@pytest.mark.parametrize("flip", FLIPS)
def test_a_batch_is_the_drawn_pictures_flipped_as_drawn(flip, rng):
    images = rng.integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    draw = PairBatch(np.array([2, 0]), np.array([1, 2]), np.array([True, False]), np.array([False, True]), np.zeros(2))
    found = Pictures(images, flip, torch.device("cpu")).pairs(draw)
    for batch, index, flips in zip(found[:2], draw[:2], draw[2:4], strict=True):
        for hsv, i, flipped in zip(batch, index, flips, strict=True):
            picture = Image.fromarray(images[i].transpose(1, 2, 0))
            if flipped and FLIPS[flip] is not None:
                picture = picture.transpose(FLIPS[flip])
            rgb = torch.tensor(np.array(picture).transpose(2, 0, 1)) / 255
            torch.testing.assert_close(hsv, rgb_to_hsv(rgb[None])[0])


def test_pictures_in_a_file_are_the_same(tmp_path, rng):
    images = rng.integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    images.tofile(tmp_path / "images")
    mapped = np.memmap(tmp_path / "images", np.uint8, shape=images.shape)
    draw = PairBatch(*np.array([[1, 2], [0, 1]]), *np.array([[True, False], [True, True]]), np.zeros(2))
    for one, other in zip(
        *(Pictures(a, "vertical", torch.device("cpu")).pairs(draw) for a in (images, mapped)), strict=True
    ):
        assert torch.equal(one, other)

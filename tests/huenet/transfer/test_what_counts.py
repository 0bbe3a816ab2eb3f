"""What of a picture counts when it is recoloured: masks, transparency, several targets and their weights."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from PIL import Image
from scenes import GREEN, RED, plain, scene

from huenet.transfer.given import TransferError
from huenet.transfer.recoloring import recolor


def test_masks_of_every_kind_say_the_same():
    source, target = scene(0), scene(1)
    half = np.zeros((48, 64), bool)
    half[:, 32:] = True
    grey = np.uint8(half) * 255
    layer = np.dstack([np.full((48, 64, 3), 255, np.uint8), grey])
    expected = recolor(source, target, method="transport", mask=half)
    for mask in (half * 1.0, grey, np.uint16(half) * 65535, *map(Image.fromarray, (grey, half, layer))):
        np.testing.assert_array_equal(recolor(source, target, method="transport", mask=mask), expected)


def test_masks_of_other_kinds_are_understood(tmp_path, torch):
    source, target = scene(0), scene(1)
    half = np.zeros((48, 64), bool)
    half[:, 32:] = True
    grey = np.uint8(half) * 255
    Image.fromarray(grey).save(tmp_path / "mask.png")
    expected = recolor(source, target, method="transport", mask=half)
    for mask in (
        grey[..., None], np.dstack([grey] * 3), grey.astype(np.int64), grey.astype(">u2") * 257, half.astype(">f8"),
        half.astype(np.float16), torch.from_numpy(half), torch.from_numpy(half * 1.0).bfloat16(),
        tmp_path / "mask.png", str(tmp_path / "mask.png"),
    ):  # fmt: skip
        np.testing.assert_array_equal(recolor(source, target, method="transport", mask=mask), expected)
    for mask in (np.uint8(half), np.uint16(half), np.int64(half), np.dstack([np.uint8(half)] * 3)):
        with pytest.warns(UserWarning, match="0 and 1 alone: they are taken for black and white"):
            np.testing.assert_array_equal(recolor(source, target, method="transport", mask=mask), expected)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((3, 48, 64)), r"mask must have the shape \(H, W\), or \(H, W, 1, 3 or 4\).*got \(3, 48, 64\)"),
        (np.ones((48, 64, 2)), r"mask must have the shape .* got \(48, 64, 2\)"),
        (np.full((48, 64), 7), "mask of int64 has values from 7 to 7, and no full scale that is known"),
        (np.full((48, 64), -1), "mask of int64 has values from -1 to -1"),
        (np.full((48, 64), 1j), "mask must be uint8, uint16 or float, got complex128"),
        (np.full((48, 64), np.nan), r"mask must lie in \[0, 1\], got values from nan"),
        ("nowhere.png", "nowhere.png: no such file"),
    ],
)
def test_masks_that_cannot_be_meant_are_named(mask, message):
    with pytest.raises(ValueError, match=message):
        recolor(scene(0), scene(1), method="transport", mask=mask)


def test_a_target_mask_says_what_of_the_target_counts(torch):
    source, target = scene(0), scene(1)
    mask = np.zeros((48, 64), bool)
    mask[:24] = True
    wanted = recolor(source, target[:24], method="transport")
    np.testing.assert_array_equal(recolor(source, target, method="transport", target_mask=mask), wanted)
    tensors = [torch.from_numpy(p).float()[None] / 255 for p in (source, target)]
    found = recolor(*tensors, method="transport", target_mask=mask)
    np.testing.assert_allclose(found[0].numpy(), recolor(source / 255, target[:24], method="transport"), atol=1e-4)
    with pytest.raises(TransferError, match="the target mask has 5 x 4 pixels and the target 64 x 48"):
        recolor(source, target, method="transport", target_mask=np.ones((4, 5)))


@pytest.mark.parametrize("method", ["transport", "reinhard"])
def test_several_targets_are_pooled_by_their_weights(method):
    """Red and green as one picture of both, whatever their sizes; a weight of 0 leaves one out."""
    source, red, green = scene(0) / 255, plain(RED, 30, 20), plain(GREEN, 100, 300)
    both = np.concatenate([plain(RED, 32, 32), plain(GREEN, 32, 96)], axis=1)
    found = recolor(source, [red, green], method=method, target_weights=[1, 3])
    np.testing.assert_allclose(found, recolor(source, both, method=method), atol=2e-3)
    alone = recolor(source, [red, green], method=method, target_weights=[1, 0])
    np.testing.assert_allclose(alone, recolor(source, red, method=method), atol=2e-3)
    equal = recolor(source, (Image.fromarray(red), green), method=method)
    np.testing.assert_allclose(equal, recolor(source, [red, green], method=method, target_weights=[2, 2]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_weights": [1]}, r"target weights must be 2 numbers from 0 up, one for each target, got \[1\]"),
        ({"target_weights": [1, -1]}, "target weights must be 2 numbers from 0 up"),
        ({"target_weights": [0, 0]}, "target weights must not all be 0"),
        ({"target_mask": np.ones((48, 64))}, "target_mask must be a list of 2"),
    ],
)
def test_weights_and_masks_that_do_not_fit_the_targets_are_named(change, message):
    with pytest.raises(TransferError, match=message):
        recolor(scene(0), [scene(1), scene(2)], method="transport", **change)


def test_what_transparency_hides_does_not_count():
    target = np.dstack([scene(1), np.full((48, 64), 255, np.uint8)])
    hidden = target.copy()
    hidden[24:, :, :3], hidden[24:, :, 3] = RED, 0
    source = np.dstack([scene(0), np.arange(48 * 64, dtype=np.uint16).reshape(48, 64).astype(np.uint8)])
    result = recolor(source, hidden, method="transport")
    np.testing.assert_array_equal(result[..., 3], source[..., 3])
    np.testing.assert_array_equal(result, recolor(source, target[:24], method="transport"))

"""Batches of tensors: the same pictures as arrays give, in the layout, the type and on the device they came in."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from scenes import GREY, plain, scene

from huenet import recolor
from huenet.transfer.given import TransferError


def batch(*seeds, height=48, width=64):
    return torch.stack([torch.from_numpy(scene(seed, height, width)).float() / 255 for seed in seeds])


def first(batch):
    return batch.movedim(-1, 1)


@pytest.mark.parametrize("method", ["transport", "relaxed", "reinhard", "huenet"])
def test_a_batch_is_its_pictures(method):
    source, target = batch(0, 1, 2), batch(3, 4, 5, height=30, width=50)
    each = recolor(source, target, method=method)
    one = recolor(first(source), first(target[:1]), method=method)
    assert each.shape == source.shape
    assert one.shape == first(source).shape
    for i in range(3):
        for found, goal in ((each[i], target[i]), (one[i].movedim(0, -1), target[0])):
            wanted = recolor(source[i].numpy(), goal.numpy(), method=method)
            np.testing.assert_allclose(found.numpy(), wanted, atol=2e-3 if method == "huenet" else 2e-5)


def test_descent_takes_batches_too():
    source, target = batch(0, 1, height=24, width=24), batch(2, 3, height=24, width=24)
    found = recolor(source, target, method="optimize")
    assert (found - source).abs().amax((1, 2, 3)).min() > 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_kind_and_place_are_kept_and_there_is_no_graph(dtype):
    source = first(batch(0, 1)).to(dtype).requires_grad_()
    found = recolor(source, batch(2), method="transport", saturation=0.5)
    assert (found.dtype, found.device, found.shape) == (dtype, source.device, source.shape)
    assert not found.requires_grad
    assert 0 <= found.min() <= found.max() <= 1
    single = recolor(source[0], batch(2)[0], method="transport", saturation=0.5)
    torch.testing.assert_close(single, found[0])


def test_large_pictures_are_seen_as_small_as_arrays_are():
    source, target = batch(0, height=1100, width=700), batch(1)
    found = recolor(source, target, method="transport")[0]
    wanted = recolor(source[0].numpy(), target[0].numpy(), method="transport")
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4)


def test_masks_of_tensors():
    source, target = batch(0, 1), batch(2)
    half = torch.zeros(48, 64)
    half[:, 32:] = 1
    wanted = [recolor(s.numpy(), target[0].numpy(), method="transport", mask=half.numpy()) for s in source]
    masks = half, half.bool(), half[None], half.expand(2, -1, -1), half[None, None], half.numpy(), (half * 255).byte()
    for mask in masks:
        found = recolor(source, target, method="transport", mask=mask)
        np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5)
        assert torch.equal(found[:, :, :32], source[:, :, :32])


def test_a_picture_without_colour_stays_and_the_others_do_not():
    grey = torch.from_numpy(plain(GREY, 48, 64)).float()[None] / 255
    source = torch.cat([batch(0), grey, batch(1)])
    with pytest.warns(UserWarning, match="no colour in pictures 1, or in their targets"):
        found = recolor(source, batch(2), method="transport")
    assert torch.equal(found[1], source[1])
    assert (found[[0, 2]] != source[[0, 2]]).any()
    with pytest.warns(UserWarning, match="no colour in pictures 0, 1, 2"):
        assert torch.equal(recolor(source, grey, method="huenet"), source)


def test_arrays_and_tensors_may_be_mixed():
    wanted = recolor(scene(0) / np.float32(255), scene(1), method="transport")
    found = recolor(batch(0)[0], scene(1), method="transport")
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5)
    np.testing.assert_allclose(recolor(scene(0) / np.float32(255), batch(1), method="transport"), wanted, atol=2e-5)


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        (torch.zeros(2, 5, 4, 4), batch(0), {}, r"source must have the shape .* got \(2, 5, 4, 4\)"),
        (torch.zeros(4, 4), batch(0), {}, "source must have the shape"),
        (
            torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
            batch(0),
            {},
            "source must be a tensor of floats",
        ),
        (batch(0) + 1, batch(0), {}, r"source must lie in \[0, 1\], got values from"),
        (batch(0) * torch.nan, batch(0), {}, r"source must lie in \[0, 1\], got values from nan"),
        (batch(0, 1, 2), batch(0, 1), {}, "target must hold one picture, or as many as source, 3, got 2"),
        (
            batch(0, 1),
            batch(0),
            {"mask": torch.ones(3, 48, 64)},
            r"mask must have the shape \(48, 64\) or \(2, 48, 64\)",
        ),
        (batch(0), batch(1), {"mask": torch.full((48, 64), 2.0)}, r"mask must lie in \[0, 1\]"),
        (scene(0), batch(0, 1), {}, "target holds 2 pictures; one, or give source as a tensor too"),
        (batch(0), batch(1), {"smooth": -1}, "smooth must be from 0 to 256"),
    ],
)
def test_wrong_tensors_are_named(source, target, options, message):
    with pytest.raises(TransferError, match=message):
        recolor(source, target, method="transport", **options)

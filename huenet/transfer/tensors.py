"""Batches of torch tensors recoloured where they are: on their device, in one pass, without a graph."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from huenet.images.picture import Picture
from huenet.methods.grid import centres
from huenet.methods.sample import Sample
from huenet.transfer.given import TransferError, channels_last, mask_of, picture_of
from huenet.transfer.methods import Method
from huenet.transfer.pixel_map import ROWS, SMALL, small_copy

__all__ = ["recolor_tensors"]

TILE = 2**22  # pixels that are worked on at a time: for the memory alone


@torch.no_grad()
def recolor_tensors(source: Tensor, target: Any, mask: Any, method: Method, options: Mapping[str, Any]) -> Tensor:
    """`huenet.recolor` of float tensors in [0, 1].

    Parameters
    ----------
    source : Tensor, (B, 3, H, W), (B, H, W, 3), or without B
        Where both could be meant, channels come first.
    target : Tensor
        Likewise, of any size; one for all, or B. Or what `picture_of` takes, or makes.
    mask : Tensor, (H, W), (B, H, W) or (B, 1, H, W)
        Or what `mask_of` takes; None recolours everything.
    method : Method
    options : mapping
        Of the method.

    Returns
    -------
    Tensor
        As `source`: shape, dtype, device.
    """
    rgb, first = channels_last(source, "source")
    B, height, width = rgb.shape[:3]
    share = None if mask is None else _share(mask, rgb)
    small = _sample(rgb, share)
    wanted = _goal(target, rgb)
    counts = [s.has_colour() if method.of_hue else s.weights.flatten(1).any(1) for s in (small, wanted)]
    able = counts[0] & counts[1]
    if not able.all():
        which = ", ".join(map(str, (~able).nonzero()[:, 0].tolist()))
        warnings.warn(f"no colour in pictures {which}, or in their targets: they stay as they are", stacklevel=4)
    if not able.any() or options.get("strength") == 0:
        return source.detach().clone()
    try:
        change = method(small, wanted, options)
    except ValueError as error:
        raise TransferError(str(error)) from error
    made = torch.empty_like(rgb)
    column, rows = centres(width), min(max(1, TILE // (B * width)), ROWS)
    for top in range(0, height, rows):
        part = rgb[:, top : top + rows]
        new = torch.where(able[:, None, None, None], change(part, centres(height, top, top + rows), column), part)
        made[:, top : top + rows] = new if share is None else part + share[:, top : top + rows, :, None] * (new - part)
    made = made.clamp_(0, 1).to(source.dtype)
    return (made.movedim(-1, 1) if first else made).reshape(source.shape)


def _goal(target: Any, rgb: Tensor) -> Sample:
    """A target for each of the pictures `rgb`."""
    B = len(rgb)
    if isinstance(target, Tensor):
        goal = _sample(channels_last(target, "target")[0].to(rgb))
    else:
        goal = small_copy((target if isinstance(target, Picture) else picture_of(target, "target")).pixels)
        goal = Sample(*(torch.from_numpy(values).to(rgb) for values in (goal.rgb, goal.weights)))
    if len(goal.rgb) not in (1, B):
        raise TransferError(f"target must hold one picture, or as many as source, {B}, got {len(goal.rgb)}")
    return Sample(goal.rgb.expand(B, -1, -1, -1), goal.weights.expand(B, -1, -1))


def _share(mask: Any, rgb: Tensor) -> Tensor:
    """A mask as (B, H, W) beside pictures (B, H, W, 3)."""
    B, height, width = rgb.shape[:3]
    if not isinstance(mask, Tensor) or not (mask.is_floating_point() or mask.dtype == torch.bool):
        values = mask_of(mask)
        full = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
        mask = torch.from_numpy(values.astype(np.float32) / np.float32(full))
    share = mask.detach().to(rgb)
    if share.ndim == 4 and 1 in (share.shape[1], share.shape[3]):
        share = share.squeeze(1 if share.shape[1] == 1 else 3)
    share = share[None] if share.ndim == 2 else share
    if share.ndim != 3 or share.shape[1:] != (height, width) or len(share) not in (1, B):
        raise TransferError(
            f"mask must have the shape ({height}, {width}) or ({B}, {height}, {width}), got {tuple(share.shape)}"
        )
    if not (share.min() >= 0 and share.max() <= 1):
        raise TransferError(f"mask must lie in [0, 1], got values from {share.min():g} to {share.max():g}")
    return share.expand(B, -1, -1)


def _sample(rgb: Tensor, share: Tensor | None = None) -> Sample:
    """Block means with a longer side of at most 512, weighted by the mask."""
    weights = torch.ones_like(rgb[..., 0]) if share is None else share
    cells = torch.cat([rgb * weights[..., None], weights[..., None]], dim=-1).movedim(-1, 1)
    block = -(-max(rgb.shape[1:3]) // SMALL)
    means = F.avg_pool2d(cells, block, ceil_mode=True, divisor_override=block**2).movedim(1, -1)
    total = means[..., 3]
    return Sample(means[..., :3] / torch.where(total > 0, total, 1)[..., None], total)

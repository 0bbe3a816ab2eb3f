"""The terms of Hue-Net's loss, Eq. 25-29, each one number: the mean over the batch.

Hues are (B, H, W) in turns, pictures HSV (B, 3, H, W). The caller applies the weights of the terms, lambda and gamma.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import diffhist
from huenet.color import chroma
from huenet.config import Config
from huenet.networks import hue_point

__all__ = ["discriminator_loss", "emd_loss", "generator_adversarial_loss", "mi_loss", "smoothness_loss"]

PICTURE = (-2, -1)
EDGE = 0.5  # a step between neighbours' hues, as points of the unit disc, at which rotations too may part


def emd_loss(config: Config, output: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Circular squared EMD between the hue histograms of output and target, Eq. 26.

    Weighted by chroma where the configuration says so; a pair of which one picture has no chroma counts as 0.
    """
    options = _histogram_options(config)
    weights = (chroma(source), chroma(target)) if config.chroma_weights else (None, None)
    p = diffhist.soft_histogram(output, weights=weights[0], **options)
    q = diffhist.soft_histogram(target[:, 0], weights=weights[1], **options)
    has_hue = (p.sum(-1) > 0) & (q.sum(-1) > 0)
    return torch.where(has_hue, diffhist.squared_emd(p, q, circular=True), 0).mean()


def mi_loss(config: Config, output: Tensor, source: Tensor) -> Tensor:
    """Mutual information distance 1 - I/H between the hues of output and source, Eq. 27.

    Low where each hue of the source has become one hue of the output; the target has no part in it.
    """
    weights = chroma(source) if config.chroma_weights else None
    joint = diffhist.joint_histogram(output, source[:, 0], weights=weights, **_histogram_options(config))
    return diffhist.mi_distance(joint).mean()


def smoothness_loss(output: Tensor, source: Tensor) -> Tensor:
    """Mean circular difference of the displacement of hue between neighbours, weighted by chroma and by likeness.

    Mutual information does not see a petal recoloured in bands; this does. A step of the displacement costs its size
    (so one clean border is no dearer than a rainbow), and less where the source's own hue parts; shading is no border.
    """
    turn = 2 * torch.pi * (output - source[:, 0])
    hue, weight = hue_point(source), chroma(source)
    total = weights = torch.zeros_like(turn[:, 0, 0])
    for axis in PICTURE:
        step = 2 * torch.sin(turn.diff(dim=axis) / 2)  # the chord: no seam, and no jump at half a turn
        length = (step.square() + 1e-6).sqrt() - 1e-3
        size = weight.shape[axis]
        w = torch.minimum(weight.narrow(axis, 1, size - 1), weight.narrow(axis, 0, size - 1))
        likeness = torch.exp(-hue.diff(dim=axis).square().sum(1) / EDGE**2)
        total = total + (w * likeness * length).sum(PICTURE)
        weights = weights + w.sum(PICTURE)
    return (total / weights.clamp_min(1e-6)).mean() / (2 * torch.pi)


def generator_adversarial_loss(fake: Tensor) -> Tensor:
    """Eq. 28 on logits: -log Disc(output), the form that does not saturate."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Eq. 29 on logits: -log Disc(source) - log(1 - Disc(output)), without pix2pix's factor 1/2."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _histogram_options(config: Config) -> dict[str, Any]:
    return {
        "bins": config.bins,
        "bandwidth": config.bandwidth / config.bins,
        "boundary": config.boundary,
        "axis": PICTURE,
    }

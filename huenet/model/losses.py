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
from huenet.methods.smoothness import links, smoothness

__all__ = ["discriminator_loss", "emd_loss", "generator_adversarial_loss", "mi_loss", "smoothness_loss"]

PICTURE = (-2, -1)


def emd_loss(config: Config, output: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Circular EMD between the hue histograms of output and target, Eq. 26, in the form that the configuration names.

    "sum" is Eq. 13 with the cut of Eq. 14; "mean" that over K; "root" is Eq. 12, the root of the mean for histograms
    of one mass, with gradient 0 where they are equal. Weighted by chroma where the configuration says so; a pair of
    which one picture has no chroma counts as 0.
    """
    options = _histogram_options(config)
    weights = (chroma(source), chroma(target)) if config.chroma_weights else (None, None)
    p = diffhist.soft_histogram(output, weights=weights[0], **options)
    q = diffhist.soft_histogram(target[:, 0], weights=weights[1], **options)
    has_hue = (p.sum(-1) > 0) & (q.sum(-1) > 0)
    if config.emd_form == "root":
        distance = diffhist.emd(p, q, circular=True)
    else:
        distance = diffhist.squared_emd(p, q, circular=True) / (config.bins if config.emd_form == "mean" else 1)
    return torch.where(has_hue, distance, 0).mean()


def mi_loss(config: Config, output: Tensor, source: Tensor) -> Tensor:
    """Mutual information distance 1 - I/H between the hues of output and source, Eq. 27.

    Low where each hue of the source has become one hue of the output; the target has no part in it.
    """
    weights = chroma(source) if config.chroma_weights else None
    joint = diffhist.joint_histogram(output, source[:, 0], weights=weights, **_histogram_options(config))
    return diffhist.mi_distance(joint).mean()


def smoothness_loss(output: Tensor, source: Tensor) -> Tensor:
    """Mean step of the displacement of hue between pixels that belong together: see `huenet.methods.smoothness`."""
    return smoothness(output - source[:, 0], links(source)).mean()


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

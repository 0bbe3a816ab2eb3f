"""The terms of Hue-Net's loss, Eq. 25-29, each (B,), one number a pair, or a mean over the batch.

Hues are (B, H, W) in turns, pictures HSV (B, 3, H, W). The caller applies the weights of the terms, lambda and gamma.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import diffhist
from huenet.color import chroma, turn_hue
from huenet.config import Config
from huenet.methods.smoothness import links, smoothness

__all__ = ["discriminator_loss", "emd_loss", "generator_adversarial_loss", "mi_loss", "palette_loss", "smoothness_loss"]

PICTURE = (-2, -1)


def weights(config: Config, closeness: Tensor) -> dict[str, Tensor | float]:
    """The weight of each term, for every pair where it depends on the pair's closeness (B,)."""
    return {
        "emd": config.lambda_emd,
        "mi": config.gamma_mi,
        "palette": config.lambda_palette + config.palette_dial * closeness,
        "smooth": config.lambda_smooth,
        "adversarial": config.lambda_adv + config.adv_dial * closeness,
    }


def terms(config: Config, hue: Tensor, source: Tensor, target: Tensor, logits: list[Tensor]) -> dict[str, Tensor]:
    """What the generator is to make small, (B,) each: the terms to which the configuration gives weight."""
    found = {}
    if config.lambda_emd:
        found["emd"] = emd_loss(config, hue, source, target)
    if config.gamma_mi:
        found["mi"] = mi_loss(config, hue, source)
    if config.lambda_palette or config.palette_dial:
        found["palette"] = palette_loss(config, hue, source, target)
    if config.lambda_smooth:
        found["smooth"] = smoothness_loss(hue, source)
    if logits:
        found["adversarial"] = generator_adversarial_loss(logits)
    return found


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
    return torch.where(has_hue, distance, 0)


def palette_loss(config: Config, output: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Palette distance of the painted source from the target: transport of chroma over hue, whose shares may differ.

    A pair of which one picture has no chroma counts as 0.
    """
    with torch.no_grad():  # the chroma for which the light leaves room; its gradient would cost more than it tells
        painted = turn_hue(source, output - source[:, 0])
    # the distance blurs by itself: two taps a pixel are enough
    options: dict[str, Any] = {"bins": config.bins, "kernel": "linear", "boundary": "circular", "axis": PICTURE}
    p = diffhist.soft_histogram(output, weights=painted.amax(1) - painted.amin(1), **options)
    q = diffhist.soft_histogram(target[:, 0], weights=chroma(target), **options)
    return diffhist.unbalanced_emd(p, q, circular=True)


def mi_loss(config: Config, output: Tensor, source: Tensor) -> Tensor:
    """Mutual information distance 1 - I/H between the hues of output and source, Eq. 27.

    Low where each hue of the source has become one hue of the output; the target has no part in it.
    """
    weights = chroma(source) if config.chroma_weights else None
    joint = diffhist.joint_histogram(output, source[:, 0], weights=weights, **_histogram_options(config))
    return diffhist.mi_distance(joint)


def smoothness_loss(output: Tensor, source: Tensor) -> Tensor:
    """Mean step of the displacement of hue between pixels that belong together: see `huenet.methods.smoothness`."""
    return smoothness(output - source[:, 0], links(source))


def generator_adversarial_loss(fake: list[Tensor]) -> Tensor:
    """Eq. 28 on logits: -log Disc(output), the form that does not saturate."""
    return torch.stack([F.softplus(-x).flatten(1).mean(1) for x in fake]).mean(0)


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Eq. 29 on logits: -log Disc(source) - log(1 - Disc(output)), without pix2pix's factor 1/2."""
    per_part = [F.softplus(-r).mean() + F.softplus(f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(per_part).mean()


def _histogram_options(config: Config) -> dict[str, Any]:
    return {
        "bins": config.bins,
        "bandwidth": config.bandwidth / config.bins,
        "boundary": config.boundary,
        "axis": PICTURE,
    }

"""Figures of a generator on fixed pairs that training never sees, and what to warn of in them."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from huenet.color import chroma, hue_point, rgb_to_hsv
from huenet.data.pairs import PairSampler
from huenet.metrics import hue_emd, incoherence, relative_mi

__all__ = ["ValidationSet", "summary", "validate", "warnings"]

BATCH = 16


class ValidationSet:
    """The same pairs every time, each once: HSV sources and targets, (N, 3, S, S), on `device`."""

    def __init__(self, images: np.ndarray, pairs: int, seed: int, device: torch.device | str) -> None:
        sampler = PairSampler(len(images), pairs, seed)
        distinct: dict[tuple[int, int], None] = {}
        while len(distinct) < min(pairs, len(images) * (len(images) - 1)):
            drawn = next(sampler)
            distinct |= dict.fromkeys(zip(drawn.source.tolist(), drawn.target.tolist(), strict=True))
        self.images, self.device = torch.from_numpy(images), device
        self.source, self.target = torch.tensor([*distinct][:pairs]).T

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs as HSV, `size` at a time."""
        for source, target in zip(self.source.split(size), self.target.split(size), strict=True):
            yield self._hsv(source), self._hsv(target)

    def _hsv(self, index: Tensor) -> Tensor:
        return rgb_to_hsv(self.images[index].to(self.device, torch.float32) / 255)


@torch.no_grad()
def validate(generator: nn.Module, discriminator: nn.Module | None, pairs: ValidationSet) -> dict[str, float]:
    """Means over the pairs, with hard bins (K = 256).

    Parameters
    ----------
    generator : nn.Module
        In evaluation mode.
    discriminator : nn.Module or None
        Its share of right answers on these pairs is reported too. In training mode batch norm judges by the pictures
        at hand, real and fake each by themselves, as in training; give a copy, since that moves its running figures.
    pairs : ValidationSet

    Returns
    -------
    dict
        Circular EMD from the target's hues (of source, of output; also weighted by chroma), relative MI of source and
        output with its floor (the output's pixels shuffled) and ceiling (the source with itself), hue incoherence of
        source and output, the mean rotation of hue, the circular spread of the hues of output and target, the
        discriminator's accuracy.
    """
    rows = []
    for source, target in pairs.batches():
        hue = generator(source, target)
        rows.append(_figures(source, target, hue))
        if discriminator is not None:
            real, fake = discriminator(source, source[:, 0], hue)
            rows[-1]["d_accuracy"] = ((real > 0).float() + (fake <= 0).float()).mean((1, 2, 3)) / 2
    return {name: torch.cat([row[name] for row in rows]).mean().item() for name in rows[0]}


def _figures(source: Tensor, target: Tensor, hue: Tensor) -> dict[str, Tensor]:
    weights, target_weights = chroma(source), chroma(target)
    before, wanted = source[:, 0], target[:, 0]
    shuffled = hue.flatten(1)[:, torch.randperm(hue[0].numel(), generator=torch.Generator().manual_seed(0))]
    turn = hue - before
    return {
        "emd_source": hue_emd(before, wanted),
        "emd_output": hue_emd(hue, wanted),
        "chroma_emd_source": hue_emd(before, wanted, weights, target_weights),
        "chroma_emd_output": hue_emd(hue, wanted, weights, target_weights),
        "relative_mi": relative_mi(before, hue),
        "relative_mi_floor": relative_mi(before, shuffled.view_as(hue)),
        "relative_mi_ceiling": relative_mi(before, before),
        "incoherence_source": incoherence(before, weights),
        "incoherence_output": incoherence(hue, weights),
        "rotation": ((turn - turn.round()).abs() * weights).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-6),
        "spread_output": _spread(hue_point(source, turn), weights),
        "spread_target": _spread(hue_point(target), target_weights),
    }


def _spread(points: Tensor, weights: Tensor) -> Tensor:
    """Circular variance of hues (B, 2, H, W): 0 for one hue, or none, 1 for hues that point everywhere alike."""
    total = (weights * points.norm(dim=1)).sum((1, 2))
    return (total - (weights[:, None] * points).sum((2, 3)).norm(dim=1)) / total.clamp_min(1e-6)


def warnings(figures: dict[str, float]) -> list[str]:
    """What in the figures of `validate` says that a run has collapsed, one line each."""
    found = []
    source, output = figures["emd_source"], figures["emd_output"]
    if figures["rotation"] < 0.01 and source > 0.002 and output > 0.95 * source:
        found.append("the output equals the source: raise --lambda-emd, or lower --gamma-mi and --lambda-smooth")
    if figures["spread_output"] < 0.1 * figures["spread_target"]:
        found.append("the output has one hue everywhere: raise --gamma-mi, or lower --lr")
    if figures.get("d_accuracy", 0.0) > 0.99:
        found.append("the discriminator is always right, so its term teaches nothing: lower --lr or --lambda-emd")
    return found


def summary(figures: dict[str, float]) -> str:
    """One line: EMD ratio, incoherence ratio, relative MI."""
    f = figures
    return (
        f"EMD to the target {f['emd_output']:.3f}, {f['emd_output'] / max(f['emd_source'], 1e-9):.2f} of the source's; "
        f"hue incoherence {f['incoherence_output']:.4f}, "
        f"{f['incoherence_output'] / max(f['incoherence_source'], 1e-9):.2f} of the source's; "
        f"relative MI of source and output {f['relative_mi']:.2f} (chance {f['relative_mi_floor']:.2f})"
    )

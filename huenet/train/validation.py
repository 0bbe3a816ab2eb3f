"""Figures of a generator on fixed pairs that training never sees, and what to warn of in them."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import functools
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from huenet import realism
from huenet.color import chroma, hsv_to_rgb, hue_point, rgb_to_hsv
from huenet.config import Config
from huenet.data.pairs import PairSampler
from huenet.metrics import (
    change_of_light,
    hue_emd,
    incoherence,
    palette_distance,
    parting,
    relative_mi,
    surfaces,
    undone,
)
from huenet.model.inference import painted, settled
from huenet.model.networks import AnyDiscriminator, AnyGenerator

__all__ = ["ValidationSet", "summary", "validate", "warnings"]

BATCH = 16
LEAST_SOURCES = 20


class ValidationSet:
    """The same pairs every time, each once: HSV sources and targets, (N, 3, S, S), on `device`."""

    def __init__(
        self,
        images: np.ndarray,
        pairs: int,
        seed: int,
        device: torch.device | str,
        photographs: np.ndarray | Sequence[np.ndarray] = (),
    ) -> None:
        sampler = PairSampler(len(images), pairs, seed)
        distinct: dict[tuple[int, int], None] = {}
        while len(distinct) < min(pairs, len(images) * (len(images) - 1)):
            drawn = next(sampler)
            distinct |= dict.fromkeys(zip(drawn.source.tolist(), drawn.target.tolist(), strict=True))
        self.images, self.device = torch.from_numpy(images), device
        self.source, self.target = torch.tensor([*distinct][:pairs]).T
        self.photographs = photographs

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs as HSV, `size` at a time."""
        for source, target in zip(self.source.split(size), self.target.split(size), strict=True):
            yield self._hsv(source), self._hsv(target)

    def realism(self, made: np.ndarray) -> dict[str, float]:
        """KID and AUC of results (N, 3, S, S), uint8; nothing where there are no photographs, or few pairs."""
        if not len(self.photographs) or len(set(self.source.tolist())) < LEAST_SOURCES:
            return {}
        scale, photographs, own = self._seen
        seen = realism.features(made, self.device)
        return {
            "kid": float(realism.kid(realism.kernel(photographs / scale, seen / scale))),
            "auc": float(realism.auc(realism.scores(own, seen, self.source.numpy()))),
        }

    @functools.cached_property
    def _seen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        photographs = realism.features(self.photographs, self.device)
        return realism.scale(photographs), photographs, realism.features(self.images[self.source].numpy(), self.device)

    def _hsv(self, index: Tensor) -> Tensor:
        return rgb_to_hsv(self.images[index].to(self.device, torch.float32) / 255)


@torch.no_grad()
def validate(generator: AnyGenerator, discriminator: AnyDiscriminator | None, pairs: ValidationSet) -> dict[str, float]:
    """Means over the pairs, with hard bins (K = 256).

    Parameters
    ----------
    generator : AnyGenerator
        In evaluation mode.
    discriminator : AnyDiscriminator or None
        Its share of right answers on these pairs is reported too. In training mode batch norm judges by the pictures
        at hand, real and fake each by themselves, as in training; give a copy, since that moves its running figures.
    pairs : ValidationSet

    Returns
    -------
    dict
        Palette distance from the target (of source, of output) and the share of far pairs left undone; circular EMD
        from the target's hues (also weighted by chroma); relative MI of source and output with its floor (the output's
        pixels shuffled) and ceiling (the source with itself); hue incoherence of source and output, parting, the
        change of light, the mean rotation of hue, the circular spread of the hues of output and target; the
        discriminator's accuracy; and where the pairs have photographs to compare with, KID and AUC, see
        `huenet.realism`.
    """
    rows, made = [], []
    for source, target in pairs.batches():
        hue = generator(source, target, settled(generator, source, target))
        output = painted(cast(Config, generator.config), source, hue)
        rows.append(_figures(source, target, output))
        made.append((255 * hsv_to_rgb(output)).round().to(torch.uint8).cpu().numpy())
        if discriminator is not None:
            seen = [discriminator.see(source, shown) for shown in (source[:, 0], hue)]
            real, fake = (
                torch.stack([(x > 0).float().flatten(1).mean(1) for x in parts]) for parts in discriminator(*seen)
            )
            rows[-1]["d_accuracy"] = (real + 1 - fake).mean(0) / 2
    columns = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    figures = {name: column.mean().item() for name, column in columns.items()}
    figures["undone"] = undone(columns["palette_source"], columns["palette_output"]).item()
    return {**figures, **pairs.realism(np.concatenate(made))}


def _figures(source: Tensor, target: Tensor, output: Tensor) -> dict[str, Tensor]:
    before, hue, wanted = source[:, 0], output[:, 0], target[:, 0]
    own, weights, target_weights = chroma(source), chroma(output), chroma(target)
    shuffled = hue.flatten(1)[:, torch.randperm(hue[0].numel(), generator=torch.Generator().manual_seed(0))]
    turn = hue - before
    return {
        "palette_source": palette_distance(source, target),
        "palette_output": palette_distance(output, target),
        "emd_source": hue_emd(before, wanted),
        "emd_output": hue_emd(hue, wanted),
        "chroma_emd_source": hue_emd(before, wanted, own, target_weights),
        "chroma_emd_output": hue_emd(hue, wanted, weights, target_weights),
        "relative_mi": relative_mi(before, hue),
        "relative_mi_floor": relative_mi(before, shuffled.view_as(hue)),
        "relative_mi_ceiling": relative_mi(before, before),
        "incoherence_source": incoherence(before, own),
        "incoherence_output": incoherence(hue, weights),
        "parting": _parting(source, output),
        "light": change_of_light(source, output),
        "rotation": ((turn - turn.round()).abs() * own).sum((1, 2)) / own.sum((1, 2)).clamp_min(1e-6),
        "spread_output": _spread(hue_point(output), weights),
        "spread_target": _spread(hue_point(target), target_weights),
    }


def _parting(source: Tensor, output: Tensor) -> Tensor:
    weights = torch.minimum(chroma(source), chroma(output))
    arrays = (x.double().cpu().numpy() for x in (source[:, 0], output[:, 0], weights, hsv_to_rgb(source)))
    rows = zip(*arrays, strict=True)
    return torch.tensor([parting(before, after, weight, surfaces(rgb)) for before, after, weight, rgb in rows])


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
    """One line: palette distance, which version 0.1.0 did not measure, EMD and incoherence as ratios, relative MI,
    realism."""
    f = figures
    palette = ""
    if "palette_output" in f:
        palette = f"palette distance {f['palette_output']:.4f} of {f['palette_source']:.4f}, undone {f['undone']:.0%}; "
    real = f"; KID {f['kid']:.0f}, AUC {f['auc']:.2f}" if "kid" in f else ""
    return (
        f"{palette}EMD to the target {f['emd_output']:.3f}, "
        f"{f['emd_output'] / max(f['emd_source'], 1e-9):.2f} of the source's; "
        f"hue incoherence {f['incoherence_output']:.4f}, "
        f"{f['incoherence_output'] / max(f['incoherence_source'], 1e-9):.2f} of the source's; "
        f"relative MI of source and output {f['relative_mi']:.2f} (chance {f['relative_mi_floor']:.2f}){real}"
    )

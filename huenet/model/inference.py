"""A trained generator, from its run folder, or from the weights that come with the package, to a hue."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from array_api_compat import array_namespace
from torch import Tensor

from huenet.color import rgb_to_hsv, turn_hue
from huenet.config import CLOSENESS, Config, ConfigError
from huenet.metrics import palette_distance
from huenet.model import checkpoint
from huenet.model.checkpoint import MODEL, CheckpointError
from huenet.model.networks import AnyGenerator, build_generator
from huenet.model.palette import shrunk

__all__ = ["SHIPPED", "export", "load_generator", "output_hue", "painted", "settled", "weights"]

Array = Any

SHIPPED = Path(__file__).with_name("weights.safetensors")
LEFT = 0.6  # of the palette distance; where more is left, too little has happened
NEAR = 0.003  # palette distance at which there is nothing left to do
SETTINGS = 4  # of the dial that are tried, up to 1


def load_generator(run: str | Path = SHIPPED, device: str | torch.device = "cpu") -> tuple[AnyGenerator, Config]:
    """The generator of a run, its averaged weights where it has them, ready for inference; and its configuration.

    Without a run, the one that comes with the package.

    Raises
    ------
    CheckpointError
        `run` holds no weights, or they are damaged, no numbers, or of another configuration than they say.
    """
    path = weights(run)
    if not path.is_file():
        raise CheckpointError(
            f"{run} has no {MODEL}: name a folder that huenet.train has written, and let it save once"
        )
    tensors, meta = checkpoint.load(path, device)
    try:
        config = Config.from_json(meta["config"])
        generator = build_generator(config).to(device)
        generator.load_state_dict(tensors)
    except (ConfigError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not fit the configuration it names: {reason}") from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds weights that are infinite or NaN; choose another run")
    return generator.eval().requires_grad_(False), config


def weights(run: str | Path) -> Path:
    """The file of a run's weights; `run` itself where it is a file."""
    return Path(run) / MODEL if Path(run).is_dir() else Path(run)


def export(run: str | Path, path: str | Path) -> None:
    """Write a run's generator as one file to hand on: half precision, its configuration without the names of folders.

    Raises
    ------
    FileExistsError
        There is something at `path`.
    CheckpointError
        As for `load_generator`, or `path` cannot be written.
    """
    if Path(path).exists():
        raise FileExistsError(f"{path} exists; choose another name")
    generator, config = load_generator(run)
    config = dataclasses.replace(config, data=Path(config.data).name if config.data else None, out=None, resume="no")
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in generator.state_dict().items()
    }
    checkpoint.save(Path(path), halves, {"config": config.to_json()})


def painted(config: Config, source: Array, hue: Array) -> Array:
    """A source (..., 3, H, W), HSV, in the hue of a generator of this configuration: the result, HSV.

    The paper keeps S and V; the others keep the light (`huenet.color.turn_hue`).
    """
    xp = array_namespace(source, hue)
    if config.circle:
        return rgb_to_hsv(turn_hue(source, hue - source[..., 0, :, :]))
    return xp.stack([hue, source[..., 1, :, :], source[..., 2, :, :]], axis=-3)


@torch.no_grad()
def settled(generator: AnyGenerator, source: Tensor, target: Tensor, closeness: float = CLOSENESS) -> Tensor:
    """The setting of the dial, for each pair, at which something happens.

    It is `closeness` where that brings the palette distance down to `LEFT` of what it was, or `NEAR`; else the least
    above it that does, by linear interpolation between a few settings. A pair that none brings so far stays as asked:
    it would look less like a photograph for nothing. The result follows the pictures without jumps but there.

    Parameters
    ----------
    generator : AnyGenerator
        For inference; one without a dial has `closeness` for every pair.
    source, target : Tensor, (B, 3, H, W)
        HSV in [0, 1].
    closeness : float
        From 0 to 1.

    Returns
    -------
    Tensor, (B,)
        From `closeness` to 1.
    """
    config, dial = generator.config, source.new_full(source.shape[:1], closeness)
    if not (config.palette_dial or config.adv_dial):
        return dial
    source, target = shrunk(source), shrunk(target)
    goal = (LEFT * palette_distance(source, target)).clamp_min(NEAR)

    def left(pairs: Tensor, setting: Tensor) -> Tensor:
        hue = generator(source[pairs], target[pairs], setting)
        return palette_distance(painted(config, source[pairs], hue), target[pairs])

    first = left(torch.arange(len(dial), device=dial.device), dial)
    [far] = (first > goal).nonzero(as_tuple=True)
    if len(far):
        settings = torch.linspace(closeness, 1, SETTINGS + 1).to(dial)
        tries = far.repeat_interleave(SETTINGS), settings[1:].repeat(len(far))
        parts = zip(*(t.split(max(len(dial), SETTINGS)) for t in tries), strict=True)  # no more memory than all pairs
        later = torch.cat([left(*part) for part in parts]).view(len(far), SETTINGS)
        distance = torch.cat([first[far, None], later], dim=1)
        near = distance <= goal[far, None]
        above = near.int().argmax(1).clamp_min(1)  # the first that is near
        before, after = (distance.gather(1, k[:, None])[:, 0] for k in (above - 1, above))
        share = (before - goal[far]) / (before - after).clamp_min(1e-9)
        found = torch.lerp(settings[above - 1], settings[above], share.to(dial))
        dial[far] = torch.where(near.any(1), found, dial[far])
    return dial


@torch.no_grad()
def output_hue(
    generator: AnyGenerator, source: np.ndarray, target: np.ndarray, closeness: float = CLOSENESS
) -> np.ndarray:
    """The generator's hue (H, W) for one pair, HSV (3, H, W) with sides that are multiples of its training size."""
    device = next(generator.parameters()).device
    one, other = (torch.from_numpy(hsv.astype(np.float32))[None].to(device) for hsv in (source, target))
    return _finite(generator(one, other, settled(generator, one, other, closeness))[0].cpu().numpy())


def _finite(output: np.ndarray) -> np.ndarray:
    """The output; FloatingPointError where it is no picture: finite weights, but absurd ones, lead there."""
    if not np.isfinite(output).all():
        raise FloatingPointError(
            "the network's output is infinite or NaN; its weights are of no use, choose another run"
        )
    return output

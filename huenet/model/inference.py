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

from huenet.color import rgb_to_hsv, turn_hue
from huenet.config import CLOSENESS, Config, ConfigError
from huenet.model import checkpoint
from huenet.model.checkpoint import MODEL, CheckpointError
from huenet.model.networks import AnyGenerator, build_generator

__all__ = ["SHIPPED", "export", "load_generator", "output_hue", "painted", "weights"]

Array = Any

SHIPPED = Path(__file__).with_name("weights.safetensors")


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
def output_hue(
    generator: AnyGenerator, source: np.ndarray, target: np.ndarray, closeness: float = CLOSENESS
) -> np.ndarray:
    """The generator's hue (H, W) for one pair, HSV (3, H, W) with sides that are multiples of its training size."""
    device = next(generator.parameters()).device
    pair = (torch.from_numpy(hsv.astype(np.float32))[None].to(device) for hsv in (source, target))
    return _finite(generator(*pair, torch.tensor([closeness], device=device))[0].cpu().numpy())


def _finite(output: np.ndarray) -> np.ndarray:
    """The output; FloatingPointError where it is no picture: finite weights, but absurd ones, lead there."""
    if not np.isfinite(output).all():
        raise FloatingPointError(
            "the network's output is infinite or NaN; its weights are of no use, choose another run"
        )
    return output

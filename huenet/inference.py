"""A trained generator, from its run folder to a hue."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import json
from pathlib import Path

import numpy as np
import torch

from huenet import checkpoint
from huenet.checkpoint import CheckpointError
from huenet.config import Config, ConfigError
from huenet.networks import Generator
from huenet.state import MODEL

__all__ = ["load_generator", "output_hue"]


def load_generator(run: str | Path, device: str | torch.device = "cpu") -> tuple[Generator, Config]:
    """The generator of a run, its averaged weights where it has them, ready for inference; and its configuration.

    Raises
    ------
    CheckpointError
        `run` holds no weights, or they are damaged, or of another configuration than they say.
    """
    path = Path(run) / MODEL if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise CheckpointError(
            f"{run} has no {MODEL}: name a folder that huenet.train has written, and let it save once"
        )
    tensors, meta = checkpoint.load(path, device)
    try:
        config = Config.from_json(meta["config"])
        generator = Generator(config).to(device)
        generator.load_state_dict(tensors)
    except (ConfigError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not fit the configuration it names: {reason}") from error
    return generator.eval().requires_grad_(False), config


@torch.no_grad()
def output_hue(generator: Generator, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The generator's hue (H, W) for one pair, HSV (3, H, W) with sides that are multiples of its training size."""
    device = next(generator.parameters()).device
    pair = (torch.from_numpy(hsv.astype(np.float32))[None].to(device) for hsv in (source, target))
    return generator(*pair)[0].cpu().numpy()

"""The trained network as a method of colour transfer. torch is imported when it is first asked: that takes seconds."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from huenet.config import CLOSENESS
from huenet.methods.grid import displacements, rotation_grid
from huenet.methods.sample import Sample

if TYPE_CHECKING:
    from huenet.model.networks import AnyGenerator

__all__ = ["find"]

Array = Any
CELLS = (16, 16, 64)  # of the grid for a network that has none of its own


def find(source: Sample, target: Sample, /, *, run: str | Path | None = None, closeness: float = CLOSENESS) -> Array:
    """What a trained network sees fit, in one pass for all pairs.

    Parameters
    ----------
    source, target : Sample
        As many pictures of each.
    run : path, optional
        A run folder of ``huenet.train``; without it, the weights that come with the package.

    closeness : float
        From 0, a result that could be a photograph, to 1, one as close to the target's colours as may be. Raised for
        pairs in which too little would happen: `huenet.model.inference.settled`.

    Returns
    -------
    array, (B, rows, columns, K)
        A grid of displacements of hue in turns, for `huenet.methods.turn.Turn`; of the library of `source`.

    Raises
    ------
    ValueError
        The run has no weights, or they do not fit, or `closeness` is out of its range.
    """
    import torch

    from huenet.model.inference import settled
    from huenet.model.palette import PaletteGenerator

    if not 0 <= closeness <= 1:
        raise ValueError(f"closeness must be from 0 to 1, got {closeness}")

    numpy = isinstance(source.rgb, np.ndarray)
    generator = _generator(run, "cpu" if numpy else source.rgb.device)
    size = generator.config.size
    source, target = (sample.resized(size, size) for sample in (source, target))
    hsv = [torch.as_tensor(sample.hsv()).float().movedim(-1, 1) for sample in (source, target)]
    with torch.no_grad():
        if isinstance(generator, PaletteGenerator):
            dial = settled(generator, hsv[0], hsv[1], closeness)
            found = displacements(torch.complex(*generator.field(hsv[0], hsv[1], dial).permute(1, 0, 3, 4, 2)))
            return _finite(found.numpy() if numpy else found)
        rotation = generator(*hsv) - hsv[0][:, 0]
    values = (torch.as_tensor(v).cpu().double().numpy() for v in (rotation, hsv[0][:, 0], source.hue_weights()))
    grids = np.stack([rotation_grid(turn, hue, mass, CELLS) for turn, hue, mass in zip(*values, strict=True)])
    grids = displacements(grids).astype(np.float32)
    return _finite(grids if numpy else torch.from_numpy(grids).to(hsv[0]))


def _finite(found: Array) -> Array:
    """What was found, where it is numbers: finite weights, but absurd ones, lead elsewhere."""
    if not array_namespace(found).isfinite(found).all():
        raise ValueError("the network's output is infinite or NaN; its weights are of no use, choose another run")
    return found


def _generator(run: str | Path | None, device: Any) -> AnyGenerator:
    from huenet.model.checkpoint import CheckpointError
    from huenet.model.inference import SHIPPED, weights

    path = weights(SHIPPED if run is None else run)
    try:
        return _loaded(str(run or SHIPPED), path.stat().st_mtime_ns if path.is_file() else 0, device)
    except CheckpointError as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=2)
def _loaded(run: str, written: int, device: Any) -> AnyGenerator:
    from huenet.model.inference import load_generator

    return load_generator(run, device)[0]

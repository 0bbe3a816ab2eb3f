"""The two evaluations as operators of torch, by array code or by the fused kernels of a device.

Inside are loops over taps, tables made by NumPy and choices by cost: no use to a compiler, to an exporter or to tensors
without values, which see the operators alone.
"""

from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as xp
import torch

from diffhist._evaluation import evaluate, fused
from diffhist._evaluation.kernel import Axis

__all__ = ["gather", "spread"]


def spread(coordinates: Any, weights: Any, axes: Any, orders: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.ops.diffhist.spread(list(coordinates), weights, *_flat(axes), list(orders), dtype)


def gather(h: torch.Tensor, coordinates: Any, axes: Any, orders: Any, dtype: torch.dtype) -> list[torch.Tensor]:
    flat = [o for order in orders for o in order]
    return list(torch.ops.diffhist.gather(h, list(coordinates), *_flat(axes), flat, dtype).unbind(0))


def _flat(axes: Sequence[Axis]) -> tuple[list[int], list[float], str]:
    return [a.bins for a in axes], [v for a in axes for v in a[1:4]], ",".join([a.boundary for a in axes])


def _axes(bins: Sequence[int], grid: Sequence[float], boundaries: str) -> list[Axis]:
    edges = boundaries.split(",")
    return [Axis(b, grid[3 * n], grid[3 * n + 1], grid[3 * n + 2], edges[n]) for n, b in enumerate(bins)]


torch.library.define(
    "diffhist::spread",
    "(Tensor[] coordinates, Tensor? weights, int[] bins, float[] grid, str boundaries, int[] orders, ScalarType dtype)"
    " -> Tensor",
)
torch.library.define(
    "diffhist::gather",
    "(Tensor h, Tensor[] coordinates, int[] bins, float[] grid, str boundaries, int[] orders, ScalarType dtype)"
    " -> Tensor",
)


@torch.library.impl("diffhist::spread", "default")
def _(coordinates, weights, bins, grid, boundaries, orders, dtype):
    axes, x = _axes(bins, grid, boundaries), coordinates[0]
    if (found := fused.kernels(x.device)) and found.covers(x, axes, [orders], dtype):
        return found.spread(coordinates, weights, axes, orders)
    return evaluate.spread(xp, coordinates, weights, axes, orders, dtype).to(dtype)


@torch.library.register_fake("diffhist::spread")
def _(coordinates, weights, bins, grid, boundaries, orders, dtype):
    return coordinates[0].new_empty((coordinates[0].shape[0], *bins), dtype=dtype)


@torch.library.impl("diffhist::gather", "default")
def _(h, coordinates, bins, grid, boundaries, orders, dtype):
    axes, x, d = _axes(bins, grid, boundaries), coordinates[0], len(bins)
    each = [tuple(orders[n : n + d]) for n in range(0, len(orders), d)]
    if (found := fused.kernels(x.device)) and found.covers(x, axes, each, dtype):
        return torch.stack(found.gather(h, coordinates, axes, each))
    return torch.stack(evaluate.gather(xp, h, coordinates, axes, each, dtype))


@torch.library.register_fake("diffhist::gather")
def _(h, coordinates, bins, grid, boundaries, orders, dtype):
    return coordinates[0].new_empty((len(orders) // len(bins), *coordinates[0].shape), dtype=dtype)

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
    return torch.ops.diffhist.spread(*_pair(coordinates), weights, *_flat(axes, orders), dtype)


def gather(h: torch.Tensor, coordinates: Any, axes: Any, orders: Any, dtype: torch.dtype) -> list[torch.Tensor]:
    return list(torch.ops.diffhist.gather(h, *_pair(coordinates), *_flat(axes, orders), dtype).unbind(0))


def _pair(coordinates: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Not a list: torch's loop for operators that it cannot map (`vectorize=True`) does not know lists."""
    return coordinates[0], coordinates[1] if len(coordinates) == 2 else None


def _flat(axes: Sequence[Axis], orders: Any) -> tuple[list[int], list[float], str, list[int]]:
    """What an operator can be given, in place of axes and orders."""
    numbers = [v for a in axes for v in a[1:4]]
    kinds = ",".join([f"{a.boundary} {a.kernel}" for a in axes])
    return [a.bins for a in axes], numbers, kinds, [o for order in orders for o in order]


def _unflat(
    bins: Sequence[int], numbers: Sequence[float], kinds: str, orders: Sequence[int]
) -> tuple[list[Axis], list[tuple[int, ...]]]:
    names, d = [k.split() for k in kinds.split(",")], len(bins)
    triples = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    axes = [Axis(b, *t, *name) for b, t, name in zip(bins, triples, names, strict=True)]
    return axes, [tuple(orders[n : n + d]) for n in range(0, len(orders), d)]


torch.library.define(
    "diffhist::spread",
    "(Tensor x, Tensor? y, Tensor? weights, int[] bins, float[] numbers, str kinds, int[] orders,"
    " ScalarType dtype) -> Tensor",
)
torch.library.define(
    "diffhist::gather",
    "(Tensor h, Tensor x, Tensor? y, int[] bins, float[] numbers, str kinds, int[] orders, ScalarType dtype) -> Tensor",
)


@torch.library.impl("diffhist::spread", "default")
def _(x, y, weights, bins, numbers, kinds, orders, dtype):
    axes, each = _unflat(bins, numbers, kinds, orders)
    coordinates = [x] if y is None else [x, y]
    if (found := fused.kernels(x.device)) and found.covers(x, axes, each, dtype):
        return found.spread(coordinates, weights, axes, each)
    return evaluate.spread(xp, coordinates, weights, axes, each, dtype).to(dtype)


@torch.library.register_fake("diffhist::spread")
def _(x, y, weights, bins, numbers, kinds, orders, dtype):
    return x.new_empty((x.shape[0], *bins), dtype=dtype)


@torch.library.impl("diffhist::gather", "default")
def _(h, x, y, bins, numbers, kinds, orders, dtype):
    axes, each = _unflat(bins, numbers, kinds, orders)
    coordinates = [x] if y is None else [x, y]
    if (found := fused.kernels(x.device)) and found.covers(x, axes, each, dtype):
        return torch.stack(found.gather(h, coordinates, axes, each))
    return torch.stack(evaluate.gather(xp, h, coordinates, axes, each, dtype))


@torch.library.register_fake("diffhist::gather")
def _(h, x, y, bins, numbers, kinds, orders, dtype):
    return x.new_empty((len(orders) // len(bins), *x.shape), dtype=dtype)

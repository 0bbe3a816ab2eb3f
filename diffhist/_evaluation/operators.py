"""The two evaluations as operators of torch, by array code or by the fused kernels of a device.

Inside are loops over taps, tables made by NumPy and choices by cost: no use to a compiler, to an exporter or to tensors
without values, which see the operators alone.
"""

import ast
import functools
from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as xp
import torch

from diffhist._evaluation import evaluate, fused
from diffhist._evaluation.kernel import Axis

__all__ = ["gather", "spread"]


def spread(coordinates: Any, weights: Any, axes: Any, orders: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.ops.diffhist.spread(*_stacked(coordinates), weights, *_written(axes, orders), dtype)


def gather(h: torch.Tensor, coordinates: Any, axes: Any, orders: Any, dtype: torch.dtype) -> list[torch.Tensor]:
    return list(torch.ops.diffhist.gather(h, *_stacked(coordinates), *_written(axes, orders), dtype).unbind(0))


def _stacked(coordinates: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The first, and the others as one: torch's loop for operators that it cannot map (`vectorize=True`) does not know
    lists."""
    x, *others = coordinates
    return x, _stack(others) if others else None


def _stack(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(tensors) if len(tensors) > 1 else tensors[0][None]  # of one, no copy


def _written(axes: Sequence[Axis], orders: Any) -> tuple[str, list[int]]:
    """What an operator can be given, in place of axes and orders."""
    plain = [
        (int(bins), float(low), float(step), float(width), *names, tuple([float(e) for e in edges]))
        for bins, low, step, width, *names, edges in axes  # torch.compile may have made symbols of the numbers
    ]
    return repr(plain), [o for order in orders for o in order]


@functools.lru_cache
def _read(axes: str) -> list[Axis]:
    return [Axis(*a) for a in ast.literal_eval(axes)]


def _arguments(x: torch.Tensor, others: torch.Tensor | None, axes: str, orders: Sequence[int]) -> tuple[Any, ...]:
    found = _read(axes)
    each = [tuple(orders[n : n + len(found)]) for n in range(0, len(orders), len(found))]
    return [x] if others is None else [x, *others.unbind(0)], found, each


torch.library.define(
    "diffhist::spread",
    "(Tensor x, Tensor? others, Tensor? weights, str axes, int[] orders, ScalarType dtype) -> Tensor",
)
torch.library.define(
    "diffhist::gather",
    "(Tensor h, Tensor x, Tensor? others, str axes, int[] orders, ScalarType dtype) -> Tensor",
)


@torch.library.impl("diffhist::spread", "default")
def _(x, others, weights, axes, orders, dtype):
    coordinates, axes, orders = _arguments(x, others, axes, orders)
    if (found := fused.kernels(x.device)) and found.covers(x, axes, orders, dtype):
        return found.spread(coordinates, weights, axes, orders)
    return evaluate.spread(xp, coordinates, weights, axes, orders, dtype).to(dtype)


@torch.library.register_fake("diffhist::spread")
def _(x, others, weights, axes, orders, dtype):
    return x.new_empty((x.shape[0], *(a.bins for a in _read(axes))), dtype=dtype)


@torch.library.impl("diffhist::gather", "default")
def _(h, x, others, axes, orders, dtype):
    coordinates, axes, orders = _arguments(x, others, axes, orders)
    if (found := fused.kernels(x.device)) and found.covers(x, axes, orders, dtype):
        return _stack(found.gather(h, coordinates, axes, orders))
    return _stack(evaluate.gather(xp, h, coordinates, axes, orders, dtype))


@torch.library.register_fake("diffhist::gather")
def _(h, x, others, axes, orders, dtype):
    return x.new_empty((len(orders) // len(_read(axes)), *x.shape), dtype=dtype)

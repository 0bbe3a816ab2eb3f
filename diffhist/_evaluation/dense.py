"""Evaluation with every pixel's mass in every bin: for kernels as wide as the range."""

import functools
import math
from collections.abc import Iterable
from typing import Any

from diffhist._array import Array, accumulator_dtype, device, in_parts
from diffhist._evaluation.kernel import Axis, above, by_x, chunk, coordinate, depth, fold, places


def masses(xp: Any, x: Array, axis: Axis, orders: Iterable[int]) -> dict[int, Array]:
    """x (B, n) -> its mass in every bin (B, K, n), for each order: for kernels as wide as the range."""
    reach, dtype = axis.reach(depth(xp, x.dtype)), x.dtype
    if axis.width > 8:  # shares above neighbouring edges are nearly alike
        x = xp.astype(x, accumulator_dtype(xp, x))
    u, sign = coordinate(xp, x, axis, 25 * reach)  # where the kernel is 0, not merely small
    pad = 0 if axis.boundary == "open" else axis.across(depth(xp, dtype))
    found = {}
    edges = places(xp, axis, -pad, axis.bins + pad, u)[None, :, None]
    for o, shares in above(xp, u, edges, axis, orders).items():
        shares = by_x(shares, axis, sign, o)
        padded = shares[:, :-1, :] - shares[:, 1:, :]
        found[o] = xp.astype(xp.moveaxis(fold(xp, xp.moveaxis(padded, 1, -1), axis, pad), -1, 1), dtype, copy=False)
    return found


def spread_dense(xp: Any, pixels: Any, weights: Any, axes: Any, orders: Any, dtype: Any) -> Array:
    exact = accumulator_dtype(xp, pixels[0])

    def step(total: Array, *cut: Any) -> tuple[Array, tuple[()]]:
        *columns, w = (None if c is None else xp.astype(c, dtype, copy=False) for c in cut)
        each = [masses(xp, c, a, (o,))[o] for c, a, o in zip(columns, axes, orders, strict=True)]
        last = each[-1] if w is None else each[-1] * w[:, None, :]
        *lead, last = (xp.astype(m, exact) for m in (*each[:-1], last))
        more = xp.matmul(_products(xp, lead), xp.matrix_transpose(last)) if lead else xp.sum(last, axis=-1)
        return total + xp.reshape(more, shape), ()

    shape = (pixels[0].shape[0], *(a.bins for a in axes))
    total = xp.zeros(shape, dtype=exact, device=device(pixels[0]))
    return in_parts(step, total, [*pixels, weights], _size(xp, pixels, axes, dtype), 1)[0]


def gather_dense(xp: Any, h: Array, pixels: Any, axes: Any, orders: Any, dtype: Any) -> tuple[Array, ...]:
    def step(_: None, *cut: Array) -> tuple[None, tuple[Array, ...]]:
        columns = [xp.astype(c, dtype, copy=False) for c in cut]
        each = [masses(xp, c, a, {o[j] for o in orders}) for j, (c, a) in enumerate(zip(columns, axes, strict=True))]
        results = []
        for o in orders:
            *lead, last = (m[n] for m, n in zip(each, o, strict=True))
            seen = xp.matmul(rows, last)
            results.append(xp.sum(seen * _products(xp, lead) if lead else seen, axis=1))
        return None, tuple(results)

    rows = xp.reshape(h, (h.shape[0], math.prod([a.bins for a in axes[:-1]]), axes[-1].bins))
    return in_parts(step, None, pixels, _size(xp, pixels, axes, dtype), 1)[1]


def _products(xp: Any, masses: list[Array]) -> Array:
    """Masses of several coordinates (B, K, n), (B, L, n), ... -> in all pairs of their bins (B, K L, n)."""

    def pairs(a: Array, b: Array) -> Array:
        return xp.reshape(a[:, :, None, :] * b[:, None, :, :], (a.shape[0], a.shape[1] * b.shape[1], a.shape[2]))

    return functools.reduce(pairs, masses)


def _size(xp: Any, pixels: Any, axes: Any, dtype: Any) -> int:
    each = sum(a.bins + 2 * a.across(depth(xp, dtype)) for a in axes)
    return chunk(pixels[0].shape[0] * (each + math.prod([a.bins for a in axes[:-1]])))

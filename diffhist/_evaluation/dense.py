"""Evaluation with every pixel's mass in every bin: for kernels as wide as the range."""

from collections.abc import Iterable
from typing import Any

from diffhist._array import Array, accumulator_dtype
from diffhist._evaluation.kernel import Axis, by_x, columns, coordinate, depth, edges, fold, parts


def masses(xp: Any, x: Array, axis: Axis, orders: Iterable[int]) -> dict[int, Array]:
    """x (B, n) -> its mass in every bin (B, K, n), for each order: for kernels as wide as the range."""
    reach = axis.reach(depth(xp, x.dtype))
    u, sign = coordinate(xp, x, axis, 25 * reach)  # where the kernel is 0, not merely small
    pad = 0 if axis.boundary == "open" else reach
    found = {}
    for o, above in edges(xp, u, -pad, axis.bins + pad, axis, orders).items():
        above = by_x(above, axis, sign, o)
        padded = above[:, :-1, :] - above[:, 1:, :]
        found[o] = xp.moveaxis(fold(xp, xp.moveaxis(padded, 1, -1), axis, pad), -1, 1)
    return found


def spread_dense(xp: Any, pixels: Any, weights: Any, axes: Any, orders: Any, dtype: Any) -> Array:
    B, N = pixels[0].shape
    total: Any = 0.0
    for part in parts(N, B * sum(a.bins + 2 * a.reach(depth(xp, dtype)) for a in axes)):
        cut = columns(xp, pixels, part, dtype)
        each = [masses(xp, c, a, (o,))[o] for c, a, o in zip(cut, axes, orders, strict=True)]
        last = each[-1] if weights is None else each[-1] * columns(xp, [weights], part, dtype)[0][:, None, :]
        exact = accumulator_dtype(xp, last)
        each = [xp.astype(m, exact) for m in (*each[:-1], last)]
        total = total + (
            xp.matmul(each[0], xp.matrix_transpose(each[1])) if len(axes) == 2 else xp.sum(each[0], axis=-1)
        )
    return total


def gather_dense(xp: Any, h: Array, pixels: Any, axes: Any, orders: Any, dtype: Any) -> list[Array]:
    B, N = pixels[0].shape
    results: list[list[Array]] = [[] for _ in orders]
    for part in parts(N, B * sum(a.bins + 2 * a.reach(depth(xp, dtype)) for a in axes)):
        cut = columns(xp, pixels, part, dtype)
        each = [masses(xp, c, a, {o[j] for o in orders}) for j, (c, a) in enumerate(zip(cut, axes, strict=True))]
        for result, o in zip(results, orders, strict=True):
            seen = h[:, :, None] if len(axes) == 1 else xp.matmul(xp.matrix_transpose(h), each[0][o[0]])
            result.append(xp.sum(seen * each[-1][o[-1]], axis=1))
    return [xp.concat(r, axis=-1) for r in results]

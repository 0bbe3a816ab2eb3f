"""Spreading pixels onto histograms, and the adjoint: gathering histograms at pixels.

Three ways that agree to rounding (the splines to a few parts in a million), chosen by what they cost: bands, splines
and the dense way. Pixels are walked through in chunks, so that memory beyond the inputs and the tables does not grow
with their number.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from diffhist._array import UNKNOWN, Array, accumulator_dtype, device, in_parts, scatter_add, take
from diffhist._evaluation import compiled
from diffhist._evaluation.band import Band
from diffhist._evaluation.dense import gather_dense, spread_dense
from diffhist._evaluation.kernel import Axis, chunk
from diffhist._evaluation.kernels import KERNELS
from diffhist._evaluation.spline import Spline

TABLE = 3 << 19  # elements of the largest grid of splines
LANES = 2  # parts of a single sample that are summed side by side, and then together


def _ways(xp: Any, axes: Sequence[Axis], x: Array, dtype: Any, orders: Sequence[Sequence[int]]) -> list[Any] | None:
    """How to evaluate each axis, by bands or by splines, whatever is cheapest; None for the dense way.

    The costs are nanoseconds a pixel, as measured with torch, NumPy and Numba on a CPU.
    """
    fast = compiled.serves(x)
    N, plane = x.shape[-1], len(axes) == 2
    N = N if isinstance(N, int) else UNKNOWN
    bins = [a.bins for a in axes]
    best, cost = None, sum(bins) * 1.0 + math.prod(bins) * 0.06 if plane else bins[0] * 1.5
    kinds: list[list[Any]] = [[Band(xp, a, dtype)] for a in axes]
    if dtype == xp.float32 and all(o <= 1 for order in orders for o in order):
        for kind, a in zip(kinds, axes, strict=True):
            if KERNELS[a.kernel].nodes:
                kind.append(Spline(xp, a, dtype, plane=plane, last=kind is kinds[-1]))
    for ways in map(list, itertools.product(*kinds)):
        size = math.prod([w.size for w in ways])
        if fast and (width := compiled.width(ways)):
            each = 10.0 + ways[0].taps * width * 0.15 if plane else 8.0
            each += (1.0 if isinstance(ways[-1], Band) else 5.0) * size / max(1, N)
        else:
            each = math.prod([w.taps for w in ways]) * 1.2 + (2.0 * ways[-1].taps if plane else 0.0)
            each += (1.2 if plane else 3.0) * size / max(1, N)
        fits = size <= TABLE and all(w.reach <= 2 * w.axis.bins for w in ways)
        usable = all(isinstance(w, Band) for w in ways) or fits
        if usable and each < cost:
            best, cost = ways, each
    return best


def spread(
    xp: Any,
    coordinates: Sequence[Array],
    weights: Array | None,
    axes: Sequence[Axis],
    orders: Sequence[Sequence[int]],
    dtype: Any,
) -> Array:
    """sum_o sum_i w_oi prod_j pi_k^(o_j)(x_ji) over the pixels of each row: (B, N) -> (B, Kx[, Ky])."""
    total: Any = None
    for n, order in enumerate(orders):
        more = _spread(xp, coordinates, None if weights is None else weights[:, n, :], axes, order, dtype)
        total = more if total is None else total + more
    return total


def _spread(xp: Any, coordinates: Any, weights: Any, axes: Any, order: Sequence[int], dtype: Any) -> Array:
    ways = _ways(xp, axes, coordinates[0], dtype, [order])

    def step(_: None, *rows: Any) -> tuple[None, tuple[Array]]:
        *pixels, w = rows
        if ways is None:
            return None, (spread_dense(xp, pixels, w, axes, order, dtype),)
        return None, (spread_taps(xp, pixels, w, ways, order, dtype),)

    return in_parts(step, None, [*coordinates, weights], _rows(ways, coordinates[0]), 0)[1][0]


def _rows(ways: Any, x: Array) -> int:
    """Samples to take at a time: of two axes, no more than have their tables within `TABLE`."""
    if not isinstance(x.shape[0], int):  # JAX does not know how many there will be
        return 1
    table = 1 if ways is None or len(ways) == 1 else math.prod([w.size for w in ways])
    return max(1, TABLE // table)


def spread_taps(xp: Any, pixels: Any, weights: Any, ways: Any, orders: Any, dtype: Any) -> Array:
    if plan := compiled.plan(ways, orders, pixels[0], dtype):
        table = xp.asarray(compiled.spread(plan, pixels, weights, dtype))
    else:
        table = _table(xp, pixels, weights, ways, orders, dtype)
    if len(ways) == 1:
        h = ways[0].collect(table, orders[0])
    else:
        grid = xp.reshape(table, (table.shape[0], ways[0].size, ways[1].size))
        strips = chunk(8 * ways[1].size)
        _, (h,) = in_parts(lambda _, strip: (None, (ways[1].collect(strip, orders[1]),)), None, [grid], strips, 1)
        h = xp.matrix_transpose(ways[0].collect(xp.matrix_transpose(h), orders[0]))
    return h + 0.0 * xp.sum(h, axis=tuple(range(1, h.ndim)), keepdims=True)  # one NaN makes the sample NaN


def _table(xp: Any, pixels: Any, weights: Any, ways: Any, orders: Any, dtype: Any) -> Array:
    """The pixels' taps added up: (B, N) -> (B, size)."""
    B, N = pixels[0].shape
    exact = accumulator_dtype(xp, pixels[0])
    if B == 1 and N % LANES == 0 and LANES * math.prod([w.size for w in ways]) <= TABLE:  # a row each to the threads
        pixels, weights = (
            [None if a is None else xp.reshape(a, (LANES, -1)) for a in arrays] for arrays in (pixels, [weights])
        )
        weights = weights[0]
    rows = pixels[0].shape[0]
    table = xp.zeros((rows, math.prod(w.size for w in ways)), dtype=exact, device=device(pixels[0]))
    stride = 1 if len(ways) == 1 else ways[1].size

    def step(table: Array, *cut: Any) -> tuple[Array, tuple[()]]:
        *columns, w = (None if c is None else xp.astype(c, dtype, copy=False) for c in cut)
        index, lead, block = _located(xp, columns, ways, [orders])
        values = block[orders[-1]]
        if w is not None:
            values = w[:, None, :] if values is None else values * w[:, None, :]
        values = None if values is None else xp.astype(values, exact)
        for i, tap in enumerate(lead[orders[0]]):
            tap = xp.astype(tap, exact)
            seen = tap if values is None else xp.reshape(values * tap[:, None, :], index.shape)
            table = scatter_add(xp, table, index, seen, i * stride)
        return table, ()

    table, _ = in_parts(step, table, [*pixels, weights], chunk(_work(rows, ways)), 1)
    return xp.sum(table, axis=0, keepdims=True) if rows > B else table


def _work(rows: int, ways: Any) -> int:
    """What a pixel adds to a chunk: of two axes, the block of taps must stay in cache while it is used again."""
    return rows * (4 if len(ways) == 1 else 8 * ways[1].taps)


def _located(xp: Any, columns: Any, ways: Any, orders: Any) -> tuple[Array, dict[int, list[Array]], dict[int, Any]]:
    """Where pixels meet the table: index (B, T n), the taps of the first axis (each (B, n)), and as one block (B, T, n)
    those of the second, tap by tap as in the index; with one axis the index is (B, n) and there is no block."""
    found = [way.locate(c, {o[j] for o in orders}) for j, (way, c) in enumerate(zip(ways, columns, strict=True))]
    first, lead = found[0]
    if len(ways) == 1:
        return first, lead, dict.fromkeys(lead)
    second, last = found[1]
    steps = xp.arange(ways[1].taps, dtype=first.dtype, device=device(first))[None, :, None]
    index = (first * ways[1].size + second)[:, None, :] + steps
    return xp.reshape(index, (first.shape[0], -1)), lead, {o: xp.stack(t, axis=1) for o, t in last.items()}


def gather(
    xp: Any, h: Array, coordinates: Sequence[Array], axes: Sequence[Axis], orders: Sequence[Sequence[int]], dtype: Any
) -> list[Array]:
    """sum_k h_k prod_j pi_k^(order_j)(x_ji) at each pixel: (B, Kx[, Ky]) -> (B, N) for each entry of ``orders``."""
    ways = _ways(xp, axes, coordinates[0], dtype, orders)
    h = xp.astype(h, dtype, copy=False)

    def step(_: None, h: Array, *pixels: Array) -> tuple[None, tuple[Array, ...]]:
        if ways is None:
            return None, gather_dense(xp, h, pixels, axes, orders, dtype)
        return None, gather_taps(xp, h, pixels, ways, orders, dtype)

    return list(in_parts(step, None, [h, *coordinates], _rows(ways, coordinates[0]), 0)[1])


def gather_taps(xp: Any, h: Array, pixels: Any, ways: Any, orders: Any, dtype: Any) -> tuple[Array, ...]:
    tables = [_expanded(xp, h, ways, o) for o in orders]
    plans = [p for o in orders if (p := compiled.plan(ways, o, pixels[0], dtype))]
    if len(plans) == len(orders):
        return tuple(xp.asarray(compiled.gather(p, t, pixels, dtype)) for p, t in zip(plans, tables, strict=True))
    stride = 1 if len(ways) == 1 else ways[1].size

    def step(_: None, *cut: Array) -> tuple[None, tuple[Array, ...]]:
        index, lead, blocks = _located(xp, [xp.astype(c, dtype, copy=False) for c in cut], ways, orders)
        results = []
        for table, o in zip(tables, orders, strict=True):
            block, total = blocks[o[-1]], None
            for i, tap in enumerate(lead[o[0]]):
                seen = take(xp, table, index, i * stride)
                if block is not None:
                    seen = xp.sum(xp.reshape(seen, block.shape) * block, axis=1)
                seen = seen * tap
                total = seen if total is None else total + seen
            results.append(total)
        return None, tuple(results)

    return in_parts(step, None, pixels, chunk(_work(pixels[0].shape[0], ways)), 1)[1]


def _expanded(xp: Any, h: Array, ways: Any, order: Sequence[int]) -> Array:
    """The table (B, size) that pixels see under an order of derivatives."""
    if len(ways) == 1:
        return ways[0].expand(h, order[0])
    h = xp.matrix_transpose(ways[0].expand(xp.matrix_transpose(h), order[0]))
    h = ways[1].expand(h, order[1])
    return xp.reshape(h, (h.shape[0], -1))

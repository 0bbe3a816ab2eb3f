"""Spreading pixels onto histograms, and the adjoint: gathering histograms at pixels.

Three ways that agree to rounding (the splines to a few parts in a million), chosen by what they cost: bands, splines
and the dense way. Pixels are walked through in chunks, so that memory beyond the inputs and the tables does not grow
with their number.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

from diffhist._array import UNKNOWN, Array, accumulator_dtype, device, in_parts, scatter_add, take
from diffhist._evaluation import compiled
from diffhist._evaluation.band import Band
from diffhist._evaluation.coarse import Coarse
from diffhist._evaluation.dense import gather_dense, spread_dense
from diffhist._evaluation.kernel import Axis, chunk
from diffhist._evaluation.kernels import KERNELS
from diffhist._evaluation.spline import Spline

TABLE = 3 << 19  # elements of the largest grid of splines
BLOCK = 1 << 20  # elements of the largest table between splines and bins
LANES = 2  # parts of a single sample that are summed side by side, and then together


def _ways(xp: Any, axes: Sequence[Axis], x: Array, dtype: Any, orders: Sequence[Sequence[int]]) -> list[Any] | None:
    N = x.shape[-1] if isinstance(x.shape[-1], int) else UNKNOWN
    return _cheapest(xp, tuple(axes), N, compiled.serves(x), dtype, tuple([tuple(o) for o in orders]))


@functools.lru_cache(maxsize=64)
def _cheapest(xp: Any, axes: tuple[Axis, ...], N: int, fast: bool, dtype: Any, orders: Any) -> list[Any] | None:
    """How to evaluate each axis, by bands or by splines, whatever is cheapest; None for the dense way.

    The costs are nanoseconds a pixel, as measured with torch, NumPy and Numba on a CPU.
    """
    plane = len(axes) > 1
    bins = [a.bins for a in axes]
    best, cost = None, bins[0] * 1.5
    if plane:
        cost = bins[-1] + sum(itertools.accumulate(bins[:-1], operator.mul)) + math.prod(bins) * 0.06
    kinds: list[list[Any]] = [[Band(xp, a, dtype)] for a in axes]
    if dtype == xp.float32 and all(o <= 1 for order in orders for o in order):
        for kind, a in zip(kinds, axes, strict=True):
            if KERNELS[a.kernel].nodes and not a.edges:
                kind.append(Spline(xp, a, dtype, plane=plane, last=kind is kinds[-1]))
    for ways in map(list, itertools.product(*kinds)):
        size = math.prod([w.size for w in ways])
        if fast and (width := compiled.width(ways)):
            each = 10.0 + ways[0].taps * width * 0.09 if plane else 5.0
            each += (2.0 if all(isinstance(w, Band) for w in ways) else 4.0) * size / max(1, N)
        else:
            each = math.prod([w.taps for w in ways]) * 1.2 + (2.0 * ways[-1].taps if plane else 0.0)
            each += (1.2 if plane else 3.0) * size / max(1, N)
        splines = [w for w in ways if isinstance(w, Spline)]
        fits = size <= TABLE and all(w.reach <= 2 * w.axis.bins and w.block <= BLOCK for w in splines)
        # Of few bins, fine splines keep a digit more of MI's gradient than bands, which end; compiled, as fast.
        better = fast and plane and fits and len(splines) == len(ways) and max(bins) <= 128
        if (fits or not splines) and (each < cost or better):
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
    """sum_o sum_i w_oi prod_j pi_k^(o_j)(x_ji) over the pixels of each row: (B, N) -> (B, Kx[, Ky, ...])."""
    wide = _wide(xp, axes, dtype)
    total: Any = None
    for n, order in enumerate(orders):
        w = None if weights is None else weights[:, n, :]
        more = _spread(xp, coordinates, w, [c.axis for c in wide], order, dtype)
        total = more if total is None else total + more
    fine = _each_axis(xp, total, wide, Coarse.refine, dtype)
    if fine is total or any(map(any, orders)):
        return fine
    # what is left of a tail may be rounding, on both sides of 0: there are no logarithms of it
    least = -1e-6 * xp.max(xp.abs(fine), axis=tuple(range(1, fine.ndim)), keepdims=True)
    return xp.where((fine < 0) & (fine > least), xp.zeros_like(fine), fine)


def _wide(xp: Any, axes: Sequence[Axis], dtype: Any) -> list[Coarse]:
    """The axes to evaluate on; what wider bins lose is above the rounding of float64."""
    return [Coarse(xp, a, allowed=dtype == xp.float32) for a in axes]


def _each_axis(xp: Any, h: Array, wide: Sequence[Coarse], to: Any, dtype: Any) -> Array:
    """Bins of a coordinate, on axis j + 1 of h, ``to`` others by ``wide[j]``."""
    for j, coarse in enumerate(wide, start=1):
        if coarse.merged > 1:
            h = xp.moveaxis(to(coarse, xp.moveaxis(xp.astype(h, dtype, copy=False), j, -1)), -1, j)
    return h


def _spread(xp: Any, coordinates: Any, weights: Any, axes: Any, order: Sequence[int], dtype: Any) -> Array:
    ways = _ways(xp, axes, coordinates[0], dtype, [order])

    def step(_: None, *rows: Any) -> tuple[None, tuple[Array]]:
        *pixels, w = rows
        if ways is None:
            return None, (spread_dense(xp, pixels, w, axes, order, dtype),)
        return None, (spread_taps(xp, pixels, w, ways, order, dtype),)

    return in_parts(step, None, [*coordinates, weights], _rows(ways, coordinates[0]), 0)[1][0]


def _rows(ways: Any, x: Array) -> int:
    """Samples to take at a time: of several axes, no more than have their tables within `TABLE`."""
    if not isinstance(x.shape[0], int):  # JAX does not know how many there will be
        return 1
    table = 1 if ways is None or len(ways) == 1 else math.prod([w.size for w in ways])
    return max(1, TABLE // table)


def spread_taps(xp: Any, pixels: Any, weights: Any, ways: Any, orders: Any, dtype: Any) -> Array:
    plan = compiled.plan(ways, orders, pixels[0], dtype)
    if plan and all(isinstance(w, Band) for w in ways):
        return xp.asarray(compiled.spread(plan, pixels, weights, dtype, ways))
    if plan:
        table = xp.asarray(compiled.spread(plan, pixels, weights, dtype))
    else:
        table = _table(xp, pixels, weights, ways, orders, dtype)
    h = xp.reshape(table, (table.shape[0], *(w.size for w in ways)))
    for j in reversed(range(len(ways))):
        h = xp.moveaxis(_collected(xp, xp.moveaxis(h, j + 1, -1), ways[j], orders[j]), -1, j + 1)
    if plan:  # which has seen to it
        return h
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

    def step(table: Array, *cut: Any) -> tuple[Array, tuple[()]]:
        *columns, w = (None if c is None else xp.astype(c, dtype, copy=False) for c in cut)
        index, taps = _located(xp, columns, ways, [orders])
        values = None if len(ways) == 1 else taps[-1][orders[-1]]
        if w is not None:
            values = w[:, None, :] if values is None else values * w[:, None, :]
        values = None if values is None else xp.astype(values, exact)
        for offset, tap in _lead(taps, ways, orders):
            tap = xp.astype(tap, exact)
            seen = tap if values is None else xp.reshape(values * tap[:, None, :], index.shape)
            table = scatter_add(xp, table, index, seen, offset)
        return table, ()

    table, _ = in_parts(step, table, [*pixels, weights], chunk(_work(rows, ways)), 1)
    return xp.sum(table, axis=0, keepdims=True) if rows > B else table


def _collected(xp: Any, h: Array, way: Any, order: int) -> Array:
    """``way.collect``, of several axes by strips: splines make more of a table before they make less."""
    if h.ndim == 2 or isinstance(way, Band):
        return way.collect(h, order)
    strips = chunk(8 * math.prod(h.shape[2:]))
    return in_parts(lambda _, strip: (None, (way.collect(strip, order),)), None, [h], strips, 1)[1][0]


def _work(rows: int, ways: Any) -> int:
    """What a pixel adds to a chunk: of several axes, the block of taps must stay in cache while it is used again."""
    return rows * (max(4, ways[0].taps // 8) if len(ways) == 1 else 8 * ways[-1].taps)


def _strides(ways: Any) -> list[int]:
    return [math.prod([w.size for w in ways[j + 1 :]]) for j in range(len(ways))]


def _located(xp: Any, columns: Any, ways: Any, orders: Any) -> tuple[Array, list[dict[int, Any]]]:
    """Where pixels meet the table, and for each axis and order their taps there, each (B, n).

    Of several axes, the taps of the last one are a block (B, T, n), and the index (B, T n) is that of all of it; of one
    axis the index is (B, n), that of the first tap.
    """
    found = [way.locate(c, {o[j] for o in orders}) for j, (way, c) in enumerate(zip(ways, columns, strict=True))]
    index = functools.reduce(operator.add, [f * s for (f, _), s in zip(found, _strides(ways), strict=True)])
    taps: list[dict[int, Any]] = [t for _, t in found]
    if len(ways) > 1:
        steps = xp.arange(ways[-1].taps, dtype=index.dtype, device=device(index))[None, :, None]
        index = xp.reshape(index[:, None, :] + steps, (index.shape[0], -1))
        taps[-1] = {o: xp.stack(t, axis=1) for o, t in taps[-1].items()}
    return index, taps


def _lead(taps: list[dict[int, Any]], ways: Any, order: Sequence[int]) -> Iterator[tuple[int, Array]]:
    """The products of the taps of all axes but the last, or of the only one, and how far on in the table each is."""
    each = [t[o] for t, o in zip(taps, order, strict=True)][: max(1, len(ways) - 1)]
    for steps in itertools.product(*(range(len(t)) for t in each)):
        offset = sum(n * s for n, s in zip(steps, _strides(ways), strict=False))
        yield offset, functools.reduce(operator.mul, [t[n] for t, n in zip(each, steps, strict=True)])


def gather(
    xp: Any, h: Array, coordinates: Sequence[Array], axes: Sequence[Axis], orders: Sequence[Sequence[int]], dtype: Any
) -> list[Array]:
    """sum_k h_k prod_j pi_k^(order_j)(x_ji) at each pixel: (B, Kx[, Ky, ...]) -> (B, N) for each of ``orders``."""
    wide = _wide(xp, axes, dtype)
    h = _each_axis(xp, xp.astype(h, dtype, copy=False), wide, Coarse.coarsen, dtype)
    axes = [c.axis for c in wide]
    ways = _ways(xp, axes, coordinates[0], dtype, orders)

    def step(_: None, h: Array, *pixels: Array) -> tuple[None, tuple[Array, ...]]:
        if ways is None:
            return None, gather_dense(xp, h, pixels, axes, orders, dtype)
        return None, gather_taps(xp, h, pixels, ways, orders, dtype)

    return list(in_parts(step, None, [h, *coordinates], _rows(ways, coordinates[0]), 0)[1])


def gather_taps(xp: Any, h: Array, pixels: Any, ways: Any, orders: Any, dtype: Any) -> tuple[Array, ...]:
    plans = [p for o in orders if (p := compiled.plan(ways, o, pixels[0], dtype))]
    if len(plans) == len(orders):
        if all(isinstance(w, Band) for w in ways):  # whose tables are those of the bins, whatever the order
            tables = [compiled.seen_by(plans[0], h, dtype, ways)] * len(orders)
        else:
            tables = [compiled.seen_by(p, _expanded(xp, h, ways, o), dtype) for p, o in zip(plans, orders, strict=True)]
        return tuple(xp.asarray(compiled.gather(p, t, pixels, dtype)) for p, t in zip(plans, tables, strict=True))
    tables = [_expanded(xp, h, ways, o) for o in orders]

    def step(_: None, *cut: Array) -> tuple[None, tuple[Array, ...]]:
        index, taps = _located(xp, [xp.astype(c, dtype, copy=False) for c in cut], ways, orders)
        results = []
        for table, o in zip(tables, orders, strict=True):
            block, total = None if len(ways) == 1 else taps[-1][o[-1]], None
            for offset, tap in _lead(taps, ways, o):
                seen = take(xp, table, index, offset)
                if block is not None:
                    seen = xp.sum(xp.reshape(seen, block.shape) * block, axis=1)
                seen = seen * tap
                total = seen if total is None else total + seen
            results.append(total)
        return None, tuple(results)

    return in_parts(step, None, pixels, chunk(_work(pixels[0].shape[0], ways)), 1)[1]


def _expanded(xp: Any, h: Array, ways: Any, order: Sequence[int]) -> Array:
    """The table (B, size) that pixels see under an order of derivatives."""
    for j, (way, o) in enumerate(zip(ways, order, strict=True)):
        h = xp.moveaxis(way.expand(xp.moveaxis(h, j + 1, -1), o), -1, j + 1)
    return xp.reshape(h, (h.shape[0], math.prod([w.size for w in ways])))

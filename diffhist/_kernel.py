"""Evaluation of the kernel of Eq. 6: pixels spread onto bins, and bins gathered at pixels.

Two ways that agree to rounding. *Band*: the logistic kernel reaches only R bins, so each pixel meets 2R+1
bins around its own, whatever K is. *Dense*: every pixel meets every bin, for kernels as wide as the range.
Both walk through the pixels in chunks, so memory beyond the inputs does not grow with their number.

Everything here is plain array code on samples in rows: coordinates (B, N), histograms (B, K) or (B, Kx, Ky).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from diffhist._array import Array, accumulator_dtype, device, is_half, scatter_add, take

CHUNK = 1 << 18  # elements in one temporary: 1 MB in float32, which stays in a core's cache


class Axis(NamedTuple):
    """The bins of one coordinate: ``bins`` intervals of length ``step`` from ``low``, kernel width in bins."""

    bins: int
    low: float
    step: float
    width: float
    boundary: str

    def reach(self, dtype_bits: int) -> int:
        """Bins on each side beyond which the kernel is below rounding."""
        return max(1, math.ceil(self.width * (36.0 if dtype_bits == 64 else 16.7)))


def _bits(xp: Any, dtype: Any) -> int:
    return xp.finfo(dtype).bits


def _coordinate(xp: Any, x: Array, axis: Axis) -> tuple[Array, Array | float]:
    """x in units of bins, brought into the range as the boundary says, and du/dx in bins (its sign at a mirror)."""
    u = (x - axis.low) * (1.0 / axis.step)
    if axis.boundary == "circular":
        return u - axis.bins * xp.floor(u * (1.0 / axis.bins)), 1.0
    if axis.boundary == "reflect":
        period = 2.0 * axis.bins
        u = u - period * xp.floor(u * (1.0 / period))
        mirrored = u > axis.bins
        return xp.where(mirrored, period - u, u), xp.where(mirrored, -xp.ones_like(u), xp.ones_like(u))
    return u, 1.0


def _logistic_derivative(order: int) -> list[float]:
    """Coefficients (of s, s^2, ...) of the polynomial in s = sigmoid(z) that is its ``order``-th derivative."""
    coefficients = [1.0]
    for _ in range(order):  # d/dz s^n = n s^n (1 - s)
        longer = [0.0] * (len(coefficients) + 1)
        for n, c in enumerate(coefficients, start=1):
            longer[n - 1] += n * c
            longer[n] -= n * c
        coefficients = longer
    return coefficients


def _masses(xp: Any, z: Array, axis: Axis, order: int, closed: bool) -> Array:
    """Mass (or its ``order``-th derivative in u) between neighbouring edges; z (B, E, n) -> (B, E - 1, n)."""
    s = (xp.tanh(z * 0.5) + 1.0) * 0.5
    value = 0.0
    for c in reversed(_logistic_derivative(order)):
        value = (value + c) * s
    if order:
        value = value * axis.width**-order
    if closed:  # the outermost edges stand for infinity, so that cutting the band loses no mass
        ones = xp.full_like(value[:, :1, :], 0.0 if order else 1.0)
        value = xp.concat([ones, value[:, 1:-1, :], xp.zeros_like(ones)], axis=1)
    return value[:, :-1, :] - value[:, 1:, :]


def _derivative_factor(axis: Axis, sign: Array | float, order: int) -> Array | float:
    """(du/dx)^order, with x in its own units."""
    factor = axis.step**-order
    return factor * sign if order % 2 else factor


class _Band:
    """One coordinate's taps: 2R+1 masses a pixel, onto bins padded on both sides."""

    def __init__(self, xp: Any, axis: Axis, dtype: Any):
        self.xp, self.axis, self.dtype = xp, axis, dtype
        self.reach = axis.reach(_bits(xp, dtype))
        self.taps = 2 * self.reach + 1
        self.pad = self.taps if axis.boundary == "open" else self.reach
        self.size = axis.bins + 2 * self.pad

    def __call__(self, x: Array, orders: Sequence[int]) -> tuple[Array, dict[int, Array]]:
        """x (B, n) -> padded index of the first tap (B, n), and the taps (B, T, n) for each derivative order."""
        xp, axis, reach = self.xp, self.axis, self.reach
        u, sign = _coordinate(xp, x, axis)
        low, high = (-reach - 0.5, axis.bins + reach + 0.5) if axis.boundary == "open" else (0.0, axis.bins)
        u = xp.clip(u, low, high)  # what is further out reaches no bin
        cell = xp.floor(u)
        if axis.boundary != "open":
            cell = xp.clip(cell, 0, axis.bins - 1)  # u == K, by rounding, is the end of the last bin
        edges = xp.arange(-reach, reach + 2, dtype=self.dtype, device=device(x))[None, :, None]
        z = ((u - cell)[:, None, :] - edges) * min(1.0 / axis.width, 1e30)
        first = xp.where(xp.isnan(cell), xp.zeros_like(cell), cell) + (self.pad - reach)
        taps = {
            o: _masses(xp, z, axis, o, closed=True) * _expand(_derivative_factor(axis, sign, o)) for o in set(orders)
        }
        return xp.astype(first, xp.int64), taps


def _expand(factor: Array | float) -> Array | float:
    return factor if isinstance(factor, float) else factor[:, None, :]


def _dense(xp: Any, x: Array, axis: Axis, orders: Sequence[int]) -> dict[int, Array]:
    """x (B, n) -> the masses of all bins (B, K, n) for each derivative order."""
    u, sign = _coordinate(xp, x, axis)
    pad = 0 if axis.boundary == "open" else axis.reach(_bits(xp, x.dtype))
    edges = xp.arange(-pad, axis.bins + pad + 1, dtype=x.dtype, device=device(x))[None, :, None]
    z = (u[:, None, :] - edges) * min(1.0 / axis.width, 1e30)
    masses = {}
    for o in set(orders):
        padded = _masses(xp, z, axis, o, closed=False) * _expand(_derivative_factor(axis, sign, o))
        masses[o] = xp.moveaxis(_fold(xp, xp.moveaxis(padded, 1, -1), axis, pad), -1, 1)
    return masses


def _fold(xp: Any, h: Array, axis: Axis, pad: int) -> Array:
    """Bins padded by ``pad`` on both sides (..., K + 2 pad) -> (..., K), by the boundary rule."""
    K = axis.bins
    if axis.boundary == "open" or pad == 0:
        return h[..., pad : pad + K]
    period = K if axis.boundary == "circular" else 2 * K
    before, after = -pad % period, -(pad + K) % period
    shape = h.shape[:-1]
    parts = [xp.zeros((*shape, n), dtype=h.dtype, device=device(h)) for n in (before, after)]
    h = xp.concat([parts[0], h, parts[1]], axis=-1)
    h = xp.sum(xp.reshape(h, (*shape, h.shape[-1] // period, period)), axis=-2)
    return h if period == K else h[..., :K] + xp.flip(h[..., K:], axis=-1)


def _unfold(xp: Any, h: Array, axis: Axis, pad: int) -> Array:
    """The adjoint of `_fold`: (..., K) -> (..., K + 2 pad)."""
    K = axis.bins
    if axis.boundary == "open":
        zeros = xp.zeros((*h.shape[:-1], pad), dtype=h.dtype, device=device(h))
        return xp.concat([zeros, h, zeros], axis=-1)
    if axis.boundary == "reflect":
        h = xp.concat([h, xp.flip(h, axis=-1)], axis=-1)
    index = xp.remainder(xp.arange(-pad, K + pad, device=device(h)), h.shape[-1])
    return xp.take(h, index, axis=-1)


def _both(xp: Any, h: Array, change: Any, axes: Sequence[Axis], pads: Sequence[int]) -> Array:
    """``change`` (fold or unfold) applied to every histogram axis of h (B, Kx[, Ky])."""
    h = change(xp, h, axes[-1], pads[-1])
    if len(axes) == 2:
        h = xp.matrix_transpose(change(xp, xp.matrix_transpose(h), axes[0], pads[0]))
    return h


def _chunks(total: int, each: int) -> Iterator[slice]:
    step = max(1, CHUNK // max(1, each))
    for start in range(0, total, step):
        yield slice(start, min(total, start + step))


def _is_dense(axes: Sequence[Axis], bands: Sequence[_Band]) -> bool:
    """Whether evaluating every bin costs less than the band: a scattered element costs about 20 multiplied ones."""
    taps, cells = math.prod(b.taps for b in bands), math.prod(a.bins for a in axes)
    return taps * (1 if len(axes) == 1 else 20) >= cells or any(b.reach >= b.axis.bins for b in bands)


def _working(xp: Any, x: Array, dtype: Any) -> Array:
    return xp.astype(x, dtype) if x.dtype != dtype else x


def spread(
    xp: Any, coordinates: Sequence[Array], weights: Array | None, axes: Sequence[Axis], orders: Sequence[int], dtype: Any
) -> Array:
    """sum_i w_i prod_j pi_k^(order_j)(x_ji) over the pixels of each row -> (B, Kx[, Ky]) in the accumulator's dtype."""
    x = coordinates[0]
    B, N = x.shape
    exact = accumulator_dtype(xp, x)
    bands = [_Band(xp, a, dtype) for a in axes]
    dense = _is_dense(axes, bands)
    shape = tuple(a.bins for a in axes) if dense else tuple(b.size for b in bands)
    table = xp.zeros((B, math.prod(shape)), dtype=exact, device=device(x))
    for part in _chunks(N, B * (sum(shape) if dense else bands[-1].taps)):
        columns = [_working(xp, c[:, part], dtype) for c in coordinates]
        w = None if weights is None else _working(xp, weights[:, part], dtype)[:, None, :]
        if dense:
            masses = [_dense(xp, c, a, (o,))[o] for c, a, o in zip(columns, axes, orders, strict=True)]
            last = masses[-1] if w is None else masses[-1] * w
            if len(axes) == 2:
                last = xp.matmul(masses[0], xp.matrix_transpose(last))
            else:
                last = xp.sum(last, axis=-1)
            table = table + xp.astype(xp.reshape(last, table.shape), exact)
        else:
            found = [b(c, (o,)) for b, c, o in zip(bands, columns, orders, strict=True)]
            first, taps = found[-1][0], found[-1][1][orders[-1]]
            taps = taps if w is None else taps * w
            if len(axes) == 2:
                first = first + found[0][0] * bands[1].size
            index = _tap_index(xp, first, bands[-1].taps)
            for offset, lead in _leading(bands, found, orders):
                values = xp.reshape(xp.astype(taps if lead is None else taps * lead, exact), index.shape)
                table = scatter_add(xp, table, index, values, offset)
    total = xp.sum(table, axis=-1)
    table = xp.reshape(table, (B, *shape))
    if not dense:
        table = _both(xp, table, _fold, axes, [b.pad for b in bands])
    return table + xp.reshape(0.0 * total, (B,) + (1,) * len(axes))  # a NaN anywhere is a NaN everywhere


def _tap_index(xp: Any, first: Array, taps: int) -> Array:
    """(B, n) -> (B, taps * n): each pixel's index at each tap, tap by tap."""
    steps = xp.arange(taps, dtype=first.dtype, device=device(first))[None, :, None]
    return xp.reshape(first[:, None, :] + steps, (first.shape[0], taps * first.shape[1]))


def _leading(bands: Sequence[_Band], found: Any, orders: Sequence[int]) -> Iterator[tuple[int, Array | None]]:
    """Offset and factor of each tap of the first of two coordinates; a single coordinate has one of factor 1."""
    if len(bands) == 1:
        yield 0, None
    else:
        taps = found[0][1][orders[0]]
        for i in range(bands[0].taps):
            yield i * bands[1].size, taps[:, i : i + 1, :]


def gather(
    xp: Any, h: Array, coordinates: Sequence[Array], axes: Sequence[Axis], orders: Sequence[Sequence[int]], dtype: Any
) -> list[Array]:
    """sum_k h_k prod_j pi_k^(order_j)(x_ji) at each pixel -> one (B, N) for each entry of ``orders``."""
    B, N = coordinates[0].shape
    bands = [_Band(xp, a, dtype) for a in axes]
    dense = _is_dense(axes, bands)
    h = _working(xp, h, dtype)
    if not dense:
        h = xp.reshape(_both(xp, h, _unfold, axes, [b.pad for b in bands]), (B, -1))
    each = sum(a.bins for a in axes) if dense else bands[-1].taps
    per_axis = [[o[j] for o in orders] for j in range(len(axes))]
    results: list[list[Array]] = [[] for _ in orders]
    for part in _chunks(N, B * each):
        columns = [_working(xp, c[:, part], dtype) for c in coordinates]
        if dense:
            masses = [_dense(xp, c, a, o) for c, a, o in zip(columns, axes, per_axis, strict=True)]
            for result, order in zip(results, orders, strict=True):
                seen = h[:, :, None] if len(axes) == 1 else xp.matmul(xp.matrix_transpose(h), masses[0][order[0]])
                result.append(xp.sum(seen * masses[-1][order[-1]], axis=1))
            continue
        found = [b(c, o) for b, c, o in zip(bands, columns, per_axis, strict=True)]
        first = found[-1][0] if len(axes) == 1 else found[1][0] + found[0][0] * bands[1].size
        index = _tap_index(xp, first, bands[-1].taps)
        sums = [0.0] * len(orders)
        for i in range(1 if len(axes) == 1 else bands[0].taps):
            seen = xp.reshape(take(xp, h, index, i * bands[-1].size), found[-1][1][orders[0][-1]].shape)
            rows = {o: xp.sum(seen * found[-1][1][o], axis=1) for o in set(per_axis[-1])}
            for n, order in enumerate(orders):
                lead = 1.0 if len(axes) == 1 else found[0][1][order[0]][:, i, :]
                sums[n] = sums[n] + rows[order[-1]] * lead
        for result, s in zip(results, sums, strict=True):
            result.append(s)
    return [xp.concat(r, axis=-1) for r in results]

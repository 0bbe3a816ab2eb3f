"""A kernel between pixels and bins, as in Eq. 6: coordinates, edges, boundaries.

Everything here is plain array code on samples in rows: coordinates (B, n), histograms (B, K).
"""

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from diffhist._array import Array, constant, device, index_dtype
from diffhist._evaluation.kernels import KERNELS

CHUNK = 1 << 20  # elements of the temporaries that are alive at once


class Axis(NamedTuple):
    """The bins of one coordinate: ``bins`` intervals of length ``step`` from ``low``, kernel ``width`` in such lengths.

    Bins of different lengths have a mean of ``step``, and ``edges``: from 0 to ``bins``, in units of it.
    """

    bins: int
    low: float
    step: float
    width: float
    boundary: str
    kernel: str = "logistic"
    edges: tuple[float, ...] = ()

    def reach(self, nepers: float) -> int:
        """Lengths of bins beyond which the kernel has fallen by exp(-nepers)."""
        return max(1, math.ceil(self.width * KERNELS[self.kernel].support(nepers)))

    def across(self, nepers: float) -> int:
        """Bins on each side, from wherever, that hold all that is in reach."""
        return _most_bins(self, self.reach(nepers)) if self.edges else self.reach(nepers)

    def edge(self, k: int) -> float:
        """The k-th edge from ``low``, also beyond the range, where bins go on as the boundary says."""
        if not self.edges:
            return float(k)
        turn, k = divmod(k, self.bins)
        if self.boundary == "reflect" and turn % 2:
            return (turn + 1.0) * self.bins - self.edges[self.bins - k]
        return turn * self.bins + self.edges[k]


@functools.lru_cache(maxsize=256)
def _most_bins(axis: Axis, length: int) -> int:
    """The most bins that begin, from the edge of one on, within a length in units of bins."""
    turns, rest = divmod(length, 2 * axis.bins)  # bins come again after two turns at most
    places = np.asarray([axis.edge(k) for k in range(4 * axis.bins + 1)])
    within = np.searchsorted(places, places[: 2 * axis.bins] + rest) - np.arange(2 * axis.bins)
    return max(1, turns * 2 * axis.bins + int(within.max()))


def depth(xp: Any, dtype: Any) -> float:
    """Nepers to below the rounding of a dtype."""
    return 36.0 if xp.finfo(dtype).bits == 64 else 16.7


def coordinate(xp: Any, x: Array, axis: Axis, reach: int) -> tuple[Array, Array]:
    """x in units of bins, brought into the range as the boundary says, and the sign of du/dx: -1 in a mirror.

    Under an open boundary, what is more than ``reach`` bins outside meets no bin, and is left just there.
    """
    span = axis.bins * axis.step
    if axis.boundary == "open":
        margin = (reach + 0.5) * axis.step
        x = xp.clip(x, axis.low - margin, axis.low + span + margin)
        return (x - axis.low) * (1.0 / axis.step), 1.0
    x = x - axis.low
    period = span if axis.boundary == "circular" else 2.0 * span
    u = (x - period * xp.floor(x * (1.0 / period))) * (1.0 / axis.step)
    if axis.boundary == "circular":
        return u, 1.0
    mirrored = u > axis.bins
    return xp.where(mirrored, 2.0 * axis.bins - u, u), xp.where(mirrored, -xp.ones_like(u), xp.ones_like(u))


def places(xp: Any, axis: Axis, first: int, last: int, like: Array) -> Array:
    """Edges from the ``first`` to the ``last``, in units of bins."""
    if not axis.edges:
        return xp.arange(first, last + 1, dtype=like.dtype, device=device(like))
    return constant(xp, _places, (axis, first, last), like.dtype, like)


def _places(axis: Axis, first: int, last: int) -> np.ndarray:
    return np.asarray([axis.edge(k) for k in range(first, last + 1)])


def above(xp: Any, u: Array, edges: Array, axis: Axis, orders: Iterable[int]) -> dict[int, Array]:
    """Share of a kernel at u (B, n) above each of the edges, which broadcast to (B, edges, n), or its derivatives by u,
    for each order."""
    z = (u[:, None, :] - edges) * min(1.0 / axis.width, 1e30)
    return by_u(KERNELS[axis.kernel].above(xp, z, orders), axis)


def by_u(slopes: dict[int, Array], axis: Axis) -> dict[int, Array]:
    """Derivatives by a kernel's own coordinate -> derivatives by u."""
    return {o: s * axis.width**-o if o else s for o, s in slopes.items()}


def fold(xp: Any, h: Array, axis: Axis, pad: int) -> Array:
    """Bins with ``pad`` more on both sides (..., K + 2 pad) -> (..., K), by the boundary rule."""
    K = axis.bins
    if axis.boundary == "open" or pad == 0:
        return h[..., pad : pad + K]
    period = K if axis.boundary == "circular" else 2 * K
    shape = h.shape[:-1]
    ends = [xp.zeros((*shape, n), dtype=h.dtype, device=device(h)) for n in (-pad % period, -(pad + K) % period)]
    # `pad` may exceed the period: whole turns are laid on top of each other
    h = xp.concat([ends[0], h, ends[1]], axis=-1)
    h = xp.sum(xp.reshape(h, (*shape, h.shape[-1] // period, period)), axis=-2)
    return h if period == K else h[..., :K] + xp.flip(h[..., K:], axis=-1)


def unfold(xp: Any, h: Array, axis: Axis, pad: int) -> Array:
    """The adjoint of `fold`: (..., K) -> (..., K + 2 pad)."""
    if pad == 0:
        return h
    if axis.boundary == "open":
        zeros = xp.zeros((*h.shape[:-1], pad), dtype=h.dtype, device=device(h))
        return xp.concat([zeros, h, zeros], axis=-1)
    if axis.boundary == "reflect":
        h = xp.concat([h, xp.flip(h, axis=-1)], axis=-1)
    index = xp.remainder(xp.arange(-pad, axis.bins + pad, dtype=index_dtype(xp, h), device=device(h)), h.shape[-1])
    return xp.take(h, index, axis=-1)


def placed(xp: Any, a: Array, front: int, length: int) -> Array:
    """``a`` in an array of ``length`` along the last axis, from ``front`` on: zeros around it, cut off at the ends."""
    a = a[..., max(0, -front) : min(a.shape[-1], length - front)]
    ends = max(0, front), length - max(0, front) - a.shape[-1]
    if not any(ends):
        return a
    before, after = (xp.zeros((*a.shape[:-1], n), dtype=a.dtype, device=device(a)) for n in ends)
    return xp.concat([before, a, after], axis=-1)


def mirrored(sign: Array, order: int) -> bool:
    """Whether a derivative of this order changes its sign in a mirror."""
    return order % 2 == 1 and not isinstance(sign, float)


def by_x(masses: Array, axis: Axis, sign: Array, order: int) -> Array:
    """Derivatives by u (B, ..., n) -> derivatives by x."""
    if order:
        masses = masses * axis.step**-order
    return masses * sign[:, None, :] if mirrored(sign, order) else masses


def chunk(each: int) -> int:
    """How many to take at a time, so many elements each."""
    return max(1, CHUNK // max(1, each))

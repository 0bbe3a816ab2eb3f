"""A kernel between pixels and bins, as in Eq. 6: coordinates, edges, boundaries.

Everything here is plain array code on samples in rows: coordinates (B, n), histograms (B, K).
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from diffhist._array import Array, device, index_dtype
from diffhist._evaluation.kernels import KERNELS

CHUNK = 1 << 20  # elements of the temporaries that are alive at once


class Axis(NamedTuple):
    """The bins of one coordinate: ``bins`` intervals of length ``step`` from ``low``, kernel ``width`` in bins."""

    bins: int
    low: float
    step: float
    width: float
    boundary: str
    kernel: str = "logistic"

    def reach(self, nepers: float) -> int:
        """Bins on each side beyond which the kernel has fallen by exp(-nepers)."""
        return max(1, math.ceil(self.width * KERNELS[self.kernel].support(nepers)))


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


def edges(xp: Any, u: Array, first: int, last: int, axis: Axis, orders: Iterable[int]) -> dict[int, Array]:
    """Share of a kernel at u (B, n) above each edge, or its derivatives by u, for each order: (B, edges, n)."""
    k = xp.arange(first, last + 1, dtype=u.dtype, device=device(u))[None, :, None]
    z = (u[:, None, :] - k) * min(1.0 / axis.width, 1e30)
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

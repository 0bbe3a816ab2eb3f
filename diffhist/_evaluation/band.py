"""Evaluation by bands: a pixel meets the bins in reach of its kernel, and no others."""

from collections.abc import Iterable
from typing import Any

from diffhist._array import Array, device, index_dtype
from diffhist._evaluation.kernel import Axis, by_u, by_x, coordinate, depth, edges, fold, unfold
from diffhist._evaluation.kernels import logistic_slopes


class Band:
    """One coordinate's own bins: a pixel meets the 2R + 1 around it, beyond which the kernel is below rounding."""

    def __init__(self, xp: Any, axis: Axis, dtype: Any):
        self.xp, self.axis, self.dtype = xp, axis, dtype
        self.reach = axis.reach(depth(xp, dtype))
        self.taps = 2 * self.reach + 1
        self.pad = self.taps if axis.boundary == "open" else self.reach
        self.size = axis.bins + 2 * self.pad

    def locate(self, x: Array, orders: Iterable[int]) -> tuple[Array, dict[int, list[Array]]]:
        """x (B, n) -> padded index of its first bin (B, n), and its mass in the bins from there on, for each order."""
        xp, axis, reach = self.xp, self.axis, self.reach
        u, sign = coordinate(xp, x, axis, reach)
        cell = xp.floor(u)
        if axis.boundary != "open":  # rounding may leave u just outside [0, K)
            cell = xp.clip(cell, 0.0, axis.bins - 1.0)
        first = xp.where(xp.isnan(cell), xp.zeros_like(cell), cell) + (self.pad - reach)
        taps = {}
        for o, above in self._above(u - cell, orders).items():
            # The outermost bins reach to infinity, so that cutting the band loses no mass.
            above = by_x(above, axis, sign, o)
            inner = above[:, :-1, :] - above[:, 1:, :]
            whole = 0.0 if o else 1.0
            taps[o] = [whole - above[:, 0, :], *(inner[:, t, :] for t in range(2 * reach - 1)), above[:, -1, :]]
        return xp.astype(first, index_dtype(xp, x)), taps

    def _above(self, t: Array, orders: Iterable[int]) -> dict[int, Array]:
        """`edges` at t (B, n) within a bin, for the edges of the band inside."""
        xp, axis, reach = self.xp, self.axis, self.reach
        if axis.kernel != "logistic" or axis.width < 1 / 40:  # exp(reach / width) would overflow
            return edges(xp, t, 1 - reach, reach, axis, orders)
        # one exponential for all edges
        k = xp.arange(1 - reach, reach + 1, dtype=t.dtype, device=device(t))[None, :, None]
        shares = 1.0 / (1.0 + xp.exp(t * (-1.0 / axis.width))[:, None, :] * xp.exp(k * (1.0 / axis.width)))
        return by_u(logistic_slopes(shares, orders), axis)

    def collect(self, table: Array, order: int) -> Array:
        """Padded bins (..., size) -> bins (..., K)."""
        return fold(self.xp, self.xp.astype(table, self.dtype, copy=False), self.axis, self.pad)

    def expand(self, h: Array, order: int) -> Array:
        """The adjoint of `collect`."""
        return unfold(self.xp, h, self.axis, self.pad)

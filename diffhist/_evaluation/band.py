"""Evaluation by bands: a pixel meets the bins in reach of its kernel, and no others."""

from collections.abc import Iterable
from typing import Any

from diffhist._array import Array, device, index_dtype
from diffhist._evaluation.kernel import Axis, above, by_u, by_x, coordinate, depth, fold, places, unfold
from diffhist._evaluation.kernels import logistic_slopes


class Band:
    """One coordinate's own bins: a pixel meets the 2R + 1 around it, beyond which the kernel is below rounding."""

    def __init__(self, xp: Any, axis: Axis, dtype: Any):
        self.xp, self.axis, self.dtype = xp, axis, dtype
        self.length = axis.reach(depth(xp, dtype))
        self.reach = axis.across(depth(xp, dtype))
        self.taps = 2 * self.reach + 1
        self.pad = self.taps if axis.boundary == "open" else self.reach
        self.size = axis.bins + 2 * self.pad
        self.first = -self.reach - 1 if axis.boundary == "open" else 0  # the bins that a pixel may be in
        self.last = axis.bins - 1 - self.first

    def locate(self, x: Array, orders: Iterable[int]) -> tuple[Array, dict[int, list[Array]]]:
        """x (B, n) -> padded index of its first bin (B, n), and its mass in the bins from there on, for each order."""
        xp, axis, reach = self.xp, self.axis, self.reach
        u, sign = coordinate(xp, x, axis, self.length)
        cell = self._cell(u)
        taps = {}
        for o, shares in self._shares(u, cell, orders).items():
            # The outermost bins reach to infinity, so that cutting the band loses no mass.
            shares = by_x(shares, axis, sign, o)
            inner = shares[:, :-1, :] - shares[:, 1:, :]
            whole = 0.0 if o else 1.0
            taps[o] = [whole - shares[:, 0, :], *(inner[:, t, :] for t in range(2 * reach - 1)), shares[:, -1, :]]
        first = xp.where(xp.isnan(cell), xp.zeros_like(cell), cell) + (self.pad - reach)
        return xp.astype(first, index_dtype(xp, x)), taps

    def _cell(self, u: Array) -> Array:
        """The bin that u is in."""
        xp, axis = self.xp, self.axis
        if axis.edges:
            inner = places(xp, axis, self.first + 1, self.last, u)
            before = xp.searchsorted(inner, xp.reshape(u, (-1,)), side="right")
            return xp.reshape(xp.astype(before, u.dtype), u.shape) + self.first
        cell = xp.floor(u)
        if axis.boundary != "open":  # rounding may leave u just outside [0, K)
            cell = xp.clip(cell, 0.0, axis.bins - 1.0)
        return cell

    def _shares(self, u: Array, cell: Array, orders: Iterable[int]) -> dict[int, Array]:
        """`above` at u (B, n), for the edges of the band inside."""
        xp, axis, reach = self.xp, self.axis, self.reach
        if axis.edges:
            steps = xp.arange(2 * reach, dtype=index_dtype(xp, u), device=device(u))[None, :, None]
            at = xp.astype(cell - self.first, steps.dtype)[:, None, :] + steps
            inner = places(xp, axis, self.first + 1 - reach, self.last + reach, u)
            return above(xp, u, xp.reshape(xp.take(inner, xp.reshape(at, (-1,))), at.shape), axis, orders)
        t, k = u - cell, places(xp, axis, 1 - reach, reach, u)[None, :, None]
        if axis.kernel != "logistic" or axis.width < 1 / 40:  # exp(reach / width) would overflow
            return above(xp, t, k, axis, orders)
        # one exponential for all edges
        shares = 1.0 / (1.0 + xp.exp(t * (-1.0 / axis.width))[:, None, :] * xp.exp(k * (1.0 / axis.width)))
        return by_u(logistic_slopes(shares, orders), axis)

    def collect(self, table: Array, order: int) -> Array:
        """Padded bins (..., size) -> bins (..., K)."""
        return fold(self.xp, self.xp.astype(table, self.dtype, copy=False), self.axis, self.pad)

    def expand(self, h: Array, order: int) -> Array:
        """The adjoint of `collect`."""
        return unfold(self.xp, h, self.axis, self.pad)

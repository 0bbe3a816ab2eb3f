"""Wide kernels on fewer bins: a histogram that is smooth on the scale of its bins is known by wider ones.

The share above an edge, as a function of the edge, has next to no detail below the kernel's width. With `FINENESS` wide
bins to a width, polynomials through the neighbouring edges give the share above any edge between them.
"""

from typing import Any

import numpy as np

from diffhist._array import Array, constant
from diffhist._evaluation.kernel import Axis, fold, placed, unfold
from diffhist._evaluation.kernels import KERNELS

FINENESS = 4.0  # wide bins to a kernel's width, at least
SIDE = 5  # edges on each side of a bin that polynomials go through: with 4 to a width an error of 1e-8 of the whole


class Coarse:
    """One coordinate with ``merged`` bins to a wide one: on ``axis``, which a closed range divides exactly and an open
    one surrounds by more wide bins."""

    def __init__(self, xp: Any, axis: Axis, allowed: bool):
        self.xp, self.bins = xp, axis.bins
        self.merged = m = merged(axis) if allowed else 1
        self.open, self.wide = axis.boundary == "open", -(-axis.bins // m)
        margin = SIDE - 1 if self.open and m > 1 else 0
        low, step, width = axis.low - margin * m * axis.step, axis.step * m, axis.width / m
        self.axis = axis._replace(bins=self.wide + 2 * margin, low=low, step=step, width=width)

    def refine(self, h: Array) -> Array:
        """Wide bins (..., K') -> bins (..., K)."""
        xp, shape = self.xp, h.shape[:-1]
        h = h if self.open else unfold(xp, h, self.axis, SIDE - 1)
        seen = xp.stack([h[..., t : t + self.wide] for t in range(2 * SIDE - 1)], axis=-1)
        fine = xp.matmul(seen, self._shares(h))
        # polynomials through a tail that ends may be below 0, of which there is no logarithm
        fine = xp.where(xp.all(seen >= 0, axis=-1, keepdims=True) & (fine < 0), xp.zeros_like(fine), fine)
        return xp.reshape(fine, (*shape, self.wide * self.merged))[..., : self.bins]

    def coarsen(self, h: Array) -> Array:
        """The adjoint of `refine`: bins (..., K) -> wide bins (..., K')."""
        xp, shape = self.xp, h.shape[:-1]
        h = placed(xp, h, 0, self.wide * self.merged)
        seen = xp.matmul(xp.reshape(h, (-1, self.merged)), xp.matrix_transpose(self._shares(h)))
        seen = xp.reshape(seen, (*shape, self.wide, 2 * SIDE - 1))
        total = sum(placed(xp, seen[..., t], t, self.wide + 2 * SIDE - 2) for t in range(2 * SIDE - 1))
        return total if self.open else fold(xp, total, self.axis, SIDE - 1)

    def _shares(self, like: Array) -> Array:
        return constant(self.xp, _shares, (self.merged,), like.dtype, like)


def merged(axis: Axis) -> int:
    """How many bins a wide one has; 1 where there is nothing to gain, the kernel has kinks, or bins differ."""
    most = min(int(axis.width / FINENESS), axis.bins)
    if most < 2 or axis.edges or not KERNELS[axis.kernel].nodes:
        return 1
    return most if axis.boundary == "open" else max(m for m in range(1, most + 1) if axis.bins % m == 0)


def _shares(merged: int) -> np.ndarray:
    """What each bin within a wide one takes of the wide bins around it: (2 SIDE - 1, merged).

    The polynomial through the shares F above 2 SIDE edges, at both ends of a bin; a sum by parts makes of it
    combinations of the masses F_i - F_(i + 1), without the cancellation.
    """
    edges = np.arange(1 - SIDE, SIDE + 1.0)
    places = np.arange(merged + 1) / merged
    values = np.stack(
        [np.prod([(places - other) / (edge - other) for other in edges if other != edge], axis=0) for edge in edges]
    )
    return np.cumsum(values[:, :-1] - values[:, 1:], axis=0)[:-1]

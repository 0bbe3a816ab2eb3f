"""Evaluation by way of a fine grid: pixels spread onto B-splines, and the grid smoothed into bins.

A quartic B-spline meets five nodes of the grid, whatever the kernel's width; each bin is then a fixed combination of
nodes, found once by least squares. Float32 alone: the splines stand for the kernel to a few parts in a million.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from diffhist._array import Array, constant, device
from diffhist._kernel import Axis, coordinate, fold, unfold

DEGREE = 4


class Spline:
    """One coordinate on a grid of ``fineness`` nodes a bin."""

    taps = DEGREE + 1

    def __init__(self, xp: Any, axis: Axis, dtype: Any, nodes_per_width: float):
        self.xp, self.axis, self.dtype = xp, axis, dtype
        self.fineness = max(1, math.ceil(nodes_per_width / axis.width))
        self.reach = axis.reach(32)
        self.origin = self.reach + 1 if axis.boundary == "open" else 0  # bins in front of the range
        self.pad = 0 if self.origin else self.reach + 1 + math.ceil(DEGREE / self.fineness)
        self.size = (axis.bins + 2 * self.origin) * self.fineness + DEGREE

    def locate(self, x: Array, orders: Any) -> tuple[Array, dict[int, Array]]:
        """x (B, n) -> index of its first node (B, n), and its weight at each node (B, T, n) for each order."""
        xp, M = self.xp, self.fineness
        u, sign = coordinate(xp, x, self.axis)
        cells = self.size - DEGREE
        v = xp.clip((u + self.origin) * M, 0.0, cells * 1.0) if self.origin else u * M
        cell = xp.clip(xp.floor(v), 0.0, cells - 1.0)
        first = xp.astype(xp.where(xp.isnan(cell), xp.zeros_like(cell), cell), xp.int64)
        weights = xp.stack(_bspline(v - cell), axis=1)
        odd = weights if isinstance(sign, float) else weights * sign[:, None, :]
        return first, {o: odd if o % 2 else weights for o in set(orders)}

    def collect(self, grid: Array, order: int) -> Array:
        """Nodes (..., size) -> bins (..., K)."""
        xp = self.xp
        padded = xp.zeros((*grid.shape[:-1], self.axis.bins + 2 * self.pad), dtype=self.dtype, device=device(grid))
        for bins, nodes, block in self._blocks(grid, order):
            padded[..., bins] = xp.matmul(xp.astype(grid[..., nodes], self.dtype), block)
        return fold(xp, padded, self.axis, self.pad)

    def expand(self, h: Array, order: int) -> Array:
        """The adjoint of `collect`: bins (..., K) -> nodes (..., size)."""
        xp = self.xp
        padded = unfold(xp, h, self.axis, self.pad)
        grid = xp.zeros((*h.shape[:-1], self.size), dtype=self.dtype, device=device(h))
        for bins, nodes, block in self._blocks(h, order):
            grid[..., nodes] += xp.matmul(padded[..., bins], xp.matrix_transpose(block))
        return grid

    def _blocks(self, like: Array, order: int) -> Iterator[tuple[slice, slice, Array]]:
        """Runs of padded bins, the nodes that they see, and the coefficients (nodes, bins) in between."""
        M, total = self.fineness, self.axis.bins + 2 * self.pad
        run = max(32, total // 32)
        block = constant(self.xp, _block, (self.axis.width, M, self.reach, order, run), self.dtype, device(like))
        factor = self.axis.step**-order
        for start in range(0, total, run):
            stop = min(total, start + run)
            low = (start - self.pad + self.origin - self.reach) * M  # the first node that the run sees
            high = (stop - self.pad + self.origin + self.reach) * M + DEGREE
            nodes = slice(max(0, low), min(self.size, high))
            if nodes.start < nodes.stop:
                part = block[nodes.start - low : nodes.stop - low, : stop - start]
                yield slice(start, stop), nodes, part * factor if order else part


def _bspline(t: Array) -> list[Array]:
    """The DEGREE + 1 uniform B-splines that are not 0 at t in [0, 1) of a cell, times DEGREE! (Cox - de Boor)."""
    weights = [1.0 - t, t]
    for degree in range(2, DEGREE + 1):
        saved, longer = 0.0, []
        for r, w in enumerate(weights):
            longer.append((r + 1.0 - t) * w + saved)
            saved = (t + (degree - 1.0 - r)) * w
        weights = [*longer, saved]
    return weights


@functools.lru_cache(maxsize=64)
def _coefficients(width: float, fineness: int, reach: int, order: int) -> np.ndarray:
    """Least-squares coefficients of the kernel's mass in one bin (or its derivative in u) in B-splines."""
    M, per_cell = fineness, 12
    cells = (2 * reach + 1) * M
    t = (np.arange(per_cell) + 0.5) / per_cell
    weights = np.stack(_bspline(t), axis=1) / math.factorial(DEGREE)
    design = np.zeros((cells, per_cell, cells + DEGREE))
    for c in range(cells):
        design[c, :, c : c + DEGREE + 1] = weights
    u = ((np.arange(cells)[:, None] + t) / M - reach).ravel()
    masses = Axis(1, 0.0, 1.0, width, "open").masses_at(u, order)
    found = np.linalg.lstsq(design.reshape(-1, cells + DEGREE), masses, rcond=None)[0]
    # The masses of all bins add up to 1 (their derivatives to 0), exactly, at every node.
    rows = np.zeros(math.ceil(len(found) / M) * M)
    rows[: len(found)] = found
    rows = rows.reshape(-1, M)
    bell = np.abs(rows) + 1e-300
    rows += ((0.0 if order else 1.0) - rows.sum(0)) * bell / bell.sum(0)
    return rows.ravel()[: len(found)] / math.factorial(DEGREE)


def _block(width: float, fineness: int, reach: int, order: int, run: int) -> np.ndarray:
    """Coefficients between a run of bins and the nodes that they see: (nodes, bins)."""
    a = _coefficients(width, fineness, reach, order)
    block = np.zeros(((run + 2 * reach) * fineness + DEGREE, run))
    for k in range(run):
        block[k * fineness : k * fineness + len(a), k] = a
    return block

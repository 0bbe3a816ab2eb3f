"""Evaluation by way of a fine grid: pixels spread onto splines, and the grid smoothed into bins.

A pixel meets few nodes of the grid, whatever the kernel's width; each bin is then a fixed combination of nodes, found
once by least squares. For float32 alone: the splines stand for the kernel to a few parts in a million.
"""

import math
from collections.abc import Iterable
from typing import Any

import array_api_compat.numpy
import numpy as np

from diffhist._array import Array, constant, index_dtype
from diffhist._evaluation.kernel import Axis, above, coordinate, depth, fold, mirrored, placed, unfold
from diffhist._evaluation.kernels import KERNELS


class Spline:
    """One coordinate on a grid of ``fineness`` nodes a bin.

    One histogram axis takes quadratic splines on a very fine grid (3 nodes a pixel, error 4e-6 of the largest bin). The
    grid of two axes must be coarser, and takes quartic ones (25 nodes a pixel): with many bins, an error of 9e-6 of the
    largest cell keeps it within a core's reach; with few, 2e-6 costs nothing.
    """

    def __init__(self, xp: Any, axis: Axis, dtype: Any, *, plane: bool, last: bool):
        self.xp, self.axis, self.dtype = xp, axis, dtype
        self.degree, nodes_per_width = (4, 2.0 if axis.bins <= 128 else 1.6) if plane else (2, 11.2)
        self.taps = self.degree + 1
        self.fineness = M = max(1, math.ceil(nodes_per_width * KERNELS[axis.kernel].nodes / axis.width))
        self.reach = axis.reach(depth(xp, dtype))
        self.pad = 1 if axis.boundary == "open" else self.reach + 1 + math.ceil(self.degree / M)
        # Bins are made in runs of so many that a run sees but two frames of nodes, its own and the next; a multiple of
        # 8 is a third faster.
        self.run = 8 * math.ceil((2 * self.reach + math.ceil(self.degree / M)) / 8)
        self.frames = math.ceil((axis.bins + 2 * self.pad) / self.run) + 1
        self.block = 2 * self.run**2 * M
        # Bins in front of the range that have nodes: all that a bin sees, where this makes frames of the table as it is
        # (of the last axis: the rows of the table are many).
        self.origin = self.pad + self.reach if last or axis.boundary == "open" else 0
        self.cells = (axis.bins + 2 * self.origin) * M
        self.size = self.frames * self.run * M if last else self.cells + self.degree
        self.shift = (self.origin - self.pad - self.reach) * M  # the first node that a bin sees

    def locate(self, x: Array, orders: Iterable[int]) -> tuple[Array, dict[int, list[Array]]]:
        """x (B, n) -> index of its first node (B, n), and its weights at the nodes from there on, for each order."""
        xp, M = self.xp, self.fineness
        u, sign = coordinate(xp, x, self.axis, self.reach)
        own = xp.floor(u)
        v = (u - own) * M  # from the start of the pixel's own bin: u * M would round by the size of u
        start = (own + float(self.origin)) * M
        cell = xp.clip(start + xp.floor(v), 0.0, self.cells - 1.0)
        first = xp.where(cell >= 0.0, cell, xp.full_like(cell, self.cells // 2))  # NaN: anywhere
        first = xp.astype(first, index_dtype(xp, x))
        weights = _weights(v - (cell - start), self.degree)
        return first, {o: [w * sign for w in weights] if mirrored(sign, o) else weights for o in set(orders)}

    def collect(self, grid: Array, order: int) -> Array:
        """Nodes (..., size) -> bins (..., K)."""
        xp, run, shape = self.xp, self.run, grid.shape[:-1]
        framed = placed(xp, xp.astype(grid, self.dtype, copy=False), -self.shift, self.frames * run * self.fineness)
        block = self._block(order, grid)
        # one product: NumPy makes one for each row
        seen = xp.matmul(xp.reshape(framed, (-1, block.shape[1])), xp.matrix_transpose(block))
        seen = xp.reshape(seen, (*shape, self.frames, 2 * run))
        h = xp.reshape(seen[..., :-1, :run] + seen[..., 1:, run:], (*shape, -1))
        h = h[..., : self.axis.bins + 2 * self.pad] * self.axis.step**-order
        return fold(xp, h, self.axis, self.pad)

    def expand(self, h: Array, order: int) -> Array:
        """The adjoint of `collect`: bins (..., K) -> nodes (..., size)."""
        xp, run, shape = self.xp, self.run, h.shape[:-1]
        h = unfold(xp, h * self.axis.step**-order, self.axis, self.pad)
        runs = xp.reshape(placed(xp, h, run, (self.frames + 1) * run), (*shape, -1, run))
        framed = xp.concat([runs[..., 1:, :], runs[..., :-1, :]], axis=-1)
        grid = xp.matmul(xp.reshape(framed, (-1, 2 * run)), self._block(order, h))
        return placed(xp, xp.reshape(grid, (*shape, -1)), self.shift, self.size)

    def _block(self, order: int, like: Array) -> Array:
        arguments = (self.axis.kernel, self.axis.width, self.degree, self.fineness, self.reach, self.run)
        return constant(self.xp, _blocks, arguments, self.dtype, like)[order, ...]


def _weights(t: Array, degree: int) -> list[Array]:
    """The ``degree`` + 1 splines (2 or 4) that reach t in [0, 1] of a cell, times the factorial of the degree.

    Those of degree 2 are B-splines B. Those of degree 4 are B + B''/25 + B''''/7000, of the same reach: such sums are
    the MOMS of Blu, Thévenaz and Unser (2001). The two factors, searched for the logistic kernel, leave a quarter of
    the error that B alone leaves, and less than the B-splines of degree 5, on the same grid.
    """
    rest = 1.0 - t
    t2, rest2 = t * t, rest * rest
    if degree == 2:
        return [rest2, 2.0 - rest2 - t2, t2]
    s = t - 0.5
    s2 = s * s
    first, third, last = (
        (rest2 + 12.0 / 25) * rest2 + 24.0 / 7000,
        (6.0 * s2 - (15.0 - 72.0 / 25)) * s2 + (115.0 / 8 - 30.0 / 25 + 144.0 / 7000),
        (t2 + 12.0 / 25) * t2 + 24.0 / 7000,
    )
    # The remaining two from what all of them reproduce: constants (the weights add up to 4!) and straight lines.
    mean = 12.0 - 0.5 * (first + third + last)
    half = 12.0 * s + (first - last)
    return [first, mean - half, third, mean + half, last]


def _coefficients(kernel: str, width: float, degree: int, fineness: int, reach: int) -> np.ndarray:
    """Least-squares coefficients in splines of the kernel's mass in one bin, and of its derivative in u: (2, nodes)."""
    M, scale, per_cell = fineness, math.factorial(degree), degree + 1
    cells = (2 * reach + 1) * M
    t = (np.arange(per_cell) + 0.5) / per_cell
    weights = np.stack(_weights(t, degree), axis=1) / scale
    u = (np.arange(cells)[:, None] + t) / M - reach
    axis, ends = Axis(1, 0.0, 1.0, width, "open", kernel), np.arange(2.0)[:, None]
    shares = above(array_api_compat.numpy, u.reshape(1, -1), ends, axis, (0, 1))
    seen = np.stack([(s[0, 0] - s[0, 1]).reshape(u.shape) for s in (shares[0], shares[1])]) @ weights
    # The normal equations are a convolution, solved by its spectrum: the mass has faded at both ends.
    right, products = np.zeros((2, cells + degree)), np.zeros(cells + degree)
    for n in range(degree + 1):
        right[:, n : n + cells] += seen[..., n]
        products[n] = (weights[:, n:] * weights[:, : degree + 1 - n]).sum()
    spectrum = 2.0 * np.fft.rfft(products).real - products[0]
    found = np.fft.irfft(np.fft.rfft(right) / spectrum, right.shape[1])
    found[0] = np.maximum(found[0], 0.0)  # rounding, which would be all of a tail: there are no logarithms of it
    # The masses of all bins add up to 1, and their derivatives to 0, exactly: what is missing goes where the mass is.
    padded = np.zeros((2, math.ceil(found.shape[1] / M) * M))
    padded[:, : found.shape[1]] = found
    rows = padded.reshape(2, -1, M)
    bell = np.abs(rows) + 1e-300
    rows += (np.array([[[1.0]], [[0.0]]]) - rows.sum(1, keepdims=True)) * bell / bell.sum(1, keepdims=True)
    return padded[:, : found.shape[1]] / scale


def _blocks(kernel: str, width: float, degree: int, fineness: int, reach: int, run: int) -> np.ndarray:
    """Coefficients between two runs of bins and a frame of nodes, that of the first, for the kernel's masses and for
    their derivatives: (2, 2 run, nodes)."""
    a = _coefficients(kernel, width, degree, fineness, reach)
    half = run * fineness
    column = np.zeros((2, 3 * half), np.float32)
    column[:, half : half + a.shape[1]] = a
    # each bin's column starts so many nodes later than the one before
    both = np.lib.stride_tricks.sliding_window_view(column, 2 * half, axis=1)[:, half:0:-fineness]
    return np.concatenate([both[..., :half], both[..., half:]], axis=1)

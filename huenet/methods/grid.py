"""A bilateral grid of hue: a field over a picture that varies with place and with the picture's own hue.

A grid has shape (rows, columns, K): cells over the picture, and K bins of the hue circle in each. Read at a pixel's
place and hue, it follows the picture's edges, so a field found on a small copy comes up to any size without halos, and
any part of the picture can be read without the rest.

References
----------
J. Chen, S. Paris, F. Durand, "Real-time edge-aware image processing with the bilateral grid", SIGGRAPH 2007.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

__all__ = ["centres", "displacements", "join", "read_grid", "rotation_grid", "splat_grid", "unrolled"]

Array = Any


def centres(size: int, first: int = 0, last: int | None = None) -> np.ndarray:
    """Where `size` pixels in a row lie from 0 to 1; or those of them from `first` to before `last`."""
    return (np.arange(first, size if last is None else min(last, size)) + 0.5) / size


def read_grid(grid: Array, hue: Array, *, row: np.ndarray | None = None, column: np.ndarray | None = None) -> Array:
    """Interpolate a grid linearly at every pixel's place and hue.

    Parameters
    ----------
    grid : array, (..., rows, columns, K)
        Of any library, real or complex.
    hue : array, (..., H, W)
        Hue in turns, of the pictures or of a part of them; as many as there are grids.
    row, column : ndarray, (H,) and (W,), optional
        Where the rows and columns of `hue` lie in the picture, from 0 to 1; by default they are the whole picture.

    Returns
    -------
    array, (..., H, W)
    """
    xp = array_namespace(grid, hue)
    rows, columns, K = grid.shape[-3:]
    # the rows first, for a row of pixels at a time: then every pixel lies among four cells, and not among eight
    lines: Any = sum(
        xp.reshape(weight, (-1, 1, 1)) * xp.take(grid, cell, axis=-3)
        for cell, weight in _ends(_places(row, hue, -2), rows, xp)
    )
    flat = xp.reshape(lines, (-1,))
    first = xp.arange(math.prod(hue.shape[:-1]), device=device(hue)) * (columns * K)
    first = xp.reshape(first, (*hue.shape[:-1], 1))
    total: Any = 0
    for cell, weight in _taps(columns, K, hue, column):
        index = xp.reshape(first + cell, (-1,))
        total = total + weight * xp.reshape(xp.take(flat, index, axis=0), hue.shape)
    return total


def join(moves: Array, grid: Array) -> Array:
    """One grid of rotations, of a displacement that varies with hue alone and one that varies with place too.

    Parameters
    ----------
    moves : array, (..., M)
        Displacement in turns at the centres of M bins of hue.
    grid : array, (..., rows, columns, K)
        Displacement in turns that comes to it.

    Returns
    -------
    array, (..., rows, columns, M)
        The sum of the two, in turns.
    """
    xp = array_namespace(moves, grid)
    M, K = moves.shape[-1], grid.shape[-1]
    position = (xp.arange(M, dtype=grid.dtype, device=device(grid)) + 0.5) * (K / M) - 0.5
    below = xp.floor(position)
    share, low = position - below, xp.astype(below, xp.int64)
    fine = xp.take(grid, low % K, axis=-1) * (1 - share) + xp.take(grid, (low + 1) % K, axis=-1) * share
    return moves[..., None, None, :] + fine


def unrolled(turns: Array, weights: Array) -> Array:
    """The same rotations, as displacements that change by at most half a turn from one hue to the next.

    So that a share of a displacement varies with hue as slowly as the whole. Where it winds around the circle, it is
    cut at the hue of the least weight; its mean, by weight, is the rotation the short way round.

    Parameters
    ----------
    turns, weights : array, (..., K)
        Displacement in turns at each hue, and what the hue counts for.

    Returns
    -------
    array, (..., K)
    """
    xp = array_namespace(turns, weights)
    K = turns.shape[-1]
    steps = xp.roll(turns, -1, axis=-1) - turns
    steps = steps - xp.round(steps)
    total = xp.cumulative_sum(steps, axis=-1)
    winding = total[..., -1:]
    path = turns[..., :1] + total - steps
    before = xp.arange(K, device=device(turns)) < xp.argmin(weights, axis=-1, keepdims=True)
    path = path + xp.where(before, winding, xp.zeros_like(winding))
    mass = xp.sum(weights, axis=-1, keepdims=True)
    mean = xp.sum(weights * path, axis=-1, keepdims=True) / xp.where(mass > 0, mass, xp.ones_like(mass))
    return path - xp.round(mean)


def displacements(grid: Array) -> Array:
    """The displacements, in turns, of a grid of directions: those of the mean over places `unrolled`, and the rest.

    Parameters
    ----------
    grid : array, (..., rows, columns, K)
        Complex; its angle is the rotation, its magnitude how much that counts.

    Returns
    -------
    array, (..., rows, columns, K)
    """
    xp = array_namespace(grid)
    mean = xp.sum(grid, axis=(-3, -2), keepdims=True)
    moves = unrolled(_turns(mean, xp), xp.abs(mean))
    back = xp.cos(2 * math.pi * moves) - 1j * xp.sin(2 * math.pi * moves)
    return moves + _turns(grid * back, xp)


def splat_grid(values: np.ndarray, hue: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Add each pixel's value to the cells that `read_grid` would read there: its transpose.

    Parameters
    ----------
    values, hue : ndarray, (H, W)
        Real values, and hue in turns.
    shape : tuple
        Rows, columns and K of the grid.

    Returns
    -------
    ndarray, shape
    """
    rows, columns, K = shape
    size = rows * columns * K
    total = np.zeros(size)
    for row, row_weight in _ends(_places(None, hue, -2)[:, None], rows, np):
        for cell, weight in _taps(columns, K, hue):
            index = row * (columns * K) + cell
            total += np.bincount(index.ravel(), (row_weight * weight * values).ravel(), size)
    return total.reshape(shape)


def rotation_grid(
    rotation: np.ndarray, hue: np.ndarray, weights: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """The grid whose angle, read by `read_grid`, follows a field of hue rotations.

    Parameters
    ----------
    rotation, hue, weights : ndarray, (H, W)
        Rotation and hue in turns, and what each pixel counts for.
    shape : tuple
        Rows, columns and K of the grid.

    Returns
    -------
    ndarray, shape
        Complex; its magnitude is how much is known there. Cells without pixels take the mean of ever wider
        surroundings, at last the whole picture's.
    """
    from scipy.ndimage import gaussian_filter  # here: descent on a pair needs no more than NumPy

    turn = np.exp(2j * np.pi * rotation)
    known = splat_grid(weights * turn.real, hue, shape) + 1j * splat_grid(weights * turn.imag, hue, shape)
    grid = np.full_like(known, 1e-12 * known.sum())
    for width, share in ((0.5, 1.0), (2.0, 1e-2), (8.0, 1e-4)):  # cells
        grid += share * gaussian_filter(known, width, mode=("constant", "constant", "wrap"))
    return grid


def _turns(grid: Array, xp: Any) -> Array:
    return xp.atan2(xp.imag(grid), xp.real(grid)) / (2 * math.pi)


def _places(given: np.ndarray | None, hue: Array, axis: int) -> Array:
    """Where the pixels lie along an axis, from 0 to 1, in the library of `hue`."""
    xp = array_namespace(hue)
    places = centres(hue.shape[axis]) if given is None else given
    return xp.asarray(places, dtype=hue.dtype, device=device(hue))


def _taps(columns: int, K: int, hue: Array, column: np.ndarray | None = None) -> Iterator[tuple[Array, Array]]:
    """The cells of one row (columns, K) around every pixel, as flat indices, and their weights; K wraps."""
    xp = array_namespace(hue)
    position = hue * K - 0.5
    below = xp.floor(position)
    share, k = position - below, xp.astype(below, xp.int32) % K
    after = (k + 1) % K
    for j, weight in _ends(_places(column, hue, -1), columns, xp):
        yield j * K + k, weight * (1 - share)
        yield j * K + after, weight * share


def _ends(position: Array, size: int, xp: Any) -> list[tuple[Array, Array]]:
    """The two cells about a position in [0, 1], and their weights; one cell where there is but one."""
    if size == 1:
        return [(xp.zeros_like(position, dtype=xp.int32), xp.ones_like(position))]
    cell = xp.clip(position * size - 0.5, 0, size - 1)
    below = xp.clip(xp.astype(cell, xp.int32), None, size - 2)
    share = cell - xp.astype(below, cell.dtype)
    return [(below, 1 - share), (below + 1, share)]

"""A bilateral grid of hue: a field over a picture that varies with place and with the picture's own hue.

A grid has shape (rows, columns, K): cells over the picture, and K bins of the hue circle in each. Read at a pixel's
place and hue, it follows the picture's edges, so a field found on a small copy comes up to any size without halos, and
any part of the picture can be read without the rest.

References
----------
J. Chen, S. Paris, F. Durand, "Real-time edge-aware image processing with the bilateral grid", SIGGRAPH 2007.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["centres", "join", "read_grid", "rotation_grid", "splat_grid"]


def centres(size: int, first: int = 0, last: int | None = None) -> np.ndarray:
    """Where `size` pixels in a row lie from 0 to 1; or those of them from `first` to before `last`."""
    return (np.arange(first, size if last is None else min(last, size)) + 0.5) / size


def read_grid(
    grid: np.ndarray, hue: np.ndarray, *, row: np.ndarray | None = None, column: np.ndarray | None = None
) -> np.ndarray:
    """Interpolate a grid linearly at every pixel's place and hue.

    Parameters
    ----------
    grid : ndarray, (rows, columns, K)
        Real or complex.
    hue : ndarray, (H, W)
        Hue in turns, of the picture or of a part of it.
    row, column : ndarray, (H,) and (W,), optional
        Where the rows and columns of `hue` lie in the picture, from 0 to 1; by default they are the whole picture.

    Returns
    -------
    ndarray, (H, W)
    """
    flat = grid.reshape(-1)
    total = np.zeros(hue.shape, np.result_type(grid, hue))
    for cell, weight in _taps(grid.shape, hue, row, column):
        total += weight * flat[cell]
    return total


def join(moves: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """One grid of rotations, of a displacement that varies with hue alone and one that varies with place too.

    Parameters
    ----------
    moves : ndarray, (M,)
        Displacement in turns at the centres of M bins of hue.
    grid : ndarray, (rows, columns, K)
        Displacement in turns that comes to it.

    Returns
    -------
    ndarray, (rows, columns, M)
        Complex: its angle, read by `read_grid`, is the sum of the two.
    """
    K = grid.shape[-1]
    position = centres(len(moves)) * K - 0.5
    low = np.floor(position).astype(int)
    share = position - low
    fine = grid[..., low % K] * (1 - share) + grid[..., (low + 1) % K] * share
    return np.exp(2j * np.pi * (moves + fine))


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
    size = int(np.prod(shape))
    total = np.zeros(size)
    for cell, weight in _taps(shape, hue):
        total += np.bincount(cell.ravel(), (weight * values).ravel(), size)
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


def _taps(
    shape: tuple[int, ...], hue: np.ndarray, row: np.ndarray | None = None, column: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The cells around every pixel, as flat indices, and their weights; K wraps, rows and columns end."""
    rows, columns, K = shape
    row, column = (
        (centres(size) if place is None else place).astype(hue.dtype)
        for place, size in zip((row, column), hue.shape, strict=True)
    )
    position = hue * K - 0.5
    below = np.floor(position)
    share, k = position - below, below.astype(np.int32) % K
    for i, row_weight in _ends(row[:, None], rows):
        for j, column_weight in _ends(column, columns):
            place, place_weight = (i * columns + j) * K, row_weight * column_weight
            yield place + k, place_weight * (1 - share)
            yield place + (k + 1) % K, place_weight * share


def _ends(position: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two cells about a position in [0, 1], and their weights; one cell where there is but one."""
    if size == 1:
        return [(np.zeros(position.shape, np.int32), np.ones_like(position))]
    cell = np.clip(position * size - 0.5, 0, size - 1)
    below = np.minimum(cell.astype(np.int32), size - 2)
    share = cell - below
    return [(below, 1 - share), (below + 1, share)]

"""Between a method and pictures of any size: a small copy for it to look at, and its map applied in tiles.

A picture is (H, W, 3 or 4), uint8, uint16 or float in [0, 1]; a mask is (H, W) of the same types.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np

from huenet.methods.grid import centres
from huenet.methods.sample import Sample
from huenet.transfer.methods import Change

__all__ = ["LOOKED_AT", "ROWS", "apply_map", "small_copy"]

SMALL = 512  # longer side of the copies on which colours are compared
LOOKED_AT = 2 * SMALL  # pixels that a file must give for such a copy
TILE = 2**16  # pixels that are worked on at a time: what is computed of them stays in the processor's cache
ROWS = 2048  # of a tile: a grid is worked out for every row, however short
THREADS = min(8, os.cpu_count() or 1)


def small_copy(picture: np.ndarray, mask: np.ndarray | None = None) -> Sample:
    """Block means with a longer side of at most 512, weighted by transparency and mask."""
    height, width = picture.shape[:2]
    if width > TILE:  # a strip, of which even a single row is too long
        turned = small_copy(picture.swapaxes(0, 1), None if mask is None else mask.T)
        return Sample(turned.rgb.swapaxes(1, 2), turned.weights.swapaxes(1, 2))
    block = -(-max(height, width) // SMALL)
    columns = np.arange(0, width, block)
    ones, sums = np.ones((width, 1), np.float32), []
    for first in range(0, height, block):
        rows = _unit(picture[first : first + block])
        share = rows[..., 3:] if rows.shape[2] == 4 else None
        if mask is not None:
            counts = _unit(mask[first : first + block])[..., None]
            share = counts if share is None else share * counts
        if share is None:
            cells = np.concatenate([rows.sum(axis=0), ones * len(rows)], axis=1)
        else:
            cells = np.concatenate([share * rows[..., :3], share], axis=2).sum(axis=0)
        sums.append(np.add.reduceat(cells, columns, axis=0))
    total = np.stack(sums)[None]
    weights = total[..., 3]
    return Sample(total[..., :3] / np.where(weights > 0, weights, 1)[..., None], weights / block**2)


def apply_map(picture: np.ndarray, change: Change, *, mask: np.ndarray | None = None, seed: int = 0) -> None:
    """Change a picture in place, tile by tile, mixed with what was there by `mask`.

    Whole numbers are rounded up or down at random, by `seed`: that leaves no bands.

    Raises
    ------
    FloatingPointError
        The map gives what is no colour; part of the picture is changed by then.
    """
    height, width = picture.shape[:2]
    full = _full_scale(picture.dtype)
    rows, columns = min(max(1, TILE // width), ROWS), TILE

    def change_tile(top: int, left: int) -> None:
        part = np.s_[top : top + rows, left : left + columns]
        tile = picture[part][..., :3]
        rgb = _unit(tile)
        new = change(rgb[None], centres(height, top, top + rows), centres(width, left, left + columns))[0]
        if mask is not None:
            new = rgb + _unit(mask[part])[..., None] * (new - rgb)
        if not np.isfinite(new).all():
            raise FloatingPointError("the colours found are infinite or NaN; choose another method, or another run")
        if full > 1:
            noise = np.random.default_rng((seed, top, left)).random(new.shape, np.float32)
            # the margin keeps what is whole already, up to rounding, as it is
            new = np.floor(new * np.float32(full) + (0.01 + 0.98 * noise)).clip(0, full)
        tile[...] = new

    pool = ThreadPoolExecutor(THREADS)  # arrays are worked on without Python's lock
    try:
        places = product(range(0, height, rows), range(0, width, columns))
        for done in [pool.submit(change_tile, *place) for place in places]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C, say, no more than the tiles begun


def _full_scale(dtype: np.dtype) -> int:
    return np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1


def _unit(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / np.float32(_full_scale(values.dtype))

"""Every method of colour transfer as a map of pixels: found on small copies of two pictures, applied to one in tiles.

A picture is (H, W, 3 or 4), uint8, uint16 or float in [0, 1]; a mask is (H, W) of the same types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from huenet.color import chroma, hsv_to_rgb, presence, rgb_to_hsv
from huenet.methods.grid import centres, join, read_grid, rotation_grid
from huenet.methods.transport import hue_transport, reinhard

if TYPE_CHECKING:
    from huenet.model.networks import Generator

__all__ = ["METHODS", "PixelMap", "Small", "apply_map", "pixel_map", "small_copy"]

METHODS = ("huenet", "optimize", "transport", "reinhard")
GREY = 0.02  # chroma, up to which a pixel's hue is taken for noise: 5 steps of 8 bits
DESCENT = 64  # longer side of the copies for gradient descent
GRID = (16, 16, 64)
SMALL = 512  # longer side of the copies on which colours are compared
TILE = 2**20  # pixels that are worked on at a time

# RGB (h, w, 3) of a part of a picture, and where its rows and columns lie in the whole from 0 to 1, to its new RGB
PixelMap = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Small:
    """A picture at a working size: float RGB (h, w, 3) in [0, 1], and what each pixel counts for (h, w)."""

    rgb: np.ndarray
    weights: np.ndarray

    def hue_weights(self) -> np.ndarray:
        """Weights by chroma; what is nearly grey has no say."""
        return self.weights * np.maximum(chroma(self.hsv(), axis=-1) - GREY, 0)

    def hsv(self) -> np.ndarray:
        return rgb_to_hsv(self.rgb, axis=-1)

    def has_colour(self) -> bool:
        return bool(self.hue_weights().any())

    def resized(self, height: int, width: int) -> Small:
        """Another size, averaged where it is smaller; what does not count turns grey."""
        from skimage.transform import resize

        grey = self.rgb.mean(axis=2, keepdims=True)
        rgb = grey + (self.rgb - grey) * (self.weights > 0)[..., None]
        rgb = resize(rgb, (height, width), order=1, anti_aliasing=True).clip(0, 1)
        return Small(rgb, resize(self.weights, (height, width), order=1, anti_aliasing=True))


def small_copy(picture: np.ndarray, mask: np.ndarray | None = None) -> Small:
    """Block means with a longer side of at most 512, weighted by transparency and mask."""
    height, width = picture.shape[:2]
    if width > TILE:  # a strip, of which even a single row is too long
        turned = small_copy(picture.swapaxes(0, 1), None if mask is None else mask.T)
        return Small(turned.rgb.swapaxes(0, 1), turned.weights.T)
    block = -(-max(height, width) // SMALL)
    columns = np.arange(0, width, block)
    sums = []
    for first in range(0, height, block):
        rows = _unit(picture[first : first + block])
        share = rows[..., 3:] if rows.shape[2] == 4 else np.ones_like(rows[..., :1])
        if mask is not None:
            share = share * _unit(mask[first : first + block])[..., None]
        cells = np.concatenate([share * rows[..., :3], share], axis=2).sum(axis=0)
        sums.append(np.add.reduceat(cells, columns, axis=0))
    total = np.stack(sums)
    weights = total[..., 3]
    return Small(total[..., :3] / np.where(weights > 0, weights, 1)[..., None], weights / block**2)


def pixel_map(method: str, source: Small, target: Small, *, smooth: float, generator: Generator | None) -> PixelMap:
    """Find how `source` is to be recoloured after `target`.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    source, target : Small
        Copies of the two pictures with a longer side of about 512.
    smooth : float
        For "transport": smoothing of the displacement over hue, in bins of 256.
    generator : Generator or None
        For "huenet": the trained network.
    """
    if method == "reinhard":
        pixels = [small.rgb[small.weights > 0][None] for small in (source, target)]
        return lambda rgb, row, column: reinhard(rgb, pixels[1], axis=-1, whole=pixels[0])
    if method == "transport":
        return _rotate(_transport_grid(source, target, smooth))
    if method == "optimize":
        return _rotate(_optimize_grid(source, target))
    assert generator is not None
    return _rotate(_network_grid(source, target, generator))


def apply_map(
    picture: np.ndarray, change: PixelMap, *, strength: float = 1.0, mask: np.ndarray | None = None, seed: int = 0
) -> None:
    """Change a picture in place, tile by tile, mixed with what was there by `strength` and `mask`.

    Whole numbers are rounded up or down at random, by `seed`: that leaves no bands.

    Raises
    ------
    FloatingPointError
        The map gives what is no colour; part of the picture is changed by then.
    """
    height, width = picture.shape[:2]
    full = _full_scale(picture.dtype)
    rows, columns = max(1, TILE // width), TILE
    for top, left in product(range(0, height, rows), range(0, width, columns)):
        part = np.s_[top : top + rows, left : left + columns]
        tile = picture[part][..., :3]
        rgb = _unit(tile)
        share = np.float32(strength)
        if mask is not None:
            share = share * _unit(mask[part])[..., None]
        row, column = centres(height, top, top + rows), centres(width, left, left + columns)
        new = rgb + share * (change(rgb, row, column) - rgb)
        if not np.isfinite(new).all():
            raise FloatingPointError("the colours found are infinite or NaN; choose another method, or another run")
        if full > 1:
            noise = np.random.default_rng((seed, top, left)).random(new.shape, np.float32)
            # the margin keeps what is whole already, up to rounding, as it is
            new = np.floor(new * np.float32(full) + (0.01 + 0.98 * noise)).clip(0, full)
        tile[...] = new


def _rotate(grid: np.ndarray) -> PixelMap:
    grid = grid.astype(np.complex64)

    def rotated(rgb: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        hsv = rgb_to_hsv(rgb, axis=-1)
        turn = read_grid(grid, hsv[..., 0], row=row, column=column)
        hsv[..., 0] += np.angle(turn) / np.float32(2 * np.pi) * presence(hsv, axis=-1)
        return hsv_to_rgb(hsv, axis=-1)

    return rotated


def _transport_grid(source: Small, target: Small, smooth: float) -> np.ndarray:
    hists = [np.histogram(s.hsv()[..., 0], 256, (0, 1), weights=s.hue_weights())[0] for s in (source, target)]
    return np.exp(2j * np.pi * hue_transport(*hists, smooth=smooth))[None, None]


def _optimize_grid(source: Small, target: Small) -> np.ndarray:
    from huenet.methods.descent import descend

    hsv = []
    for small in (source, target):
        height, width = small.rgb.shape[:2]
        shrink = min(1.0, DESCENT / max(height, width))
        small = small.resized(max(1, round(height * shrink)), max(1, round(width * shrink)))
        hsv.append(np.moveaxis(small.hsv(), -1, 0)[None])
    moves, grid = descend(*hsv)
    return join(moves[0], grid[0])


def _network_grid(source: Small, target: Small, generator: Generator) -> np.ndarray:
    from huenet.model.inference import output_grid, output_hue

    size = generator.config.size
    source, target = (small.resized(size, size) for small in (source, target))
    hsv = [np.moveaxis(small.hsv(), -1, 0) for small in (source, target)]
    if generator.config.prior:
        return output_grid(generator, *hsv)
    hue = hsv[0][0]
    return rotation_grid(output_hue(generator, *hsv) - hue, hue, source.hue_weights(), GRID)


def _full_scale(dtype: np.dtype) -> int:
    return np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1


def _unit(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / np.float32(_full_scale(values.dtype))

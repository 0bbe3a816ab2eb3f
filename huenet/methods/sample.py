"""What a method looks at: pictures at a working size, and what each of their pixels counts for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from diffhist import soft_histogram
from huenet.color import chroma, rgb_to_hsv

__all__ = ["BINS", "GREY", "Sample"]

Array = Any
BINS = 256  # of hue
GREY = 0.02  # chroma, up to which a pixel's hue is taken for noise: 5 steps of 8 bits
SHARP = 1e-3  # bandwidth in bins: each pixel in its one bin


@dataclass
class Sample:
    """Pictures of one size, of any array library.

    Attributes
    ----------
    rgb : array, (B, h, w, 3)
        Floats in [0, 1].
    weights : array, (B, h, w)
        What each pixel counts for, from 0: hidden, or kept by a mask.
    """

    rgb: Array
    weights: Array

    def hsv(self) -> Array:
        """(B, h, w, 3)"""
        return rgb_to_hsv(self.rgb, axis=-1)

    def hue_weights(self) -> Array:
        """(B, h, w): weights by chroma; what is nearly grey has no say."""
        xp = array_namespace(self.rgb)
        return self.weights * xp.clip(chroma(self.hsv(), axis=-1) - GREY, 0, None)

    def has_colour(self) -> Array:
        """(B,), bool"""
        xp = array_namespace(self.rgb)
        return xp.any(self.hue_weights() > 0, axis=(1, 2))

    def hue_histogram(self) -> Array:
        """(B, 256): shares of the bins of hue, by chroma."""
        weights, xp = self.hue_weights(), array_namespace(self.rgb)
        index = xp.floor(self.hsv()[..., 0] * BINS)
        centre = (xp.where(index < BINS, index, xp.zeros_like(index)) + 0.5) / BINS
        options: dict[str, Any] = {"boundary": "circular", "bandwidth": SHARP / BINS, "axis": (1, 2)}
        return soft_histogram(centre, BINS, weights=weights, **options)

    def resized(self, height: int, width: int) -> Sample:
        """Another size, averaged where it is smaller; what does not count turns grey."""
        xp = array_namespace(self.rgb)
        grey = xp.mean(self.rgb, axis=-1, keepdims=True)
        rgb = grey + (self.rgb - grey) * xp.astype(self.weights > 0, self.rgb.dtype)[..., None]
        return Sample(
            xp.clip(_resized(rgb, height, width), 0, 1), _resized(self.weights[..., None], height, width)[..., 0]
        )


def _resized(values: Array, height: int, width: int) -> Array:
    """(B, h, w, C) to (B, height, width, C), by linear weights as wide as a pixel of the coarser of the two."""
    xp = array_namespace(values)
    for size in (height, width):  # the first axis after the batch becomes the last before the channels
        values = xp.tensordot(values, _weights(values.shape[1], size, values), axes=([1], [1]))  # B, w, C, height
        values = xp.moveaxis(values, -1, 2)
    return values


def _weights(size: int, new: int, like: Array) -> Array:
    """(new, size), rows that sum to 1."""
    xp = array_namespace(like)
    count = lambda n: xp.arange(n, dtype=like.dtype, device=device(like)) + 0.5  # noqa: E731
    apart = xp.abs(count(new)[:, None] * (size / new) - count(size))
    weights = xp.clip(1 - apart / max(1.0, size / new), 0, None)
    return weights / xp.sum(weights, axis=1, keepdims=True)

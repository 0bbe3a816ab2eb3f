"""What a method looks at: pictures at a working size, and what each of their pixels counts for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from diffhist import soft_histogram
from huenet.color import chroma, rgb_to_hsv

__all__ = ["BINS", "GREY", "Sample", "pooled"]

Array = Any
BINS = 256  # of hue
GREY = 0.02  # chroma, up to which a pixel's hue is taken for noise: 5 steps of 8 bits
SHEET = 512  # side of a contact sheet
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
        """Another size, averaged where it is smaller; what counts for less is paler, for who looks at colours alone."""
        xp = array_namespace(self.rgb)
        grey = xp.mean(self.rgb, axis=-1, keepdims=True)
        most = xp.max(self.weights, axis=(1, 2), keepdims=True)
        share = self.weights / xp.where(most > 0, most, xp.ones_like(most))
        rgb = grey + (self.rgb - grey) * share[..., None]
        return Sample(
            xp.clip(_resized(rgb, height, width), 0, 1), _resized(self.weights[..., None], height, width)[..., 0]
        )


def pooled(samples: Sequence[Sample], shares: Sequence[float] | None = None) -> Sample:
    """Several samples of one picture each as one, whose palette is theirs together: a contact sheet.

    Parameters
    ----------
    samples : sequence of Sample
        NumPy, B = 1, of any sizes.
    shares : sequence of float, optional
        What each counts for, whatever its size; by default all the same.

    Returns
    -------
    Sample
        B = 1; the one that was given, where it is the only one.
    """
    if len(samples) == 1:
        return samples[0]
    columns = math.ceil(math.sqrt(len(samples)))
    side = SHEET // columns
    cells = [_cell(sample, side, share) for sample, share in zip(samples, shares or [1.0] * len(samples), strict=True)]
    empty = Sample(np.full((1, side, side, 3), 0.5, np.float32), np.zeros((1, side, side), np.float32))
    cells += [empty] * (-len(cells) % columns)
    lines = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    rgb = np.concatenate([np.concatenate([cell.rgb for cell in line], axis=2) for line in lines], axis=1)
    return Sample(rgb, np.concatenate([np.concatenate([c.weights for c in line], axis=2) for line in lines], axis=1))


def _cell(sample: Sample, side: int, share: float) -> Sample:
    """A sample as a square whose weights have the mean `share`."""
    weights = _resized(sample.weights[..., None], side, side)
    rgb = _resized(sample.rgb * sample.weights[..., None], side, side) / np.where(weights > 0, weights, 1)
    return Sample(rgb, weights[..., 0] * (share / (weights.mean() or 1)))


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

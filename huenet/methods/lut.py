"""A map of colours as a table that can be kept: a 3-D LUT, sampled from any change and read as other programs do."""

from __future__ import annotations

from typing import Any

import numpy as np

from huenet.methods.sample import Sample

__all__ = ["Lut", "sampled"]


class Lut:
    """A change of pixels by a table, interpolated over tetrahedra, as ffmpeg and colour graders do.

    Greys need only the table's own greys: they do not take colour from its other entries.

    Parameters
    ----------
    table : ndarray, (N, N, N, 3)
        RGB at equal steps from 0 to 1 of red, green and blue.
    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = table.astype(np.float32)

    def flat(self, source: Sample) -> Lut:
        """The part that does not depend on place: all of it."""
        return self

    def calmed(self, noise: float) -> Lut:
        """The table with its displacements averaged over a Gaussian of this deviation, on the scale of 0 to 1.

        Two colours that noise tells apart come out near each other also where a map tears hues apart.
        """
        from scipy.ndimage import gaussian_filter  # here: reading a table needs no more than NumPy

        N = len(self.table)
        same = _lattice(N)
        width = noise * (N - 1)
        return Lut((same + gaussian_filter(self.table - same, (width, width, width, 0), mode="nearest")).clip(0, 1))

    def __call__(self, rgb: np.ndarray, row: Any = None, column: Any = None) -> np.ndarray:
        """RGB (..., 3) in [0, 1] to RGB."""
        N = len(self.table)
        entries = self.table.reshape(-1, 3)
        strides = np.array([N * N, N, 1], np.int32)
        place = rgb.reshape(-1, 3).clip(0, 1) * np.float32(N - 1)
        corner = np.minimum(place.astype(np.int32), N - 2)
        share = place - corner
        order = np.argsort(-share, axis=1)  # walk to the far corner along the largest share first
        share = np.take_along_axis(share, order, axis=1)
        index = corner @ strides
        left = np.float32(1)
        total = np.zeros_like(place)
        for i in range(3):
            total += (left - share[:, i])[:, None] * entries[index]
            left, index = share[:, i], index + strides[order[:, i]]
        total += left[:, None] * entries[index]
        return total.reshape(rgb.shape)


def sampled(change: Any, size: int) -> Lut:
    """The table of a change that does not depend on place."""
    lattice = _lattice(size)
    flat = lattice.reshape(1, size * size, size, 3)
    middle = np.full(size * size, 0.5), np.full(size, 0.5)
    return Lut(np.asarray(change(flat, *middle)).reshape(lattice.shape).clip(0, 1))


def _lattice(size: int) -> np.ndarray:
    """The table that changes nothing."""
    steps = np.linspace(0, 1, size, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)

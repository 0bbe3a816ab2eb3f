"""What is made of a displacement of hue: every pixel's hue turned, its light kept. Any array library, in batches."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from diffhist import soft_histogram
from huenet.color import chroma, hcy_to_rgb, hsv_to_rgb, luminance, presence, rgb_to_hsv
from huenet.methods.grid import read_grid, splat_grid
from huenet.methods.sample import GREY, Sample

__all__ = ["KEEP", "Turn", "curve"]

Array = Any
KEEP = ("light", "value")
STEEPEST = 3.0  # slope of a curve: what 8 bits cannot tell apart comes out at most this many steps apart
NODES = 128  # of a curve
BLUR = 0.03  # of a curve's displacement, deviation in [0, 1]


class Turn:
    """Pictures whose hue turns by a bilateral grid of displacements.

    Parameters
    ----------
    found : array, (B, rows, columns, K)
        Displacement of hue in turns, by place and hue; see `huenet.methods.grid`.
    source, target : Sample
        The pictures it was found for; `saturation` and `light` compare them.
    strength : float
        What the displacement is multiplied by: 0 changes nothing, 1 is the whole, above 1 goes further.
    keep : {"light", "value"}
        What stays as the hue turns: `huenet.color.luminance`, or HSV's V, as the paper has it.
    saturation, light : float
        From 0 to 1: how far the distribution of chroma, and that of what is kept, go to the target's, among the pixels
        that have a hue; see `curve`.

    Raises
    ------
    ValueError
        A value out of its range.
    """

    def __init__(
        self,
        found: Array,
        source: Sample,
        target: Sample,
        *,
        strength: float = 1.0,
        keep: str = "light",
        saturation: float = 0.0,
        light: float = 0.0,
    ) -> None:
        if keep not in KEEP:
            raise ValueError(f"keep must be one of {', '.join(KEEP)}, got {keep!r}")
        for name, value in (("saturation", saturation), ("light", light)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {value}")
        self.grid, self.keep = found * strength, keep
        self.saturation = self.light = None
        weights = [sample.hue_weights() for sample in (source, target)]
        if saturation:
            values = [chroma(s.hsv(), axis=-1) for s in (source, target)]
            self.saturation = curve(values, weights, strength * saturation, still=GREY)
        if light:
            values = [_light(s.rgb, keep, axis=-1) for s in (source, target)]
            self.light = curve(values, weights, strength * light, white=True)

    def flat(self, source: Sample) -> Turn:
        """The part that does not depend on place: every hue's mean displacement over `source`. NumPy only."""
        flat = copy(self)
        if self.grid.shape[1:3] != (1, 1):
            pairs = zip(source.hue_weights(), source.hsv()[..., 0], strict=True)
            mass = np.stack([splat_grid(weights, hue, self.grid.shape[1:]) for weights, hue in pairs])
            mass += 1e-6 * (mass.sum(axis=(1, 2), keepdims=True) + 1e-9)
            flat.grid = (mass * self.grid).sum(axis=(1, 2), keepdims=True) / mass.sum(axis=(1, 2), keepdims=True)
        return flat

    def __call__(self, rgb: Array, row: Any = None, column: Any = None) -> Array:
        """RGB (B, h, w, 3) in [0, 1], of the pictures or of a part, whose place `read_grid` takes, to RGB."""
        xp = array_namespace(rgb)
        planes = xp.stack([rgb[..., i] for i in range(3)])  # apart, in memory too: half as slow as three side by side
        hsv = rgb_to_hsv(planes, axis=0)
        angle = 2 * math.pi * self.grid  # read as directions: where it leaps by a whole turn, colours do not
        to = read_grid(xp.cos(angle) + 1j * xp.sin(angle), hsv[0, ...], row=row, column=column)
        hue = hsv[0, ...] + xp.atan2(xp.imag(to), xp.real(to)) / (2 * math.pi) * presence(hsv, axis=0)
        spread, light = chroma(hsv, axis=0), _light(planes, self.keep, axis=0)
        if self.saturation is not None:
            spread = _through(self.saturation, spread)
        if self.light is not None:
            light = _through(self.light, light)
        if self.keep == "light":
            made = hcy_to_rgb(xp.stack([hue, spread, light**2]), axis=0)
        else:
            share = spread / xp.where(light > 0, light, xp.ones_like(light))
            made = hsv_to_rgb(xp.stack([hue, xp.clip(share, 0, 1), light]), axis=0)
        return xp.moveaxis(made, 0, -1)


def curve(values: list[Array], weights: list[Array], share: float, *, white: bool = False, still: float = 0.0) -> Array:
    """A curve that brings the distribution of one picture's values near to another's: 0 stays 0, and it only rises.

    Optimal transport on a line, the monotone map of quantiles. Its displacement is averaged over near values, by what
    they count for, and its slope is at most 3.

    Parameters
    ----------
    values, weights : list of two arrays, (B, h, w)
        Of the source and of the target, values in [0, 1].
    share : float
        How much of the displacement to take, from 0.
    white : bool
        1 stays 1 as well.
    still : float
        Up to this value nothing is raised: of chroma, where hue is noise, which would show.

    Returns
    -------
    array, (B, 129)
        The curve at equal steps from 0 to 1.
    """
    xp = array_namespace(*values)
    options: dict[str, Any] = {"boundary": "reflect", "axis": (1, 2)}
    p, q = (soft_histogram(v, NODES, weights=w, **options) for v, w in zip(values, weights, strict=True))
    F, G = xp.cumulative_sum(p, axis=-1), xp.cumulative_sum(q, axis=-1)
    middle = (xp.arange(NODES, dtype=p.dtype, device=device(p)) + 0.5) / NODES
    quantile = F - p / 2
    # the value at which G reaches each quantile, G rising in a straight line within each bin
    start = (G - q)[..., None, :]
    share_of_bin = (quantile[..., :, None] - start) / xp.where(q > 0, q, xp.ones_like(q))[..., None, :]
    passed = xp.astype(quantile[..., :, None] > start, p.dtype)
    landed = xp.sum(xp.where(q[..., None, :] > 0, xp.clip(share_of_bin, 0, 1), passed), axis=-1) / NODES
    node = xp.arange(NODES + 1, dtype=p.dtype, device=device(p)) / NODES
    apart = xp.abs(node[:, None] - middle)
    near = xp.exp(-0.5 * (apart / BLUR) ** 2) + 1e-6 / (1e-3 + apart)  # the rest: where no pixel is near
    known = p + 1e-12
    move = (known * (landed - middle)) @ near.T / (known @ near.T)
    massless = (F[..., -1:] == 0) | (G[..., -1:] == 0)
    return _risen(node + share * xp.where(massless, xp.zeros_like(move), move), white, still, xp)


def _risen(values: Array, white: bool, still: float, xp: Any) -> Array:
    """The highest curve below `values` that rises, no steeper than it may, above `still`; to 1 where white stays."""
    last = values.shape[-1] - 1
    step = xp.arange(last + 1, dtype=values.dtype, device=device(values)) / last
    climb = STEEPEST * xp.clip(step[:, None] - step, 0, None)
    highest = step + (STEEPEST - 1) * xp.clip(step - still, 0, None)
    values = xp.minimum(xp.clip(values, 0, 1), highest)
    values = xp.min(values[..., None, :] + climb, axis=-1)
    if white:
        values = xp.where(step < 1, values, xp.ones_like(values))
        values = xp.max(values[..., None, :] - climb.T, axis=-1)
    return values


def _through(curve: Array, values: Array) -> Array:
    """Values (B, h, w) in [0, 1] after the curves (B, N)."""
    xp = array_namespace(values)
    B, N = curve.shape
    place = xp.clip(values, 0, 1) * (N - 1)
    below = xp.clip(xp.astype(place, xp.int64), None, N - 2)
    index = below + xp.reshape(xp.arange(B, device=device(values)) * N, (B, 1, 1))
    low, high = (
        xp.reshape(xp.take(xp.reshape(curve, (-1,)), xp.reshape(i, (-1,))), values.shape) for i in (index, index + 1)
    )
    return low + (place - xp.astype(below, place.dtype)) * (high - low)


def _light(rgb: Array, keep: str, *, axis: int) -> Array:
    """What is kept, from 0 to 1: the root of luminance, nearly as the eye sees it, or V."""
    xp = array_namespace(rgb)
    return xp.sqrt(luminance(rgb, axis=axis)) if keep == "light" else xp.max(rgb, axis=axis)

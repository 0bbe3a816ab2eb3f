"""Reinhard's transfer of statistics: light and colour, channel by channel in l-alpha-beta. Any array library."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from huenet.methods.sample import Sample

__all__ = ["Restated", "find", "reinhard"]

Array = Any

# E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley, "Color transfer between images", 2001, Eq. 4 and 6
LMS_FROM_RGB = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
LAB_FROM_LMS = np.diag(1 / np.sqrt([3, 6, 2])) @ ((1, 1, 1), (1, 1, -2), (1, -1, 0))
DARKEST = 1 / 255  # the logarithm needs a floor: one step of 8 bits
Statistics = tuple[Array, Array]  # mean and deviation in l-alpha-beta, (..., 1, 1, 3)


def reinhard(source: Array, target: Array, /, *, axis: int = -3, whole: Array | None = None) -> Array:
    """Give the source the target's mean and deviation in l-alpha-beta, channel by channel.

    Parameters
    ----------
    source, target : array, RGB in [0, 1] along `axis`
        One picture each, of any two sizes.
    axis : int
        The channel axis.
    whole : array, optional
        The picture whose mean and deviation count as the source's, where `source` is a part of it.

    Returns
    -------
    array, the shape of `source`
        RGB, clipped to [0, 1].

    References
    ----------
    E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley, "Color transfer between images", 2001, Eq. 4-11. Cone responses
    below 1/255 count as 1/255. The way back is the exact inverse; the paper prints it rounded.
    """
    xp = array_namespace(source, target)
    source, target, whole = (xp.moveaxis(a, axis, -1) for a in (source, target, source if whole is None else whole))
    return xp.moveaxis(Restated((_statistics(whole), _statistics(target)))(source), -1, axis)


def find(source: Sample, target: Sample, /) -> tuple[Statistics, Statistics]:
    """Mean and deviation of both in l-alpha-beta, each pixel by its weight; for `Restated`."""
    return _statistics(source.rgb, source.weights), _statistics(target.rgb, target.weights)


class Restated:
    """Pictures with other statistics: a map of colours, the same all over a picture.

    Parameters
    ----------
    found : tuple
        The source's statistics and the target's; see `find`.
    source, target : Sample, optional
        Where they come from; not looked at.
    strength : float
        Share of the way. The mean colour turns around grey, and does not pass through it.
    """

    def __init__(
        self,
        found: tuple[Statistics, Statistics],
        source: Sample | None = None,
        target: Sample | None = None,
        *,
        strength: float = 1.0,
    ) -> None:
        (self.mean, deviation), (goal, goal_deviation) = found
        xp = array_namespace(self.mean)
        ratio = goal_deviation / xp.where(deviation > 0, deviation, xp.ones_like(deviation))
        self.ratio = ratio**strength
        self.goal = goal if strength == 1 else _part_way(self.mean, goal, strength, xp)

    def flat(self, source: Sample) -> Restated:
        """The part that does not depend on place: all of it."""
        return self

    def __call__(self, rgb: Array, row: Any = None, column: Any = None) -> Array:
        """RGB (..., h, w, 3) in [0, 1] to RGB."""
        xp = array_namespace(rgb)
        lms = 10 ** (((_lab(rgb) - self.mean) * self.ratio + self.goal) @ _matrix(np.linalg.inv(LAB_FROM_LMS.T), rgb))
        return xp.clip(lms @ _matrix(np.linalg.inv(np.asarray(LMS_FROM_RGB).T), rgb), 0, 1)


def _lab(rgb: Array) -> Array:
    xp = array_namespace(rgb)
    lms = xp.clip(rgb @ _matrix(np.asarray(LMS_FROM_RGB).T, rgb), DARKEST, None)
    return (xp.log(lms) / math.log(10)) @ _matrix(LAB_FROM_LMS.T, rgb)


def _matrix(values: np.ndarray, like: Array) -> Array:
    return array_namespace(like).asarray(values, dtype=like.dtype, device=device(like))


def _statistics(rgb: Array, weights: Array | None = None) -> Statistics:
    xp, lab = array_namespace(rgb), _lab(rgb)
    weights = xp.ones_like(lab[..., :1]) if weights is None else weights[..., None]
    total = xp.sum(weights, axis=(-3, -2), keepdims=True)
    weights = weights / xp.where(total > 0, total, xp.ones_like(total))
    mean = xp.sum(weights * lab, axis=(-3, -2), keepdims=True)
    return mean, xp.sqrt(xp.sum(weights * (lab - mean) ** 2, axis=(-3, -2), keepdims=True))


def _part_way(mean: Array, goal: Array, share: float, xp: Any) -> Array:
    """Between two means: light in a straight line, colour by its direction and its distance from grey."""
    (light, *own), (goal_light, *wanted) = ([m[..., i] for i in range(3)] for m in (mean, goal))
    angle, size = xp.atan2(own[1], own[0]), xp.hypot(*own)
    turn = xp.atan2(wanted[1], wanted[0]) - angle
    angle = angle + share * (turn - 2 * math.pi * xp.round(turn / (2 * math.pi)))
    size = xp.clip(size + share * (xp.hypot(*wanted) - size), 0, None)
    light = light + share * (goal_light - light)
    return xp.stack([light, size * xp.cos(angle), size * xp.sin(angle)], axis=-1)

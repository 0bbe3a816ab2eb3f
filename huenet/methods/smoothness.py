"""How much a recolouring parts what belongs together: the size of the steps of hue's displacement over the picture.

Histograms and mutual information do not see a petal recoloured in bands; this does. Pictures are HSV (..., 3, H, W), a
displacement is (..., H, W) in turns; arrays of any library of the Python array API standard.
"""

import math
from typing import Any, NamedTuple

from array_api_compat import array_namespace, device

from huenet.color import chroma, hue_point

__all__ = ["Link", "links", "smoothness", "smoothness_gradient"]

Array = Any
SCALES = (1 / 128, 1 / 32, 1 / 8)  # of the picture's sides: neighbours alone would let a petal drift from hue to hue
EDGE = 0.5  # distance of two hues, as points of the unit disc, at which displacements too may part
ROUND = 1e-3  # below this chord, steps cost their square


class Link(NamedTuple):
    """All pairs of pixels `step` apart along `axis`; the weight of each, (..., H - step, W) or (..., H, W - step)."""

    axis: int
    step: int
    weight: Array


def links(source: Array, /) -> list[Link]:
    """The pairs of pixels of a picture that ought to move together.

    A pair weighs the smaller of its chromas, and less the further its hues are apart: where a leaf meets a petal they
    may part, where only light changes they may not. The chromas of each link add up to 1 over a picture, and all links
    count alike.

    Parameters
    ----------
    source : array (..., 3, H, W)
        HSV in [0, 1].

    Returns
    -------
    list of Link
    """
    xp = array_namespace(source)
    point, strength = hue_point(source), chroma(source)
    found = []
    for axis in (-2, -1):
        size = source.shape[axis]
        for step in (min(max(1, round(size * scale)), size - 1) for scale in SCALES):
            w = xp.minimum(*_ends(strength, axis, step))
            one, other = _ends(point, axis, step)
            total = xp.sum(w, axis=(-2, -1), keepdims=True)
            likeness = xp.exp(-xp.sum((one - other) ** 2, axis=-3) / EDGE**2)
            found.append(Link(axis, step, w * likeness / xp.where(total > 0, total, xp.ones_like(total))))
    return [Link(axis, step, weight / len(found)) for axis, step, weight in found]


def smoothness(displacement: Array, pairs: list[Link], /) -> Array:
    """Mean size of the displacement's steps over the pairs, in turns: 0 for any one rotation.

    A step costs its chord on the circle, so that there is no seam and one clean border is no dearer than a rainbow.

    Parameters
    ----------
    displacement : array (..., H, W)
        In turns.
    pairs : list of Link
        See `links`.

    Returns
    -------
    array (...)
    """
    xp = array_namespace(displacement)
    total: Any = 0.0
    for axis, step, weight in pairs:
        one, other = _ends(displacement, axis, step)
        chord = 2 * xp.sin(math.pi * (one - other))
        total = total + xp.sum(weight * (xp.sqrt(chord**2 + ROUND**2) - ROUND), axis=(-2, -1))
    return total / (2 * math.pi)


def smoothness_gradient(displacement: Array, pairs: list[Link], /) -> Array:
    """The gradient of `smoothness` by the displacement, (..., H, W)."""
    xp = array_namespace(displacement)
    total: Any = 0.0
    for axis, step, weight in pairs:
        one, other = _ends(displacement, axis, step)
        turn = 2 * math.pi * (one - other)
        slope = weight * xp.sin(turn) / xp.sqrt(4 * xp.sin(turn / 2) ** 2 + ROUND**2)
        shape = list(slope.shape)
        shape[axis] = step
        gap = xp.zeros(shape, dtype=slope.dtype, device=device(slope))
        total = total + xp.concat([gap, slope], axis=axis) - xp.concat([slope, gap], axis=axis)
    return total


def _ends(x: Array, axis: int, step: int) -> tuple[Array, Array]:
    """Every pixel that has one `step` before it along `axis`, and that one."""
    if axis == -1:
        return x[..., step:], x[..., : x.shape[-1] - step]
    return x[..., step:, :], x[..., : x.shape[-2] - step, :]

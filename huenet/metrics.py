"""Figures of a colour transfer: distance to the target's hues, faithfulness to the source, coherence in the picture.

Hue is (..., H, W) in turns, [0, 1]; weights and chroma have the same shape; the result is (...), one number a picture.
NumPy arrays and torch tensors alike, but for `surfaces` and `parting`, which are for NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

import diffhist
from huenet.color import chroma, hsv_to_rgb, lightness

__all__ = [
    "change_of_light",
    "hue_emd",
    "hue_histogram",
    "incoherence",
    "palette",
    "palette_distance",
    "parting",
    "relative_mi",
    "surfaces",
    "undone",
]

Array = Any
PICTURE = (-2, -1)


def hue_histogram(hue: Array, weights: Array | None = None, /, *, bins: int = 256, hard: bool = True) -> Array:
    """Shares of the hue circle's bins.

    Parameters
    ----------
    hue : array (..., H, W)
        Hue in turns.
    weights : array (..., H, W), optional
        What each pixel counts for, usually its chroma S * V.
    bins : int
        Equal bins of the circle.
    hard : bool
        Count each pixel in its one bin, as `numpy.histogram` does; else spread it with the paper's kernel (Eq. 6).

    Returns
    -------
    array (..., bins)
        Shares that sum to 1; zeros where the weights are all 0.
    """
    hue, options = _binned(hue, bins, hard)
    return diffhist.soft_histogram(hue, weights=weights, axis=PICTURE, **options)


def hue_emd(
    hue_a: Array,
    hue_b: Array,
    weights_a: Array | None = None,
    weights_b: Array | None = None,
    bins: int = 256,
    hard: bool = True,
) -> Array:
    """Circular earth mover's distance of order 2 between the hues of two pictures (Eq. 12 with the cut of Eq. 14).

    Parameters
    ----------
    hue_a, hue_b : array (..., H, W)
        Hue in turns; the two pictures may differ in size.
    weights_a, weights_b : array, optional
        What each pixel counts for, in the shape of its picture.
    bins : int
        Equal bins of the circle.
    hard : bool
        Hard or soft bins, as in `hue_histogram`.

    Returns
    -------
    array (...)
        0 for equal histograms, at most 0.71 (for opposite hues: the square root of 1/2).
    """
    p = hue_histogram(hue_a, weights_a, bins=bins, hard=hard)
    q = hue_histogram(hue_b, weights_b, bins=bins, hard=hard)
    return diffhist.emd(p, q, order=2, circular=True)


def palette(hsv: Array, /, *, bins: int = 64) -> Array:
    """The hues of a picture by chroma: each pixel's S * V is parted between the two bins whose centres are nearest.

    Parameters
    ----------
    hsv : array (..., 3, H, W)
        Hue, saturation and value in [0, 1].
    bins : int
        Equal bins of the circle.

    Returns
    -------
    array (..., bins)
        Shares that sum to 1; zeros for a picture without chroma.
    """
    xp = array_namespace(hsv)
    weights = chroma(hsv)
    place = hsv[..., 0, :, :] * bins - 0.5
    low = xp.floor(place)
    above = place - low
    total = xp.sum(weights, axis=PICTURE)[..., None]
    parts = 0.0
    for index, part in ((low, weights * (1 - above)), (low + 1, weights * above)):
        centre, options = _binned((index + 0.5) / bins, bins, hard=True)
        parts = parts + diffhist.soft_histogram(centre, weights=part, axis=PICTURE, normalize=False, **options)
    return parts / xp.where(total > 0, total, xp.ones_like(total))


def palette_distance(hsv_a: Array, hsv_b: Array, /) -> Array:
    """How far the colours of two pictures are apart, where how much there is of each is free to differ.

    Unbalanced transport around the circle between their palettes (`palette`), at a cost of the square of the distance
    in turns: `diffhist.unbalanced_emd`. Between a picture of lawn and one of a flower on a lawn it is small, where the
    EMD is large; and a flower that is dipped in the lawn's green to get its share right gains little.

    Parameters
    ----------
    hsv_a, hsv_b : array (..., 3, H, W)
        The two pictures may differ in size.

    Returns
    -------
    array (...)
        0.0004 or so for palettes of one hue that are equal (what entropy leaves) to 0.02, where nothing is carried.
    """
    return diffhist.unbalanced_emd(palette(hsv_a), palette(hsv_b), circular=True)


def relative_mi(
    hue_a: Array, hue_b: Array, weights: Array | None = None, *, bins: int = 256, hard: bool = True
) -> Array:
    """Mutual information of two hue channels over their joint entropy, I / H (1 minus Eq. 17).

    Parameters
    ----------
    hue_a, hue_b : array (..., H, W)
        Hue in turns, pixel by pixel.
    weights : array (..., H, W), optional
        What each pixel counts for.
    bins : int
        Equal bins of each circle.
    hard : bool
        Hard or soft bins, as in `hue_histogram`.

    Returns
    -------
    array (...)
        With hard bins, 1 where each hue of one picture has one hue of the other; unrelated pictures score above 0
        (chance agreement of few pixels), so read it beside the value of shuffled pixels.
    """
    hue_a, options = _binned(hue_a, bins, hard)
    hue_b, _ = _binned(hue_b, bins, hard)
    return 1 - diffhist.mi_distance(diffhist.joint_histogram(hue_a, hue_b, weights=weights, axis=PICTURE, **options))


def incoherence(hue: Array, chroma: Array, /) -> Array:
    """Mean circular difference of hue between neighbouring pixels, weighted by the smaller of their chromas.

    Bands and speckle, which histograms and mutual information do not see, raise it.

    Parameters
    ----------
    hue : array (..., H, W)
        Hue in turns.
    chroma : array (..., H, W)
        S * V.

    Returns
    -------
    array (...)
        From 0 (one hue) to 1/2; 0 where no two neighbours have chroma. Every pair of 4-neighbours counts once.
    """
    xp = array_namespace(hue, chroma)
    total = weight = xp.zeros_like(hue[..., 0, 0])
    for (one, other), chromas in zip(_neighbours(hue), _neighbours(chroma), strict=True):
        turns = one - other
        w = xp.minimum(*chromas)
        total = total + xp.sum(w * xp.abs(turns - xp.round(turns)), axis=PICTURE)
        weight = weight + xp.sum(w, axis=PICTURE)
    return total / xp.where(weight > 0, weight, xp.ones_like(weight))


def surfaces(rgb: np.ndarray, /) -> np.ndarray:
    """Parts of a picture that look like one surface each, by the graph of its pixels.

    Parameters
    ----------
    rgb : ndarray (3, H, W)
        In [0, 1].

    Returns
    -------
    ndarray (H, W), int
        The number of each pixel's surface, from 0 up without a gap.

    References
    ----------
    P. Felzenszwalb, D. Huttenlocher, "Efficient graph-based image segmentation", 2004; here with k = 300, a Gaussian
    of 0.8 pixels before and at least 40 pixels in a surface: at a side of 128 pixels a flower is one, or a petal.
    """
    from skimage.segmentation import felzenszwalb  # takes half a second to import

    return felzenszwalb(np.moveaxis(rgb, 0, -1), scale=300, sigma=0.8, min_size=40)


def parting(source: np.ndarray, hue: np.ndarray, weights: np.ndarray, labels: np.ndarray, /) -> np.ndarray:
    """How far hues that lay on one surface of the source have been turned by different amounts.

    The circular variance of the turn within each surface, ``1 - |sum w exp(i turn)| / sum w``, averaged over surfaces
    by their weight. 0 for any rotation; a petal that is dipped in two colours has up to 1. A map over hue alone parts a
    surface only as far as its own hues differ.

    Parameters
    ----------
    source : ndarray (H, W)
        Hue before, in turns.
    hue : ndarray (..., H, W)
        Hue after.
    weights : ndarray (..., H, W)
        What each pixel counts for: the smaller of its chromas before and after.
    labels : ndarray (H, W), int
        The number of each pixel's surface, from 0 up; see `surfaces`.

    Returns
    -------
    ndarray (...)
        From 0 to 1; 0 where nothing has weight.
    """
    count = int(labels.max()) + 1
    rows = np.arange(math.prod(hue.shape[:-2])).reshape(*hue.shape[:-2], 1, 1)
    place = np.broadcast_to(labels + rows * count, hue.shape).ravel()

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, values.ravel(), rows.size * count).reshape(*hue.shape[:-2], count)

    turn = 2 * math.pi * (hue - source)
    total = sums(weights)
    left = total - np.hypot(sums(weights * np.cos(turn)), sums(weights * np.sin(turn)))
    return np.clip(left, 0, None).sum(-1) / np.maximum(total.sum(-1), 1e-12)


def change_of_light(source: Array, output: Array, /) -> Array:
    """Mean absolute difference of CIE L* on the pixels that are coloured in the source: chroma S * V above 0.1.

    Parameters
    ----------
    source, output : array (..., 3, H, W)
        HSV.

    Returns
    -------
    array (...)
        From 0 to 100; 0 where no pixel is coloured.
    """
    xp = array_namespace(source, output)
    coloured = xp.astype(chroma(source) > 0.1, source.dtype)
    difference = xp.abs(lightness(hsv_to_rgb(output)) - lightness(hsv_to_rgb(source)))
    return xp.sum(difference * coloured, axis=PICTURE) / xp.clip(xp.sum(coloured, axis=PICTURE), 1, None)


def undone(before: Array, after: Array, counts: Array | None = None, /) -> Array:
    """Of the half of the pairs that are farther apart, the share whose palette distance falls by less than a third.

    Parameters
    ----------
    before, after : array (N,)
        Palette distances from the target, of sources and of results.
    counts : array (..., N), optional
        How often each pair counts; which half is the farther one stays as it is without.

    Returns
    -------
    array (...)
        From 0 to 1.
    """
    xp = array_namespace(before, after)
    ordered = xp.sort(before)
    N = before.shape[0]
    median = (ordered[(N - 1) // 2] + ordered[N // 2]) / 2
    far = xp.astype(before >= median, before.dtype)
    if counts is not None:
        far = far * xp.astype(counts, before.dtype)
    left = xp.sum(far * xp.astype(after > before * (2 / 3), before.dtype), axis=-1)
    return left / xp.clip(xp.sum(far, axis=-1), 1, None)


def _neighbours(x: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Every pixel but the border's with the one above it, and with the one to its left."""
    return (x[..., 1:, :], x[..., :-1, :]), (x[..., :, 1:], x[..., :, :-1])


def _binned(hue: Array, bins: int, hard: bool) -> tuple[Array, dict[str, Any]]:
    """Hue and histogram options; hard bins are the kernel's limit W -> 0, reached exactly from the bins' centres."""
    if not hard:
        return hue, {"bins": bins, "boundary": "circular"}
    xp = array_namespace(hue)
    index = xp.floor(hue * bins)
    return (index - bins * xp.floor(index / bins) + 0.5) / bins, {
        "bins": bins,
        "boundary": "circular",
        "bandwidth": 1e-3 / bins,
    }

"""Figures of a colour transfer: distance to the target's hues, faithfulness to the source, coherence in the picture.

Hue is (..., H, W) in turns, [0, 1]; weights and chroma have the same shape; the result is (...), one number a picture.
NumPy arrays and torch tensors alike.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

import diffhist

__all__ = ["hue_emd", "hue_histogram", "incoherence", "relative_mi"]

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

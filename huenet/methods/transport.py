"""Colour transfer without training: what a network has to beat, and a prior to build one on.

Hue is a circle of circumference 1; a displacement is a rotation of hue in turns, in [-0.5, 0.5]. `transport` is for
NumPy; the rest takes arrays of any library of the Python array API standard, in batches.
"""

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

import diffhist
from huenet.methods.grid import unrolled
from huenet.methods.sample import Sample

__all__ = ["apply_displacement", "best_rotation", "find", "hue_transport", "smoothed", "transport"]

Array = Any


def find(source: Sample, target: Sample, /, *, smooth: float = 8.0) -> Array:
    """One map of hues for the whole picture, which moves them the least way.

    Parameters
    ----------
    source, target : Sample
        As many pictures of each.
    smooth : float
        Smoothing over hue, in 256ths of the hue circle. More is more coherent, less is closer to the target's colours.

    Returns
    -------
    array, (B, 1, 1, 256)
        A grid of displacements of hue in turns, for `huenet.methods.turn.Turn`.

    Raises
    ------
    ValueError
        If `smooth` is not from 0 to 256.
    """
    return smoothed_map(source, hue_transport(source.hue_histogram(), target.hue_histogram()), smooth)


def smoothed_map(source: Sample, displacement: Array, smooth: float) -> Array:
    """The displacement of each hue (B, 256), `smoothed` by what hues the source has, as a grid (B, 1, 1, 256)."""
    if not 0 <= smooth <= 256:
        raise ValueError(f"smooth must be from 0 to 256, got {smooth}")
    own = source.hue_histogram()
    return unrolled(smoothed(displacement, own, smooth), own)[:, None, None, :]


def hue_transport(source_hist: Array, target_hist: Array, /, *, smooth: float = 0.0) -> Array:
    """Displacement of hue that carries one hue histogram onto another along the circle.

    The circular optimal transport of order 1 cuts the circle where the difference of the two cumulative
    distributions, F - G, takes its median m [1]_; it is the monotone map G^-1(F - m) on the circle unrolled [2]_.

    Parameters
    ----------
    source_hist, target_hist : array, (..., K)
        Masses of K equal bins of hue over [0, 1). Each is divided by its sum; without mass the displacement is 0.
    smooth : float
        Deviation, in bins, of a circular Gaussian that averages the displacement over hue, weighted by the source's
        histogram: near hues then move together, and the result follows the target less closely. 0 does nothing.

    Returns
    -------
    array, (..., K)
        Displacement in turns at the centres of the source's bins.

    Raises
    ------
    ValueError
        If the histograms differ in bins, or `smooth` is negative.

    References
    ----------
    .. [1] M. Werman, S. Peleg, A. Rosenfeld, "A distance metric for multidimensional histograms", 1985.
    .. [2] J. Delon, J. Salomon, A. Sobolevski, "Fast transport for Monge costs on the circle", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> red, green = np.eye(6)[[0, 2]]
    >>> float(hue_transport(red, green)[0] * 6)
    2.0
    """
    xp = array_namespace(source_hist, target_hist)
    K = source_hist.shape[-1]
    if target_hist.shape[-1] != K:
        raise ValueError(f"`target_hist` must have the {K} bins of `source_hist`, got {target_hist.shape[-1]}")
    if not smooth >= 0:
        raise ValueError(f"`smooth` must be at least 0 bins, got {smooth}")
    p, q = xp.broadcast_arrays(_shares(source_hist, xp), _shares(target_hist, xp))
    F, G = xp.cumulative_sum(p, axis=-1), xp.cumulative_sum(q, axis=-1)
    median = xp.sort(F - G, axis=-1)[..., K // 2, None]
    quantile = F - p / 2 - median  # of the bins' centres
    turns = xp.floor(quantile)
    quantile = quantile - turns
    # K x K comparisons, because the standard's searchsorted takes no batch
    below = xp.sum(xp.astype(G[..., None, :] <= quantile[..., :, None], xp.int64), axis=-1)
    landing = xp.clip(below, 0, K - 1)
    mass = _gather(q, landing, xp)
    inside = (quantile - _gather(G, landing, xp) + mass) / xp.where(mass > 0, mass, xp.ones_like(mass))
    centre = xp.arange(K, dtype=p.dtype, device=device(p)) + 0.5
    displacement = _shortest((xp.astype(landing, p.dtype) + inside - centre) / K + turns, xp)
    massless = (F[..., -1:] == 0) | (G[..., -1:] == 0)
    displacement = xp.where(massless, xp.zeros_like(displacement), displacement)
    return smoothed(displacement, p, smooth)


def apply_displacement(hue: Array, displacement: Array, /) -> Array:
    """Rotate every pixel's hue by the displacement of its hue, interpolated on the circle between bins' centres.

    Parameters
    ----------
    hue : array, (..., H, W)
        Hue in [0, 1].
    displacement : array, (..., K)
        Displacement in turns at the centres of K bins, one row for each picture; see `hue_transport`.

    Returns
    -------
    array, (..., H, W)
        Hue in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> apply_displacement(np.array([[0.0, 0.75]]), np.full(8, 0.5))
    array([[0.5 , 0.25]])
    """
    xp = array_namespace(hue, displacement)
    K = displacement.shape[-1]
    pixels = xp.reshape(hue, (*hue.shape[:-2], -1))
    displacement = xp.broadcast_to(displacement, (*pixels.shape[:-1], K))
    position = pixels * K - 0.5
    left = xp.floor(position)
    index = xp.astype(left, xp.int64)
    low = _gather(displacement, index % K, xp)
    step = _shortest(_gather(displacement, (index + 1) % K, xp) - low, xp)
    return xp.reshape((pixels + low + (position - left) * step) % 1.0, hue.shape)


def transport(
    source: np.ndarray,
    target: np.ndarray,
    /,
    *,
    source_weights: np.ndarray | None = None,
    target_weights: np.ndarray | None = None,
    circular: bool = True,
    seed: int = 0,
) -> np.ndarray:
    """Exact optimal transport of hue, pixel by pixel: the result has the target's hues, in the target's shares.

    The map of `hue_transport` without bins. Pixels of one hue are told apart at random, so that together they can
    become several.

    Parameters
    ----------
    source, target : ndarray, any shape
        Hue in turns; the two may differ in shape.
    source_weights, target_weights : ndarray, optional
        What each pixel counts for, in the shape of its hue.
    circular : bool
        False cuts the circle at hue 0: the transport of a line.
    seed : int
        Of the order of equal hues.

    Returns
    -------
    ndarray, the shape of `source`
        Hue in [0, 1); the source's own where either picture has no weight.
    """
    x, y = source.ravel() % 1.0, target.ravel() % 1.0
    a, b = _pixel_shares(source_weights, x), _pixel_shares(target_weights, y)
    if not a.any() or not b.any():
        return source % 1.0
    order = np.lexsort((np.random.default_rng(seed).random(x.size), x))
    x, a = x[order], a[order]
    b, y = b[np.argsort(y)], np.sort(y)
    quantile = np.cumsum(a) - a / 2  # of each pixel's middle
    if circular:
        quantile = (quantile - _median_difference(x, a, y, b)) % 1.0
    moved = np.empty_like(x)
    moved[order] = y[np.minimum(np.searchsorted(np.cumsum(b), quantile, side="right"), y.size - 1)]
    return moved.reshape(source.shape)


def smoothed(displacement: Array, weights: Array, sigma: float, /) -> Array:
    """Circular mean of a displacement under a circular Gaussian over hue: near hues then move together.

    Parameters
    ----------
    displacement, weights : array, (..., K)
        Turns at K equal bins of hue, and what each counts for.
    sigma : float
        Deviation in bins; 0 does nothing.

    Returns
    -------
    array, (..., K)
        In turns, in [-0.5, 0.5].
    """
    if not sigma:
        return displacement
    xp = array_namespace(displacement, weights)
    K = displacement.shape[-1]
    k = xp.arange(K, dtype=displacement.dtype, device=device(displacement))
    distance = _shortest((k[:, None] - k[None, :]) / K, xp) * K
    kernel = xp.exp(-(distance**2) / (2 * sigma**2))
    weights = weights + 1e-6 / K  # bins without mass nearby keep their own displacement
    angle = 2 * math.pi * displacement
    east = (weights * xp.cos(angle)) @ kernel
    north = (weights * xp.sin(angle)) @ kernel
    return xp.atan2(north, east) / (2 * math.pi)


def best_rotation(source_hist: Array, target_hist: Array, /) -> Array:
    """The one rotation of hue, by whole bins, after which the circular EMD (Eq. 14) to the target is least.

    Parameters
    ----------
    source_hist, target_hist : array, (..., K)
        Masses of K equal bins of hue.

    Returns
    -------
    array, (...)
        Rotation in turns, in [-0.5, 0.5).
    """
    xp = array_namespace(source_hist, target_hist)
    p, q = _shares(source_hist, xp), _shares(target_hist, xp)
    K = p.shape[-1]
    k = xp.arange(K, device=device(p))
    shifts = k - K // 2
    turned = xp.take(p, xp.reshape((k[None, :] - shifts[:, None]) % K, (-1,)), axis=-1)
    turned = xp.reshape(turned, (*p.shape[:-1], K, K))
    costs = diffhist.squared_emd(turned, q[..., None, :], circular=True)
    return xp.astype(xp.argmin(costs, axis=-1) - K // 2, p.dtype) / K


def _shares(hist: Array, xp: Any) -> Array:
    total = xp.sum(hist, axis=-1, keepdims=True)
    return hist / xp.where(total > 0, total, xp.ones_like(total))


def _shortest(turns: Array, xp: Any) -> Array:
    """The same rotation by at most half a turn."""
    return turns - xp.round(turns)


def _gather(values: Array, index: Array, xp: Any) -> Array:
    """values[..., index[..., m]] for values (..., K) and index (..., M)."""
    rows = math.prod(values.shape[:-1])
    offset = xp.arange(rows, dtype=index.dtype, device=device(index)) * values.shape[-1]
    flat = xp.reshape(index, (rows, -1)) + offset[:, None]
    return xp.reshape(xp.take(xp.reshape(values, (-1,)), xp.reshape(flat, (-1,)), axis=0), index.shape)


def _pixel_shares(weights: np.ndarray | None, hue: np.ndarray) -> np.ndarray:
    weights = np.ones(hue.size) if weights is None else np.asarray(weights, float).ravel()
    return weights / (weights.sum() or 1.0)


def _median_difference(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> float:
    """Median over the circle of the difference of two cumulative distributions, points x of mass a and y of b."""
    points = np.concatenate([x, y])
    order = np.argsort(points)
    points = points[order]
    difference = np.cumsum(np.concatenate([a, -b])[order])
    lengths = np.diff(points, append=points[0] + 1)
    order = np.argsort(difference)
    return difference[order][np.searchsorted(np.cumsum(lengths[order]), 0.5)]

"""Colour transfer without training: what a network has to beat, and a prior to build one on.

Hue is a circle of circumference 1; a displacement is a rotation of hue in turns, in [-0.5, 0.5].
"""

import math
from typing import Any

from array_api_compat import array_namespace, device

__all__ = ["apply_displacement", "hue_transport"]

Array = Any


def hue_transport(source_hist: Array, target_hist: Array, /, *, smooth: float = 0.0) -> Array:
    """Displacement of hue that carries one hue histogram onto another along the circle.

    The circular optimal transport of order 1 cuts the circle where the difference of the two cumulative
    distributions, F - G, takes its median m [1]_; it is the monotone map G^-1(F - m) on the circle unrolled [2]_.
    Arrays of any library of the Python array API standard, in batches.

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
    return _smooth(displacement, p, smooth, xp) if smooth else displacement


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


def _smooth(displacement: Array, weights: Array, sigma: float, xp: Any) -> Array:
    """Circular mean of the displacement under a circular Gaussian over hue."""
    K = displacement.shape[-1]
    k = xp.arange(K, dtype=displacement.dtype, device=device(displacement))
    distance = _shortest((k[:, None] - k[None, :]) / K, xp) * K
    kernel = xp.exp(-(distance**2) / (2 * sigma**2))
    weights = weights + 1e-6 / K  # bins without mass nearby keep their own displacement
    angle = 2 * math.pi * displacement
    east = (weights * xp.cos(angle)) @ kernel
    north = (weights * xp.sin(angle)) @ kernel
    return xp.atan2(north, east) / (2 * math.pi)

"""Divergences between histograms, bin by bin: blind to how far apart the bins are, exact where some are empty."""

import math
from typing import Any

from diffhist._array import Array, check_histograms, divide_or_zero, log_or_zero, working
from diffhist._backends.primitive import differentiable

__all__ = ["js_divergence", "kl_divergence"]

_LOG_4 = math.log(4.0)


def kl_divergence(p: Array, q: Array, /) -> Array:
    r"""Kullback-Leibler divergence in nats, :math:`\sum_k p_k \log (p_k / q_k)`; 0 log 0 = 0, and no epsilon.

    Parameters
    ----------
    p, q : array, shape (..., K)
        Histograms: non-negative masses; their batch axes broadcast. They are divided by their sums first.

    Returns
    -------
    array, shape (...)
        At least 0 up to rounding; infinite, with gradient 0, if p has mass in a bin where q has none; 0, with
        gradient 0, if one of the two has no mass at all.

    References
    ----------
    Kullback and Leibler: On information and sufficiency, 1951.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])
    >>> round(float(diffhist.kl_divergence(p, q)), 4), float(diffhist.kl_divergence(q, p))
    (0.3466, inf)
    """
    return _kl_divergence(*check_histograms(p, q))


def js_divergence(p: Array, q: Array, /) -> Array:
    r"""Jensen-Shannon divergence in nats: the mean of the Kullback-Leibler divergences of p and q from their mean.

    .. math:: \frac12 \sum_k p_k \log \frac{2 p_k}{p_k + q_k} + \frac12 \sum_k q_k \log \frac{2 q_k}{p_k + q_k}

    Parameters
    ----------
    p, q : array, shape (..., K)
        Histograms: non-negative masses; their batch axes broadcast. They are divided by their sums first.

    Returns
    -------
    array, shape (...)
        Between 0 and log 2; its root is a metric. 0, with gradient 0, if one of the two has no mass. Histograms that
        share no bin are at log 2 however far apart they are, and their gradient is 0: a transport distance sees them.

    References
    ----------
    Lin: Divergence measures based on the Shannon entropy, 1991.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])
    >>> round(float(diffhist.js_divergence(p, q)), 4)
    0.1079
    """
    return _js_divergence(*check_histograms(p, q))


@differentiable
def _kl_divergence(p: Array, q: Array, /) -> Array:
    xp, a, b, *_ = _both_shares(p, q)
    lost = xp.any((a > 0) & (b == 0), axis=-1)
    value = xp.sum(a * _log_ratio(xp, a, b), axis=-1)
    return xp.astype(xp.where(lost, xp.full_like(value, xp.inf), value), xp.result_type(p, q))


@_kl_divergence.defslopes
def _(out, p, q, /):
    xp, a, b, p_mass, q_mass = _both_shares(p, q)
    lost = xp.any((a > 0) & (b == 0), axis=-1, keepdims=True)
    slopes = (
        _through_shares(xp, _log_ratio(xp, a, b), a, p_mass),
        _through_shares(xp, -divide_or_zero(xp, a, b), b, q_mass),
    )
    return [xp.where(lost, xp.zeros_like(s), s) for s in slopes]


@differentiable
def _js_divergence(p: Array, q: Array, /) -> Array:
    xp, a, b, *_ = _both_shares(p, q)
    contrast = divide_or_zero(xp, a - b, a + b)
    apart = xp.abs(contrast) == 1  # one of the two is empty: the logarithms below would be infinite
    inside = xp.where(apart, xp.zeros_like(contrast), contrast)
    # with a = m (1 + d) and b = m (1 - d): small where a and b are nearly the same, and so exact there
    far = xp.abs(inside) > 0.5  # where the square's rounding would be most of what is left of 1
    near = xp.where(far, xp.zeros_like(inside), inside)
    left = xp.where(far, xp.log((1.0 - inside) * (1.0 + inside)), xp.log1p(-near * near))
    bits = 2.0 * inside * xp.atanh(inside) + left + _LOG_4 * xp.astype(apart, a.dtype)
    return xp.astype(0.25 * xp.sum((a + b) * bits, axis=-1), xp.result_type(p, q))


@_js_divergence.defslopes
def _(out, p, q, /):
    xp, a, b, p_mass, q_mass = _both_shares(p, q)
    contrast = divide_or_zero(xp, a - b, a + b)
    return (
        0.5 * _through_shares(xp, log_or_zero(xp, 1.0 + contrast), a, p_mass),
        0.5 * _through_shares(xp, log_or_zero(xp, 1.0 - contrast), b, q_mass),
    )


def _both_shares(p: Array, q: Array) -> tuple[Any, Array, Array, Array, Array]:
    """p and q over their sums, zeros where one of the two has none, and these sums."""
    xp, p, q = working(p, q)
    p_mass, q_mass = (xp.sum(h, axis=-1, keepdims=True) for h in (p, q))
    alive = (p_mass != 0) & (q_mass != 0)
    masses = [xp.where(alive, m, xp.zeros_like(m)) for m in (p_mass, q_mass)]
    return xp, *(divide_or_zero(xp, h, m + xp.zeros_like(h)) for h, m in zip((p, q), masses, strict=True)), *masses


def _log_ratio(xp: Any, a: Array, b: Array) -> Array:
    """log a / b, and 0 where a is 0."""
    return xp.where(a == 0, xp.zeros_like(a), log_or_zero(xp, a) - log_or_zero(xp, b))


def _through_shares(xp: Any, slope: Array, shares: Array, mass: Array) -> Array:
    """The slope by masses of what has a slope by their shares."""
    slope = slope - xp.sum(slope * shares, axis=-1, keepdims=True)
    return divide_or_zero(xp, slope, mass + xp.zeros_like(slope))

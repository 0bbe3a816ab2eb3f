"""Earth mover's distances between histograms, on the line and on the circle (Eq. 12-15), in O(K)."""

from typing import Any

from diffhist._array import Array, check_histograms, device, divide_or_zero, running_sum, sign, working
from diffhist._backends.primitive import differentiable

__all__ = ["emd", "squared_emd"]


def squared_emd(p: Array, q: Array, /, *, circular: bool = False) -> Array:
    r"""Squared earth mover's distance of Eq. 13, or of Eq. 14 on the circle.

    .. math:: \sum_k (P_k - Q_k)^2, \qquad \text{circular:}\quad
              \min_l \sum_k \left(\mathrm{CDF}_k(T(p, l)) - \mathrm{CDF}_k(T(q, l))\right)^2

    where P, Q are the running sums of p, q and T(., l) shifts both by l bins (Eq. 15).

    Parameters
    ----------
    p, q : array, shape (..., K)
        Histograms; their batch axes broadcast. They need not have the same mass.
    circular : bool
        Whether the last bin is next to the first one, as for hue.

    Returns
    -------
    array, shape (...)
        Not divided by K: a number between 0 and K for shares.

    Notes
    -----
    With D the running sum of p - q, cutting the circle before bin l subtracts D of the bin before it (and, for
    unequal masses, adds the difference m to the bins that come round): prefix sums price all K cuts in O(K). The
    gradient is that of the best cut.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 13-15 (arXiv:1912.06044); Werman, Peleg, Rosenfeld, A distance
    metric for multidimensional histograms, 1985.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> red, violet = np.eye(6)[0], np.eye(6)[5]
    >>> float(diffhist.squared_emd(red, violet)), float(diffhist.squared_emd(red, violet, circular=True))
    (5.0, 1.0)
    """
    return _squared_emd(*check_histograms(p, q), circular=bool(circular))


def emd(p: Array, q: Array, /, *, order: int = 2, circular: bool = False) -> Array:
    r"""Earth mover's distance of Eq. 12: the normalised distance of the running sums.

    .. math:: \left(\frac1K \sum_k |P_k - Q_k|^{o}\right)^{1/o}

    Parameters
    ----------
    p, q : array, shape (..., K)
        Histograms; they are divided by their sums first, so that this is a metric of shapes.
    order : {1, 2}
        o. Order 1 is the 1-Wasserstein distance in units of the range; order 2 is what the paper reports: a distance
        of running sums, *not* the 2-Wasserstein distance.
    circular : bool
        Whether the last bin is next to the first one: the least value over all cuts of the circle.

    Returns
    -------
    array, shape (...)
        Between 0 and 1; 0 if one of the two has no mass. The gradient where p equals q is 0.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 12 (arXiv:1912.06044); Levina and Bickel, The earth mover's
    distance is the Mallows distance, 2001; order 1 on the circle: Werman, Peleg, Rosenfeld, 1985.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> p, q = np.array([1.0, 0, 0, 0]), np.array([0, 1.0, 0, 0])
    >>> float(diffhist.emd(p, q)), float(diffhist.emd(p, q, order=1))
    (0.5, 0.25)
    """
    if order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, got {order!r}")
    return _emd(*check_histograms(p, q), order=order, circular=bool(circular))


@differentiable
def _squared_emd(p: Array, q: Array, /, *, circular: bool) -> Array:
    xp, a, b = working(p, q)
    E, _ = _differences(xp, a - b, circular)
    return xp.astype(xp.sum(E * E, axis=-1), xp.result_type(p, q))


@_squared_emd.defslopes
def _(out, p, q, /, *, circular):
    xp, p, q = working(p, q)
    E, early = _differences(xp, p - q, circular)
    slope = 2.0 * _running_back(xp, E, early)
    return slope, -slope


@differentiable
def _emd(p: Array, q: Array, /, *, order: int, circular: bool) -> Array:
    xp, a, b = working(p, q)
    E, _ = _shape_differences(xp, a, b, order, circular)
    K = p.shape[-1]
    distance = xp.sum(xp.abs(E), axis=-1) / K if order == 1 else xp.sqrt(xp.sum(E * E, axis=-1) / K)
    return xp.astype(distance, xp.result_type(p, q))


@_emd.defslopes
def _(out, p, q, /, *, order, circular):
    xp, p, q = working(p, q)
    E, early = _shape_differences(xp, p, q, order, circular)
    out, K = xp.expand_dims(xp.astype(out, E.dtype), axis=-1), p.shape[-1]
    slope = _running_back(xp, sign(xp, E) if order == 1 else divide_or_zero(xp, E, out + xp.zeros_like(E)), early)

    def through_sum(h: Array) -> Array:  # of h / sum(h)
        mass = xp.sum(h, axis=-1, keepdims=True)
        return divide_or_zero(xp, slope - divide_or_zero(xp, xp.sum(slope * h, axis=-1, keepdims=True), mass), mass)

    alive = (xp.sum(p, axis=-1, keepdims=True) != 0) & (xp.sum(q, axis=-1, keepdims=True) != 0)
    return tuple(way / K * xp.where(alive, through_sum(h), xp.zeros_like(h)) for way, h in ((1.0, p), (-1.0, q)))


def _shape_differences(xp: Any, p: Array, q: Array, order: int, circular: bool) -> tuple[Array, Array]:
    """`_differences` of p and q divided by their sums; zeros where one of them has no mass."""
    a, b = (xp.sum(h, axis=-1, keepdims=True) for h in (p, q))
    alive = (a != 0) & (b != 0)
    d = xp.where(alive, divide_or_zero(xp, p, a) - divide_or_zero(xp, q, b), xp.zeros_like(p))
    if order == 1 and circular:
        D = running_sum(xp, d)
        K, ranked = D.shape[-1], xp.sort(D, axis=-1)
        median = (ranked[..., (K - 1) // 2, None] + ranked[..., K // 2, None]) / 2  # leaves as many above as below
        return D - median, xp.zeros_like(D, dtype=xp.bool)
    return _differences(xp, d, circular)


def _differences(xp: Any, d: Array, circular: bool) -> tuple[Array, Array]:
    """CDF differences E with the circle cut at its best place, and a mask of the bins before the cut: (..., K)."""
    D = running_sum(xp, d)
    if not circular:
        return D, xp.zeros_like(D, dtype=xp.bool)
    K = D.shape[-1]
    zero, m = xp.zeros_like(D[..., :1]), D[..., -1:]
    before = xp.concat([zero, D[..., :-1]], axis=-1)  # D of the bin before each
    total = xp.sum(D, axis=-1, keepdims=True)
    prefix = xp.concat([zero, running_sum(xp, D)[..., :-1]], axis=-1)
    n = xp.arange(K, dtype=D.dtype, device=device(D))
    cost = before * (K * before - 2.0 * total) + m * (2.0 * (prefix - n * before) + m * n)
    cut = xp.astype(xp.argmin(cost, axis=-1, keepdims=True), D.dtype)
    start = xp.sum(xp.where(n == cut, before, xp.zeros_like(D)), axis=-1, keepdims=True)
    early = n < cut
    return D - start + xp.where(early, m, xp.zeros_like(D)), early


def _running_back(xp: Any, E: Array, early: Array) -> Array:
    """For each bin, the sum of E from it to the end of the circle as it was cut: the adjoint of the running sum."""
    total = xp.sum(E, axis=-1, keepdims=True)
    come_round = xp.sum(xp.where(early, E, xp.zeros_like(E)), axis=-1, keepdims=True)
    back = xp.flip(running_sum(xp, xp.flip(E, axis=-1)), axis=-1) + come_round
    return xp.where(early, back - total, back)

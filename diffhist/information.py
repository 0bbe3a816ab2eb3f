"""Entropy, mutual information and the distance built on it (Eq. 16-18)."""

import builtins
from typing import Any

import numpy as np

from diffhist._array import (
    Array,
    check_arrays,
    compute_dtype,
    device,
    divide_or_zero,
    index_dtype,
    log_or_zero,
    namespace,
    sample_axes,
)
from diffhist._backends.primitive import differentiable
from diffhist.histogram import joint_histogram, samples

__all__ = ["conditional_entropy", "entropy", "mi_ceiling", "mi_distance", "mi_floor", "mutual_information"]


def entropy(p: Array, /, *, axis: int | tuple[int, ...] = -1) -> Array:
    r"""Entropy in nats, :math:`-\sum_k p_k \log p_k`, of ``p`` divided by its sum; 0 log 0 = 0.

    Parameters
    ----------
    p : array
        Histogram: non-negative masses.
    axis : int or tuple of int
        The axes of the bins; (-2, -1) for a joint histogram gives Eq. 18.

    Returns
    -------
    array
        Between 0 and the logarithm of the number of bins; 0 for a histogram without mass.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> round(float(diffhist.entropy(np.full(8, 0.125))), 4), round(float(np.log(8)), 4)
    (2.0794, 2.0794)
    """
    check_arrays({"p": p})
    return _entropy(p, axes=sample_axes(axis, len(p.shape)))


@differentiable
def _entropy(p: Array, /, *, axes: tuple[int, ...]) -> Array:
    xp = namespace(p)
    shares = _shares(xp, p, axes)
    return xp.astype(-xp.sum(shares * log_or_zero(xp, shares), axis=axes), p.dtype)


@_entropy.defvjp
def _(g, out, p, /, *, axes, needed):
    xp = namespace(p)
    shares = _shares(xp, p, axes)
    for a in sorted(axes, reverse=True):
        g, out = (xp.expand_dims(xp.astype(t, shares.dtype), axis=a) for t in (g, out))
    total = xp.sum(xp.astype(p, shares.dtype), axis=axes, keepdims=True)
    return (divide_or_zero(xp, -g * (log_or_zero(xp, shares) + out), total),)


def mutual_information(pxy: Array, /) -> Array:
    r"""Mutual information in nats of a joint histogram, Eq. 16.

    .. math:: I = \sum_{k,l} P_{kl} \log \frac{P_{kl}}{P_k P_l}

    with the marginals taken from the table's own sums, and the table divided by its sum first.

    Parameters
    ----------
    pxy : array, shape (..., Kx, Ky)
        Joint histogram: non-negative masses.

    Returns
    -------
    array, shape (...)
        Between 0 (independent) and the smaller of the two entropies, up to rounding; 0 for a table without mass.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 16 (arXiv:1912.06044).

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> round(float(diffhist.mutual_information(np.eye(4))), 4), round(float(np.log(4)), 4)
    (1.3863, 1.3863)
    """
    _check_table(pxy)
    return _mutual_information(pxy)


@differentiable
def _mutual_information(pxy: Array, /) -> Array:
    xp = namespace(pxy)
    return xp.astype(_information(xp, pxy)[0], pxy.dtype)


@_mutual_information.defvjp
def _(g, out, pxy, /, *, needed):
    xp = namespace(pxy)
    information, ratio, _, shares = _information(xp, pxy)
    return (_per_mass(xp, g, (ratio - information[..., None, None]), pxy, shares),)


def conditional_entropy(pxy: Array, /) -> Array:
    r"""Entropy of the first image given the second, in nats: :math:`H(X | Y) = H(X, Y) - H(Y)`.

    Parameters
    ----------
    pxy : array, shape (..., Kx, Ky)
        Joint histogram: non-negative masses; it is divided by its sum first.

    Returns
    -------
    array, shape (...)
        Between 0 and the entropy of the first image, up to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> float(diffhist.conditional_entropy(np.eye(4)))
    0.0
    """
    _check_table(pxy)
    return _conditional_entropy(pxy)


@differentiable
def _conditional_entropy(pxy: Array, /) -> Array:
    xp = namespace(pxy)
    shares, log_conditional = _conditional(xp, pxy)
    return xp.astype(xp.abs(xp.sum(shares * log_conditional, axis=(-2, -1))), pxy.dtype)  # no term is above 0


@_conditional_entropy.defvjp
def _(g, out, pxy, /, *, needed):
    xp = namespace(pxy)
    shares, log_conditional = _conditional(xp, pxy)
    slope = -log_conditional - xp.astype(out, shares.dtype)[..., None, None]
    return (_per_mass(xp, g, slope, pxy, shares),)


def mi_distance(pxy: Array, /) -> Array:
    r"""The distance of Eq. 17, :math:`1 - I / H`, with H the joint entropy (Eq. 18).

    Parameters
    ----------
    pxy : array, shape (..., Kx, Ky)
        Joint histogram: non-negative masses; it is divided by its sum first.

    Returns
    -------
    array, shape (...)
        Between 0 and 1, up to rounding. Where H is 0 (all mass in one cell, or none) it is 0, with gradient 0.

    Notes
    -----
    With hard bins the distance of an image to itself is 0. Soft bins blur the diagonal: at the default bandwidth a
    uniform image is at about 0.43 from itself, and two independent images of 128 x 128 pixels are at about 0.97. See
    `mi_ceiling` and `mi_floor` to place a value.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 17 (arXiv:1912.06044); Kraskov et al., Hierarchical clustering
    based on mutual information, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> float(diffhist.mi_distance(np.eye(4))), float(diffhist.mi_distance(np.ones((4, 4))))
    (0.0, 1.0)
    """
    _check_table(pxy)
    return _mi_distance(pxy)


@differentiable
def _mi_distance(pxy: Array, /) -> Array:
    xp = namespace(pxy)
    information, _, entropy_, _ = _information(xp, pxy)
    distance = xp.where(entropy_ == 0, xp.zeros_like(entropy_), 1.0 - divide_or_zero(xp, information, entropy_))
    return xp.astype(distance, pxy.dtype)


@_mi_distance.defvjp
def _(g, out, pxy, /, *, needed):
    xp = namespace(pxy)
    information, ratio, entropy_, shares = _information(xp, pxy)
    share = divide_or_zero(xp, information, entropy_)[..., None, None]  # I / H
    entropy_ = entropy_[..., None, None]
    slope = (ratio - entropy_ * share) + share * (log_or_zero(xp, shares) + entropy_)
    return (_per_mass(xp, g, -divide_or_zero(xp, slope, entropy_ + xp.zeros_like(slope)), pxy, shares),)


def mi_ceiling(
    x: Array,
    /,
    bins: int = 256,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    bandwidth: float | None = None,
    boundary: str = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
) -> Array:
    """I / H of an image with itself: about the most that soft bins let any image reach beside it.

    Parameters
    ----------
    x : array, shape (..., N)
    bins, range, bandwidth, boundary, weights, axis
        As in `joint_histogram`.

    Returns
    -------
    array, shape (...)
        1 in the limit of hard bins; about 0.57 for uniform values at the default bandwidth.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> round(float(diffhist.mi_ceiling(np.linspace(0, 1, 4096), boundary="circular")), 2)
    0.57
    """
    table = joint_histogram(x, x, bins, range, bandwidth=bandwidth, boundary=boundary, weights=weights, axis=axis)
    return 1.0 - mi_distance(table)


def mi_floor(
    x: Array,
    y: Array,
    /,
    bins: int | tuple[int, int] = 256,
    range: tuple[Any, Any] = (0.0, 1.0),
    *,
    bandwidth: float | tuple[float | None, float | None] | None = None,
    boundary: str | tuple[str, str] = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
    draws: int = 8,
    seed: int = 0,
) -> Array:
    """I / H of one image with the other one's pixels shuffled: what chance alone gives, averaged over draws.

    Parameters
    ----------
    x, y : array, shape (..., N)
    bins, range, bandwidth, boundary, axis
        As in `joint_histogram`.
    weights : array, optional
        As in `joint_histogram`; they are shuffled along with y and multiplied by those of x, so that both marginals
        stay weighted as they were.
    draws : int
        Number of shuffles.
    seed : int
        Of the shuffles: the same seed gives the same shuffles on every array library.

    Returns
    -------
    array, shape (...)
        Above 0: few pixels over many cells look dependent. About 0.03 for 128 x 128 pixels at the defaults.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> x, y = np.random.default_rng(0).random((2, 128 * 128))
    >>> round(float(diffhist.mi_floor(x, y, draws=2)), 2)
    0.03
    """
    if not isinstance(draws, int) or draws < 1:
        raise ValueError(f"`draws` must be an integer of at least 1, got {draws!r}")
    x, y, weights = samples(x, y, weights, axis=axis)
    xp, rng = namespace(x), np.random.default_rng(seed)
    total: Any = 0.0
    for _ in builtins.range(draws):
        order = xp.asarray(rng.permutation(x.shape[-1]), dtype=index_dtype(xp, x), device=device(x))
        both = None if weights is None else weights * xp.take(weights, order, axis=-1)
        table = joint_histogram(
            x, xp.take(y, order, axis=-1), bins, range, bandwidth=bandwidth, boundary=boundary, weights=both
        )
        total = total + (1.0 - mi_distance(table))
    return total * (1.0 / draws)


def _check_table(pxy: Array) -> None:
    check_arrays({"pxy": pxy})
    if len(pxy.shape) < 2 or 0 in pxy.shape[-2:]:
        raise ValueError(f"`pxy` must be of shape (..., Kx, Ky), got {pxy.shape}")


def _shares(xp: Any, p: Array, axes: tuple[int, ...]) -> Array:
    """p divided by its sum over ``axes``, in the dtype to compute in; zeros where there is no mass."""
    p = xp.astype(p, compute_dtype(xp, p))
    return divide_or_zero(xp, p, xp.sum(p, axis=axes, keepdims=True))


def _conditional(xp: Any, pxy: Array) -> tuple[Array, Array]:
    """Shares P of a table, and log P(x | y)."""
    shares = _shares(xp, pxy, (-2, -1))
    given = divide_or_zero(xp, shares, xp.sum(shares, axis=-2, keepdims=True))
    return shares, log_or_zero(xp, given)


def _information(xp: Any, pxy: Array) -> tuple[Array, Array, Array, Array]:
    """I, log(P / (Px Py)), the joint entropy, and the shares P of a table; logarithms are 0 in empty cells."""
    shares = _shares(xp, pxy, (-2, -1))
    logs = log_or_zero(xp, shares)
    marginals = [log_or_zero(xp, xp.sum(shares, axis=a, keepdims=True)) for a in (-1, -2)]
    ratio = xp.where(shares == 0, xp.zeros_like(logs), logs - marginals[0] - marginals[1])
    return xp.sum(shares * ratio, axis=(-2, -1)), ratio, -xp.sum(shares * logs, axis=(-2, -1)), shares


def _per_mass(xp: Any, g: Array, slope: Array, pxy: Array, shares: Array) -> Array:
    """Cotangent of a table from the slope by its shares: divided by its mass, nothing where there is none."""
    total = xp.sum(xp.astype(pxy, shares.dtype), axis=(-2, -1), keepdims=True)
    return divide_or_zero(xp, xp.astype(g, shares.dtype)[..., None, None] * slope, total)

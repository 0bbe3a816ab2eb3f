"""Entropy, mutual information and the distance built on it (Eq. 16-18)."""

from typing import Any

from diffhist._array import (
    Array,
    check_arrays,
    compute_dtype,
    divide_or_zero,
    log_or_zero,
    namespace,
    sample_axes,
    sign,
)
from diffhist._backends.primitive import differentiable
from diffhist.histogram import joined

__all__ = [
    "conditional_entropy",
    "conditional_mutual_information",
    "entropy",
    "mi_distance",
    "mutual_information",
    "normalized_mutual_information",
]

NORMS = ("joint", "studholme", "min", "geometric", "arithmetic", "max")


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
    return _entropy(joined(p, tuple(p.shape), sample_axes(axis, len(p.shape))))


@differentiable
def _entropy(p: Array, /) -> Array:
    xp = namespace(p)
    shares = _shares(xp, p, (-1,))
    return xp.astype(-xp.sum(shares * log_or_zero(xp, shares), axis=-1), p.dtype)


@_entropy.defslopes
def _(out, p, /):
    xp = namespace(p)
    shares = _shares(xp, p, (-1,))
    return [_per_mass(xp, -(log_or_zero(xp, shares) + _wide(xp, out, shares)), p, rank=1)]


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
    return xp.astype(_information(xp, pxy)[0][..., 0, 0], pxy.dtype)


@_mutual_information.defslopes
def _(out, pxy, /):
    xp = namespace(pxy)
    information, ratio, *_, per_mass = _information(xp, pxy)
    return [(ratio - information) * per_mass]


def conditional_mutual_information(pxyz: Array, /) -> Array:
    r"""What X tells of Y beyond what Z tells of both, in nats: their mutual information given Z.

    .. math:: I(X; Y | Z) = \sum_{k,l,m} P_{klm} \log \frac{P_{klm} P_m}{P_{km} P_{lm}}

    with the marginals taken from the table's own sums, and the table divided by its sum first.

    Parameters
    ----------
    pxyz : array, shape (..., Kx, Ky, Kz)
        Joint histogram of three variables: non-negative masses.

    Returns
    -------
    array, shape (...)
        Between 0 (independent, given Z) and the smaller of H(X | Z) and H(Y | Z), up to rounding; 0 for a table without
        mass.

    References
    ----------
    Cover, Thomas: Elements of Information Theory, 2006, section 2.5.

    Examples
    --------
    Of three coins, the third says whether the first two are alike:

    >>> import numpy as np
    >>> import diffhist
    >>> table = np.stack([np.eye(2), 1 - np.eye(2)], axis=-1) / 4
    >>> float(diffhist.mutual_information(table.sum(-1)))
    0.0
    >>> round(float(diffhist.conditional_mutual_information(table)), 4), round(float(np.log(2)), 4)
    (0.6931, 0.6931)
    """
    check_arrays({"pxyz": pxyz})
    if len(pxyz.shape) < 3 or 0 in pxyz.shape[-3:]:
        raise ValueError(f"`pxyz` must be of shape (..., Kx, Ky, Kz), got {pxyz.shape}")
    return _conditional_information(pxyz)


@differentiable
def _conditional_information(pxyz: Array, /) -> Array:
    xp = namespace(pxyz)
    shares, ratio = _conditional_ratio(xp, pxyz)
    return xp.astype(xp.sum(shares * ratio, axis=(-3, -2, -1)), pxyz.dtype)


@_conditional_information.defslopes
def _(out, pxyz, /):
    xp = namespace(pxyz)
    shares, ratio = _conditional_ratio(xp, pxyz)
    return [_per_mass(xp, ratio - _wide(xp, out, shares), pxyz, rank=3)]


def _conditional_ratio(xp: Any, pxyz: Array) -> tuple[Array, Array]:
    """Shares P of a table, and log(P Pz / (Pxz Pyz)), which is 0 in empty cells."""
    shares = _shares(xp, pxyz, (-3, -2, -1))
    of_z, of_xz, of_yz = (log_or_zero(xp, xp.sum(shares, axis=a, keepdims=True)) for a in ((-3, -2), -2, -3))
    ratio = log_or_zero(xp, shares) + of_z - of_xz - of_yz
    return shares, xp.where(shares == 0, xp.zeros_like(ratio), ratio)


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


@_conditional_entropy.defslopes
def _(out, pxy, /):
    xp = namespace(pxy)
    shares, log_conditional = _conditional(xp, pxy)
    return [_per_mass(xp, -log_conditional - _wide(xp, out, shares), pxy)]


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
    return _normalized(pxy, norm="joint", start=1.0, sign=-1.0)


def normalized_mutual_information(pxy: Array, /, *, norm: str = "joint") -> Array:
    r"""Mutual information over an entropy, so that tables of different images compare.

    Parameters
    ----------
    pxy : array, shape (..., Kx, Ky)
        Joint histogram: non-negative masses; it is divided by its sum first.
    norm : {"joint", "studholme", "min", "geometric", "arithmetic", "max"}
        With H the entropies of the table and of its two marginals:

        - ``"joint"``: :math:`I / H_{xy}`, the similarity in Eq. 17;
        - ``"studholme"``: :math:`(H_x + H_y) / H_{xy} = 1 + I / H_{xy}`, as in registration, between 1 and 2;
        - the others: I over the least, the geometric or arithmetic mean, or the greatest of :math:`H_x` and
          :math:`H_y`, as in clustering (scikit-learn's ``normalized_mutual_info_score``).

    Returns
    -------
    array, shape (...)
        Between 0 (independent) and 1 (each a relabelling of the other), and one more for ``"studholme"``, up to
        rounding. Where :math:`H_{xy}` is 0 (all mass in one cell, or none) it is the greatest value, with gradient 0;
        where one marginal alone is constant it is the least.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 17 (arXiv:1912.06044); Studholme, Hill, Hawkes: An overlap invariant
    entropy measure of 3D medical image alignment, 1999; Vinh, Epps, Bailey: Information theoretic measures for
    clusterings comparison, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> table = np.array([[0.5, 0.0], [0.25, 0.25]])
    >>> [round(float(diffhist.normalized_mutual_information(table, norm=n)), 3) for n in ("joint", "min", "max")]
    [0.208, 0.384, 0.311]
    """
    if norm not in NORMS:
        raise ValueError(f"`norm` must be one of {', '.join(NORMS)}, got {norm!r}")
    _check_table(pxy)
    if norm == "studholme":
        return _normalized(pxy, norm="joint", start=1.0, sign=1.0)
    return _normalized(pxy, norm=norm, start=0.0, sign=1.0)


@differentiable
def _normalized(pxy: Array, /, *, norm: str, start: float, sign: float) -> Array:
    """start + sign I / norm: added to what is returned, a number makes float64 of a float32 scalar in NumPy 1."""
    xp = namespace(pxy)
    information, _, joint, logs, _ = _information(xp, pxy)
    share = divide_or_zero(xp, information, _norm(xp, pxy, norm, joint, logs)[0])
    share = start + sign * xp.where(joint == 0, xp.ones_like(share), share)
    return xp.astype(share[..., 0, 0], pxy.dtype)


@_normalized.defslopes
def _(out, pxy, /, *, norm, start, sign):
    xp = namespace(pxy)
    information, ratio, joint, logs, per_mass = _information(xp, pxy)
    norm, surprise = _norm(xp, pxy, norm, joint, logs)
    # The constants that keep the shares' sum cancel: the mean of `ratio` is I, and that of `surprise` the norm.
    return [(ratio - divide_or_zero(xp, information, norm) * surprise) * (sign * per_mass * _inverse(xp, norm))]


def _norm(xp: Any, pxy: Array, kind: str, joint: Array, logs: Array) -> tuple[Array, Array]:
    """What I is divided by, (..., 1, 1), and its slope by the shares of the table, of which there are the entropy and
    the logarithms, up to a constant: with the norm for its mean."""
    if kind == "joint":
        return joint, -logs
    entropies, slopes = [], []
    for axis in (-1, -2):
        shares = _shares(xp, xp.sum(pxy, axis=axis, keepdims=True), (-2, -1))
        slopes.append(-log_or_zero(xp, shares))
        entropies.append(xp.sum(shares * slopes[-1], axis=(-2, -1), keepdims=True))
    x, y = entropies
    if kind == "geometric":
        product = x * y
        mean = xp.sqrt(xp.where(product == 0, xp.ones_like(product), product))
        mean = xp.where(product == 0, xp.zeros_like(mean), mean)
        return mean, 0.5 * (divide_or_zero(xp, mean, x) * slopes[0] + divide_or_zero(xp, mean, y) * slopes[1])
    of_x = {"arithmetic": xp.zeros_like(x), "min": sign(xp, y - x), "max": sign(xp, x - y)}[kind] * 0.5 + 0.5
    return of_x * x + (1.0 - of_x) * y, of_x * slopes[0] + (1.0 - of_x) * slopes[1]


def _check_table(pxy: Array) -> None:
    check_arrays({"pxy": pxy})
    if len(pxy.shape) < 2 or 0 in pxy.shape[-2:]:
        raise ValueError(f"`pxy` must be of shape (..., Kx, Ky), got {pxy.shape}")


def _shares(xp: Any, p: Array, axes: tuple[int, ...]) -> Array:
    """p divided by its sum over ``axes``, in the dtype to compute in; zeros where there is no mass."""
    p = xp.astype(p, compute_dtype(xp, p), copy=False)
    return p * _inverse(xp, xp.sum(p, axis=axes, keepdims=True))


def _inverse(xp: Any, a: Array) -> Array:
    """1 / a, and 0 where a is 0: multiplying a table by it is one walk through memory, dividing the table several."""
    return divide_or_zero(xp, xp.ones_like(a), a)


def _conditional(xp: Any, pxy: Array) -> tuple[Array, Array]:
    """Shares P of a table, and log P(x | y)."""
    shares = _shares(xp, pxy, (-2, -1))
    given = divide_or_zero(xp, shares, xp.sum(shares, axis=-2, keepdims=True))
    return shares, log_or_zero(xp, given)


def _information(xp: Any, pxy: Array) -> tuple[Array, Array, Array, Array, Array]:
    """I, log(P / (Px Py)), the joint entropy, log P of a table of shares P, and what each share is of a mass, all with
    its axes; logarithms are 0 in empty cells."""
    pxy = xp.astype(pxy, compute_dtype(xp, pxy), copy=False)
    per_mass = _inverse(xp, xp.sum(pxy, axis=(-2, -1), keepdims=True))
    shares = pxy * per_mass
    empty = shares == 0  # a walk through a large table takes half a millisecond: the fewest
    logs = xp.log(xp.where(empty, xp.ones_like(per_mass), shares))
    marginals = [log_or_zero(xp, xp.sum(shares, axis=a, keepdims=True)) for a in (-1, -2)]
    ratio = xp.where(empty, xp.zeros_like(per_mass), logs - marginals[0] - marginals[1])
    information, entropy_ = (xp.sum(shares * a, axis=(-2, -1), keepdims=True) for a in (ratio, logs))
    return information, ratio, -entropy_, logs, per_mass


def _wide(xp: Any, out: Array, like: Array) -> Array:
    """A value (...) beside the histogram (..., K) or (..., K, L) that it is of."""
    return xp.reshape(xp.astype(out, like.dtype), (*out.shape, *(1,) * (like.ndim - out.ndim)))


def _per_mass(xp: Any, slope: Array, p: Array, rank: int = 2) -> Array:
    """The slope by a histogram's masses from that by its shares: nothing where there is no mass."""
    mass = xp.sum(xp.astype(p, slope.dtype, copy=False), axis=tuple(range(-rank, 0)), keepdims=True)
    return slope * _inverse(xp, mass)

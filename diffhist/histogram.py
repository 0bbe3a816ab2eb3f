"""Soft histograms, one- and two-dimensional, and their gradient rules (Eq. 4 and 23)."""

import builtins
import functools
import math
import operator
from typing import Any

from diffhist._array import (
    Array,
    check_arrays,
    compute_dtype,
    divide_or_zero,
    exact_sums,
    namespace,
    sample_axes,
)
from diffhist._backends.primitive import differentiable
from diffhist._evaluation import KERNELS, Axis, gather, spread

__all__ = ["joint_histogram", "soft_histogram"]

BOUNDARIES = ("open", "circular", "reflect")


def soft_histogram(
    x: Array,
    /,
    bins: int = 256,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    bandwidth: float | None = None,
    kernel: str = "logistic",
    boundary: str = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
    normalize: bool = True,
) -> Array:
    r"""Differentiable histogram: each value spreads over the bins as a kernel, by default the paper's.

    .. math:: P(k) = \frac{1}{\sum_i w_i} \sum_i w_i \left[S\left(\frac{x_i - e_k}{W}\right)
              - S\left(\frac{x_i - e_{k+1}}{W}\right)\right], \qquad e_k = lo + k L, \quad L = (hi - lo) / K

    with S the kernel's distribution function: the logistic one, :math:`\sigma`, in Eq. 4.

    Parameters
    ----------
    x : array, shape (..., N)
        Values, of a floating dtype. float16 and bfloat16 are computed in float32, and the result cast back: for a
        loss, convert to float32 first (as `diffhist.nn` does), since shares of many bins underflow in them.
    bins : int
        Number K of bins of equal length L.
    range : (float, float)
        The range (lo, hi) that the bins divide.
    bandwidth : float, optional
        Width W of the kernel, in the units of ``x``; by default what the table below has. As W goes to 0 the result
        becomes that of `numpy.histogram`, in shares.
    kernel : {"logistic", "gaussian", "linear", "cubic"}
        What a value is spread by.
    boundary : {"open", "circular", "reflect"}
        What becomes of mass beyond the range: it is lost (Eq. 4 as printed: half of it for a value on the border);
        it comes in at the other end (for hue); it comes back (as from a mirror).
    weights : array, optional
        Weights, or a boolean mask, that broadcast to ``x``; differentiable. A value of weight 0 does not count, even
        if it is NaN. A total weight of 0 gives zeros, with gradient 0.
    axis : int or tuple of int
        The axes that make one sample; the others are batch axes.
    normalize : bool
        Divide by the total weight (or by N). Otherwise the result is sums, which add over chunks of data; for float16
        and bfloat16 input they are float32.

    Returns
    -------
    array, shape (..., K)
        Masses: the share of the sample in each bin; neither counts nor densities. They sum to 1, or under
        ``boundary="open"`` to less. A NaN in a sample (or, unless the boundary is open, an infinity) makes it NaN.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    Notes
    -----
    The kernels, and what W is:

    =============  ==========================================================  =========  =========================
    kernel         density, of z = (x - e) / W                                 default W  its standard deviation
    =============  ==========================================================  =========  =========================
    ``logistic``   :math:`\sigma(z) (1 - \sigma(z))`                            L / 2.5    :math:`\pi W / \sqrt 3`
    ``gaussian``   :math:`\exp(-z^2 / 2) / \sqrt{2 \pi}`                        L / 2      W
    ``linear``     1 for :math:`|z| < 1/2`                                     L          :math:`W / \sqrt{12}`
    ``cubic``      the quadratic B-spline, of knots W apart; 0 from 3/2 on     L          W / 2
    =============  ==========================================================  =========  =========================

    The last two are named by what a bin sees at W = L, as in histograms by Parzen windows: its mass is the linear or
    the cubic B-spline of (x - its middle) / L, exactly. Of ``"linear"`` the gradient is constant in pieces, on whose
    borders it is the mean of both sides, and the second derivative is 0.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 4-7 (arXiv:1912.06044). Thévenaz, Unser: Optimization of mutual
    information for multiresolution image registration, 2000 (the B-splines).

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> hue = np.array([0.125, 0.125, 0.625, 0.125])
    >>> diffhist.soft_histogram(hue, bins=4, boundary="circular").round(3)
    array([0.427, 0.202, 0.17 , 0.202])
    >>> diffhist.soft_histogram(hue, bins=4, boundary="circular", kernel="linear").round(3)
    array([0.75, 0.  , 0.25, 0.  ])
    """
    grid = _axis("", bins, range, bandwidth, kernel, boundary)
    return _histogram((x,), (grid,), weights, axis, normalize)


def joint_histogram(
    x: Array,
    y: Array,
    /,
    bins: int | tuple[int, int] = 256,
    range: tuple[Any, Any] = (0.0, 1.0),
    *,
    bandwidth: float | tuple[float | None, float | None] | None = None,
    kernel: str | tuple[str, str] = "logistic",
    boundary: str | tuple[str, str] = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
    normalize: bool = True,
) -> Array:
    r"""Differentiable joint histogram of two images of one shape.

    .. math:: J(k, l) = \frac{1}{\sum_i w_i} \sum_i w_i\, \Pi_k(x_i)\, \Pi_l(y_i)

    with the kernel masses :math:`\Pi_k` of Eq. 6, as in `soft_histogram`.

    Parameters
    ----------
    x, y : array, shape (..., N)
        Values of the two images, pixel by pixel; they broadcast to one shape.
    bins, range, bandwidth, kernel, boundary
        As in `soft_histogram`; each may be a pair, for ``x`` and for ``y``.
    weights, axis, normalize
        As in `soft_histogram`.

    Returns
    -------
    array, shape (..., Kx, Ky)
        Masses; ``x`` runs along the first of the two axes. Under circular and reflecting boundaries the sums over an
        axis are the histograms of the other image.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 19-24 (arXiv:1912.06044).

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> x, y = np.array([0.25, 0.75]), np.array([0.75, 0.25])
    >>> diffhist.joint_histogram(x, y, bins=2).round(2)
    array([[0.11, 0.17],
           [0.17, 0.11]])
    """
    nested = isinstance(range, (tuple, list)) and any(isinstance(r, (tuple, list)) for r in range)
    ranges = _pair("range", range) if nested else (range, range)
    named = {"bins": bins, "bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
    bins, *rest = (_pair(name, value) for name, value in named.items())
    grids = tuple(_axis(f" (of {name})", *options) for name, *options in zip("xy", bins, ranges, *rest, strict=True))
    return _histogram((x, y), grids, weights, axis, normalize)


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)):
        return value, value
    if len(value) != 2:
        raise ValueError(f"`{name}` must be one value or a pair, for x and for y, got {value!r}")
    return tuple(value)


def _axis(of: str, bins: Any, range: Any, bandwidth: Any, kernel: Any, boundary: Any) -> Axis:
    """Check one coordinate's options and put them in units of bins."""
    try:
        bins = operator.index(bins)
    except TypeError:
        raise TypeError(f"`bins`{of} must be an integer, got {bins!r}") from None
    if bins < 1:
        raise ValueError(f"`bins`{of} must be at least 1, got {bins}")
    try:
        low, high = (float(edge) for edge in range)
    except (TypeError, ValueError):
        raise TypeError(f"`range`{of} must be two numbers (lo, hi), got {range!r}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"`range`{of} must be finite with lo < hi, got ({low}, {high})")
    for name, given, known in (("boundary", boundary, BOUNDARIES), ("kernel", kernel, tuple(KERNELS))):
        if given not in known:
            raise ValueError(f"`{name}`{of} must be one of {', '.join(known)}, got {given!r}")
    step = (high - low) / bins
    try:
        width = KERNELS[kernel].width if bandwidth is None else float(bandwidth) / step
    except (TypeError, ValueError):
        raise TypeError(f"`bandwidth`{of} must be a number or None, got {bandwidth!r}") from None
    if not (width > 0 and math.isfinite(width)):
        raise ValueError(f"`bandwidth`{of} must be positive and finite, got {bandwidth}")
    if boundary != "open" and KERNELS[kernel].nodes:  # at twice the period, one wound round it is flat to 1e-16
        width = min(width, (2.0 if boundary == "circular" else 4.0) * bins)
    return Axis(bins, low, step, width, boundary, kernel)


def _histogram(images: tuple[Array, ...], grids: tuple[Axis, ...], weights: Any, axis: Any, normalize: bool) -> Array:
    x, *rest, w = samples(*images, weights, axis=axis)
    xp = namespace(*images)
    sums = _spread(x, *rest or (None,), w, axes=grids, orders=((0,) * len(grids),))
    if not normalize:
        return sums
    return _share(sums, w, rank=len(grids), count=x.shape[-1], dtype=xp.result_type(*(i.dtype for i in images)))


def samples(*arrays: Any, axis: Any, names: tuple[str, ...] = ("x", "y", "weights")) -> list[Any]:
    """Images and, last, their weights (or None), checked and broadcast, with their sample axes as one: (..., N)."""
    *images, weights = arrays
    xp = check_arrays(dict(zip(names, images, strict=False)), weights, names[-1])
    pixels = tuple(images[0].shape)
    if any(tuple(i.shape) != pixels for i in images):
        raise ValueError(
            f"`x` and `y` must have the same shape, got {' and '.join(str(tuple(i.shape)) for i in images)}"
        )
    if weights is not None:
        own = (1,) * (len(pixels) - len(weights.shape)) + tuple(weights.shape)
        if len(own) != len(pixels) or any(w not in (1, n) for w, n in zip(own, pixels, strict=True)):
            raise ValueError(
                f"`{names[-1]}` must broadcast to the shape {pixels} of the values, got {tuple(weights.shape)}"
            )
    axes = sample_axes(axis, len(pixels))
    if 0 in [pixels[a] for a in axes]:
        raise ValueError(
            f"`{names[0]}` must hold at least one value in each sample, got shape {pixels} with `axis` {axis}"
        )
    if weights is not None and xp.isdtype(weights.dtype, "bool"):
        weights = xp.astype(weights, compute_dtype(xp, *images))
    return [None if a is None else joined(a, pixels, axes) for a in (*images, weights)]


def joined(a: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Broadcast to ``shape`` and bring the sample axes together at the end: (..., N)."""
    if tuple(a.shape) == shape and axes == (-1,):
        return a
    return _arranged(a, rank=len(a.shape), shape=shape, axes=axes)


@differentiable
def _arranged(a: Array, /, *, rank: int, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    xp = namespace(a)
    mapped = tuple(a.shape[: a.ndim - rank])  # axes that a transform has put in front
    a = xp.reshape(a, (*mapped, *(1,) * (len(shape) - rank), *a.shape[a.ndim - rank :]))
    a = xp.permute_dims(xp.broadcast_to(a, (*mapped, *shape)), _order(len(mapped), len(shape), axes))
    return xp.reshape(a, (*a.shape[: a.ndim - len(axes)], math.prod([shape[d] for d in axes])))  # -1 wants a batch


def _order(mapped: int, rank: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of an array, those of its samples last."""
    samples = [mapped + rank + d for d in axes]
    return (*(d for d in builtins.range(mapped + rank) if d not in samples), *samples)


@_arranged.deflinear
def _(g, a, /, *, rank, shape, axes):
    xp = namespace(a)
    batch = tuple(n for d, n in enumerate(shape) if d - len(shape) not in axes)
    mapped = tuple(a.shape[: a.ndim - rank])
    g = xp.reshape(g, (*mapped, *batch, *(shape[d] for d in axes)))
    order = _order(len(mapped), len(shape), axes)
    g = xp.permute_dims(g, tuple(order.index(d) for d in builtins.range(len(order))))
    own = (1,) * (len(shape) - rank) + tuple(a.shape[a.ndim - rank :])
    stretched = tuple(d - len(shape) for d, n in enumerate(own) if n != shape[d])
    return xp.reshape(xp.sum(g, axis=stretched) if stretched else g, a.shape)


@differentiable
def _share(sums: Array, weights: Array | None, /, *, rank: int, count: int, dtype: Any) -> Array:
    """Sums over pixels divided by the total weight of each sample, or by their number; zeros where there is none."""
    xp = namespace(sums)
    shares = (
        sums * (1.0 / count) if weights is None else divide_or_zero(xp, sums, _total(xp, weights, rank, sums.dtype))
    )
    return xp.astype(shares, dtype)


@_share.defvjp
def _(g, out, sums, weights, /, *, rank, count, dtype, needed):
    xp = namespace(sums)
    g = xp.astype(g, sums.dtype)
    if weights is None:
        return g * (1.0 / count), None
    each = divide_or_zero(xp, g, _total(xp, weights, rank, g.dtype))
    if not needed[1]:
        return each, None
    back = xp.sum(each * xp.astype(out, g.dtype), axis=tuple(range(-rank, 0)))[..., None]
    return each, xp.broadcast_to(-back, weights.shape)


@_share.defjvp
def _(tangents, out, sums, weights, /, *, rank, count, dtype):
    xp = namespace(sums)
    found = None
    if tangents[0] is not None:
        found = _share(tangents[0], weights, rank=rank, count=count, dtype=sums.dtype)
    if weights is not None and tangents[1] is not None:
        total, more = (_total(xp, w, rank, sums.dtype) for w in (weights, tangents[1]))
        found = _plus(found, -divide_or_zero(xp, xp.astype(out, sums.dtype) * more, total + xp.zeros_like(sums)))
    return found


def _total(xp: Any, weights: Array, rank: int, dtype: Any) -> Array:
    total = xp.astype(xp.sum(xp.astype(weights, compute_dtype(xp, weights)), axis=-1), dtype)
    return xp.reshape(total, (*total.shape, *(1,) * rank))


def _rows(xp: Any, a: Array, rank: int = 1) -> Array:
    return xp.reshape(a, (-1, *a.shape[len(a.shape) - rank :]))


@differentiable
def _spread(x: Array, y: Array | None, weights: Array | None, /, *, axes: Any, orders: Any) -> Array:
    """Weighted sums over pixels of the kernel's masses, or of their derivatives: (..., N) -> (..., Kx[, Ky]).

    For each of ``orders``, all of which add up, the weights (..., orders N) hold N; None are ones. Linear in them.
    """
    xp = namespace(x)
    dtype = compute_dtype(xp, x, y, weights)
    pixels, _ = _counted(xp, [a for a in (x, y) if a is not None], weights, len(orders))
    rows = [_rows(xp, p) for p in pixels]
    w = None if weights is None else xp.reshape(weights, (rows[0].shape[0], len(orders), x.shape[-1]))
    with exact_sums(x):
        sums = xp.astype(spread(xp, rows, w, axes, orders, dtype), dtype)
    return xp.reshape(sums, (*x.shape[:-1], *sums.shape[1:]))


_spread.blind = True


@_spread.defvjp
def _(g, out, x, y, weights, /, *, axes, orders, needed):
    xp = namespace(x)
    pixels, counts = _counted(xp, [a for a in (x, y) if a is not None], weights, len(orders))
    targets = [j for j in (0, 1) if needed[j]]
    wanted = [raised for j in targets for raised in _raised(orders, j)] + (list(orders) if needed[2] else [])
    seen = _gather(g, *pixels, *(None,) * (2 - len(pixels)), axes=axes, orders=tuple(wanted))
    groups = seen.shape[-2] // len(orders)  # not -1, of which an empty batch says nothing
    each = xp.reshape(seen, (*seen.shape[:-2], groups, len(orders), seen.shape[-1]))
    found: list[Array | None] = [None, None, None]
    for n, j in enumerate(targets):
        found[j] = xp.sum(_weighted(xp, weights, each[..., n, :, :]), axis=-2)
    if needed[2]:
        found[2] = xp.reshape(_where(xp, counts, each[..., -1, :, :]), weights.shape)
    return found


@_spread.defjvp
def _(tangents, out, x, y, weights, /, *, axes, orders):
    """A pixel that moves is a pixel under a kernel of one more order, its weight multiplied by how far it moves."""
    xp = namespace(x)
    dtype = compute_dtype(xp, x, y, weights)
    pixels, counts = _counted(xp, [a for a in (x, y) if a is not None], weights, len(orders))
    terms, raised = [], []
    for j, t in enumerate(tangents[:2]):
        if t is not None:
            moved = _joined(xp, [xp.astype(t, dtype)] * len(orders))
            terms.append(moved if weights is None else moved * weights)
            raised += _raised(orders, j)
    if tangents[2] is not None:
        more = _where(xp, counts, xp.reshape(tangents[2], (*x.shape[:-1], len(orders), x.shape[-1])))
        terms.append(xp.reshape(xp.astype(more, dtype), weights.shape))
        raised += orders
    return _spread(*pixels, *(None,) * (2 - len(pixels)), _joined(xp, terms), axes=axes, orders=tuple(raised))


def _counted(xp: Any, pixels: list[Array], weights: Array | None, orders: int) -> tuple[list[Array], Array | None]:
    """The pixels, those without weight and without a finite value set to 0, so that no NaN comes of them; and whether
    a pixel is none of these."""
    if weights is None:
        return pixels, None
    weighed = xp.any(xp.reshape(weights, (*pixels[0].shape[:-1], orders, pixels[0].shape[-1])) != 0, axis=-2)
    finite = [xp.isfinite(p) for p in pixels]
    clean = [xp.where(weighed | f, p, xp.zeros_like(p)) for p, f in zip(pixels, finite, strict=True)]
    return clean, weighed | functools.reduce(operator.and_, finite)


def _where(xp: Any, counts: Array, a: Array) -> Array:
    """``a`` (..., orders, N) where pixels count, and 0 elsewhere."""
    return xp.where(xp.expand_dims(counts, axis=-2), a, xp.zeros_like(a))


def _weighted(xp: Any, weights: Array | None, each: Array) -> Array:
    """``each`` (..., orders, N) times the weights."""
    return each if weights is None else each * xp.reshape(weights, each.shape)


@differentiable
def _gather(h: Array, x: Array, y: Array | None, /, *, axes: Any, orders: Any) -> Array:
    """The adjoint of `_spread` in its weights: for each of ``orders``, h seen through the kernel at each pixel:
    (..., Kx[, Ky]) -> (..., orders, N). Linear in h."""
    xp = namespace(x)
    pixels = [_rows(xp, a) for a in (x, y) if a is not None]
    with exact_sums(x):
        seen = gather(xp, _rows(xp, h, len(axes)), pixels, axes, orders, compute_dtype(xp, h, x, y))
    return xp.stack([xp.reshape(s, x.shape) for s in seen], axis=-2)


_gather.blind = True


@_gather.defvjp
def _(g, out, h, x, y, /, *, axes, orders, needed):
    xp = namespace(x)
    found: list[Array | None] = [None, None, None]
    if needed[0]:
        found[0] = _spread(x, y, xp.reshape(g, (*x.shape[:-1], g.shape[-2] * g.shape[-1])), axes=axes, orders=orders)
    targets = [j for j in (0, 1) if needed[1 + j]]
    if targets:
        slopes = _gather(h, x, y, axes=axes, orders=tuple(raised for j in targets for raised in _raised(orders, j)))
        for n, j in enumerate(targets):
            found[1 + j] = xp.sum(g * slopes[..., n * len(orders) : (n + 1) * len(orders), :], axis=-2)
    return found


@_gather.defjvp
def _(tangents, out, h, x, y, /, *, axes, orders):
    xp = namespace(x)
    found = None if tangents[0] is None else _gather(tangents[0], x, y, axes=axes, orders=orders)
    for j, t in enumerate(tangents[1:]):
        if t is not None:
            slope = _gather(h, x, y, axes=axes, orders=tuple(_raised(orders, j)))
            found = _plus(found, xp.expand_dims(t, axis=-2) * slope)
    return found


def _joined(xp: Any, terms: list[Array]) -> Array:
    return xp.reshape(xp.stack(terms, axis=-2), (*terms[0].shape[:-1], len(terms) * terms[0].shape[-1]))


def _plus(total: Array | None, more: Array) -> Array:
    return more if total is None else total + more


def _raised(orders: Any, j: int) -> list[tuple[int, ...]]:
    """Each of the orders, one higher in the j-th coordinate."""
    return [tuple([o + (n == j) for n, o in enumerate(order)]) for order in orders]

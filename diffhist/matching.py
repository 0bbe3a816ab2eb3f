"""Giving an image the histogram of another one, or a flat one: through soft running sums, differentiable in both."""

import builtins
import operator
from typing import Any

from diffhist._array import (
    Array,
    compute_dtype,
    device,
    divide_or_zero,
    index_dtype,
    namespace,
    running_sum,
    sample_axes,
    scatter_add,
    search,
    take,
)
from diffhist._backends.primitive import differentiable
from diffhist._evaluation.kernel import Axis, above, coordinate, depth, places
from diffhist._steps import arrange, gather, order_of_axes, relative
from diffhist.histogram import _axis, samples, soft_histogram

__all__ = ["equalize", "match_histogram"]


def match_histogram(
    x: Array,
    reference: Array,
    /,
    bins: int = 256,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    bandwidth: float | None = None,
    kernel: str = "logistic",
    boundary: str = "reflect",
    weights: Array | None = None,
    reference_weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
) -> Array:
    r"""Map the values of ``x``, keeping their order, so that their histogram becomes that of ``reference``.

    .. math:: y_i = Q\left(\sum_k \Pi_k(x_i) \left(\sum_{l < k} P_l + P_k / 2\right)\right)

    with P the soft histogram of ``x``, :math:`\Pi_k` the kernel's masses as in `soft_histogram`, and Q the inverse of
    the running sum of the reference's soft histogram, linear within each bin.

    Parameters
    ----------
    x : array, shape (..., N)
        Values to be mapped, within ``range``.
    reference : array, shape (..., M)
        Values with the wanted histogram; their batch axes broadcast to those of ``x``.
    bins, range, bandwidth, kernel
        As in `soft_histogram`.
    boundary : {"reflect", "circular"}
        As in `soft_histogram`; an open one loses mass, which then has no counterpart. On the circle order is kept up to
        a turn: the plan is the one that moves values the least (in the mean, the shorter way round).
    weights, reference_weights : array, optional
        As in `soft_histogram`, for each of the two.
    axis : int or tuple of int
        The axes that make one sample, of both.

    Returns
    -------
    array, of the shape and dtype of ``x``
        Values within ``range``; its low end for a reference without mass.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    Notes
    -----
    As the bandwidth goes to 0 and bins get many, the value of rank r becomes the reference's quantile at
    (r - 1/2) / N: with as many values as the reference has, and no ties, its value of rank r, which is what
    ``skimage.exposure.match_histograms`` gives. Where the reference's histogram is nearly empty, its inverse is steep,
    and so is the gradient: a wider kernel tames it.

    References
    ----------
    Delon, Salomon, Sobolevski: Fast transport optimization for Monge costs on the circle, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> x, reference = np.linspace(0.1, 0.3, 5), np.linspace(0.5, 0.9, 5)
    >>> diffhist.match_histogram(x, reference, bandwidth=1e-4).round(2)
    array([0.5, 0.6, 0.7, 0.8, 0.9])
    """
    grid, options = _grid(bins, range, bandwidth, kernel, boundary)
    shape, dtype = tuple(x.shape), x.dtype
    x, weights = samples(x, weights, axis=axis)
    reference, reference_weights = samples(
        reference, reference_weights, axis=axis, names=("reference", "reference_weights")
    )
    h = _shares_of(x, weights, options)
    wanted = _shares_of(reference, reference_weights, options)
    fits = (1,) * (len(h.shape) - len(wanted.shape)) + tuple(wanted.shape)
    if len(fits) != len(h.shape) or any(a not in (1, b) for a, b in zip(fits, h.shape, strict=True)):
        raise ValueError(
            f"`reference` must have batch axes that broadcast to those of `x`, got {tuple(wanted.shape[:-1])} and "
            f"{tuple(h.shape[:-1])}"
        )
    wanted = wanted + 0.0 * h
    found = _quantile(wanted, _level(h, x, wanted, grid), circular=boundary == "circular")
    return _placed(found, shape=shape, axes=sample_axes(axis, len(shape)), grid=grid, dtype=dtype)


def equalize(
    x: Array,
    /,
    bins: int = 256,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    bandwidth: float | None = None,
    kernel: str = "logistic",
    boundary: str = "reflect",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
) -> Array:
    """Map the values of ``x``, keeping their order, so that their histogram becomes flat.

    `match_histogram` with a reference whose values fill the range evenly.

    Parameters
    ----------
    x : array, shape (..., N)
        Values to be mapped, within ``range``.
    bins, range, bandwidth, kernel, boundary, weights, axis
        As in `match_histogram`.

    Returns
    -------
    array, of the shape and dtype of ``x``
        Values within ``range``. As the bandwidth goes to 0 and bins get many, the value of rank r of N comes to lie at
        the share (r - 1/2) / N of it.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> diffhist.equalize(np.array([0.1, 0.11, 0.12, 0.9]), bandwidth=1e-4).round(3)
    array([0.125, 0.375, 0.625, 0.875])
    """
    grid, options = _grid(bins, range, bandwidth, kernel, boundary)
    shape, dtype = tuple(x.shape), x.dtype
    x, weights = samples(x, weights, axis=axis)
    h = _shares_of(x, weights, options)
    flat = 0.0 * h + 1.0 / grid.bins
    found = _quantile(flat, _level(h, x, flat, grid), circular=grid.boundary == "circular")
    return _placed(found, shape=shape, axes=sample_axes(axis, len(shape)), grid=grid, dtype=dtype)


def _grid(bins: Any, range: Any, bandwidth: Any, kernel: Any, boundary: Any) -> tuple[Axis, dict[str, Any]]:
    if boundary == "open":
        raise ValueError("`boundary` must be reflect or circular, got 'open': mass that is lost cannot be matched")
    try:
        operator.index(bins)
    except TypeError:
        raise TypeError(f"`bins` must be an integer: matching has bins of one length, got {bins!r}") from None
    options = {"bins": bins, "range": range, "bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
    return _axis("", *options.values()), options | {"normalize": False}


def _level(h: Array, x: Array, wanted: Array, grid: Axis) -> Array:
    """The soft running sum of h at each value; on the circle, shifted to where ``wanted`` is met by the least way."""
    level = _flat(gather(_middles(h), x, axes=(grid,), orders=((0,),)))
    if grid.boundary != "circular":
        return level
    return level + _wound(x, axis=grid, order=0) - _offset(h, wanted)


def _shares_of(x: Array, weights: Array | None, options: dict[str, Any]) -> Array:
    return _shares(soft_histogram(x, weights=None if weights is None else relative(weights), **options))


@differentiable
def _shares(h: Array, /) -> Array:
    xp = namespace(h)
    return divide_or_zero(xp, h, xp.sum(h, axis=-1, keepdims=True) + xp.zeros_like(h))


@_shares.defvjp
def _(g, out, h, /, *, needed):
    xp = namespace(h)
    slope = g - xp.sum(g * out, axis=-1, keepdims=True)
    return (divide_or_zero(xp, slope, xp.sum(h, axis=-1, keepdims=True) + xp.zeros_like(h)),)


@_shares.defjvp
def _(tangents, out, h, /):
    xp = namespace(h)
    moved = tangents[0] - out * xp.sum(tangents[0], axis=-1, keepdims=True)
    return divide_or_zero(xp, moved, xp.sum(h, axis=-1, keepdims=True) + xp.zeros_like(h))


@differentiable
def _middles(h: Array, /) -> Array:
    """The running sum of shares up to the middle of each bin: what is as much above as below the bin's own mass."""
    return running_sum(namespace(h), h) - 0.5 * h


@_middles.deflinear
def _(g, h, /):
    return _sum_back(namespace(h), g) - 0.5 * g


def _sum_back(xp: Any, a: Array) -> Array:
    """The adjoint of the running sum."""
    return xp.flip(running_sum(xp, xp.flip(a, axis=-1)), axis=-1)


@differentiable
def _flat(a: Array, /) -> Array:
    """(..., 1, N) -> (..., N)"""
    return a[..., 0, :]


@_flat.deflinear
def _(g, a, /):
    return namespace(a).expand_dims(g, axis=-2)


@differentiable
def _wound(x: Array, /, *, axis: Axis, order: int) -> Array:
    """Turns that the kernel of each value makes: its share past the end of the circle, less that before its start; or
    the derivative of this order. A running sum does not come round by itself."""
    xp = namespace(x)
    rows = xp.reshape(xp.astype(x, compute_dtype(xp, x)), (-1, x.shape[-1]))
    reach = axis.reach(depth(xp, rows.dtype))
    u, _ = coordinate(xp, rows, axis, reach)
    total = -1.0 if order == 0 else 0.0
    for n in builtins.range(-(reach // axis.bins), reach // axis.bins + 2):
        end = places(xp, axis, n * axis.bins, n * axis.bins, u)
        total = total + above(xp, u, end, axis, (order,))[order][:, 0, :] - (1.0 if order == 0 and n < 0 else 0.0)
    return xp.reshape(total * axis.step**-order, x.shape)


@_wound.defvjp
def _(g, out, x, /, *, axis, order, needed):
    return (g * _wound(x, axis=axis, order=order + 1),)


@_wound.defjvp
def _(tangents, out, x, /, *, axis, order):
    return tangents[0] * _wound(x, axis=axis, order=order + 1)


@differentiable
def _offset(p: Array, q: Array, /) -> Array:
    """The median over the circle of the difference of running sums (Delon et al. 2010): (..., K) -> (..., 1)."""
    xp = namespace(p)
    low, high = _medians(xp, running_sum(xp, p - q))
    return 0.5 * (low + high)


@_offset.defvjp
def _(g, out, p, q, /, *, needed):
    xp = namespace(p)
    D = running_sum(xp, p - q)
    slope = 0.0
    for middle in _medians(xp, D):
        there = xp.astype(middle == D, D.dtype)
        slope = slope + 0.5 * g * there / xp.sum(there, axis=-1, keepdims=True)
    slope = _sum_back(xp, slope)
    return slope, -slope


@_offset.defjvp
def _(tangents, out, p, q, /):
    xp = namespace(p)
    D, found = running_sum(xp, p - q), xp.zeros_like(out)
    for way, t in zip((0.5, -0.5), tangents, strict=True):
        for middle in _medians(xp, D) if t is not None else ():
            there = xp.astype(middle == D, D.dtype)
            moved = xp.sum(there * running_sum(xp, t), axis=-1, keepdims=True)
            found = found + way * moved / xp.sum(there, axis=-1, keepdims=True)
    return found


def _medians(xp: Any, D: Array) -> tuple[Array, Array]:
    K, ranked = D.shape[-1], xp.sort(D, axis=-1)
    return ranked[..., (K - 1) // 2 : (K - 1) // 2 + 1], ranked[..., K // 2 : K // 2 + 1]


@differentiable
def _quantile(h: Array, u: Array, /, *, circular: bool) -> Array:
    """The inverse of the running sum of shares h, linear within each bin, in units of bins: (..., K), (..., N)."""
    xp = namespace(h)
    own, t = _found(xp, h, u, circular)
    return own + t


@_quantile.defvjp
def _(g, out, h, u, /, *, circular, needed):
    xp = namespace(h)
    own, t = _found(xp, h, u, circular)
    back = divide_or_zero(xp, g, _pick(h, own))
    moved = _put(back, own, size=h.shape[-1])
    # a share moves all quantiles above its bin, and those within it by as much as they have of it
    return _put(back * (1.0 - t), own, size=h.shape[-1]) - _sum_back(xp, moved), back


@_quantile.defjvp
def _(tangents, out, h, u, /, *, circular):
    xp = namespace(h)
    own, t = _found(xp, h, u, circular)
    moved = xp.zeros_like(u) if tangents[1] is None else tangents[1]
    if tangents[0] is not None:
        moved = moved + (1.0 - t) * _pick(tangents[0], own) - _pick(running_sum(xp, tangents[0]), own)
    return divide_or_zero(xp, moved, _pick(h, own))


def _found(xp: Any, h: Array, u: Array, circular: bool) -> tuple[Array, Array]:
    """The bin in which the running sum of h reaches u, as a float, and how far in it: both (..., N)."""
    if circular:
        u = u - xp.floor(u)
    above = running_sum(xp, h)
    flat = xp.reshape(above, (-1, above.shape[-1])), xp.reshape(u, (-1, u.shape[-1]))
    own = xp.astype(xp.reshape(search(xp, *flat), u.shape), u.dtype)
    own = xp.clip(own, 0.0, h.shape[-1] - 1.0)
    own = xp.where(above[..., -1:] == 0, xp.zeros_like(own), own)
    share = _pick(h, own)
    return own, xp.clip(divide_or_zero(xp, u - (_pick(above, own) - share), share), 0.0, 1.0)


@differentiable
def _pick(table: Array, where: Array, /) -> Array:
    """``table[..., where]``, sample by sample: (..., K), whole numbers (..., N) -> (..., N). Linear in the table."""
    xp = namespace(table)
    index = xp.astype(xp.reshape(where, (-1, where.shape[-1])), index_dtype(xp, table))
    return xp.reshape(take(xp, xp.reshape(table, (-1, table.shape[-1])), index), where.shape)


@_pick.defvjp
def _(g, out, table, where, /, *, needed):
    return _put(g, where, size=table.shape[-1]), None


@_pick.defjvp
def _(tangents, out, table, where, /):
    return None if tangents[0] is None else _pick(tangents[0], where)


@differentiable
def _put(values: Array, where: Array, /, *, size: int) -> Array:
    """The adjoint of `_pick`: sums of values by bin, (..., N) -> (..., K)."""
    xp = namespace(values)
    rows = [xp.reshape(a, (-1, a.shape[-1])) for a in (values, where)]
    table = xp.zeros_like(rows[0][:, 0])[:, None] + xp.zeros(size, dtype=values.dtype, device=device(values))
    table = scatter_add(xp, table, xp.astype(rows[1], index_dtype(xp, values)), rows[0])
    return xp.reshape(table, (*values.shape[:-1], size))


@_put.defvjp
def _(g, out, values, where, /, *, size, needed):
    return _pick(g, where), None


@_put.defjvp
def _(tangents, out, values, where, /, *, size):
    return None if tangents[0] is None else _put(tangents[0], where, size=size)


@differentiable
def _placed(found: Array, /, *, shape: tuple[int, ...], axes: tuple[int, ...], grid: Axis, dtype: Any) -> Array:
    """Units of bins (..., N) -> values where x had them."""
    xp = namespace(found)
    batch = [n for d, n in enumerate(shape) if d - len(shape) not in axes]
    mapped = found.shape[: found.ndim - 1 - len(batch)]  # axes that a transform has put in front
    values = xp.astype(found * grid.step + grid.low, dtype)
    order = order_of_axes(len(mapped), len(shape), axes)
    values = xp.reshape(values, (*mapped, *batch, *(shape[d] for d in axes)))
    return xp.permute_dims(values, tuple(order.index(d) for d in builtins.range(len(order))))


@_placed.defvjp
def _(g, out, found, /, *, shape, axes, grid, dtype, needed):
    g = namespace(found).astype(g, found.dtype) * grid.step
    return (arrange(g, rank=len(shape), shape=shape, axes=axes),)


@_placed.defjvp
def _(tangents, out, found, /, *, shape, axes, grid, dtype):
    return _placed(tangents[0], shape=shape, axes=axes, grid=grid._replace(low=0.0), dtype=dtype)

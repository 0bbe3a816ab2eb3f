"""The steps of a histogram as primitives: pixels in rows, sums over them, shares; each with its rules.

A pixel that moves is a pixel under a kernel of one more order: so the derivatives of `spread` and of its adjoint,
`gather`, are these two again, of higher orders.
"""

import functools
import math
import operator
from typing import Any

from diffhist import _evaluation
from diffhist._array import Array, broadcast_to, compute_dtype, divide_or_zero, exact_sums, namespace
from diffhist._backends.primitive import differentiable

__all__ = ["arrange", "gather", "order_of_axes", "relative", "share", "spread"]


@differentiable
def arrange(a: Array, /, *, rank: int, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    xp = namespace(a)
    mapped = tuple(a.shape[: a.ndim - rank])  # axes that a transform has put in front
    a = xp.reshape(a, (*mapped, *(1,) * (len(shape) - rank), *a.shape[a.ndim - rank :]))
    a = xp.permute_dims(broadcast_to(xp, a, (*mapped, *shape)), order_of_axes(len(mapped), len(shape), axes))
    return xp.reshape(a, (*a.shape[: a.ndim - len(axes)], math.prod([shape[d] for d in axes])))  # -1 wants a batch


def order_of_axes(mapped: int, rank: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of an array, those of its samples last."""
    samples = [mapped + rank + d for d in axes]
    return (*(d for d in range(mapped + rank) if d not in samples), *samples)


@arrange.deflinear
def _(g, a, /, *, rank, shape, axes):
    xp = namespace(a)
    batch = tuple(n for d, n in enumerate(shape) if d - len(shape) not in axes)
    mapped = tuple(a.shape[: a.ndim - rank])
    g = xp.reshape(g, (*mapped, *batch, *(shape[d] for d in axes)))
    order = order_of_axes(len(mapped), len(shape), axes)
    g = xp.permute_dims(g, tuple(order.index(d) for d in range(len(order))))
    own = (1,) * (len(shape) - rank) + tuple(a.shape[a.ndim - rank :])
    stretched = tuple(d - len(shape) for d, n in enumerate(own) if n != shape[d])
    return xp.reshape(xp.sum(g, axis=stretched) if stretched else g, a.shape)


def relative(weights: Array, /) -> Array:
    """Weights in units of about the largest of their sample, (..., N): their shares are the same, and their total is
    not beyond their dtype."""
    return weights * _unit(weights)


@differentiable
def _unit(weights: Array, /) -> Array:
    xp, end = namespace(weights), namespace(weights).finfo(weights.dtype).smallest_normal
    return 1.0 / xp.clip(xp.max(xp.abs(weights), axis=-1, keepdims=True), end, 1.0 / end)


@_unit.defvjp
def _(g, out, weights, /, *, needed):
    return (None,)  # what depends on shares alone does not depend on it


@_unit.defjvp
def _(tangents, out, weights, /):
    return None


@differentiable
def share(sums: Array, weights: Array | None, /, *, rank: int, count: int, dtype: Any) -> Array:
    """Sums over pixels divided by the total weight of each sample, or by their number; zeros where there is none."""
    xp = namespace(sums)
    shares = (
        sums * (1.0 / count) if weights is None else divide_or_zero(xp, sums, _total(xp, weights, rank, sums.dtype))
    )
    return xp.astype(shares, dtype)


@share.defvjp
def _(g, out, sums, weights, /, *, rank, count, dtype, needed):
    xp = namespace(sums)
    g = xp.astype(g, sums.dtype)
    if weights is None:
        return g * (1.0 / count), None
    each = divide_or_zero(xp, g, _total(xp, weights, rank, g.dtype))
    if not needed[1]:
        return each, None
    back = xp.sum(each * xp.astype(out, g.dtype), axis=tuple(range(-rank, 0)))[..., None]
    return each, broadcast_to(xp, -back, weights.shape)


@share.defjvp
def _(tangents, out, sums, weights, /, *, rank, count, dtype):
    xp = namespace(sums)
    found = None
    if tangents[0] is not None:
        found = share(tangents[0], weights, rank=rank, count=count, dtype=sums.dtype)
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
def spread(*arrays: Any, axes: Any, orders: Any) -> Array:
    """Weighted sums over pixels of the kernels' masses, or of their derivatives: (..., N) -> (..., Kx[, Ky, ...]).

    The arrays are the pixels' coordinates, one for each of ``axes``, and last their weights. For each of ``orders``,
    all of which add up, the weights (..., orders N) hold N; None are ones. Linear in them.
    """
    *pixels, weights = arrays
    xp = namespace(*pixels)
    dtype = compute_dtype(xp, *arrays)
    pixels, _ = _counted(xp, pixels, weights, len(orders))
    shape = pixels[0].shape
    rows = [_rows(xp, p) for p in pixels]
    w = None if weights is None else xp.reshape(weights, (rows[0].shape[0], len(orders), shape[-1]))
    with exact_sums(pixels[0]):
        sums = xp.astype(_evaluation.spread(xp, rows, w, axes, orders, dtype), dtype, copy=False)
    return xp.reshape(sums, (*shape[:-1], *sums.shape[1:]))


spread.blind = True


@spread.defvjp
def _(g, out, *arrays, axes, orders, needed):
    *pixels, weights = arrays
    xp = namespace(*pixels)
    pixels, counts = _counted(xp, pixels, weights, len(orders))
    targets = [j for j in range(len(axes)) if needed[j]]
    wanted = [raised for j in targets for raised in _raised(orders, j)] + (list(orders) if needed[-1] else [])
    seen = gather(g, *pixels, axes=axes, orders=tuple(wanted))
    groups = seen.shape[-2] // len(orders)  # not -1, of which an empty batch says nothing
    each = xp.reshape(seen, (*seen.shape[:-2], groups, len(orders), seen.shape[-1]))
    found: list[Array | None] = [None] * len(arrays)
    for n, j in enumerate(targets):
        found[j] = _summed(xp, _weighted(xp, weights, each[..., n, :, :]))
    if needed[-1]:
        found[-1] = xp.reshape(_where(xp, counts, each[..., -1, :, :]), weights.shape)
    return found


@spread.defjvp
def _(tangents, out, *arrays, axes, orders):
    """A pixel's weight under the higher order is multiplied by how far it moves."""
    *pixels, weights = arrays
    xp = namespace(*pixels)
    dtype, shape = compute_dtype(xp, *arrays), pixels[0].shape
    pixels, counts = _counted(xp, pixels, weights, len(orders))
    terms, raised = [], []
    for j, t in enumerate(tangents[:-1]):
        if t is not None:
            moved = _joined(xp, [xp.astype(t, dtype)] * len(orders))
            terms.append(moved if weights is None else moved * weights)
            raised += _raised(orders, j)
    if tangents[-1] is not None:
        more = _where(xp, counts, xp.reshape(tangents[-1], (*shape[:-1], len(orders), shape[-1])))
        terms.append(xp.reshape(xp.astype(more, dtype), weights.shape))
        raised += orders
    return spread(*pixels, _joined(xp, terms), axes=axes, orders=tuple(raised))


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
def gather(h: Array, /, *pixels: Array, axes: Any, orders: Any) -> Array:
    """The adjoint of `spread` in its weights: for each of ``orders``, h seen through the kernels at each pixel:
    (..., Kx[, Ky, ...]) -> (..., orders, N). Linear in h."""
    xp = namespace(*pixels)
    rows = [_rows(xp, a) for a in pixels]
    with exact_sums(pixels[0]):
        seen = _evaluation.gather(xp, _rows(xp, h, len(axes)), rows, axes, orders, compute_dtype(xp, h, *pixels))
    if len(seen) == 1:
        return xp.reshape(seen[0], (*pixels[0].shape[:-1], 1, pixels[0].shape[-1]))
    return xp.stack([xp.reshape(s, pixels[0].shape) for s in seen], axis=-2)


gather.blind = True


@gather.defvjp
def _(g, out, h, /, *pixels, axes, orders, needed):
    xp = namespace(*pixels)
    found: list[Array | None] = [None] * (1 + len(axes))
    if needed[0]:
        weights = xp.reshape(g, (*g.shape[:-2], g.shape[-2] * g.shape[-1]))
        found[0] = spread(*pixels, weights, axes=axes, orders=orders)
    targets = [j for j in range(len(axes)) if needed[1 + j]]
    if targets:
        slopes = gather(h, *pixels, axes=axes, orders=tuple(raised for j in targets for raised in _raised(orders, j)))
        for n, j in enumerate(targets):
            found[1 + j] = _summed(xp, g * slopes[..., n * len(orders) : (n + 1) * len(orders), :])
    return found


@gather.defjvp
def _(tangents, out, h, /, *pixels, axes, orders):
    xp = namespace(*pixels)
    found = None if tangents[0] is None else gather(tangents[0], *pixels, axes=axes, orders=orders)
    for j, t in enumerate(tangents[1:]):
        if t is not None:
            slope = gather(h, *pixels, axes=axes, orders=tuple(_raised(orders, j)))
            found = _plus(found, xp.expand_dims(t, axis=-2) * slope)
    return found


def _summed(xp: Any, each: Array) -> Array:
    """(..., orders, N) -> (..., N)."""
    return each[..., 0, :] if each.shape[-2] == 1 else xp.sum(each, axis=-2)


def _joined(xp: Any, terms: list[Array]) -> Array:
    return xp.reshape(xp.stack(terms, axis=-2), (*terms[0].shape[:-1], len(terms) * terms[0].shape[-1]))


def _plus(total: Array | None, more: Array) -> Array:
    return more if total is None else total + more


def _raised(orders: Any, j: int) -> list[tuple[int, ...]]:
    """Each of the orders, one higher in the j-th coordinate."""
    return [tuple([o + (n == j) for n, o in enumerate(order)]) for order in orders]

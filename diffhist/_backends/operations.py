"""Functions of the array API standard as primitives: all that rules are made of, so that rules have derivatives too.

Their own rules are made of them again, which is why no order of derivatives is the last.
"""

import types
from collections.abc import Callable, Sequence
from typing import Any

from diffhist._array import Array, device, namespace
from diffhist._backends.primitive import differentiable

__all__ = ["BLIND", "RECORDED", "part"]

Function = Callable[..., Array]

RECORDED: dict[str, Any] = {}  # functions by the standard's names

# Constant in pieces, or not of numbers: without a derivative. Of `sort` rules ask where a median is, and not what: they
# go on from it by comparisons alone.
BLIND = {"any", "argmin", "equal", "floor", "greater", "greater_equal", "isfinite", "less", "less_equal", "logical_and"}
BLIND |= {"logical_or", "not_equal", "ones_like", "result_type", "searchsorted", "sort", "zeros_like"}


def _linear(name: str, adjoint: Function, option: str | None = None) -> Function:
    """A linear function of one array, by its adjoint; one ``option`` stands without its name."""

    def evaluate(a: Array, /, **options: Any) -> Array:
        unnamed = () if option is None else (options.pop(option),)
        return getattr(namespace(a), name)(a, *unnamed, **options)

    primitive = _named(name, evaluate)
    primitive.deflinear(adjoint)
    if option is not None:
        RECORDED[name] = lambda a, value, /, **options: primitive(a, **{option: value}, **options)
    return RECORDED[name]


def _elementwise(name: str, partials: Callable[..., Sequence[Any]]) -> Function:
    """A function of one array or two by its partial derivatives, which are of its output and the arrays."""
    primitive = _named(name, lambda *arrays: getattr(namespace(*arrays), name)(*arrays))

    @primitive.defvjp
    def _(g, out, *arrays, needed):
        slopes = partials(out, *arrays)
        return [_unbroadcast(g * s, a) if n else None for s, a, n in zip(slopes, arrays, needed, strict=True)]

    @primitive.defjvp
    def _(tangents, out, *arrays):
        moved = [s * t for s, t in zip(partials(out, *arrays), tangents, strict=True) if t is not None]
        return sum(moved, namespace(out).zeros_like(out))  # of the output's shape

    return primitive


def _named(name: str, fun: Function) -> differentiable:
    fun.__qualname__ = name
    RECORDED[name] = differentiable(fun)
    return RECORDED[name]


def _unbroadcast(a: Array, like: Array) -> Array:
    """Sum ``a`` over the axes along which ``like`` was broadcast to it."""
    new = len(a.shape) - len(like.shape)
    axes = (*range(new), *(new + n for n, size in enumerate(like.shape) if size != a.shape[new + n]))
    return reshape(total(a, axis=axes), like.shape) if axes else a


def _spread_sum(g: Array, a: Array, axis: Any = None, keepdims: bool = False) -> Array:
    rank = len(a.shape)
    axes = range(rank) if axis is None else [n % rank for n in ((axis,) if isinstance(axis, int) else axis)]
    return broadcast_to(reshape(g, tuple([1 if n in axes else size for n, size in enumerate(a.shape)])), a.shape)


def _turn_back(g: Array, a: Array, axes: tuple[int, ...]) -> Array:
    return permute_dims(g, tuple([axes.index(n) for n in range(len(axes))]))


_linear("astype", lambda g, a, **_: g, "dtype")  # each cotangent is brought to its array's dtype as it is
broadcast_to: Function = _linear("broadcast_to", lambda g, a, shape: _unbroadcast(g, a), "shape")
cumulative_sum: Function = _linear(
    "cumulative_sum", lambda g, a, axis: flip(cumulative_sum(flip(g, axis=axis), axis=axis), axis=axis)
)
expand_dims: Function = _linear("expand_dims", lambda g, a, axis: reshape(g, a.shape))
flip: Function = _linear("flip", lambda g, a, axis: flip(g, axis=axis))
matrix_transpose: Function = _linear("matrix_transpose", lambda g, a: matrix_transpose(g))
permute_dims: Function = _linear("permute_dims", _turn_back, "axes")
reshape: Function = _linear("reshape", lambda g, a, shape: reshape(g, a.shape), "shape")
total: Function = _linear("sum", _spread_sum)

_elementwise("add", lambda out, a, b: (1.0, 1.0))
_elementwise("subtract", lambda out, a, b: (1.0, -1.0))
_elementwise("multiply", lambda out, a, b: (b, a))
_elementwise("divide", lambda out, a, b: (1.0 / b, -out / b))
_elementwise("negative", lambda out, a: (-1.0,))
_elementwise("exp", lambda out, a: (out,))
_elementwise("expm1", lambda out, a: (out + 1.0,))
_elementwise("log", lambda out, a: (1.0 / a,))
_elementwise("sqrt", lambda out, a: (0.5 / out,))


@differentiable
def where(condition: Array, a: Array, b: Array, /) -> Array:
    return namespace(condition, a, b).where(condition, a, b)


@where.defvjp
def _(g, out, condition, a, b, /, *, needed):
    zero = namespace(g).zeros_like(g)
    return None, _unbroadcast(where(condition, g, zero), a), _unbroadcast(where(condition, zero, g), b)


@where.defjvp
def _(tangents, out, condition, a, b, /):
    zero = namespace(out).zeros_like(out)
    return where(condition, *(zero if t is None else t for t in tangents[1:]))


@differentiable
def matmul(a: Array, b: Array, /) -> Array:
    return namespace(a, b).matmul(a, b)


@matmul.defvjp
def _(g, out, a, b, /, *, needed):
    return _unbroadcast(matmul(g, matrix_transpose(b)), a), _unbroadcast(matmul(matrix_transpose(a), g), b)


@matmul.defjvp
def _(tangents, out, a, b, /):
    da, db = tangents
    found = [matmul(*pair) for pair, t in (((da, b), da), ((a, db), db)) if t is not None]
    return sum(found[1:], found[0])


@differentiable
def solve(a: Array, b: Array, /) -> Array:
    """For b (..., K, L)."""
    return namespace(a, b).linalg.solve(a, b)


@solve.defvjp
def _(g, out, a, b, /, *, needed):
    back = solve(matrix_transpose(a), g)
    return -matmul(back, matrix_transpose(out)), back


@solve.defjvp
def _(tangents, out, a, b, /):
    da, db = tangents
    moved = 0.0 * b if db is None else db
    return solve(a, moved if da is None else moved - matmul(da, out))


@differentiable
def part(a: Array, /, *, key: tuple[Any, ...]) -> Array:
    """``a[key]``, for a key of slices, integers, ... and None."""
    return a[key]


@differentiable
def _embedded(a: Array, /, *, shape: tuple[int, ...], key: tuple[Any, ...]) -> Array:
    """Zeros, but for ``a`` at ``key``."""
    xp = namespace(a)
    table = xp.zeros(shape, dtype=a.dtype, device=device(a))
    there = tuple([k for k in key if k is not None])
    table[there] = xp.reshape(a, table[there].shape)
    return table


part.deflinear(lambda g, a, key: _embedded(g, shape=a.shape, key=key))
_embedded.deflinear(lambda g, a, shape, key: part(g, key=key))


def concat(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    axis %= len(arrays[0].shape)
    before, after, sizes = arrays[0].shape[:axis], arrays[0].shape[axis + 1 :], [a.shape[axis] for a in arrays]
    pieces, start = [], 0
    for a, size in zip(arrays, sizes, strict=True):
        key = (*(slice(None),) * axis, slice(start, start + size), ...)
        pieces.append(_embedded(a, shape=(*before, sum(sizes), *after), key=key))
        start += size
    return sum(pieces[1:], pieces[0])


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    return concat([expand_dims(a, axis=axis) for a in arrays], axis=axis)


def clip(a: Array, low: float | None, high: float | None, /) -> Array:
    for end, beyond in ((low, "less"), (high, "greater")):
        if end is not None:
            end = end * namespace(a).ones_like(a)
            a = where(getattr(namespace(a), beyond)(a, end), end, a)
    return a


RECORDED |= {
    "clip": clip,
    "concat": concat,
    "linalg": types.SimpleNamespace(solve=solve),
    "matmul": matmul,
    "stack": stack,
    "where": where,
}

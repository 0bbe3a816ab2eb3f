"""The backend of traced arrays, which record what is done to them: differentiation for libraries that have none.

What is differentiated twice is traced twice: the value of a traced array may be one itself, of the differentiation
around it.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from diffhist._array import Array
from diffhist._array import namespace as of_one_library
from diffhist._backends.operations import BLIND, RECORDED, part
from diffhist._backends.primitive import Call
from diffhist._registry import backend_of, innermost, is_array

__all__ = ["Traced", "apply", "inner", "jvp", "namespace", "vjp"]

_levels = itertools.count(1)


def _operator(name: str, swapped: bool = False) -> Callable[["Traced", Any], Any]:
    def method(self: "Traced", other: Any) -> Any:
        other = self._like(other)
        return getattr(namespace(self), name)(*((other, self) if swapped else (self, other)))

    return method


class Traced:
    """An array on the tape of one differentiation, by its ``level``: inner ones are higher, at level 0 are constants.

    It takes part in diffhist's functions, ``+ - * /``, comparisons, slices, ``sum`` and ``mean``.
    """

    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __init__(self, value: Array, level: int = 0, call: Call | None = None, inputs: tuple[Any, ...] = ()):
        self.value, self.level, self.call, self.inputs = value, level, call, inputs

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: len(self.value.shape))
    dtype = property(lambda self: self.value.dtype)
    device = property(lambda self: self.value.device)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Traced":
        return RECORDED["sum"](self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Traced":
        total = self.sum(axis=axis, keepdims=keepdims)
        return total / (math.prod(self.shape) / math.prod(total.shape))

    __add__, __radd__ = _operator("add"), _operator("add", swapped=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", swapped=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", swapped=True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", swapped=True)
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")
    __and__, __or__ = _operator("logical_and"), _operator("logical_or")

    def __neg__(self) -> "Traced":
        return RECORDED["negative"](self)

    def __getitem__(self, key: Any) -> "Traced":
        key = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(k, (int, slice, type(...), type(None))) for k in key):
            _refuse("an index other than slices and integers")
        return part(self, key=key)

    def _like(self, other: Any) -> Any:
        if hasattr(other, "shape"):
            return other
        if not isinstance(other, (int, float)):
            _refuse(f"arithmetic with {type(other).__name__}")
        xp = of_one_library(innermost(self))
        return xp.asarray(other, dtype=self.dtype if xp.isdtype(self.dtype, "real floating") else None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """What NumPy calls for `array + traced`."""
        if method != "__call__" or kwargs:
            _refuse(f"`{ufunc.__name__}.{method}` with {', '.join(kwargs) or 'arrays'}")
        return getattr(namespace(self), ufunc.__name__)(*(self._like(i) for i in inputs))

    def __getattr__(self, name: str) -> Any:
        _refuse(f"`.{name}`", _NotRecordedError)

    def _refused(self, *args: Any, **kwargs: Any) -> Any:
        _refuse("this operation")

    __array__ = __array_function__ = __array_namespace__ = __setitem__ = __contains__ = __pow__ = __rpow__ = (
        __matmul__
    ) = __rmatmul__ = __mod__ = __floordiv__ = __bool__ = __float__ = __int__ = __len__ = __iter__ = __abs__ = _refused


class _NotRecordedError(TypeError, AttributeError):
    """Both, so that `hasattr` says no."""


def _refuse(what: str, kind: type[TypeError] = TypeError) -> Any:
    raise kind(
        f"{what} is not recorded by diffhist's tape: inside value_and_grad, vjp and jvp, use diffhist's functions, "
        "+ - * /, comparisons, slices, sum() and mean() on traced arrays, or do the rest outside, or use torch or JAX"
    )


class _Namespace:
    """A library's functions of the standard, for rules: those recorded, or blind to derivatives, take traced arrays."""

    def __init__(self, xp: Any):
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        if name in RECORDED:
            return RECORDED[name]
        found = getattr(self._xp, name)
        if isinstance(found, type) or not callable(found):
            return found

        def plain(*args: Any, **options: Any) -> Any:
            if name not in BLIND and any(isinstance(a, Traced) for a in (*args, *options.values())):
                _refuse(f"`{name}`")
            made = found(*(innermost(a) if isinstance(a, Traced) else a for a in args), **options)
            return Traced(made) if is_array(made) else made

        return plain


_of_library = functools.lru_cache(_Namespace)


def namespace(array: Traced) -> Any:
    return _of_library(of_one_library(innermost(array)))


def inner(array: Traced) -> Array:
    return array.value


def _below(given: Sequence[Any], level: int) -> list[Any]:
    """Arrays as the differentiation at ``level`` found them."""
    return [g.value if _is_at(level, g) else g for g in given]


def _is_at(level: int, array: Any) -> bool:
    return isinstance(array, Traced) and array.level == level


def apply(call: Call, *given: Any) -> Traced:
    level = max(g.level for g in given if isinstance(g, Traced))
    inputs = _below(given, 0)
    values = _below(inputs, level)
    return Traced(backend_of(*values).apply(call, *values), level, call, tuple(inputs))


def _of_one_kind(*arrays: Any) -> list[Any]:
    """All of them traced where one is, if as constants: so a rule may ask any of them for its namespace."""
    if not any(isinstance(a, Traced) for a in arrays):
        return list(arrays)
    return [a if a is None or isinstance(a, Traced) else Traced(a) for a in arrays]


def _recorded(output: Traced, level: int) -> list[Traced]:
    """All at ``level`` that ``output`` depends on, itself included, each after what it depends on."""
    order: list[Traced] = []
    seen: set[int] = set()
    stack = [(output, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((i, False) for i in node.inputs if _is_at(level, i))
    return order


def _traced(fun: Callable[..., Array], arrays: Sequence[Array]) -> tuple[Any, list[Traced]]:
    level = next(_levels)
    inputs = [Traced(a, level) for a in arrays]
    output = fun(*inputs)
    if not isinstance(output, Traced):
        raise TypeError(f"`fun` must return an array that depends on its arguments, got {type(output).__name__}")
    if not of_one_library(output).isdtype(output.dtype, "real floating"):
        raise TypeError(f"`fun` must return an array of a floating dtype, got {output.dtype}")
    if output.level != level:  # as after one derivative too many: it no longer does
        output = Traced(_below([output], 0)[0], level)
    return output, inputs


def vjp(fun: Callable[..., Array], *arrays: Array) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    output, inputs = _traced(fun, arrays)
    nodes = _recorded(output, output.level)

    def pullback(cotangent: Array) -> tuple[Array, ...]:
        cotangents: dict[int, Array] = {id(output): cotangent}
        for node in reversed(nodes):
            if node.call is None or id(node) not in cotangents:
                continue
            needed = [_is_at(node.level, i) for i in node.inputs]
            g, out, *values = _of_one_kind(cotangents.pop(id(node)), node.value, *_below(node.inputs, node.level))
            for i, n, c in zip(node.inputs, needed, node.call.pull(g, out, values, needed), strict=True):
                if n and c is not None:
                    cotangents[id(i)] = cotangents[id(i)] + c if id(i) in cotangents else c
        zeros = (of_one_library(i.value).zeros_like(i.value) for i in inputs)
        found = (cotangents.get(id(i), z) for i, z in zip(inputs, zeros, strict=True))
        return tuple(_of_one_kind(*found, output.value)[:-1])

    return output.value, pullback


def jvp(fun: Callable[..., Array], primals: Sequence[Array], tangents: Sequence[Array]) -> tuple[Array, Array]:
    output, inputs = _traced(fun, primals)
    known: dict[int, Array] = {id(i): t for i, t in zip(inputs, tangents, strict=True)}
    for node in _recorded(output, output.level):
        if node.call is not None:
            moved = [known.get(id(i)) for i in node.inputs]
            out, *both = _of_one_kind(node.value, *moved, *_below(node.inputs, node.level))
            known[id(node)] = node.call.push(both[: len(moved)], out, both[len(moved) :])
    tangent = known.get(id(output), of_one_library(output.value).zeros_like(output.value))
    return tuple(_of_one_kind(output.value, tangent))

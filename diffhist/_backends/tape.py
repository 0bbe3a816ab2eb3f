"""The backend of traced arrays, which record what is done to them: differentiation for libraries that have none."""

from collections.abc import Callable, Sequence
from typing import Any

from diffhist._array import Array
from diffhist._array import namespace as of_one_library
from diffhist._backends.primitive import Call, differentiable

__all__ = ["Traced", "apply", "backward", "forward", "inner", "namespace"]


class Traced:
    """An array on the tape. It takes part in diffhist's functions, ``+ - * /``, ``sum`` and ``mean``."""

    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __init__(self, value: Array, call: Call | None = None, inputs: tuple[Any, ...] = ()):
        self.value, self.call, self.inputs = value, call, inputs

    def values(self) -> list[Array]:
        """What the call that made it was given, the arrays themselves."""
        return [i.value if isinstance(i, Traced) else i for i in self.inputs]

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    dtype = property(lambda self: self.value.dtype)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Traced":
        return _sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Traced":
        total = self.sum(axis=axis, keepdims=keepdims)
        return total / (self.value.size / total.value.size)

    def __add__(self, other: Any) -> "Traced":
        return _add(self, self._like(other))

    def __mul__(self, other: Any) -> "Traced":
        return _multiply(self, self._like(other))

    def __truediv__(self, other: Any) -> "Traced":
        return _divide(self, self._like(other))

    def __rtruediv__(self, other: Any) -> "Traced":
        return _divide(self._like(other), self)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Traced":
        return self * -1.0

    def __sub__(self, other: Any) -> "Traced":
        return self + -self._like(other)

    def __rsub__(self, other: Any) -> "Traced":
        return -self + other

    def _like(self, other: Any) -> Any:
        if isinstance(other, Traced) or hasattr(other, "shape"):
            return other
        if not isinstance(other, (int, float)):
            _refuse(f"arithmetic with {type(other).__name__}")
        return of_one_library(self.value).asarray(other, dtype=self.value.dtype)

    def __getattr__(self, name: str) -> Any:
        _refuse(f"`.{name}`", _NotRecordedError)

    def _refused(self, *args: Any, **kwargs: Any) -> Any:
        _refuse("this operation")

    __array__ = __array_function__ = __array_namespace__ = _refused

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """What NumPy calls for `array + traced`."""
        own = {"add": "__add__", "subtract": "__sub__", "multiply": "__mul__", "divide": "__truediv__"}
        name = ufunc.__name__.removeprefix("true_")
        if method != "__call__" or kwargs or name not in own:
            return _refuse(f"`{ufunc.__name__}`")
        first = inputs[0] if isinstance(inputs[0], Traced) else Traced(of_one_library(self.value).asarray(inputs[0]))
        return getattr(first, own[name])(inputs[1])

    __getitem__ = __setitem__ = __contains__ = __eq__ = __ne__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = (
        __mod__
    ) = __floordiv__ = _refused
    __bool__ = __float__ = __int__ = __len__ = __iter__ = __abs__ = __lt__ = __gt__ = __le__ = __ge__ = _refused


class _NotRecordedError(TypeError, AttributeError):
    """Both, so that `hasattr` says no."""


def _refuse(what: str, kind: type[TypeError] = TypeError) -> Any:
    raise kind(
        f"{what} is not recorded by diffhist's tape: inside value_and_grad and vjp, use diffhist's functions, + - * /, "
        "sum() and mean() on the traced array, or do the rest outside, or use torch or JAX arrays"
    )


def namespace(array: Traced) -> Any:
    return of_one_library(array.value)


def inner(array: Traced) -> Array:
    return array.value


def apply(call: Call, *given: Any) -> Traced:
    return Traced(call.evaluate(*(g.value if isinstance(g, Traced) else g for g in given)), call, given)


def _recorded(output: Traced) -> list[Traced]:
    """All that ``output`` depends on, itself included, each after what it depends on."""
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
            stack.extend((i, False) for i in node.inputs if isinstance(i, Traced))
    return order


def backward(output: Traced, cotangent: Array, inputs: Sequence[Traced]) -> tuple[Array, ...]:
    """Cotangents of ``inputs``."""
    cotangents: dict[int, Array] = {id(output): cotangent}
    for node in reversed(_recorded(output)):
        if node.call is None or id(node) not in cotangents:
            continue
        needed = [isinstance(i, Traced) for i in node.inputs]
        pulled = node.call.pull(cotangents.pop(id(node)), node.value, node.values(), needed)
        for i, c in zip(node.inputs, pulled, strict=True):
            if isinstance(i, Traced) and c is not None:
                cotangents[id(i)] = cotangents[id(i)] + c if id(i) in cotangents else c
    return tuple(cotangents.get(id(i), of_one_library(i.value).zeros_like(i.value)) for i in inputs)


def forward(output: Traced, tangents: Sequence[Array], inputs: Sequence[Traced]) -> Array:
    """Tangent of ``output``."""
    known: dict[int, Array] = {id(i): t for i, t in zip(inputs, tangents, strict=True)}
    for node in _recorded(output):
        if node.call is not None:
            known[id(node)] = node.call.push([known.get(id(i)) for i in node.inputs], node.value, node.values())
    return known[id(output)]


def _unbroadcast(array: Array, like: Array) -> Array:
    """Sum ``array`` over the axes along which ``like`` was broadcast to it."""
    xp = of_one_library(like)
    array = xp.sum(array, axis=tuple(range(array.ndim - like.ndim)))
    stretched = tuple(n for n in range(like.ndim) if like.shape[n] == 1 and array.shape[n] != 1)
    return xp.sum(array, axis=stretched, keepdims=True) if stretched else array


def _elementwise(primitive: differentiable, partials: Callable[..., tuple[Any, Any]]) -> None:
    """Add the rule of an elementwise function of two arrays by its two partial derivatives."""

    @primitive.defvjp
    def _(g, out, a, b, /, *, needed):
        return [
            _unbroadcast(g * s, like) if n else None
            for s, like, n in zip(partials(out, a, b), (a, b), needed, strict=True)
        ]

    @primitive.defjvp
    def _(tangents, out, a, b, /):
        zero = of_one_library(out).zeros_like(out)
        return sum((s * t for s, t in zip(partials(out, a, b), tangents, strict=True) if t is not None), start=zero)


@differentiable
def _add(a: Array, b: Array, /) -> Array:
    return a + b


@differentiable
def _multiply(a: Array, b: Array, /) -> Array:
    return a * b


@differentiable
def _divide(a: Array, b: Array, /) -> Array:
    return a / b


_elementwise(_add, lambda out, a, b: (1.0, 1.0))
_elementwise(_multiply, lambda out, a, b: (b, a))
_elementwise(_divide, lambda out, a, b: (1.0 / b, -out / b))


@differentiable
def _sum(a: Array, /, *, axis: Any, keepdims: bool) -> Array:
    return of_one_library(a).sum(a, axis=axis, keepdims=keepdims)


@_sum.deflinear
def _(g, a, /, *, axis, keepdims):
    xp = of_one_library(a)
    if axis is not None and not keepdims:
        axes = (axis,) if isinstance(axis, int) else axis
        for n in sorted(n % a.ndim for n in axes):
            g = xp.expand_dims(g, axis=n)
    return xp.broadcast_to(g, a.shape)

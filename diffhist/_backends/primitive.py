"""Functions with their own gradient rules, on every array library.

A primitive is array code plus a rule for its vector-Jacobian product. PyTorch and JAX get the two through one
bridge each; NumPy and CuPy through the tape at the end of this file.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from diffhist._array import Array, check_arrays, is_jax, is_torch, namespace

__all__ = ["differentiable", "value_and_grad", "vjp"]


class differentiable:  # noqa: N801 - used as a decorator
    """Make a primitive of ``fun(*arrays, **parameters)``; optional arrays may be None. Add its rule by `defvjp`.

    Inside, arrays are plain: the outermost primitive sees to the differentiation. All leading axes that the
    primitive does not speak of are batch axes, and alike in all of its arrays: this is how it is mapped over.
    """

    def __init__(self, fun: Callable[..., Array]):
        self.fun = fun
        functools.update_wrapper(self, fun)

    def defvjp(self, rule: Callable[..., tuple[Array | None, ...]]) -> None:
        """``rule(cotangent, output, *arrays, **parameters)`` gives one cotangent for each array (None: zero)."""
        self.rule = rule

    def __call__(self, *arrays: Array | None, **parameters: Any) -> Array:
        present = tuple(a is not None for a in arrays)
        given = [a for a in arrays if a is not None]
        call = Call(self, present, tuple(sorted(parameters.items())))
        if any(isinstance(a, Traced) for a in given):
            return _record(call, given)
        if is_torch(given[0]):
            from diffhist._backends import torch as _torch

            return _torch.apply(call, *given)
        if is_jax(given[0]):
            from diffhist._backends import jax as _jax

            return _jax.apply(call, *given)
        return call.evaluate(*given)


class Call(NamedTuple):
    """A primitive with its parameters, as a function of the arrays that were given; hashable."""

    primitive: differentiable
    present: tuple[bool, ...]
    parameters: tuple[tuple[str, Any], ...]

    def _arguments(self, arrays: Sequence[Array]) -> list[Array | None]:
        rest = iter(arrays)
        return [next(rest) if p else None for p in self.present]

    def evaluate(self, *arrays: Array) -> Array:
        return self.primitive.fun(*self._arguments(arrays), **dict(self.parameters))

    def pull(
        self, cotangent: Array, output: Array, arrays: Sequence[Array], needed: Sequence[bool] | None = None
    ) -> list[Array | None]:
        """The cotangents of ``arrays``, each in its array's dtype; those not ``needed`` may be None."""
        wanted = self._arguments(needed or (True,) * len(arrays))
        found = self.primitive.rule(
            cotangent, output, *self._arguments(arrays), needed=tuple(bool(w) for w in wanted), **dict(self.parameters)
        )
        kept = [f for f, p in zip(found, self.present, strict=True) if p]
        xp = namespace(*arrays)
        return [None if f is None else xp.astype(f, a.dtype) for f, a in zip(kept, arrays, strict=True)]


class Traced:
    """An array on the tape. It takes part in diffhist's functions, ``+ - * /``, ``sum`` and ``mean``."""

    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __init__(self, value: Array, call: Call | None = None, inputs: tuple[Any, ...] = ()):
        self.value, self.call, self.inputs = value, call, inputs

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
        return namespace(self.value).asarray(other, dtype=self.value.dtype)

    def __getattr__(self, name: str) -> Any:
        _refuse(f"`.{name}`")

    def _refused(self, *args: Any, **kwargs: Any) -> Any:
        _refuse("this operation")

    __array__ = __array_function__ = __array_namespace__ = _refused

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """What NumPy calls for `array + traced`."""
        own = {"add": "__add__", "subtract": "__sub__", "multiply": "__mul__", "divide": "__truediv__"}
        name = ufunc.__name__.removeprefix("true_")
        if method != "__call__" or kwargs or name not in own:
            return _refuse(f"`{ufunc.__name__}`")
        first = inputs[0] if isinstance(inputs[0], Traced) else Traced(namespace(self.value).asarray(inputs[0]))
        return getattr(first, own[name])(inputs[1])

    __getitem__ = __setitem__ = __contains__ = __eq__ = __ne__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = (
        __mod__
    ) = __floordiv__ = _refused
    __bool__ = __float__ = __int__ = __len__ = __iter__ = __abs__ = __lt__ = __gt__ = __le__ = __ge__ = _refused


def _refuse(what: str) -> Any:
    raise TypeError(
        f"{what} is not recorded by diffhist's tape: inside value_and_grad and vjp, use diffhist's functions, + - * /, "
        "sum() and mean() on the traced array, or do the rest outside, or use torch or JAX arrays"
    )


def _record(call: Call, given: Sequence[Any]) -> Traced:
    return Traced(call.evaluate(*(g.value if isinstance(g, Traced) else g for g in given)), call, tuple(given))


def _backward(output: Traced, cotangent: Array, inputs: Sequence[Traced]) -> tuple[Array, ...]:
    """Cotangents of ``inputs``: the recorded calls in reverse order of their dependence."""
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
    cotangents: dict[int, Array] = {id(output): cotangent}
    for node in reversed(order):
        if node.call is None or id(node) not in cotangents:
            continue
        values = [i.value if isinstance(i, Traced) else i for i in node.inputs]
        needed = [isinstance(i, Traced) for i in node.inputs]
        pulled = node.call.pull(cotangents.pop(id(node)), node.value, values, needed)
        for i, c in zip(node.inputs, pulled, strict=True):
            if isinstance(i, Traced) and c is not None:
                cotangents[id(i)] = cotangents[id(i)] + c if id(i) in cotangents else c
    return tuple(cotangents.get(id(i), namespace(i.value).zeros_like(i.value)) for i in inputs)


def _unbroadcast(array: Array, like: Array) -> Array:
    """Sum ``array`` over the axes along which ``like`` was broadcast to it."""
    xp = namespace(like)
    array = xp.sum(array, axis=tuple(range(array.ndim - like.ndim)))
    stretched = tuple(n for n in range(like.ndim) if like.shape[n] == 1 and array.shape[n] != 1)
    return xp.sum(array, axis=stretched, keepdims=True) if stretched else array


@differentiable
def _add(a: Array, b: Array, /) -> Array:
    return a + b


@_add.defvjp
def _(g, out, a, b, /, *, needed):
    return _unbroadcast(g, a) if needed[0] else None, _unbroadcast(g, b) if needed[1] else None


@differentiable
def _multiply(a: Array, b: Array, /) -> Array:
    return a * b


@_multiply.defvjp
def _(g, out, a, b, /, *, needed):
    return _unbroadcast(g * b, a) if needed[0] else None, _unbroadcast(g * a, b) if needed[1] else None


@differentiable
def _divide(a: Array, b: Array, /) -> Array:
    return a / b


@_divide.defvjp
def _(g, out, a, b, /, *, needed):
    return _unbroadcast(g / b, a) if needed[0] else None, _unbroadcast(-g * out / b, b) if needed[1] else None


@differentiable
def _sum(a: Array, /, *, axis: Any, keepdims: bool) -> Array:
    return namespace(a).sum(a, axis=axis, keepdims=keepdims)


@_sum.defvjp
def _(g, out, a, /, *, axis, keepdims, needed):
    xp = namespace(a)
    if axis is not None and not keepdims:
        axes = (axis,) if isinstance(axis, int) else axis
        for n in sorted(n % a.ndim for n in axes):
            g = xp.expand_dims(g, axis=n)
    return (xp.broadcast_to(g, a.shape),)


def vjp(
    fun: Callable[..., Array], *arrays: Array, **parameters: Any
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Value of ``fun(*arrays, **parameters)`` and its pullback.

    Parameters
    ----------
    fun : callable
        A function of this package, or one made of them (see `value_and_grad`).
    *arrays : array
        Floating arrays to differentiate by, all of one library.
    **parameters
        Keyword arguments of ``fun``; they are constants here.

    Returns
    -------
    value : array
        ``fun(*arrays, **parameters)``, detached from any outer differentiation.
    pullback : callable
        Takes a cotangent of the value's shape and returns a tuple: one array for each of ``arrays``, the
        vector-Jacobian product.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> value, pullback = diffhist.vjp(diffhist.squared_emd, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    >>> float(value), pullback(np.array(1.0))
    (1.0, (array([2., 0.]), array([-2., -0.])))
    """
    if is_torch(arrays[0]):
        from diffhist._backends.torch import vjp as bridge

        return bridge(fun, *arrays, **parameters)
    if is_jax(arrays[0]):
        import jax

        return jax.vjp(lambda *a: fun(*a, **parameters), *arrays)
    inputs = [Traced(a) for a in arrays]
    output = fun(*inputs, **parameters)
    if not isinstance(output, Traced):
        raise TypeError(f"`fun` must return an array that depends on its arguments, got {type(output).__name__}")

    def pullback(cotangent: Array) -> tuple[Array, ...]:
        if cotangent.shape != output.shape:
            raise ValueError(f"`cotangent` must have the value's shape {output.shape}, got {cotangent.shape}")
        return _backward(output, cotangent, inputs)

    return output.value, pullback


def value_and_grad(fun: Callable[..., Array], argnums: int | tuple[int, ...] = 0) -> Callable[..., tuple[Array, Any]]:
    """Turn ``fun`` into one that returns its value and its gradient.

    With NumPy and CuPy arrays ``fun`` is handed traced arrays, which diffhist's functions, ``+ - * /``, ``sum`` and
    ``mean`` accept; anything else done to them is a TypeError. With torch and JAX arrays their own autodiff is used.

    Parameters
    ----------
    fun : callable
        A function of arrays that returns one number (an array of shape ()).
    argnums : int or tuple of int
        Which positional arguments to differentiate by.

    Returns
    -------
    callable
        ``(*args, **kwargs) -> (value, gradient)``; the gradient is a tuple if ``argnums`` is one.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> goal = np.full(4, 0.25)
    >>> loss = lambda x: diffhist.squared_emd(diffhist.soft_histogram(x, bins=4), goal)
    >>> value, gradient = diffhist.value_and_grad(loss)(np.array([0.1, 0.3, 0.4]))
    >>> gradient.shape
    (3,)
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(isinstance(n, int) for n in numbers):
        raise TypeError(f"`argnums` must be an int or a tuple of ints, got {argnums!r}")

    @functools.wraps(fun)
    def both(*args: Any, **kwargs: Any) -> tuple[Array, Any]:
        if any(not -len(args) <= n < len(args) for n in numbers):
            raise ValueError(f"`argnums` must name positional arguments, of which there are {len(args)}, got {argnums}")
        positions = [n % len(args) for n in numbers]
        check_arrays({f"argument {n}": args[n] for n in positions})

        def of_chosen(*chosen: Any) -> Array:
            full = list(args)
            for n, c in zip(positions, chosen, strict=True):
                full[n] = c
            output = fun(*full, **kwargs)
            if getattr(output, "shape", None) != ():
                got = f"shape {output.shape}" if hasattr(output, "shape") else type(output).__name__
                raise ValueError(f"`fun` must return one number, an array of shape (), got {got}")
            return output

        value, pullback = vjp(of_chosen, *(args[n] for n in positions))
        gradients = pullback(namespace(value).ones_like(value))
        return value, gradients[0] if isinstance(argnums, int) else gradients

    return both

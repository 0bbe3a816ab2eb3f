"""The backend of libraries that do not differentiate: NumPy, CuPy, and others of the array API standard.

Primitives work on their arrays as they are; `vjp` and `jvp` hand a function traced arrays.
"""

from collections.abc import Callable
from typing import Any

import array_api_compat

from diffhist._array import Array
from diffhist._backends.primitive import Call
from diffhist._backends.tape import Traced, backward, forward

__all__ = ["apply", "jvp", "namespace", "vjp"]


def namespace(array: Array) -> Any:
    return array_api_compat.array_namespace(array)


def apply(call: Call, *arrays: Array) -> Array:
    return call.evaluate(*arrays)


def vjp(fun: Callable[..., Array], *arrays: Array) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    output, inputs = _recorded(fun, arrays)

    def pullback(cotangent: Array) -> tuple[Array, ...]:
        return backward(output, cotangent, inputs)

    return output.value, pullback


def jvp(fun: Callable[..., Array], primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    output, inputs = _recorded(fun, primals)
    return output.value, forward(output, tangents, inputs)


def _recorded(fun: Callable[..., Array], arrays: tuple[Array, ...]) -> tuple[Traced, list[Traced]]:
    inputs = [Traced(a) for a in arrays]
    output = fun(*inputs)
    if not isinstance(output, Traced):
        raise TypeError(f"`fun` must return an array that depends on its arguments, got {type(output).__name__}")
    return output, inputs

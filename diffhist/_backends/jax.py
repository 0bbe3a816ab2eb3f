"""The backend of JAX: one custom_vjp over any primitive."""

import functools
from collections.abc import Callable
from typing import Any

import array_api_compat
import jax

from diffhist._backends.primitive import Call

__all__ = ["apply", "namespace", "vjp"]

vjp: Callable[..., Any] = jax.vjp


def namespace(array: jax.Array) -> Any:
    return array_api_compat.array_namespace(array)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def apply(call: Call, *arrays: jax.Array) -> jax.Array:
    return call.evaluate(*arrays)


def _forward(call: Call, *arrays: jax.Array) -> Any:
    output = call.evaluate(*arrays)
    return output, (arrays, output)


def _backward(call: Call, residuals: Any, cotangent: jax.Array) -> Any:
    arrays, output = residuals
    return tuple(call.pull(cotangent, output, arrays))


apply.defvjp(_forward, _backward)

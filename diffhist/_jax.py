"""The bridge to JAX: one custom_vjp over any primitive."""

import functools
from typing import Any

import jax
import jax.experimental

from diffhist._autodiff import Call


def exact_sums() -> Any:
    """A context in which sums can be float64: by default JAX turns it into float32, which stagnates."""
    newer = getattr(jax, "enable_x64", None)
    return newer(True) if newer is not None else getattr(jax.experimental, "enable_x64")()  # noqa: B009 - gone since JAX 0.8


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

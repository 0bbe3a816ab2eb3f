"""The bridge to JAX: one custom_vjp over any primitive."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.experimental

from diffhist._backends.primitive import Call


@contextlib.contextmanager
def exact_sums() -> Iterator[None]:
    """A context in which sums can be float64, by default JAX turns it into float32, which stagnates; and in which
    float32 products are float32, and not what an accelerator is fastest at."""
    newer = getattr(jax, "enable_x64", None)
    wide = newer if newer is not None else getattr(jax.experimental, "enable_x64")  # noqa: B009 - gone since JAX 0.8
    with wide(True), jax.default_matmul_precision("highest"):
        yield


def repeat(step: Callable[..., tuple[jax.Array, ...]], state: tuple[jax.Array, ...], times: int) -> Any:
    return jax.lax.fori_loop(0, times, lambda _, each: step(*each), state)


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

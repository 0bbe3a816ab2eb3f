"""The backend of JAX: one primitive of JAX's own that stands for any of diffhist's."""

from collections.abc import Callable
from typing import Any

import array_api_compat
import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from diffhist._backends.primitive import Call

__all__ = ["apply", "jvp", "namespace", "vjp"]

vjp: Callable[..., Any] = jax.vjp
jvp: Callable[..., Any] = jax.jvp


def namespace(array: jax.Array) -> Any:
    return array_api_compat.array_namespace(array)


def apply(call: Call, *arrays: jax.Array) -> jax.Array:
    return _primitive.bind(*arrays, call=call)


_primitive = Primitive("diffhist")
_program = jax.jit(lambda *arrays, call: call.evaluate(*arrays), static_argnames="call")


def _abstract(*arrays: Any, call: Call) -> Any:
    output = _program.eval_shape(*arrays, call=call)
    return jax.core.ShapedArray(output.shape, output.dtype)


def _tangent(arrays: Any, tangents: Any, *, call: Call) -> tuple[jax.Array, jax.Array]:
    arrays = [jax.numpy.asarray(a) for a in arrays]  # constants may be NumPy's
    output = apply(call, *arrays)
    return output, call.push([None if type(t) is ad.Zero else t for t in tangents], output, arrays)


def _transposed(cotangent: Any, *arrays: Any, call: Call) -> list[Any]:
    """Where a rule pushes a tangent through a primitive that is linear in it, the way back is the primitive's pull."""
    linear = [ad.is_undefined_primal(a) for a in arrays]
    known = [
        jax.numpy.ones(a.aval.shape, a.aval.dtype) if n else jax.numpy.asarray(a)
        for a, n in zip(arrays, linear, strict=True)
    ]
    pulled = call.pull(cotangent, None, known, linear)
    return [p if n else None for p, n in zip(pulled, linear, strict=True)]


def _mapped(arrays: Any, axes: Any, *, call: Call) -> tuple[jax.Array, int]:
    """Leading axes are batch axes for every primitive: one more is put in front of all arrays."""
    size = next(a.shape[n] for a, n in zip(arrays, axes, strict=True) if n is not None)
    lifted = [
        jax.numpy.broadcast_to(a, (size, *a.shape)) if n is None else jax.numpy.moveaxis(a, n, 0)
        for a, n in zip(arrays, axes, strict=True)
    ]
    return apply(call, *lifted), 0


_primitive.def_impl(_program)
_primitive.def_abstract_eval(_abstract)
ad.primitive_jvps[_primitive] = _tangent
ad.primitive_transposes[_primitive] = _transposed
batching.primitive_batchers[_primitive] = _mapped
mlir.register_lowering(_primitive, mlir.lower_fun(_program, multiple_results=False))

"""The backend of JAX: one primitive of JAX's own that stands for any of diffhist's."""

from collections.abc import Callable
from typing import Any

import array_api_compat
import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from diffhist._array import jax_with_float64
from diffhist._backends.primitive import Call

__all__ = ["apply", "jvp", "namespace", "vjp"]

vjp: Callable[..., Any] = jax.vjp
jvp: Callable[..., Any] = jax.jvp


def namespace(array: jax.Array) -> Any:
    return array_api_compat.array_namespace(array)


def apply(call: Call, *arrays: jax.Array) -> jax.Array:
    return _primitive.bind(*_alike(*arrays), call=call)


def _alike(*arrays: jax.Array) -> list[jax.Array]:
    """Arrays inside `jax.shard_map`, where each is known to be alike on all devices of a mesh's axis or not: with every
    axis along which one of them is not. (The way back of this is a sum over the devices.)"""
    own = [_varying(a) for a in arrays]
    every = frozenset().union(*own)
    return [a if v == every else _pvary(a, tuple(every - v)) for a, v in zip(arrays, own, strict=True)]


def _varying(array: Any) -> frozenset[Any]:
    if not hasattr(jax, "typeof"):  # before `shard_map` had types
        return frozenset()
    kind = array if isinstance(array, jax.core.ShapedArray) else jax.typeof(array)
    return kind.mat.varying if hasattr(kind, "mat") else getattr(kind, "vma", frozenset())


def _pvary(array: jax.Array, axes: tuple[Any, ...]) -> jax.Array:
    pcast = getattr(jax.lax, "pcast", None)
    return pcast(array, axes, to="varying") if pcast else getattr(jax.lax, "pvary")(array, axes)  # noqa: B009 - older


_primitive = Primitive("diffhist")
_program = jax.jit(lambda *arrays, call: call.evaluate(*arrays), static_argnames="call")


def _abstract(*arrays: Any, call: Call) -> Any:
    output = _program.eval_shape(*_plain(arrays), call=call)
    found = jax.core.ShapedArray(output.shape, output.dtype)
    if not _varying(arrays[0]):
        return found
    spec = jax.sharding.PartitionSpec(*(None,) * len(output.shape))
    sharding = jax.sharding.NamedSharding(arrays[0].sharding.mesh, spec)
    name = "manual_axis_type" if hasattr(found, "mat") else "vma"
    return found.update(sharding=sharding, **{name: getattr(arrays[0], name)})


def _plain(kinds: Any) -> list[jax.core.ShapedArray]:
    """As if each device was alone, as the program is."""
    return [jax.core.ShapedArray(k.shape, k.dtype) for k in kinds]


def _lowered(context: Any, *arrays: Any, call: Call) -> Any:
    with jax_with_float64():  # or JAX 0.4.33 lowers the float64 of the program as float32
        return _lower(context.replace(avals_in=_plain(context.avals_in)), *arrays, call=call)


def _tangent(arrays: Any, tangents: Any, *, call: Call) -> tuple[jax.Array, jax.Array]:
    arrays = [jax.numpy.asarray(a) for a in arrays]  # constants may be NumPy's
    output = apply(call, *arrays)
    pushed = call.push([None if type(t) is ad.Zero else t for t in tangents], output, arrays)
    return output, _alike(pushed, output)[0]


def _transposed(cotangent: Any, *arrays: Any, call: Call) -> list[Any]:
    """Where a rule pushes a tangent through a primitive that is linear in it, the way back is the primitive's pull."""
    linear = [ad.is_undefined_primal(a) for a in arrays]
    known = [
        jax.numpy.ones(a.aval.shape, a.aval.dtype) if n else jax.numpy.asarray(a)
        for a, n in zip(arrays, linear, strict=True)
    ]
    pulled = call.pull(cotangent, None, known, linear)
    return [_alike(p, cotangent)[0] if n and p is not None else None for p, n in zip(pulled, linear, strict=True)]


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
_lower = mlir.lower_fun(_program, multiple_results=False)
mlir.register_lowering(_primitive, _lowered)

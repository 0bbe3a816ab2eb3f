"""The backend of PyTorch: one autograd Function over any primitive."""

import contextvars
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat.torch as xp
import torch
from torch.autograd import forward_ad

from diffhist._backends.primitive import Call

__all__ = ["apply", "jvp", "namespace", "vjp"]


def namespace(tensor: torch.Tensor) -> Any:
    return xp


def _plainly(tensors: Sequence[Any], fun: Callable[..., Any], *args: Any) -> Any:
    """Call ``fun`` out of reach of autocast: a bfloat16 product inside a histogram is silently wrong."""
    kind = tensors[0].device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return fun(*args)
    with torch.autocast(kind, enabled=False):
        return fun(*args)


class _Bridge(torch.autograd.Function):
    @staticmethod
    def forward(call: Call, *tensors: torch.Tensor) -> torch.Tensor:
        output = _plainly(tensors, call.evaluate, *tensors)
        # forward mode wants tangents to be views where outputs are, and writes them in their layout
        return output.clone(memory_format=torch.contiguous_format) if output._is_view() else output

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.call, *tensors = inputs
        kept = None if ctx.call.blind else output
        ctx.save_for_backward(*tensors, kept)
        ctx.save_for_forward(*tensors, output)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[Any, ...]:
        *tensors, output = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        return (None, *_plainly(tensors, ctx.call.pull, cotangent, output, tensors, needed))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: torch.Tensor | None) -> torch.Tensor:
        with forward_ad._set_fwd_grad_enabled(
            True
        ):  # torch turns it off here, and with it the outer of two forward modes
            *tensors, output = (
                None if t is None else forward_ad.unpack_dual(t, level=0).primal for t in ctx.saved_tensors
            )
            return _plainly(tensors, ctx.call.push, tangents, output, tensors)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], call: Call, *tensors: torch.Tensor) -> Any:
        # Leading axes are batch axes for every primitive, so mapping is putting one more in front of all arrays.
        lifted = [
            t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(tensors, in_dims[1:], strict=True)
        ]
        return apply(call, *lifted), 0


# which torch asks for at each call, and Python makes anew each time
_Bridge.forward.__signature__ = inspect.signature(_Bridge.forward)  # type: ignore[attr-defined]


def apply(call: Call, *tensors: torch.Tensor) -> torch.Tensor:
    if torch.compiler.is_compiling():
        _told_the_compiler()
    elif torch.jit.is_tracing():
        raise TypeError("`torch.jit.trace` cannot record diffhist's functions: use `torch.export` or `torch.compile`")
    elif not _differentiated(tensors):  # an autograd Function costs 50 us, be there nothing to differentiate
        return _plainly(tensors, call.evaluate, *tensors)
    return _applied(call, *tensors)


def _differentiated(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a derivative may be asked for, or a transform maps over the tensors."""
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _applied(call: Call, *tensors: torch.Tensor) -> torch.Tensor:
    output = _Bridge.apply(call, *tensors)
    return output if call.blind else output.clone()  # what is kept must not be what its user may write to


def _told_the_compiler() -> bool:
    """While torch.compile reads the code: it need not look into a primitive, which is differentiated as a whole."""
    torch.compiler.allow_in_graph(_applied)
    return True


# what torch.compiler.assume_constant_result sets: that, and allow_in_graph, load the compiler, which takes as long as
# loading torch
_told_the_compiler._dynamo_marked_constant = True  # type: ignore[attr-defined]


_around = contextvars.ContextVar("_around", default=False)  # whether what runs is being differentiated by `vjp`


def vjp(fun: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> Any:
    if _around.get() or torch._C._are_functorch_transforms_active():
        value, pull = torch.func.vjp(lambda given: fun(*given), tensors)  # type: ignore[misc] # nests, at twice the time
        return value, lambda cotangent: pull(cotangent)[0]
    if not (torch.is_inference_mode_enabled() or any(t.is_inference() for t in tensors)):
        return _pulled(fun, tensors)
    with torch.inference_mode(False):  # tensors of that mode cannot be saved for a way back
        return _pulled(fun, [t.clone() for t in tensors])


def _pulled(fun: Callable[..., torch.Tensor], tensors: Sequence[torch.Tensor]) -> Any:
    leaves = [t.detach().requires_grad_() for t in tensors]
    outside = _around.set(True)
    try:
        with torch.enable_grad():
            output = fun(*leaves)
    finally:
        _around.reset(outside)

    def pullback(cotangent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        options = {"retain_graph": True, "create_graph": cotangent.requires_grad, "materialize_grads": True}
        return torch.autograd.grad(output, leaves, cotangent, **options)

    return output.detach(), pullback


def jvp(fun: Callable[..., torch.Tensor], primals: Any, tangents: Any) -> Any:
    return torch.func.jvp(fun, primals, tangents)

"""The bridge to PyTorch: one autograd Function for each number of arrays, over any primitive."""

from collections.abc import Callable
from typing import Any

import torch

from diffhist._autodiff import Call


def _plainly(tensors: tuple[torch.Tensor, ...], fun: Callable[..., Any], *args: Any) -> Any:
    """Call ``fun`` out of reach of autocast: a bfloat16 product inside a histogram is silently wrong."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return fun(*args)
    with torch.autocast(kind, enabled=False):
        return fun(*args)


class _Bridge(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.call, *tensors = inputs
        ctx.save_for_backward(*tensors, output)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[Any, ...]:
        *tensors, output = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        return (None, *_plainly(tensors, ctx.call.pull, cotangent, output, tensors, needed))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], call: Call, *tensors: torch.Tensor) -> Any:
        # Leading axes are batch axes for every primitive, so mapping is putting one more in front of all arrays.
        lifted = [
            t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(tensors, in_dims[1:], strict=True)
        ]
        return apply(call, *lifted), 0


class _One(_Bridge):
    @staticmethod
    def forward(call: Call, a: torch.Tensor) -> torch.Tensor:
        return _plainly((a,), call.evaluate, a)


class _Two(_Bridge):
    @staticmethod
    def forward(call: Call, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return _plainly((a,), call.evaluate, a, b)


class _Three(_Bridge):
    @staticmethod
    def forward(call: Call, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return _plainly((a,), call.evaluate, a, b, c)


_BY_COUNT = {1: _One, 2: _Two, 3: _Three}


def apply(call: Call, *tensors: torch.Tensor) -> torch.Tensor:
    distinct = [t if all(t is not s for s in tensors[:n]) else t.view_as(t) for n, t in enumerate(tensors)]
    return _BY_COUNT[len(tensors)].apply(call, *distinct)


def vjp(fun: Callable[..., torch.Tensor], *tensors: torch.Tensor, **parameters: Any) -> Any:
    """`diffhist.vjp` by torch's own autograd."""
    leaves = [t.detach().requires_grad_() for t in tensors]
    with torch.enable_grad():
        output = fun(*leaves, **parameters)

    def pullback(cotangent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(output, leaves, cotangent, retain_graph=True, materialize_grads=True)

    return output.detach(), pullback

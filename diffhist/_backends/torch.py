"""The bridge to PyTorch: one autograd Function for each number of arrays, over any primitive."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat.torch as xp
import torch
from torch.compiler import is_compiling

from diffhist._backends.primitive import Call
from diffhist._evaluation import evaluate as _evaluate
from diffhist._evaluation.kernel import Axis

__all__ = ["apply", "gather", "is_compiling", "kernels", "spread", "vjp"]

OLDEST_TRITON = (3, 5)  # 3.2 ends the process over these kernels; those between have not been tried
FUSED = True  # False turns the fused kernels off: benchmarks.gpu measures with and without them


def kernels(device: torch.device) -> Any:
    """The module of fused kernels, where they run: on NVIDIA's devices from Ampere on, with a recent Triton."""
    return _kernels_on(device) if FUSED else None


@functools.cache
def _kernels_on(device: torch.device) -> Any:
    if device.type != "cuda" or torch.version.cuda is None or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    try:
        import triton

        from diffhist._evaluation import triton as _triton
    except ImportError:
        return None
    if tuple(int(n) for n in triton.__version__.split(".")[:2]) < OLDEST_TRITON:
        return None
    try:
        _check(_triton, device)
    except Exception as error:  # a compiler or a driver that these kernels do not get along with
        warnings.warn(f"diffhist uses array code on {device}, its Triton kernels fail there: {error}", stacklevel=2)
        return None
    return _triton


def _check(fused: Any, device: torch.device) -> None:
    """Compile the kernels and hold them against array code, once for each device."""
    x, y = torch.rand(2, 1, 500, generator=torch.Generator().manual_seed(0))
    axes = (Axis(20, 0.0, 0.05, 0.4, "circular"),) * 2
    for n in (1, 2):
        pixels, orders = [x, y][:n], (0,) * n
        h = _evaluate.spread(xp, pixels, None, axes[:n], orders, torch.float32)
        (seen,) = _evaluate.gather(xp, h, pixels, axes[:n], [orders], torch.float32)
        there = [p.to(device) for p in pixels]
        torch.testing.assert_close(fused.spread(there, None, axes[:n], orders).cpu(), h.float(), rtol=1e-4, atol=1e-4)
        (found,) = fused.gather(h.to(device), there, axes[:n], [orders])
        torch.testing.assert_close(found.cpu(), seen.float(), rtol=1e-4, atol=1e-4)


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


# torch.compile sees the two evaluations as operators of their own: inside are loops over taps, tables made by NumPy and
# choices by cost, which are no use to it.


def spread(coordinates: Any, weights: Any, axes: Any, orders: Any, dtype: torch.dtype) -> torch.Tensor:
    return _spread(list(coordinates), weights, *_flat(axes), list(orders), dtype)


def gather(h: torch.Tensor, coordinates: Any, axes: Any, orders: Any, dtype: torch.dtype) -> list[torch.Tensor]:
    return list(_gather(h, list(coordinates), *_flat(axes), [o for order in orders for o in order], dtype).unbind(0))


def _flat(axes: Sequence[Axis]) -> tuple[list[int], list[float], str]:
    return [a.bins for a in axes], [v for a in axes for v in a[1:4]], ",".join([a.boundary for a in axes])


def _axes(bins: Sequence[int], grid: Sequence[float], boundaries: str) -> list[Axis]:
    edges = boundaries.split(",")
    return [Axis(b, grid[3 * n], grid[3 * n + 1], grid[3 * n + 2], edges[n]) for n, b in enumerate(bins)]


@torch.library.custom_op("diffhist::spread", mutates_args=())
def _spread(
    coordinates: Sequence[torch.Tensor],
    weights: torch.Tensor | None,
    bins: Sequence[int],
    grid: Sequence[float],
    boundaries: str,
    orders: Sequence[int],
    dtype: torch.dtype,
) -> torch.Tensor:
    return _evaluate.spread(xp, coordinates, weights, _axes(bins, grid, boundaries), orders, dtype).to(dtype)


@_spread.register_fake
def _(coordinates, weights, bins, grid, boundaries, orders, dtype):
    return coordinates[0].new_empty((coordinates[0].shape[0], *bins), dtype=dtype)


@torch.library.custom_op("diffhist::gather", mutates_args=())
def _gather(
    h: torch.Tensor,
    coordinates: Sequence[torch.Tensor],
    bins: Sequence[int],
    grid: Sequence[float],
    boundaries: str,
    orders: Sequence[int],
    dtype: torch.dtype,
) -> torch.Tensor:
    d = len(bins)
    pairs = [tuple(orders[n : n + d]) for n in range(0, len(orders), d)]
    return torch.stack(_evaluate.gather(xp, h, coordinates, _axes(bins, grid, boundaries), pairs, dtype))


@_gather.register_fake
def _(h, coordinates, bins, grid, boundaries, orders, dtype):
    return coordinates[0].new_empty((len(orders) // len(bins), *coordinates[0].shape), dtype=dtype)

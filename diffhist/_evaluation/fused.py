"""Which devices have fused kernels."""

import functools
import warnings
from typing import Any

import array_api_compat.torch as xp
import torch

from diffhist._evaluation import evaluate
from diffhist._evaluation.kernel import Axis

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

        from diffhist._evaluation import triton as fused
    except ImportError:
        return None
    if tuple(int(n) for n in triton.__version__.split(".")[:2]) < OLDEST_TRITON:
        return None
    try:
        _check(fused, device)
    except Exception as error:  # a compiler or a driver that these kernels do not get along with
        warnings.warn(f"diffhist uses array code on {device}, its Triton kernels fail there: {error}", stacklevel=2)
        return None
    return fused


def _check(fused: Any, device: torch.device) -> None:
    """Compile the kernels and hold them against array code, once for each device."""
    x, y = torch.rand(2, 1, 500, generator=torch.Generator().manual_seed(0))
    axes = (Axis(20, 0.0, 0.05, 0.4, "circular"),) * 2
    for n in (1, 2):
        pixels, orders = [x, y][:n], [(0,) * n]
        h = evaluate.spread(xp, pixels, None, axes[:n], orders, torch.float32)
        (seen,) = evaluate.gather(xp, h, pixels, axes[:n], orders, torch.float32)
        there = [p.to(device) for p in pixels]
        torch.testing.assert_close(fused.spread(there, None, axes[:n], orders).cpu(), h.float(), rtol=1e-4, atol=1e-4)
        (found,) = fused.gather(h.to(device), there, axes[:n], orders)
        torch.testing.assert_close(found.cpu(), seen.float(), rtol=1e-4, atol=1e-4)

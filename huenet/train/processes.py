"""The process itself: its device, its place among those of ``torchrun``, and the signals that ask it to stop."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import inspect
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from huenet._signals import heeded
from huenet.config import ConfigError

__all__ = ["Processes", "StopSignal", "peak_memory", "pick_device", "without_sync"]

T = TypeVar("T")
# Ctrl-C; what schedulers send, some of them ahead of time (SIGUSR1), and a terminal that is closed (SIGHUP)
STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")

_OPTIONS = inspect.signature(DistributedDataParallel).parameters
_SYNC_BUFFERS = (
    "forward_sync_buffers" if "forward_sync_buffers" in _OPTIONS else "broadcast_buffers"
)  # before torch 2.13


class Processes:
    """Those that train together: one, or as many as ``torchrun`` started. A context; leaving it ends the group.

    Attributes
    ----------
    rank, world : int
        This process and their number.
    first : bool
        Whether this is the one that writes and prints.
    device : torch.device
    """

    def __init__(self, device: str = "auto") -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.first = self.rank == 0
        self.device = pick_device(device)
        if self.device.type == "cuda":
            if self.world > 1:
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(self.device)

    def __enter__(self) -> Processes:
        if self.world > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        return self

    def __exit__(self, *_: object) -> None:
        if self.world > 1:
            dist.destroy_process_group()

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network, with its gradients averaged over the processes."""
        if self.world == 1:
            return network
        # Buffers stay each rank's own: broadcasting them before a pass overwrites what the last one's backward needs.
        options: dict[str, Any] = {_SYNC_BUFFERS: False}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        return DistributedDataParallel(network, **options)

    def agree(self, decide: Callable[[], T]) -> T:
        """What the first process decides, on all of them; if it fails there, the others end without a word."""
        if self.world == 1:
            return decide()
        box: list[Any] = [None, None]
        if self.first:
            try:
                box[0] = decide()
            except Exception as error:  # told to the others, which would wait for ever
                box[1] = error
        dist.broadcast_object_list(box, device=self.device)
        if box[1] is not None:
            self.fail(box[1])
        return box[0]

    def fail(self, error: Exception) -> NoReturn:
        """End all processes for what all of them know; only the first says why."""
        raise error if self.first else SystemExit(2)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else the CPU.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).tolist()  # a meta tensor has nothing to show
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"--device {name} is not to be had here; try --device auto or cpu") from error
    return device


def peak_memory(device: torch.device) -> str:
    """The most that this process has held so far: on the GPU, or resident."""
    if device.type == "cuda":
        size = torch.cuda.max_memory_allocated(device)
    else:
        try:
            import resource
        except ImportError:  # Windows
            return "not known on this system"
        unit = 1 if sys.platform == "darwin" else 1024
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{size / 2**30:.1f} GiB"


def without_sync(network: nn.Module, skip: bool) -> AbstractContextManager[Any]:
    """Leave the gradients of a backward pass on their own process, to average them once after the last part."""
    return network.no_sync() if skip and isinstance(network, DistributedDataParallel) else nullcontext()


class StopSignal:
    """While entered, `STOPS` set `asked` and end nothing; a second one ends the process as always."""

    def __init__(self, say: bool = True) -> None:
        self.asked, self.say = False, say
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        for number in heeded(*STOPS):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self._before[number])  # before it is said: who reads it may be quick
        if self.say:  # os.write: Python's own streams may be in the middle of a line when the signal comes
            os.write(2, b"\nStopping after this step; a second time ends at once, without saving.\n")

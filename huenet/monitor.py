"""The terms of the loss on their way from the device to people, without a step that waits for them."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from huenet.processes import Processes

__all__ = ["Monitor", "Report"]

LATE = 4  # steps between asking a GPU for a number and reading it


@dataclass(frozen=True)
class Report:
    """Means of the terms over some steps, the terms that were not finite, and whether any process was asked to stop."""

    step: int = 0
    means: dict[str, float] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    stop: bool = False


class Monitor:
    """Adds up the terms on the device, sends their means off every few steps and reads them some steps later.

    All processes get the same report at the same step, so that they decide alike.
    """

    def __init__(self, names: Sequence[str], every: int, processes: Processes) -> None:
        self.names, self.every, self.processes = names, every, processes
        self.late = LATE if processes.device.type == "cuda" else 0
        self.reset()

    def reset(self) -> None:
        """Forget what is under way."""
        self.total = torch.zeros(len(self.names) + 1, device=self.processes.device)
        self.count = 0
        self.pending: deque[tuple[int, Tensor, Any]] = deque()

    def add(self, step: int, terms: Tensor, stop: bool) -> Report:
        """Count the terms of one step; a report of earlier steps comes back when it has arrived, else an empty one."""
        self.total[:-1] += terms
        self.total[-1] += stop
        self.count += 1
        if step % self.every == 0:
            means = self.processes.mean(self.total / self.count).to("cpu", non_blocking=True)
            event = torch.cuda.Event() if means.is_pinned() else None
            if event:
                event.record()
            self.pending.append((step, means, event))
            self.total, self.count = torch.zeros_like(self.total), 0
        if not self.pending or step < self.pending[0][0] + self.late:
            return Report()
        sent, host, event = self.pending.popleft()
        if event:
            event.synchronize()
        *values, stopping = host.tolist()
        bad = [name for name, value in zip(self.names, values, strict=True) if not math.isfinite(value)]
        return Report(sent, dict(zip(self.names, values, strict=True)), bad, stopping > 0)

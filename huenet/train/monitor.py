"""The terms of the loss on their way from the device to people, without a step that waits for them."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from huenet.train.processes import Processes

__all__ = ["Monitor", "Report"]

LATE = 4  # steps between asking a GPU for a number and reading it


@dataclass(frozen=True)
class Report:
    """Means of the terms, every few steps; the terms that were not finite; whether any process was asked to stop."""

    step: int
    means: dict[str, float]
    bad: list[str]
    stop: bool


class Monitor:
    """Adds up the terms on the device, sends their means off at every step and reads them some steps later.

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

    def add(self, step: int, terms: Tensor, stop: bool, last: bool = False) -> list[Report]:
        """Count the terms of one step; the reports that have arrived by now, or all of them if it is the last one.

        A term that is not finite, and a wish to stop, are told as soon as they arrive; the means every few steps, and
        at the last one.
        """
        self.total[:-1] += terms
        self.total[-1] += stop
        self.count += 1
        means = self.processes.mean(self.total / self.count).to("cpu", non_blocking=True)
        event = torch.cuda.Event() if means.is_pinned() else None
        if event:
            event.record()
        self.pending.append((step, means, event))
        if step % self.every == 0:
            self.total, self.count = torch.zeros_like(self.total), 0
        reports = []
        while self.pending and (last or self.pending[0][0] + self.late <= step):
            due, means, event = self.pending.popleft()
            reports.append(self._read(due, means, event, tell=due % self.every == 0 or (last and due == step)))
        return reports

    def _read(self, step: int, means: Tensor, event: Any, tell: bool) -> Report:
        if event:
            event.synchronize()
        *values, stopping = means.tolist()
        named = dict(zip(self.names, values, strict=True))
        bad = [name for name, value in named.items() if not math.isfinite(value)]
        return Report(step, named if tell else {}, bad, stopping > 0)

"""Measure the rows of a case side by side: a process each, taking turns, so that a busy moment hits all of them."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.cases import Case

ROUNDS = 3
ERROR_LIMIT = 1 << 24  # N x K elements up to which float64 is computed as well
ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """A process that holds one implementation ready."""

    def __init__(self, case: Case, row: str):
        command = [sys.executable, "-m", "benchmarks.worker", json.dumps(dataclasses.asdict(case)), row]
        self.row, self.skipped = row, ""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )

    def ready(self) -> list[str]:
        """What it can be asked to time, once it is ready; nothing if it cannot run here."""
        answer = self._answer() or {}
        self.skipped = answer.get("skipped", self.skipped)
        return answer.get("ready", [])

    def ask(self, order: str) -> Any:
        if self.skipped:
            return None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(order + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: what it said is read below
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        complaint = self.process.stderr.read().strip().splitlines()
        self.skipped = complaint[-1][:200] if complaint else f"ended with status {self.process.wait()}"
        return None

    def close(self) -> None:
        """Let the process go."""
        self.process.communicate()


def measure(case: Case, rows: Iterable[str]) -> list[dict[str, Any]]:
    """Times in seconds (median, lowest and highest of the turns' medians), peak in MiB, errors, for each row."""
    workers = [Worker(case, row) for row in rows]
    try:
        kinds = {w.row: w.ready() for w in workers}
        results: dict[str, dict[str, Any]] = {w.row: {"row": w.row, "peak_mib": w.ask("peak")} for w in workers}
        turns: dict[tuple[str, str], list[float]] = {}
        for _ in range(ROUNDS):
            for worker in workers:
                for kind in kinds[worker.row]:
                    times = worker.ask(kind)
                    if times:
                        turns.setdefault((worker.row, kind), []).append(statistics.median(times))
        for (row, kind), medians in turns.items():
            results[row][kind] = [statistics.median(medians), min(medians), max(medians)]
        for worker in workers:
            if case.side**2 * case.bins <= ERROR_LIMIT:
                results[worker.row]["error"] = worker.ask("error")
            if worker.skipped:
                results[worker.row]["skipped"] = worker.skipped
    finally:
        for worker in workers:
            worker.close()
    return list(results.values())

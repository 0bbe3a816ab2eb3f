"""Has anything become slow? ``python -m benchmarks.guard [--record | --peers]``: ratios of times beside guard.json's.

Ratios, never absolute times, and of processor time on one thread, which other processes on the machine hardly touch.
Exits with status 1 where a ratio is lost, twice in a row. ``--record`` writes the ratios down as the new ones;
``--peers`` prints instead how diffhist compares with others, where the extra ``bench`` is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("guard.json")
MARGIN = 1.75  # how many times the ratio on record a ratio may be
ROUNDS = 5
TURN = 0.03  # seconds of one turn, at least one call

EMD, MI = {"task": "emd"}, {"task": "mi"}
RATIOS: dict[str, tuple[tuple[dict[str, Any], str, str], tuple[dict[str, Any], str, str]]] = {
    "EMD: torch / dense formula": ((EMD, "diffhist, torch", "step"), (EMD, "dense formula", "step")),
    "MI: torch / dense formula": ((MI, "diffhist, torch", "step"), (MI, "dense formula", "step")),
    "EMD: NumPy / torch": ((EMD, "diffhist, NumPy", "step"), (EMD, "diffhist, torch", "step")),
    "MI: NumPy / torch": ((MI, "diffhist, NumPy", "step"), (MI, "diffhist, torch", "step")),
    "EMD: hue / noise": ((EMD | {"content": "hue"}, "diffhist, torch", "step"), (EMD, "diffhist, torch", "step")),
    "MI: hue / noise": ((MI | {"content": "hue"}, "diffhist, torch", "step"), (MI, "diffhist, torch", "step")),
    "EMD: 4096 bins / 256 bins": ((EMD | {"bins": 4096}, "diffhist, torch", "step"), (EMD, "diffhist, torch", "step")),
    "EMD: 512 x 512 / 256 x 256": ((EMD | {"side": 512}, "diffhist, torch", "step"), (EMD, "diffhist, torch", "step")),
    "MI: 512 x 512 / 256 x 256": ((MI | {"side": 512}, "diffhist, torch", "step"), (MI, "diffhist, torch", "step")),
    "MI: batch of 4 / 1": ((MI | {"batch": 4}, "diffhist, torch", "step"), (MI, "diffhist, torch", "step")),
    "histogram: torch / torch.histc": ((EMD, "diffhist, torch", "histogram"), (EMD, "torch.histc", "histogram")),
}
PEERS = {
    f"MI, {content}, {bins} bins: grid_count / {ours}": (
        (MI | {"content": content, "bins": bins}, "torch-interpol grid_count", "step"),
        (MI | {"content": content, "bins": bins}, ours, "step"),
    )
    for content in ("hue", "noise")
    for bins in (64, 256, 1024)
    for ours in ("diffhist, torch", "diffhist, NumPy")
} | {
    f"{name}, {content}: {other} / {ours}": (
        (task | {"content": content}, other, kind),
        (task | {"content": content}, ours, kind),
    )
    for content in ("hue", "noise")
    for ours in ("diffhist, torch", "diffhist, NumPy")
    for name, task, other, kind in (
        ("MI forward", MI, "np.histogram2d", "histogram"),
        ("EMD", EMD, "dense formula", "step"),
    )
}


def measure(pairs: dict[str, Any] = RATIOS) -> dict[str, float]:
    """The ratios now: medians over rounds in which everything takes its turn."""
    import torch

    from benchmarks.cases import Case, images
    from benchmarks.peers import ROWS

    torch.set_num_threads(1)
    calls: dict[str, Callable[[], Any]] = {}
    for fields, row, kind in (side for pair in pairs.values() for side in pair):
        key = str((fields, row, kind))
        if key not in calls:
            calls[key] = getattr(ROWS[fields["task"]][row](Case(**fields), *images(Case(**fields))), kind)
            calls[key]()
    rounds = [{key: _turn(call) for key, call in calls.items()} for _ in range(ROUNDS)]
    return {
        name: statistics.median(r[str(ours)] / r[str(other)] for r in rounds) for name, (ours, other) in pairs.items()
    }


def _turn(call: Callable[[], Any]) -> float:
    """Processor seconds of a call."""
    times: list[float] = []
    while sum(times) < TURN:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def lost(ratios: dict[str, float], record: dict[str, float]) -> list[str]:
    """A line for each ratio beyond its margin."""
    return [
        f"{name}: {ratios[name]:.3g}, on record {known:.3g}, allowed {known * MARGIN:.3g}"
        for name, known in record.items()
        if ratios[name] > known * MARGIN
    ]


def check(take: Callable[[], dict[str, float]], record: dict[str, float]) -> list[str]:
    """What is lost, and still is when everything is measured once more."""
    if not lost(take(), record):
        return []
    return lost(take(), record)


def main() -> int:
    """Compare with the record, or write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--record", action="store_true", help="write guard.json anew")
    instead.add_argument("--peers", action="store_true", help="print ratios of others' times to diffhist's")
    options = parser.parse_args()
    if options.peers:
        for name, ratio in measure(PEERS).items():
            print(f"{name:56}{ratio:9.3g}")
        return 0
    if options.record:
        RECORD.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
        return 0
    record = json.loads(RECORD.read_text(encoding="utf-8"))

    def take() -> dict[str, float]:
        ratios = measure()
        for name, ratio in ratios.items():
            print(f"{name:32}{ratio:9.3g}   on record {record[name]:.3g}")
        return ratios

    complaints = check(take, record)
    for line in complaints:
        print(f"lost: {line}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    os.environ |= dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
    sys.exit(main())

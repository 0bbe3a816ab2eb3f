"""Measure everything, in ten minutes: ``python -m benchmarks [--quick | --full] [--output DIR]``.

Writes results.json, table.md, time.png and memory.png. Peers that are not installed (extra ``bench``) are skipped rows.
Wants a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases import SHORT_SWEEPS, SWEEPS, TASKS, Case, base, swept
from benchmarks.machine import describe
from benchmarks.measure import measure
from benchmarks.peers import MATRIX, ROWS, SHORT
from benchmarks.table import markdown

MATRIX_LIMIT = {False: 1 << 26, True: 1 << 28}  # elements of N x K matrices, default and --full


def plan(quick: bool, full: bool) -> Iterator[tuple[Case, list[str]]]:
    """Cases with the rows to measure: all rows in the base cases; where one factor changes, a few, unless ``full``."""
    for task in TASKS:
        for case in base(task):
            yield case, list(ROWS[task])
    if quick:
        return
    sweeps = SWEEPS if full else SHORT_SWEEPS
    for task in TASKS:
        for case in (*swept(task, sweeps), *swept(task, {"bins": sweeps["bins"]}, "hue")):
            yield case, [row for row in ROWS[task] if full or row in SHORT]


def run(plan: list[tuple[Case, list[str]]], full: bool, save: Any) -> list[dict[str, Any]]:
    """Measure each case, saving after each; one result for each case and row."""
    results: list[dict[str, Any]] = []
    for n, (case, rows) in enumerate(plan, start=1):
        print(f"[{n}/{len(plan)}] {case}", file=sys.stderr, flush=True)
        small = case.batch * case.side**2 * case.bins <= MATRIX_LIMIT[full]
        fields = dataclasses.asdict(case)
        measured = measure(case, [row for row in rows if small or row not in MATRIX])
        results += [fields | result for result in measured]
        results += [fields | {"row": row, "skipped": "N x K too large"} for row in rows if not small and row in MATRIX]
        save(results)
    return results


def main(arguments: list[str] | None = None) -> None:
    """Run the plan and write what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure diffhist beside its peers.")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="the base cases only (four minutes)")
    extent.add_argument("--full", action="store_true", help="every row at every value of every factor (an hour)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to write (default: a new one in runs/)")
    options = parser.parse_args(arguments)
    folder = options.output or Path("runs") / time.strftime("benchmarks-%Y%m%d-%H%M%S")
    if (folder / "results.json").exists():
        parser.error(f"{folder} holds results already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    environment = describe()
    start = time.time()

    def save(results: list[dict[str, Any]]) -> None:
        record = {"environment": environment, "minutes": (time.time() - start) / 60, "results": results}
        (folder / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (folder / "table.md").write_text(markdown(record), encoding="utf-8")

    results = run(list(plan(options.quick, options.full)), options.full, save)
    if not options.quick:
        from benchmarks.plots import plot

        plot(results, folder)
    print(f"written to {folder}")


if __name__ == "__main__":
    main()

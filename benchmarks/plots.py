"""How time and memory grow with each factor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.cases import SWEEPS, TASKS, Case
from benchmarks.table import UNITS, same, time_of

OURS = {"diffhist, torch": "#0b5394", "diffhist, NumPy": "#3d85c6", "diffhist, JAX": "#76b5e8"}
OTHERS = ("#cc4125", "#e69138", "#6aa84f", "#8e7cc3", "#a64d79", "#7f6000", "#999999", "#434343")


def plot(results: list[dict[str, Any]], folder: Path) -> None:
    """Write time.png and memory.png: a row of panels for each task, a panel for each factor."""

    def milliseconds(result: dict[str, Any]) -> float | None:
        seconds = time_of(result)
        return None if seconds is None else 1e3 * seconds

    _figure(results, milliseconds, "ms, forward + backward", folder / "time.png")
    _figure(results, lambda r: r.get("peak_mib") or None, "MiB at the peak", folder / "memory.png")


def _figure(
    results: list[dict[str, Any]], quantity: Callable[[dict[str, Any]], float | None], label: str, path: Path
) -> None:
    others = [row for row in dict.fromkeys(r["row"] for r in results) if row not in OURS]
    colours = OURS | {row: OTHERS[n % len(OTHERS)] for n, row in enumerate(others)}
    figure, panels = plt.subplots(len(TASKS), len(SWEEPS), figsize=(13, 6.2), sharey="row", squeeze=False)
    for panel_row, (task, title) in zip(panels, TASKS.items(), strict=True):
        for panel, factor in zip(panel_row, SWEEPS, strict=True):
            rows = [r for r in results if same(r, Case(task), but=factor)]
            for row, colour in colours.items():
                points = sorted((r[factor], q) for r in rows if r["row"] == row and (q := quantity(r)) is not None)
                if len(points) > 1:
                    style = {"lw": 2.4, "zorder": 3} if row in OURS else {"lw": 1.3}
                    panel.plot(*zip(*points, strict=True), marker="o", ms=3.5, color=colour, label=row, **style)
            panel.set(xscale="log", yscale="log", xlabel=UNITS[factor])
            panel.set_xticks(ticks := sorted({r[factor] for r in rows}), [f"{t:g}" for t in ticks], fontsize=8)
            panel.minorticks_off()
            panel.grid(alpha=0.3)
        panel_row[0].set_ylabel(label)
        panel_row[0].set_title(title, loc="left", fontsize=10)
        handles, labels = _union(panel_row)
        panel_row[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _union(panels: Any) -> tuple[list[Any], list[str]]:
    """Every label of a row of panels once."""
    found = {label: h for p in panels for h, label in zip(*p.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)

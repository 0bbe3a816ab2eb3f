"""Results as Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from benchmarks.cases import SWEEPS, TASKS, Case

UNITS = {"side": "image side", "bins": "bins K", "batch": "batch", "width": "bandwidth / L"}
DENSE = "dense formula"


def same(result: dict[str, Any], case: Case, *, but: str = "") -> bool:
    """Whether a result is of this case, whatever its value of one factor."""
    factors = ("task", "content", *SWEEPS)
    return all(result[f] == getattr(case, f) for f in factors if f != but)


def markdown(record: dict[str, Any]) -> str:
    """Machine and versions, the base cases in full, and a table of times for each factor."""
    results = record["results"]
    lines = ["# Benchmarks", "", "; ".join(f"{k} {v}" for k, v in record["environment"].items()) + ".", ""]
    lines += [
        "float32, 256 x 256 pixels, K = 256, W = L / 2.5, one image, unless a factor says otherwise. Each row in a "
        "process of its own, taking turns: median of the turns (lowest to highest). Memory: the peak of the first call "
        "above inputs and libraries. Errors: against float64, relative to the largest; diffhist against the dense "
        "formula, others, which have other kernels or losses, against themselves. "
        "Speed-up: over the dense formula.",
        "",
    ]
    for task, title in TASKS.items():
        for content, what in (("noise", "uniform noise"), ("hue", "hue of photographs")):
            rows = [r for r in results if same(r, Case(task, content=content))]
            if rows:
                lines += [f"## {title}, {what}", "", *_base(rows), ""]
    for task, title in TASKS.items():
        for content, factor in itertools.product(("noise", "hue"), SWEEPS):
            rows = [r for r in results if same(r, Case(task, content=content), but=factor)]
            if len({r[factor] for r in rows}) > 1:
                what = f"{title}, {content}: {UNITS[factor]}"
                lines += [f"## {what}, ms forward + backward (forward alone for hard histograms)", ""]
                lines += [*_sweep(rows, factor), ""]
    return "\n".join(lines)


def _grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *body)]


def _base(rows: list[dict[str, Any]]) -> list[str]:
    dense = next((r for r in rows if r["row"] == DENSE), {})
    head = [
        "",
        "histogram, ms",
        "forward + backward, ms",
        "speed-up",
        "peak, MiB",
        "error",
        "of gradient",
    ]
    body = []
    for r in rows:
        if "skipped" in r:
            body.append([r["row"], f"skipped: {r['skipped']}", *[""] * 5])
            continue
        faster = f"{dense['step'][0] / r['step'][0]:.3g}" if "step" in r and "step" in dense else ""
        peak = "" if r["peak_mib"] is None else f"{r['peak_mib']:.1f}"
        errors = [f"{r['error'][e]:.0e}" if r.get("error") else "" for e in ("value", "gradient")]
        body.append([r["row"], _spread(r.get("histogram")), _spread(r.get("step")), faster, peak, *errors])
    return _grid(head, body)


def _spread(seconds: list[float] | None) -> str:
    if seconds is None:
        return ""
    median, low, high = map(_milliseconds, seconds)
    return f"{median} ({low} to {high})"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def time_of(result: dict[str, Any]) -> float | None:
    """Seconds forward and backward, or forward for what has no gradient."""
    times = result.get("step") or result.get("histogram")
    return times[0] if times else None


def _sweep(rows: list[dict[str, Any]], factor: str) -> list[str]:
    values = sorted({r[factor] for r in rows})
    body = []
    for row in dict.fromkeys(r["row"] for r in rows):
        seconds = {r[factor]: time_of(r) for r in rows if r["row"] == row}
        if len(seconds) > 1:
            body.append([row, *(_milliseconds(s) if (s := seconds.get(v)) else "" for v in values)])
    return _grid([UNITS[factor], *(f"{v:g}" for v in values)], body)

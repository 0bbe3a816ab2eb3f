"""Pictures of a run: sample grids with hue channels and hue histograms, and the curves of its metrics."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from huenet.color import chroma, hsv_to_rgb
from huenet.config import Config
from huenet.metrics import hue_emd, hue_histogram

__all__ = ["curves", "histograms", "lines", "panels", "sample_grid"]

HUE_BINS = 90
COLUMNS = ("source", "target", "output", "source hue", "target hue", "output hue", "hue, weighted by chroma")


def sample_grid(source: np.ndarray, target: np.ndarray, output: np.ndarray, title: str = "") -> Figure:
    """A row for each pair: source, target, output, their hue channels and their hue histograms.

    Parameters
    ----------
    source, target, output : ndarray (B, 3, H, W)
        HSV in [0, 1].
    title : str
        Printed above the grid.

    Returns
    -------
    matplotlib.figure.Figure
        Drawn by Agg, without a display and without pyplot's global state.
    """
    rows = len(source)
    figure = _figure(11.5, 1.45 * rows + 0.6)
    axes = figure.subplots(rows, 7, squeeze=False, width_ratios=[1] * 6 + [1.8])
    for row, pictures in zip(axes, zip(source, target, output, strict=True), strict=True):
        for axis, picture in zip(row[:3], pictures, strict=True):
            axis.imshow(_picture(picture))
        for axis, picture in zip(row[3:6], pictures, strict=True):
            full = np.stack([picture[0], np.ones_like(picture[0]), np.ones_like(picture[0])])
            axis.imshow(_picture(full))
        for axis in row[:6]:
            axis.set_axis_off()
        _distances(row[6], pictures)
    for axis, name in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(name, fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure


@rc_context({"font.size": 7})
def curves(records: Sequence[dict[str, Any]], config: Config) -> Figure:
    """The terms of the loss and the validation figures over steps; see `panels`."""
    drawn = panels(records, config)
    figure = _figure(4.2 * len(drawn), 3.2)
    for axis, (heading, found) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn.items(), strict=True):
        lines(axis, found)
        axis.set_title(heading, fontsize=9)
    return figure


def lines(axis: Axes, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Named lines over steps, from 0 up."""
    for name, points in curves.items():
        few = len(points) < 20  # a line of one point would not be drawn
        axis.plot(*zip(*points, strict=True), label=name.replace("_", " "), linewidth=1, marker="." if few else "")
    axis.set_xlabel("step")
    axis.set_ylim(bottom=0)
    axis.legend()


def histograms(axis: Axes, hists: Sequence[np.ndarray]) -> None:
    """Hue histograms of source, target and output above a strip of the hues themselves."""
    source, target, output = hists
    bins = len(source)
    centres, edges = (np.arange(bins) + 0.5) / bins, np.linspace(0, 1, bins + 1)
    axis.stairs(target, edges, fill=True, color="0.8", label="target")
    axis.stairs(source, edges, baseline=None, color="tab:blue", linewidth=1.0, label="source")
    axis.stairs(output, edges, baseline=None, color="black", linewidth=1.2, label="output")
    # one hue of a flat picture would flatten all the rest; pictures without chroma have nothing to show
    top = max([1e-3, *(np.quantile(hist, 0.99) * 1.3 for hist in hists)])
    strip = hsv_to_rgb(np.stack([centres, np.ones(bins), np.ones(bins)])[:, None]).transpose(1, 2, 0)
    axis.imshow(strip, extent=(0, 1, -0.1 * top, 0), aspect="auto")
    axis.set(xlim=(0, 1), ylim=(-0.1 * top, top), xticks=[], yticks=[])


def panels(records: Sequence[dict[str, Any]], config: Config) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """What there is to plot of a run: heading to name of a line to its points (step, value), sorted.

    Parameters
    ----------
    records : sequence of dict
        The lines of metrics.jsonl. Where a step occurs twice (after a resume), the later line counts.
    config : Config
        Its weights bring the terms to the scale on which they compete.
    """
    weights = {
        "emd": config.lambda_emd,
        "mi": config.gamma_mi,
        "adversarial": config.lambda_adv,
        "smooth": config.lambda_smooth,
    }
    wanted = {
        "generator's terms (weighted)": ("emd", "mi", "adversarial", "smooth"),
        "discriminator's loss": ("discriminator",),
        "validation: palette distance": ("val/palette_output", "val/palette_source"),
        "validation: circular EMD to the target": ("val/emd_output", "val/emd_source"),
        "validation: KID to photographs": ("val/kid",),
        "validation: hue incoherence": ("val/incoherence_output", "val/incoherence_source"),
        "validation: relative MI of source and output": ("val/relative_mi", "val/relative_mi_floor"),
    }
    found = {}
    for heading, names in wanted.items():
        lines = {name: {r["step"]: r[name] * weights.get(name, 1) for r in records if name in r} for name in names}
        found[heading] = {name.removeprefix("val/"): sorted(line.items()) for name, line in lines.items() if line}
    return {heading: lines for heading, lines in found.items() if lines}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=110)


def pixels(figure: Figure) -> np.ndarray:
    """A figure as uint8 (H, W, 3)."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _picture(hsv: np.ndarray) -> np.ndarray:
    return np.clip(hsv_to_rgb(hsv), 0, 1).transpose(1, 2, 0)


def _distances(axis: Any, pictures: Sequence[np.ndarray]) -> None:
    """Hue histograms of a row of the grid, with the distance to the target before and after."""
    histograms(axis, [hue_histogram(p[0], chroma(p), bins=HUE_BINS) for p in pictures])
    source_hsv, target_hsv, output_hsv = pictures
    weights = [chroma(p) for p in pictures]
    before = hue_emd(source_hsv[0], target_hsv[0], weights[0], weights[1])
    after = hue_emd(output_hsv[0], target_hsv[0], weights[2], weights[1])
    text = axis.text(0.99, 0.97, f"EMD {before:.3f} to {after:.3f}", transform=axis.transAxes, fontsize=6)
    text.set(ha="right", va="top", bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})
    if axis.get_subplotspec().is_first_row():
        axis.legend(fontsize=5, loc="upper left")

"""Charts for the page: drawn by matplotlib, written as inline SVG in the colours and the type of the page.

A colour that is in `INKS` becomes the page's own, by day and by night; text without a colour is the page's text.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import textalloc
from cycler import cycler
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from huenet.train import plots

__all__ = ["STYLE", "Scene", "draw_scatter", "histograms", "lines", "scatter"]

INKS = {
    "#1f77b4": "var(--a)",
    "#000000": "var(--b)",
    "#333333": "var(--b)",  # SVG leaves out a fill of black
    "#ff7f0e": "var(--c)",
    "#2ca02c": "var(--d)",
    "#cccccc": "var(--area)",
    "#666666": "var(--soft)",
}
BLUE, BLACK, DARK, ORANGE, GREEN, _, SOFT = INKS
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), SOFT),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "legend.facecolor"), "none"),
    "axes.prop_cycle": cycler(color=[BLUE, DARK, ORANGE, GREEN]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 11,  # the figures are as wide in points as a phone in pixels
    "legend.edgecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "huenet",  # the same drawing, the same text
}

Point = tuple[float, float]


class Scene(NamedTuple):
    """What a scatter shows: points and curves by name, the curves in families, and what its axes are."""

    own: Mapping[str, Point]
    families: Mapping[str, Mapping[str, Sequence[Point]]]
    spots: Mapping[str, Point]
    x: str
    y: str
    title: str = "own"  # of one's own points, where there are several


@rc_context(STYLE)
def histograms(hists: Sequence[np.ndarray], title: str) -> Markup:
    """Hue histograms of source, target and output over the hues themselves."""
    figure = _figure(360, 130)
    plots.histograms(figure.add_subplot(frame_on=False), hists)
    return _svg(figure, title)


@rc_context(STYLE)
def lines(curves: Mapping[str, Sequence[Point]], title: str) -> Markup:
    """Up to four lines over steps, from 0 up."""
    figure = _figure(380, 210)
    plots.lines(figure.subplots(), curves)
    return _svg(figure, title)


@rc_context(STYLE)
def scatter(scene: Scene) -> Markup:
    """One's own points, joined, among up to two families of curves, named where they end, and single points."""
    figure = _figure(380, 310)
    draw_scatter(figure, scene)
    return _svg(figure, f"{scene.y} against {scene.x}")


def draw_scatter(figure: Figure, scene: Scene) -> None:
    """What `scatter` shows, on an empty figure with a constrained layout."""
    own, families, spots, x, y, title = scene
    axis = figure.subplots()
    marks = [(name, spot, BLUE) for name, spot in own.items()]
    curves: list[Sequence[Point]] = [list(own.values())] if len(own) > 1 else []
    inks = [BLUE] * len(curves)
    if curves:
        axis.plot([], [], color=BLUE, marker="o", label=title)
    for ink, (name, family) in zip((ORANGE, GREEN), families.items(), strict=False):
        marks += [(end, curve[-1], ink) for end, curve in family.items()]
        curves += family.values()
        inks += [ink] * len(family)
        axis.plot([], [], color=ink, marker=".", label=name)
    marks += [(name, spot, SOFT) for name, spot in spots.items()]
    ways = [[list(ends) for ends in zip(*curve, strict=True)] for curve in curves]
    for way, ink in zip(ways, inks, strict=True):
        axis.plot(*way, color=ink, marker="" if ink == BLUE else ".")
    if families:
        figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    names, places, inks = (list(column) for column in zip(*marks, strict=True))
    xs, ys = np.array(places).T
    axis.scatter(xs, ys, [60 if ink == BLUE else 16 for ink in inks], inks, zorder=3)
    axis.margins(0.12)  # room for the names
    axis.set(xlabel=x, ylabel=y)
    axis.locator_params(nbins=6)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the names are placed in the axes as they are now
    textalloc.allocate(
        axis, xs, ys, names, x_scatter=xs, y_scatter=ys, x_lines=[way[0] for way in ways],
        y_lines=[way[1] for way in ways], textsize=10, textcolor=[BLACK if ink == SOFT else ink for ink in inks],
        fontweight=["bold" if ink == BLUE else "normal" for ink in inks], linecolor=inks, linewidth=0.5,
        avoid_label_lines_overlap=True, avoid_crossing_label_lines=True,
    )  # fmt: skip


def _figure(width: int, height: int) -> Figure:
    return Figure(figsize=(width / 72, height / 72), layout="constrained")


def _svg(figure: Figure, title: str) -> Markup:
    """A drawing without what only a file of its own needs."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    _, box, drawing = re.split(r'<svg[^>]*viewBox="([^"]+)"[^>]*>', file.getvalue())
    # names that nothing refers to and that would be there once a chart; the type is the page's
    drawing = re.sub(r' id="(?![mp][0-9a-f]{10}")[^"]*"|font-family: [^;"]+; ?', "", drawing)
    drawing = re.sub("|".join(INKS), lambda ink: INKS[ink[0]], drawing)
    return Markup('<svg viewBox="{}" role="img" aria-label="{}">').format(box, title) + Markup(drawing)

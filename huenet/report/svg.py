"""Drawings for a web page as inline SVG, in the page's own colours: hue histograms, lines over steps, points.

The page defines the classes `line0` to `line3` (stroke), `area`, `axis`, `dot`, `own`, `on2` and `on3` (what lies on a
line), and text; and holds `HUES` once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

__all__ = ["HUES", "histograms", "lines", "scatter"]

# The gradient of the hue circle, in steps of a sixth, between which RGB and hue are linear alike.
HUES = (
    '<svg aria-hidden="true" style="position:absolute;width:0;height:0"><defs><linearGradient id="hues">'
    + "".join(f'<stop offset="{i / 6:.4f}" stop-color="hsl({60 * i},100%,50%)"/>' for i in range(7))
    + "</linearGradient></defs></svg>"
)
BAR = 10  # height of a bar of hues

Point = tuple[float, float]
Points = Sequence[Point]
Box = tuple[float, float, float, float]  # left, top, right, bottom


def histograms(hists: Sequence[np.ndarray], title: str) -> str:
    """Hue histograms over a colour bar: the last but one, the target, as an area, the others as lines."""
    width, height = 360, 130
    floor = height - BAR - 3
    # one hue of a flat picture would flatten all the rest
    top = max(max(float(np.quantile(hist, 0.99)) for hist in hists) * 1.3, 1e-9)
    edges = np.linspace(0, width, len(hists[0]) + 1)

    def outline(hist: np.ndarray) -> str:
        y = floor * (1 - np.minimum(hist / top, 1))
        return " ".join(f"{a:.0f},{v:.1f} {b:.0f},{v:.1f}" for a, b, v in zip(edges[:-1], edges[1:], y, strict=True))

    source, target, output = (outline(hist) for hist in hists)
    return _svg(
        width,
        height,
        title,
        f'<polygon class="area" points="0,{floor} {target} {width},{floor}"/>'
        f'<polyline class="line0" points="{source}"/><polyline class="line1" points="{output}"/>'
        f'<rect y="{height - BAR}" width="{width}" height="{BAR}" fill="url(#hues)"/>',
    )


def lines(curves: Mapping[str, Points], title: str) -> str:
    """Up to four lines over steps, from 0 up, with their largest values on the axes."""
    width, height, left, base = 360, 190, 50, 168
    last = max((x for points in curves.values() for x, _ in points), default=0) or 1
    top = max((y for points in curves.values() for _, y in points if np.isfinite(y)), default=0) or 1
    body = _axes(width, left, base, f"{last:g}", f"{top:.2g}", "step")
    for i, points in enumerate(curves.values()):
        places = (
            f"{left + (width - left - 8) * x / last:.1f},{base - (base - 12) * max(y, 0) / top:.1f}"
            for x, y in points
            if np.isfinite(y)
        )
        shown = [*places] * 2 if len(points) == 1 else places  # a line of one point is not drawn
        body += f'<polyline class="line{i % 4}" points="{" ".join(shown)}"/>'
    return _svg(width, height, title, body)


def scatter(spots: Mapping[str, Point], curves: Mapping[str, Mapping[str, Point]], x: str, y: str) -> str:
    """Named points, the first the one that matters, and curves (at most two) through points with names of their own."""
    width, height, left, base = 380, 270, 46, 246
    every = [*spots.values(), *(place for curve in curves.values() for place in curve.values())]
    most = [max(values) * 1.1 or 1 for values in zip(*every, strict=True)]

    def place(point: Point) -> Point:
        return left + (width - left - 14) * point[0] / most[0], base - (base - 24) * point[1] / most[1]

    body = _axes(width, left, base, f"{most[0]:.2g}", f"{most[1]:.2g}", x, y)
    marks = [("own" if i == 0 else "dot", name, place(spot)) for i, (name, spot) in enumerate(spots.items())]
    for i, curve in enumerate(curves.values(), 2):
        places = {name: place(point) for name, point in curve.items()}
        body += f'<polyline class="line{i}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places.values())}"/>'
        marks += [(f"on{i}", name, spot) for name, spot in places.items()]
    taken = [(cx - 4, cy - 4, cx + 4, cy + 4) for _, _, (cx, cy) in marks]
    taken += [(0.0, 0.0, left + 6.5 * len(y), 20.0)]  # the name of the axis
    for kind, name, (cx, cy) in marks:
        box, anchor = _room(name, cx, cy, taken, (left, 8, width, base))
        taken.append(box)
        tx = {"start": box[0], "middle": (box[0] + box[2]) / 2, "end": box[2]}[anchor]
        body += (
            f'<g class="{kind}"><circle cx="{cx:.1f}" cy="{cy:.1f}" r="{5 if kind == "own" else 3}"/>'
            f'<text x="{tx:.1f}" y="{box[3] - 2.5:.1f}" text-anchor="{anchor}">{escape(name)}</text></g>'
        )
    return _svg(width, height, f"{y} against {x}", body)


def _room(name: str, cx: float, cy: float, taken: Sequence[Box], page: Box) -> tuple[Box, str]:
    """Where beside a point its name covers least of what is there, and the anchor of the text."""
    wide, high = 6.3 * len(name), 12.0
    found: list[tuple[float, int, Box, str]] = []
    for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)):
        x = cx + (7 if dx > 0 else -7 - wide if dx < 0 else -wide / 2)
        y = cy + dy * (9 if dx else 12) - high / 2
        box = (x, y, x + wide, y + high)
        cost = wide * high - _common(box, page) + sum(_common(box, other) for other in taken)
        found.append((cost, len(found), box, "start" if dx > 0 else "end" if dx < 0 else "middle"))
    _, _, best, anchor = min(found)
    return best, anchor


def _common(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    return max(across, 0.0) * max(min(one[3], other[3]) - max(one[1], other[1]), 0.0)


def _axes(width: int, left: int, base: int, last: str, top: str, x: str, y: str = "") -> str:
    return (
        f'<path class="axis" d="M{left} 8V{base}H{width - 4}"/>'
        f'<text x="{left - 5}" y="16" text-anchor="end">{top}</text>'
        f'<text x="{left - 5}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{width - 4}" y="{base + 16}" text-anchor="end">{last}</text>'
        f'<text x="{(left + width) // 2}" y="{base + 16}" text-anchor="middle">{escape(x)}</text>'
        f'<text x="{left + 6}" y="16">{escape(y)}</text>'
    )


def _svg(width: int, height: int, title: str, body: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'

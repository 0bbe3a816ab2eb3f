"""Drawings for a web page as inline SVG, in the page's own colours: hue histograms, lines over steps, points.

The page defines the classes `line0` to `line3` (stroke), `area`, `axis`, `dot`, `own`, and text; and holds `HUES` once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

__all__ = ["HUES", "histograms", "lines", "points"]

# The gradient of the hue circle, in steps of a sixth, between which RGB and hue are linear alike.
HUES = (
    '<svg aria-hidden="true" style="position:absolute;width:0;height:0"><defs><linearGradient id="hues">'
    + "".join(f'<stop offset="{i / 6:.4f}" stop-color="hsl({60 * i},100%,50%)"/>' for i in range(7))
    + "</linearGradient></defs></svg>"
)
BAR = 10  # height of a bar of hues
NEAR = 12  # from a point to its number

Points = Sequence[tuple[float, float]]


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
        body += f'<polyline class="line{i % 4}" points="{" ".join(places)}"/>'
    return _svg(width, height, title, body)


def points(places: Mapping[str, tuple[float, float]], x: str, y: str) -> str:
    """Numbered points; the first is the one that matters."""
    width, height, left, base = 420, 260, 52, 236
    most = [max(values) * 1.1 or 1 for values in zip(*places.values(), strict=True)]
    spots = [
        (left + (width - left - 14) * across / most[0], base - (base - 14) * up / most[1])
        for across, up in places.values()
    ]
    taken = list(spots)
    body = _axes(width, left, base, f"{most[0]:.2g}", f"{most[1]:.2g}", x, y)
    for i, (name, (cx, cy)) in enumerate(zip(places, spots, strict=True), 1):
        around = [(cx + NEAR * dx, cy + NEAR * dy) for dx, dy in ((1, 0), (0, -1), (-1, 0), (0, 1), (1, -1), (-1, 1))]
        # beside its point, where the next number or point is farthest
        others = [spot for spot in taken if spot != (cx, cy)]
        tx, ty = max(around, key=lambda spot: min((math.dist(spot, o) for o in others), default=0.0))
        taken.append((tx, ty))
        body += (
            f'<g class="{"own" if i == 1 else "dot"}"><title>{escape(name)}</title>'
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{5 if i == 1 else 4}"/>'
            f'<text x="{tx:.1f}" y="{ty + 4:.1f}" text-anchor="middle">{i}</text></g>'
        )
    return _svg(width, height, f"{y} against {x}", body)


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

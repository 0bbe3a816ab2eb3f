"""Drawings for the report: what they are given is where it belongs."""

import re

import numpy as np
import pytest

from huenet.color import hsv_to_rgb
from huenet.report.svg import HUES, histograms, lines, scatter


def test_drawings_place_what_they_are_given():
    hist = np.zeros(4)
    hist[1] = 1
    flat = np.full(4, 0.25)
    drawn = histograms([hist, flat, flat], "title")
    corners = re.search(r'class="line0" points="([^"]+)"', drawn)[1].split()
    heights = [float(corner.split(",")[1]) for corner in corners]
    assert min(heights[2:4]) == heights[2] < heights[0] == heights[4]
    curve = lines({"a": [(0, 1.0), (10, 0.5), (20, float("nan")), (30, 0.0)]}, "title")
    assert len(re.search(r'class="line0" points="([^"]+)"', curve)[1].split()) == 3
    corners = re.search(r'class="line0" points="([^"]+)"', curve)[1].split()
    assert [float(corner.split(",")[1]) for corner in corners] == [12, 90, 168]  # from the top to the bottom
    single = lines({"a": [(5, 1.0)]}, "title")
    assert len(re.search(r'class="line0" points="([^"]+)"', single)[1].split()) == 2  # a dot


def test_a_scatter_has_its_points_where_they_belong():
    spots = {"own": (0.1, 0.2), "<other>": (0.2, 0.1)}
    placed = scatter(spots, {"a": {"4": (0.1, 0.1), "8": (0.3, 0.05)}, "b": {}}, "x", "y")
    circles = [(float(x), float(y)) for x, y in re.findall(r'circle cx="([\d.]+)" cy="([\d.]+)"', placed)]
    own, other, four, eight = circles
    assert own[0] == four[0] < other[0] < eight[0]
    assert own[1] < other[1] == four[1] < eight[1]  # further down is less
    assert other[0] - own[0] == pytest.approx(eight[0] - other[0], abs=0.1)
    assert re.search(r'class="line2" points="([^"]+)"', placed)[1] == " ".join(
        f"{x:.1f},{y:.1f}" for x, y in (four, eight)
    )
    assert re.findall(r'<g class="(\w+)">', placed) == ["own", "dot", "on2", "on2"]
    assert "<other>" not in placed


def test_names_in_a_scatter_are_in_the_picture_and_apart(rng):
    names = ["Hue-Net", "a long name", *map(str, range(8))]
    spots = {name: (0.05 + 0.9 * x, 0.05 + 0.9 * y) for name, (x, y) in zip(names, rng.random((10, 2)), strict=True)}
    drawn = scatter(spots, {}, "x", "y")
    boxes = []
    for x, y, anchor, name in re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]+)</text></g>', drawn
    ):
        wide = 6.3 * len(name)
        left = float(x) - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
        boxes.append((left, float(y) - 9.5, left + wide, float(y) + 2.5))
    assert len(boxes) == 10
    for i, one in enumerate(boxes):
        assert one[0] >= 46
        assert one[2] <= 380
        assert one[3] <= 246
        for other in boxes[:i]:
            assert min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(one[1], other[1])


def test_the_gradient_under_the_histograms_is_the_hue_circle():
    stops = [float(angle) / 360 for angle in re.findall(r"hsl\((\d+),100%,50%\)", HUES)]
    assert stops == pytest.approx(np.arange(7) / 6)
    # between stops both are linear in RGB
    middle = hsv_to_rgb(np.array([[1 / 12], [1.0], [1.0]]), axis=0)[:, 0]
    ends = hsv_to_rgb(np.array([[0, 1 / 6], [1.0, 1.0], [1.0, 1.0]]), axis=0)
    np.testing.assert_allclose(middle, ends.mean(axis=1))

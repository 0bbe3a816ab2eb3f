"""Charts of the report: what they are given is where it belongs, in the page's own colours."""

import base64
import io
import re

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image

from huenet.color import rgb_to_hsv
from huenet.report.charts import Scene, histograms, lines, scatter

OWN = {"own": (0.1, 0.2)}
SPOTS = {"<other>": (0.2, 0.1)}
CURVES = {"8": [(0.1, 0.1), (0.3, 0.05)]}


def stroke(drawn, ink):
    """The corners of the lines of a colour, (N, 2) each, x to the right and y down."""
    found = re.findall(rf'<path d="([^"]+)"[^>]*style="fill: none; stroke: var\(--{ink}\)', drawn)
    return [np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path), float) for path in found]


def discs(drawn):
    """Left end, lower end and colour of the points."""
    found = re.findall(r'<path d="M ([\d.]+) ([\d.]+) \nC[^"]+"[^>]*style="fill: var\(--(\w+)\)', drawn)
    return np.array([place[:2] for place in found], float), [place[2] for place in found]


def names(drawn, size=10):
    """The names beside the points, each with its box: left, top, right, bottom."""
    boxes = []
    found = re.findall(rf'<text style="([^"]*font-size: {size}px[^"]*)" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)<', drawn)
    for style, x, y, name in found:
        font = FontProperties(family="DejaVu Sans", weight="bold" if "700" in style else "normal")
        wide = TextPath((0, 0), name, size, prop=font).get_extents().x1
        left = float(x) - wide * {"start": 0, "middle": 0.5, "end": 1}[re.search(r"anchor: (\w+)", style)[1]]
        boxes.append((name, (left, float(y) - 0.7 * size, left + wide, float(y))))
    return boxes


def apart(one, other):
    return min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(one[1], other[1])


def test_a_histogram_has_its_steps_where_its_bins_are():
    hist, flat = np.array([0, 1.0, 0, 0]), np.full(4, 0.25)
    drawn = histograms([hist, flat, flat], "title")
    (corners,) = stroke(drawn, "a")
    x, y = corners[1:-1].T  # without the ends on the floor
    assert x == pytest.approx(x[0] + (x[-1] - x[0]) * np.repeat(np.arange(5) / 4, 2)[1:-1], abs=1e-3)
    assert y[2] == y[3] < y[0] == y[4] == y[7]
    (level,) = stroke(drawn, "b")
    assert (level[:, 1] == level[0, 1]).all()


def test_a_line_has_its_points_where_they_belong():
    curve = lines({"a": [(0, 1.0), (10, 0.5), (20, float("nan")), (30, 0.0)]}, "title")
    first, second, last = stroke(curve, "a")[0]
    assert last[0] - second[0] == pytest.approx(2 * (second[0] - first[0]), abs=0.01)
    assert last[1] - second[1] == pytest.approx(second[1] - first[1], abs=0.01)
    assert last[1] == pytest.approx(stroke(curve, "soft")[-1][0, 1])  # on the lower spine
    single = lines({"a": [(5, 1.0)]}, "title")
    assert re.search(r'<use [^>]*style="fill: var\(--a\)', single)  # a dot


@pytest.mark.parametrize("curves", [{}, {"a": [(0, float("nan"))]}, {"a": [(0, 0.0), (1, 0.0)]}])
def test_lines_without_anything_to_show_are_drawn(curves):
    assert lines(curves or {"a": [(0, float("inf"))]}, "title").startswith("<svg")


def test_a_scatter_has_its_points_where_they_belong():
    drawn = scatter(Scene(OWN, {"known": CURVES}, SPOTS, "x", "y"))
    places, inks = discs(drawn)
    own, eight, other = places
    assert inks == ["a", "c", "soft"]
    assert own[0] < other[0] < eight[0]
    assert own[1] < other[1] < eight[1]  # further down is less
    assert other[0] - own[0] == pytest.approx((eight[0] - own[0]) / 2, abs=0.01)
    assert any(way[:, 0] == pytest.approx([own[0], eight[0]]) for way in stroke(drawn, "c"))
    assert [name for name, _ in names(drawn)] == ["own", "8", "&lt;other&gt;"]
    dial = scatter(Scene({"0": (0.1, 0.2), "1": (0.2, 0.1)}, {"known": CURVES}, {}, "x", "y"))
    zero, one, _ = discs(dial)[0]
    assert any(way[:, 0] == pytest.approx([zero[0], one[0]]) for way in stroke(dial, "a"))
    assert [name for name, _ in names(drawn, 9)] == ["known"]
    assert [name for name, _ in names(dial, 9)] == ["own", "known"]


def test_points_in_one_place_are_drawn():
    same = (0.0, 0.0)
    assert len(discs(scatter(Scene({"own": same}, {"known": {"8": [same, same]}}, {"other": same}, "x", "y")))[0]) == 3
    assert len(discs(scatter(Scene({"own": same}, {}, {"other": same}, "x", "y")))[0]) == 2


# what an evaluation found: nothing undone by the network, by descent and by the closest of the transports
HEAP = (
    {"0": (0.0058, 0.6), "0.25": (0.0044, 0.29), "0.5": (0.0032, 0.07), "0.6": (0.003, 0.06), "1": (0.0026, 0.04)},
    {
        "transport": {"8": (0.0027, 0.0), "16": (0.0031, 0.05), "32": (0.0036, 0.05), "64": (0.0047, 0.1)},
        "relaxed": {"0.03": (0.0038, 0.2), "0.1": (0.0032, 0.1), "0.3": (0.0028, 0.03)},
    },
    {"source": (0.0075, 1.0), "rotation": (0.0057, 0.4), "descent": (0.0025, 0.0)},
)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_names_in_a_scatter_are_in_the_picture_and_apart(seed):
    own, ends, spots = HEAP
    if seed is not None:
        places = np.random.default_rng(seed).random((3, 2)) * (0.008, 1)
        spots = {name: tuple(place) for name, place in zip(spots, places, strict=True)}
    families = {title: {name: [(0.0075, 1.0), end] for name, end in family.items()} for title, family in ends.items()}
    drawn = scatter(Scene(own, families, spots, "x", "y"))
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups())
    found = names(drawn)
    assert len(found) == 15
    places, _ = discs(drawn)
    for i, (name, one) in enumerate(found):
        assert one[0] >= 0, name
        assert one[1] >= 0, name
        assert one[2] <= width, name
        assert one[3] <= height, name
        for other_name, other in found[:i]:
            assert apart(one, other), (name, other_name)
        for x, y in places:
            assert not (one[0] < x < one[2] and one[1] < y < one[3]), name


@pytest.mark.parametrize(
    "draw",
    [
        lambda: scatter(Scene(OWN, {"known": CURVES}, SPOTS, "x", "y")),
        lambda: lines({str(i): [(0, 1.0), (1, 2.0)] for i in range(4)}, "a & b"),
        lambda: histograms([np.full(90, 1 / 90)] * 3, "a & b"),
    ],
)
def test_a_chart_is_of_the_page_and_repeats(draw):
    drawn = str(draw())
    assert drawn == draw()
    bare = re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", drawn)
    assert not re.search(r"#[0-9a-f]{3,6}\b(?!\d)|rgb|http|font-family", re.sub(r'"#\w+"|url\(#\w+\)', "", bare))
    assert re.search(r"stroke: var\(--\w+\)", bare)
    assert re.match(r'<svg viewBox="0 0 \d+ \d+" role="img" aria-label="[^"<>]+">', drawn)
    assert "a & b" not in drawn


def test_the_strip_under_the_histograms_is_the_hue_circle():
    flat = np.full(90, 1 / 90)
    data = re.search(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", histograms([flat] * 3, "title"))[1]
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) / 255
    hues = rgb_to_hsv(strip, axis=-1)[len(strip) // 2, :, 0]
    np.testing.assert_allclose(hues, (np.arange(len(hues)) + 0.5) / len(hues), atol=1 / 90)

"""Sections of the report, each from figures and pictures that are made up for it."""

import base64
import dataclasses
import io
import itertools
import re

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from PIL import Image

from huenet.color import lightness, rgb_to_hsv
from huenet.config import from_preset
from huenet.evaluate.measures import CURVES, DIAL, FIGURES, FRONTIER, STRENGTHS, dialled
from huenet.evaluate.summary import summarize
from huenet.report import pictures, sections
from huenet.report.sections import render

NAMES = [f"{i}.png" for i in range(25)]


def shown(html):
    """The pictures of a piece of the page, uint8 (H, W, 3), by their descriptions."""
    found = re.findall(r'<img src="data:image/\w+;base64,([^"]+)"[^>]* alt="([^"]+)"', html)
    return {alt: decoded(data) for data, alt in found}


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def pixels(picture):
    return decoded(picture.src.partition("base64,")[2])


def median_hue(pixels):
    return np.median(rgb_to_hsv(pixels / 255.0, axis=-1)[..., 0])


@pytest.fixture
def evidence(monkeypatch, rng):
    """Plain pictures, each of its own hue and value; a network that gives the target's hue, a twelfth further on."""
    monkeypatch.setattr(sections, "output_hue", lambda _, source, target: (target[0] + 1 / 12) % 1)
    hsv = [np.broadcast_to(np.reshape((i / 40, 1, 0.4 + i / 50), (3, 1, 1)), (3, 32, 32)) for i in range(25)]
    images = {name: pictures._pixels(one).transpose(2, 0, 1) for name, one in zip(NAMES, hsv, strict=True)}
    rows = []
    for i in range(25):
        row = {}
        for name in ("huenet", "identity", "reinhard", *itertools.chain.from_iterable(FRONTIER.values())):
            shift = {"smooth 8": -0.2, "reinhard": 0.2}.get(name, 0)
            row[name] = {key: 0.5 + shift + rng.normal(0, 0.001) for key in FIGURES}
        row["huenet"] |= {"palette": 0.5 + 0.001 * (i * 7 % 25), "parting": 0.5 + 0.001 * (i * 3 % 25)}
        row["target"] = {key: 0.1 for key in FIGURES if key.startswith(("mi", "floor"))}
        rows.append(row)
    results = {"run": "runs/mine", "ablation": None, "origin": "here", "size": 32, "trained_on": 0, "folder": "there"}
    results |= {"realism": "Realism is not measured.", "photographs": 0}
    return sections.Evidence(
        results={**results, **summarize(rows, NAMES)},
        pairs=[(NAMES[i], NAMES[(i + 1) % 25]) for i in range(25)],
        rows=rows,
        config=from_preset("default", size=32, width=4),
        generators={"huenet": None},
        images=images,
        curves=[],
    )


def test_marks_say_who_is_reliably_better(evidence):
    rows = re.findall(r"<tr.*?</tr>", render(sections.baselines, evidence))
    # palette distance, undone, parting, incoherence, light, EMD, relative MI: more is better in the last
    marks = {re.search("<td>([^<]+)", row)[1]: re.findall("span class=(up|down)", row) for row in rows[1:]}
    assert marks["transport, smooth 8"] == ["up"] * 6 + ["down"]
    assert marks["reinhard"] == ["down"] * 5 + ["up"]
    assert marks["Hue-Net (this run)"] == []
    assert re.findall("<tr class=own>.*?<td>([^<]+)", "".join(rows)) == ["Hue-Net (this run)"]


def test_the_frontier_is_drawn_from_the_source_to_full_strength(evidence):
    html = render(sections.frontier, evidence)
    drawn = re.findall(r'<svg[^>]+aria-label="(\w+) against palette distance"[^>]*>(.*?)</svg>', html, re.DOTALL)
    assert [name for name, _ in drawn] == ["undone", "parting", "incoherence"]  # realism was not measured
    for _, chart in drawn:
        names = re.findall(r'<text style="[^"]*font-size: 10px[^>]*>([^<]+)</text>', chart)
        assert names == ["Hue-Net", *(curve.split()[-1] for curve in CURVES), "source"]
        for ink, method in (("c", "transport"), ("d", "relaxed")):
            curves = re.findall(rf'<path d="([^"]+)"[^>]*style="fill: none; stroke: var\(--{ink}\)', chart)
            corners = [len(re.findall("[ML]", curve)) for curve in curves]
            count = sum(name == method for name, _ in CURVES.values())
            assert [n for n in corners if n > 3] == [1 + len(STRENGTHS)] * count  # without those of names and legend


def test_the_settings_of_a_dial_are_a_curve_of_their_own(evidence):
    results, dial = evidence.results, [dialled(c) for c in DIAL]
    methods = results["methods"] | dict.fromkeys(dial, results["methods"]["huenet"])
    points = dict.fromkeys(dial, results["frontier"]["huenet"])
    turned = dataclasses.replace(evidence, results={**results, "methods": methods, "frontier": points})
    html = render(sections.frontier, turned)
    names = re.findall(r'<text style="[^"]*font-size: 10px[^>]*>([^<]+)</text>', html.partition("</svg>")[0])
    assert names[: len(DIAL)] == [f"{c:g}" for c in DIAL]
    assert f"{len(DIAL)} settings" in html
    assert render(sections.baselines, turned).count("class=own") == len(DIAL)


def test_the_matrix_has_a_row_for_each_source_and_a_column_for_each_target(evidence):
    found = shown(render(sections.matrix, evidence))
    assert len(found) == 5 + 5 * 6
    labels = [*(f"target {name}" for name in NAMES[1:6])]
    for source in NAMES[:5]:
        labels += [f"source {source}", *(f"{source} with {target}" for target in NAMES[1:6])]
    assert list(found) == labels
    assert median_hue(found["3.png with 5.png"]) == pytest.approx(5 / 40 + 1 / 12, abs=0.01)
    light = lightness(found["3.png with 5.png"] / 255, axis=-1) - lightness(found["source 3.png"] / 255, axis=-1)
    assert np.abs(light).mean() < 1.5


def test_a_picture_with_itself_shows_what_the_network_turns(evidence):
    html = render(sections.itself, evidence)
    assert re.findall(r"hue turned by ([\d.]+)°", html) == ["30.0"] * 6
    found = shown(html)
    assert median_hue(found["4.png"]) == pytest.approx(0.1, abs=0.01)
    assert median_hue(found["4.png with itself"]) == pytest.approx(0.1 + 1 / 12, abs=0.01)


def test_the_worst_pairs_are_the_worst(evidence):
    named = [int(i) for i in re.findall(r"<figcaption>(\d+).png with", render(sections.worst, evidence))]
    far = sorted(range(25), key=lambda i: -(i * 7 % 25))[:5]
    parted = [i for i in sorted(range(25), key=lambda i: -(i * 3 % 25)) if i not in far][:5]
    assert named == [*far, *parted]


def test_a_joint_histogram_has_the_source_across_and_the_other_up():
    hue = np.full((16, 16), 0.25)
    drawn = pixels(pictures.joint_histogram(hue, hue + 0.5))
    light = drawn[:-6, 6:].astype(int).sum(axis=2)  # without the strips of hue
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert column / 96 == pytest.approx(0.25, abs=0.02)
    assert 1 - row / 96 == pytest.approx(0.75, abs=0.02)
    bottom = rgb_to_hsv(drawn[-3, 6:] / 255.0, axis=-1)[:, 0]
    left = rgb_to_hsv(drawn[:-6, 3] / 255.0, axis=-1)[:, 0]
    np.testing.assert_allclose(bottom, (np.arange(96) + 0.5) / 96, atol=0.01)
    np.testing.assert_allclose(left[::-1], bottom)


def test_photographs_keep_their_colour_at_full_resolution():
    stripes = np.ones((3, 16, 16))
    stripes[0] = 0.5 * (np.arange(16) % 2)  # red and cyan, a pixel each
    drawn = pixels(pictures.photograph(stripes))
    hue = rgb_to_hsv(drawn / 255.0, axis=-1)[..., 0]
    turns = hue - stripes[0]
    assert np.abs(turns - np.round(turns)).max() < 0.05

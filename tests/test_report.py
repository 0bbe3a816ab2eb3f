"""The report: one page that holds everything, says what the figures say, and can be read in a browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from functools import partial
from html import escape, unescape
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from commands import refusal, status
from PIL import Image
from runs import make_pictures, make_run

from huenet import evaluate, report
from huenet.color import hsv_to_rgb
from huenet.evaluation import read_pairs
from huenet.images import read_square
from huenet.state import MODEL
from huenet.svg import histograms, lines, points

torch.set_num_threads(1)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ODD = "<b>&'\" é.png"  # a name that must not become markup
command = partial(status, report.main)
refused = partial(refusal, report.main)
VOID = {"meta", "img", "br", "stop", "circle", "path", "polyline", "polygon", "rect"}


class Page(HTMLParser):
    """Tags with their attributes, and text; complains of tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pictures, a run, its ablation, an evaluation and its report, made once."""
    place = tmp_path_factory.mktemp("report")
    pictures = make_pictures(place / "pictures", count=6)
    (pictures / "05.png").rename(pictures / ODD)
    run = make_run(place / "run")
    ablation = make_run(place / "ablation", gamma_mi=0.0, seed=1)
    evaluate.evaluate(run, str(pictures), pairs=6, workers=1, ablation=ablation)
    assert command(run) == 0
    return place


@pytest.fixture(scope="module")
def html(place):
    return (place / "run" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture
def copy(place, tmp_path):
    """The same, to be damaged."""
    return shutil.copytree(place, tmp_path / "copy")


def test_the_page_holds_everything_itself(html, page):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html))
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert len(page.of("img")) > 60
    for image in page.of("img"):
        kind, data = re.fullmatch(r"data:image/(jpeg|png);base64,(.*)", image["src"]).groups()
        picture = Image.open(io.BytesIO(base64.b64decode(data)), formats=[kind])
        assert picture.size == (int(image["width"]), int(image["height"]))


def test_the_verdict_comes_first_and_the_sections_in_order(place, html, page):
    text = " ".join(page.text)
    verdict = json.loads((place / "run" / "evaluation" / "results.json").read_text())["verdict"]
    order = [
        verdict["label"], verdict["text"], "Table 1", "Beside the baselines", "figure 2 of the paper",
        "figure 3 of the paper", "figure 6 of the paper", "Training", "Every source with every target",
        "Target = source", "worst pairs", "Configuration",
    ]  # fmt: skip
    found = [text.find(part) for part in order]
    assert -1 not in found
    assert found == sorted(found)
    assert "viewport" in html
    assert 'lang="en"' in html


def test_the_tables_on_the_page_are_those_of_the_evaluation(place, page):
    results = json.loads((place / "run" / "evaluation" / "results.json").read_text())
    text = " ".join(page.text)
    for method in ("huenet", "without_mi", "reinhard", "chroma8"):
        cell = results["methods"][method]["mi_hard"]
        assert f"{cell['mean']:.3f}" in text
        assert f"[{cell['low']:.3f}, {cell['high']:.3f}]" in text
    assert "0.259" in text


def test_names_of_files_are_text_and_not_markup(page):
    assert ODD in " ".join(page.text)
    assert sum(tag == "b" for tag, _ in page.tags) == 1 + 3  # the verdict's label and the titles of the charts


def test_pictures_on_the_page_are_the_pairs(place, page):
    source, _ = read_pairs(place / "run" / "evaluation" / "pairs.csv")[0]
    data = next(image["src"] for image in page.of("img")).partition(",")[2]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(float)
    assert np.abs(shown - read_square(place / "pictures" / source, 32)).mean() < 4


def test_an_earlier_report_is_replaced_and_nothing_else_is(copy, html, capsys):
    run = copy / "run"
    # the evaluation names the pictures of the place that it was made in, which is still there
    assert command(run, "--data", copy / "pictures") == 0
    assert "<!doctype html>" in (run / "report.html").read_text(encoding="utf-8")
    (copy / "mine.html").write_text("mine")
    assert "mine.html" in refused(capsys, run, "-o", copy / "mine.html")
    assert (copy / "mine.html").read_text() == "mine"
    assert "pictures" in refused(capsys, run, "-o", copy / "pictures")


def test_what_has_changed_since_the_evaluation_is_said(copy, capsys):
    run, other = copy / "run", make_pictures(copy / "other", seed=9)
    for path in list(other.iterdir()):
        if path.name == "05.png":
            path.rename(other / ODD)
    assert "--data" in refused(capsys, run, "--data", other)
    make_run(copy / "later", seed=7)
    shutil.copy(copy / "later" / MODEL, run / MODEL)
    assert "model changed" in refused(capsys, run, "--data", copy / "pictures")


def test_without_an_evaluation_it_says_how_to_make_one(tmp_path, copy, capsys):
    assert "huenet evaluate" in refused(capsys, make_run(tmp_path / "run"))
    (copy / "run" / "evaluation" / "results.json").unlink()
    assert "huenet evaluate" in refused(capsys, copy / "run")
    assert "huenet evaluate" in refused(capsys, tmp_path / "nowhere")


@pytest.mark.slow
def test_the_weights_that_come_with_the_package_have_a_report(tmp_path, monkeypatch, capsys):
    pictures = make_pictures(tmp_path / "pictures", count=4)
    monkeypatch.chdir(tmp_path)
    assert status(evaluate.main, "--data", pictures, "--pairs", 3, "--workers", 1) == 0
    assert capsys.readouterr().out.endswith("Next: huenet report\n")
    assert command() == 0
    text = " ".join(Page((tmp_path / "runs" / "shipped" / "report.html").read_text(encoding="utf-8")).text)
    assert "the weights that come with the package" in text
    assert "no metrics.jsonl" in text
    assert "is not recorded" in text


@pytest.mark.slow
def test_a_run_without_curves_and_with_one_grey_pair_has_a_report(tmp_path):
    pictures = tmp_path / "grey"
    pictures.mkdir()
    for i in range(4):
        Image.new("RGB", (1, 1), (60 * i,) * 3).save(pictures / f"{i}.png")
    run = make_run(tmp_path / "run")
    (run / "metrics.jsonl").unlink()
    evaluate.evaluate(run, str(pictures), pairs=1, workers=1)
    assert command(run) == 0
    text = " ".join(Page((run / "report.html").read_text(encoding="utf-8")).text)
    assert "no metrics.jsonl" in text
    assert "nan" not in text.lower().split()


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
    placed = points({"own": (0.1, 0.2), "<other>": (0.2, 0.1)}, "x", "y")
    (x1, y1), (x2, y2) = sorted(
        (float(x), float(y)) for x, y in re.findall(r'circle cx="([\d.]+)" cy="([\d.]+)"', placed)
    )
    assert x1 < x2
    assert y1 < y2  # further down is less
    assert "<other>" not in placed


def test_the_gradient_under_the_histograms_is_the_hue_circle():
    from huenet.svg import HUES

    stops = [float(angle) / 360 for angle in re.findall(r"hsl\((\d+),100%,50%\)", HUES)]
    assert stops == pytest.approx(np.arange(7) / 6)
    # between stops both are linear in RGB
    middle = hsv_to_rgb(np.array([[1 / 12], [1.0], [1.0]]), axis=0)[:, 0]
    ends = hsv_to_rgb(np.array([[0, 1 / 6], [1.0, 1.0], [1.0, 1.0]]), axis=0)
    np.testing.assert_allclose(middle, ends.mean(axis=1))


# The page in a frame of the width to try, because a browser without a screen has a least width of its own.
FRAME = """<!doctype html><body><iframe srcdoc="{page}" width="{width}" height="900" style="border: 0"></iframe><script>
addEventListener("load", () => {{
  const frame = document.querySelector("iframe"), page = frame.contentDocument, place = e => e.getBoundingClientRect();
  const all = [...page.querySelectorAll("body *")].filter(e => !e.closest(".wide"));
  const found = {{
    width: frame.contentWindow.innerWidth, scroll: page.documentElement.scrollWidth, images: page.images.length,
    wide: all.filter(e => place(e).right > frame.contentWindow.innerWidth + 1).map(e => e.outerHTML),
    broken: [...page.images].filter(i => !i.naturalWidth || place(i).width < 30).length,
    verdict: [place(page.querySelector(".verdict")).top, place(page.querySelector(".verdict")).bottom],
  }};
  document.body.textContent = JSON.stringify(found);
}})</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to look at the report with: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_sideways_scrolling(html, tmp_path, width):
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page=escape(html), width=width), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        f"--disable-component-update --disable-sync --window-size=1400,900 --user-data-dir={tmp_path / 'profile'}"
    )
    shown = subprocess.run(
        [CHROMIUM, *flags.split(), "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120
    )
    found = json.loads(unescape(re.search(r"<body>(.*?)</body>", shown.stdout, re.DOTALL)[1]))
    assert found["width"] == width
    assert found["scroll"] <= width
    assert found["wide"] == []
    assert found["broken"] == 0
    assert found["images"] > 60
    assert found["verdict"][0] < 150
    assert found["verdict"][1] < 900  # on the first screen, whole

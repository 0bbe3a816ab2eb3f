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

from huenet.evaluate import run as evaluate
from huenet.evaluate.folder import read_pairs
from huenet.images.read import read_square
from huenet.methods import descent
from huenet.model.checkpoint import MODEL
from huenet.report import page as report

torch.set_num_threads(1)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ODD = "<b>&'\" é.png"  # a name that must not become markup
command = partial(status, report.main)
refused = partial(refusal, report.main)
VOID = {"meta", "img", "br"}


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


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Of descent, which takes most of the time that a pair is measured for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(descent.descend.__kwdefaults__, "steps", 5)
        yield


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
        assert image["alt"]


def test_the_verdict_comes_first_and_the_sections_in_order(place, html, page):
    text = " ".join(page.text)
    verdict = json.loads((place / "run" / "evaluation" / "results.json").read_text())["verdict"]
    order = [
        verdict["label"], verdict["text"], "At equal palette distance", "Beside what needs no training", "Table 1",
        "figure 2 of the paper", "figure 3 of the paper", "figure 6 of the paper", "Training",
        "Every source with every target",        "Target = source", "worst pairs", "Configuration",
    ]  # fmt: skip
    found = [text.find(part) for part in order]
    assert -1 not in found
    assert found == sorted(found)
    assert "viewport" in html
    assert 'lang="en"' in html


def test_the_tables_on_the_page_are_those_of_the_evaluation(place, page):
    results = json.loads((place / "run" / "evaluation" / "results.json").read_text())
    text = " ".join(page.text)
    for method in ("huenet", "without_mi", "reinhard", "smooth 8"):
        cell = results["methods"][method]["mi_hard"]
        assert f"{cell['mean']:.3f}" in text
        assert f"[{cell['low']:.3f}, {cell['high']:.3f}]" in text
    assert "0.259" in text


def test_names_of_files_are_text_and_not_markup(page):
    assert ODD in " ".join(page.text)
    assert sum(tag == "b" for tag, _ in page.tags) == 1 + 3  # the verdict's label and the titles of training's charts


def test_pictures_on_the_page_are_the_pairs(place, page):
    source, _ = read_pairs(place / "run" / "evaluation" / "pairs.csv")[0]
    data = next(image["src"] for image in page.of("img")).partition(",")[2]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(float)
    assert np.abs(shown - read_square(place / "pictures" / source, 32)).mean() < 4


def test_an_earlier_report_is_replaced_and_nothing_else_is(copy, html, capsys, monkeypatch):
    run = copy / "run"
    monkeypatch.setattr(report, "SECTIONS", report.SECTIONS[:1])  # what is on the page is for the other tests
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
    assert "metrics.jsonl" not in text  # they have none by design
    assert "Training" not in text
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


def luminance(colour):
    """WCAG 2's relative luminance of #rgb or #rrggbb."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    values = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def test_every_colour_of_text_is_readable_by_day_and_by_night(html):
    schemes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", html, re.DOTALL)]
    assert len(schemes) == 3  # light, dark, paper
    for scheme in schemes:
        for name in ("text", "soft", "a", "b", "c", "d", "good", "bad"):
            for back in ("back", "panel"):
                light, dark = sorted((luminance(scheme[name]), luminance(scheme[back])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, name  # WCAG 2, AA


# The page in a frame of the width to try, because a browser without a screen has a least width of its own.
FRAME = """<!doctype html><body><iframe srcdoc="{page}" width="{width}" height="900" style="border: 0"></iframe><script>
addEventListener("load", () => {{
  const frame = document.querySelector("iframe"), page = frame.contentDocument, place = e => e.getBoundingClientRect();
  const all = [...page.querySelectorAll("body *")].filter(e => !e.closest(".wide"));
  const found = {{
    width: frame.contentWindow.innerWidth, scroll: page.documentElement.scrollWidth, images: page.images.length,
    wide: all.filter(e => place(e).right > frame.contentWindow.innerWidth + 1).map(e => e.outerHTML),
    tables: [...page.querySelectorAll(".wide")].map(e => e.scrollWidth - e.clientWidth),
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
    assert len(found["tables"]) == 3
    assert width < 1280 or max(found["tables"]) <= 0  # on a phone they scroll by themselves
    assert found["images"] > 60
    assert found["verdict"][0] < 150
    assert found["verdict"][1] < 900  # on the first screen, whole

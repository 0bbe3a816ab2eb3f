"""The tables of an evaluation: even rows, LaTeX that compiles and fits a page, sentences true to the figures."""

import re
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from huenet.evaluate import tables
from huenet.evaluate.measures import DIAL, FIGURES, FRONTIER, TITLES, dialled
from huenet.evaluate.summary import DRAWS, KEPT, conclude, draw, verdict


@pytest.fixture
def results(rng):
    """Every method on thirty pairs, with realism."""
    names = [*TITLES, *(name for names in FRONTIER.values() for name in names)]
    rows = []
    for _ in range(30):
        rows.append({name: dict(zip(FIGURES, rng.random(len(FIGURES)), strict=True)) for name in names})
        rows[-1]["target"] = {key: 0.5 for key in FIGURES if key.startswith(("mi", "floor"))}
    drawn = draw(rows, [str(i) for i in range(30)])
    for name in names:
        drawn[name] |= {"kid": 100 * rng.random(DRAWS + 1), "auc": rng.random(DRAWS + 1)}
    found = {
        "run": "runs/mine",
        "ablation": "runs/other",
        "origin": "a_folder & 50% more",
        "size": 128,
        "trained_on": 0,
        "pairs": 30,
        "realism": None,
        "photographs": 2500,
        **conclude(drawn),
    }
    return {**found, "verdict": verdict(found)._asdict()}


def test_every_method_has_a_row_and_every_row_as_many_cells(results):
    for table in (tables.table1(results), tables.frontier(results), tables.comparison(results)):
        assert len({len(row) for row in table}) == 1
    assert [row[0] for row in tables.comparison(results)[1:]] == [*TITLES.values(), "other photographs"]


def test_each_setting_of_a_dial_has_a_row(results):
    methods, point = results["methods"], results["frontier"]["huenet"]
    dial = {dialled(c): methods["huenet"] for c in DIAL}
    found = {**results, "methods": {**methods, **dial}, "frontier": dict.fromkeys(dial, point)}
    assert [row[0] for row in tables.frontier(found)[1:]] == [f"closeness {c:g}" for c in DIAL]
    assert len(tables.comparison(found)) == len(tables.comparison(results)) + len(DIAL) - 1


def test_the_frontier_is_told_with_both_figures_and_their_difference(results):
    kid = results["frontier"]["huenet"]["kid"] | {"own": 53.04, "best": 76.0, "low": -30.0, "high": -0.01}
    found = {**results, "frontier": {"huenet": {**results["frontier"]["huenet"], "kid": kid}}}
    assert tables.frontier(found)[1][2] == "53.0 / 76.0 [-30.0, 0.0]"


def test_without_realism_no_column_is_for_it_and_one_line_says_why(results):
    for method in results["methods"].values():
        method.pop("kid", None), method.pop("auc", None)
    for point in results["frontier"].values():
        del point["kid"], point["auc"]
    found = {**results, "realism": "Realism is not measured: do this"}
    assert not {"KID", "AUC"} & {*tables.comparison(found)[0]}
    assert not any("KID" in cell for cell in tables.frontier(found)[0])
    assert "do this" in tables.markdown(found)
    assert "2500 photographs" not in tables.markdown(found)


def test_chance_and_ceiling_stand_below_what_they_belong_to(results):
    for bins in ("hard", "soft"):
        own, chance, ceiling = (row for row in tables.table1(results) if row[0].endswith(f"{bins} bins"))
        methods = ("target", "huenet", "without_mi")
        assert [cell.partition(" ")[0] for cell in own[3:]] == [mean(results, name, f"mi_{bins}") for name in methods]
        assert chance[1:] == ["", "", *(mean(results, name, f"floor_{bins}") for name in methods)]
        assert ceiling[1:] == ["", "", *[mean(results, "identity", f"mi_{bins}")] * 3]


@pytest.mark.parametrize(
    ("value", "digits", "sign", "shown"),
    [
        (-0.00004, 4, "+", "+0.0000"),
        (-0.0, 3, "", "0.000"),
        (-0.00006, 4, "+", "-0.0001"),
        (0.12345, 3, "", "0.123"),
        (float("nan"), 3, "", "nan"),
    ],
)
def test_zero_has_no_sign_of_less(value, digits, sign, shown):
    assert tables.decimal(value, digits, sign) == shown


def test_no_table_and_no_sentence_has_a_negative_zero(results):
    nothing = {"own": -1e-9, "best": 0.0, "mean": -1e-9, "low": -1e-9, "high": 1e-9}
    results["frontier"]["huenet"] |= dict.fromkeys(("kid", "auc", *KEPT), nothing)
    for cell in results["methods"]["huenet"].values():
        cell |= {"mean": -1e-9, "low": -1e-9}
    for found in (tables.markdown(results), tables.latex(results), tables.text(results)):
        assert not re.search(r"-0\.0+\b(?!\d)", found.replace(results["verdict"]["text"], ""))


def mean(results, method, figure):
    return f"{results['methods'][method][figure]['mean']:.3f}"


def test_latex_has_even_rows_and_no_character_that_it_would_take_for_its_own(results):
    found = tables.latex(results)
    blocks = re.findall(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}\n(.*?)\\end\{tabular\}", found, re.DOTALL)
    assert len(blocks) == 4
    for columns, body in blocks:
        rows = [line for line in body.splitlines() if line != r"\hline"]
        assert {line.count("&") for line in rows} == {len(columns) - 1}
        assert all(line.endswith(r" \\") and not line.startswith("[") for line in rows)
        assert not re.search(r"(?<!\\)[%_#]", body)
    outside = re.sub(r"\\noindent\{.*?\\end\{tabular\}\}", "", found, flags=re.DOTALL)
    assert all(line.startswith("%") for line in outside.splitlines() if line)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex to compile the tables with")
def test_latex_compiles_and_fits_the_narrowest_page(results, tmp_path):
    (tmp_path / "tables.tex").write_text(tables.latex(results))
    (tmp_path / "page.tex").write_text(r"\documentclass{article}\begin{document}\input{tables}\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert made.returncode == 0, made.stdout[-2000:]
    assert "Overfull" not in made.stdout


def test_what_rounds_to_zero_has_no_sign():
    assert tables.decimal(-0.00001, 4) == "0.0000"
    assert tables.decimal(-0.0001, 4) == "-0.0001"


def test_the_terminal_shows_means_in_columns(results):
    lines = tables.text(results).splitlines()
    assert len(lines) == 2 + len(TITLES)
    assert len({line.rindex(line.split()[-1]) + len(line.split()[-1]) for line in lines[:-1]}) == 1
    assert f"{np.round(results['methods']['reinhard']['parting']['mean'], 3):.3f}" in tables.text(results)

"""Evaluation: the figures against other libraries, the statistics, and a folder that survives kills and mistakes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from PIL import Image
from runs import make_pictures, make_run
from scipy import stats
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab
from sklearn.metrics import mutual_info_score

from huenet import checkpoint, evaluate, tables
from huenet.baselines import apply_displacement, hue_transport
from huenet.color import chroma, hsv_to_rgb, rgb_to_hsv
from huenet.evaluation import EvaluationError, Folder, draw_pairs, read_pairs, read_rows
from huenet.images import read_square
from huenet.measures import FIGURES, METHODS, figures, outputs
from huenet.metrics import hue_emd, incoherence
from huenet.state import MODEL
from huenet.summary import AXES, LEAST_PAIRS, intervals, summarize, verdict

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


@pytest.fixture
def pair(folder):
    return [rgb_to_hsv(read_square(folder / f"0{i}.png", 32).transpose(2, 0, 1) / 255) for i in (0, 1)]


def command(*arguments):
    """Exit status of the command line."""
    try:
        return evaluate.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


def refused(capsys, *arguments):
    """The one line that a command line with something wrong gets."""
    capsys.readouterr()
    assert command(*arguments) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line and "img/s" not in line]
    assert len(error) == 1, error
    return error[0]


# Figures


def brute_force_emd(hue, other, weights, other_weights):
    """Eq. 12 at the best of all cuts, Eq. 14."""
    p, q = (np.histogram(h, 256, (0, 1), weights=w)[0] / w.sum() for h, w in ((hue, weights), (other, other_weights)))
    return min(np.sqrt(np.mean(np.cumsum(np.roll(p - q, k)) ** 2)) for k in range(256))


def sklearn_mi(hue, other):
    codes = [np.floor(h * 256).astype(int).ravel() for h in (hue, other)]
    shares = np.histogram2d(*codes, 256, ((0, 256),) * 2)[0].ravel() / hue.size
    shares = shares[shares > 0]
    return mutual_info_score(*codes) / -(shares * np.log(shares)).sum()


def test_figures_are_those_of_other_libraries(pair):
    source, target = pair
    made = outputs(source, target, {})
    found = figures(source, target, made)
    assert list(found) == [*made, "target"]
    for name, picture in made.items():
        even = np.ones_like(source[0])
        assert found[name]["emd_hard"] == pytest.approx(brute_force_emd(picture[0], target[0], even, even), abs=1e-9)
        weights = chroma(picture), chroma(target)
        assert found[name]["chroma_emd"] == pytest.approx(brute_force_emd(picture[0], target[0], *weights), abs=1e-9)
        assert found[name]["mi_hard"] == pytest.approx(sklearn_mi(source[0], picture[0]), abs=1e-9)
        assert found[name]["incoherence"] == pytest.approx(incoherence(picture[0], chroma(picture)), abs=1e-12)
        lightness = [rgb2lab(hsv_to_rgb(hsv).transpose(1, 2, 0))[..., 0] for hsv in (source, picture)]
        assert found[name]["lightness"] == pytest.approx(np.abs(np.subtract(*lightness)).mean(), abs=1e-9)
        assert set(found[name]) == set(FIGURES)
    assert found["target"]["mi_hard"] == pytest.approx(sklearn_mi(source[0], target[0]), abs=1e-9)


def test_soft_figures_are_the_papers_bins(pair):
    """Eq. 6 and 9 written out: a difference of sigmoids for each pixel and bin, wrapped around the circle."""
    source, target = pair

    def spread(hue):
        edges = np.arange(-256, 513) / 256
        rise = 1 / (1 + np.exp(-np.clip((hue.ravel()[:, None] - edges) * 256 * 2.5, -60, 60)))
        return (rise[:, :-1] - rise[:, 1:]).reshape(-1, 3, 256).sum(axis=1)

    def relative(one, other):
        joint = spread(one).T @ spread(other) / one.size
        entropy = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (joint.sum(0), joint.sum(1), joint)]
        return (entropy[0] + entropy[1] - entropy[2]) / entropy[2]

    found = figures(source, target, {"identity": source})
    assert found["identity"]["mi_soft"] == pytest.approx(relative(source[0], source[0]), abs=1e-4)
    assert found["target"]["mi_soft"] == pytest.approx(relative(source[0], target[0]), abs=1e-4)
    p, q = spread(source[0]).mean(0), spread(target[0]).mean(0)
    emd = min(np.sqrt(np.mean(np.cumsum(np.roll(p - q, k)) ** 2)) for k in range(256))
    assert found["identity"]["emd_soft"] == pytest.approx(emd, abs=1e-5)


def test_ssim_follows_wangs_formula_and_luma_that_of_bt601(pair):
    source, _ = pair
    # plain pictures have no variance: what is left is the term of the means
    plain = [np.broadcast_to(np.reshape(hsv, (3, 1, 1)), source.shape) for hsv in ((0, 1, 0.8), (1 / 3, 1, 0.8))]
    a, b = 0.299 * 0.8, 0.587 * 0.8
    expected = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    assert figures(plain[0], source, {"made": plain[1]})["made"]["ssim"] == pytest.approx(expected, abs=1e-6)
    assert figures(source, source, {"identity": source})["identity"]["ssim"] == 1


def test_ssim_is_wangs_mean_over_gaussian_windows(pair):
    x, y = (np.tensordot([0.299, 0.587, 0.114], hsv_to_rgb(hsv), 1) for hsv in pair)
    mean = partial(gaussian_filter, sigma=1.5, truncate=3.5)
    products = mean(x * x) - mean(x) ** 2, mean(y * y) - mean(y) ** 2, mean(x * y) - mean(x) * mean(y)
    luminance = (2 * mean(x) * mean(y) + 1e-4) / (mean(x) ** 2 + mean(y) ** 2 + 1e-4)
    structure = (2 * products[2] + 9e-4) / (products[0] + products[1] + 9e-4)
    expected = (luminance * structure)[5:-5, 5:-5].mean()  # where windows of 11 pixels are whole
    assert figures(*pair, {"made": pair[1]})["made"]["ssim"] == pytest.approx(expected, abs=1e-9)


def test_known_results_of_the_source_itself(pair):
    own = figures(*pair, {"identity": pair[0]})["identity"]
    assert own["mi_hard"] == pytest.approx(1)
    assert own["lightness"] == 0
    assert 0 < own["floor_hard"] < 0.6
    assert own["floor_soft"] < own["mi_soft"] < 1


def test_chance_has_the_same_pixels_in_another_order(rng):
    hue = rng.random((64, 64)) ** 2
    source = np.stack([hue, hue, hue])
    found = figures(source, source, {"identity": source})
    rows = [sklearn_mi(hue, rng.permutation(hue.ravel()).reshape(hue.shape)) for _ in range(5)]
    assert found["identity"]["floor_hard"] == pytest.approx(np.mean(rows), abs=4 * np.std(rows) + 1e-3)


def test_every_method_keeps_its_promise(pair):
    source, target = pair
    made = outputs(source, target, {})
    assert list(made) == [name for name in METHODS if name in made]
    distance = {name: hue_emd(picture[0], target[0]) for name, picture in made.items()}
    assert distance["transport"] == pytest.approx(0, abs=1e-3)
    assert max(distance["smooth8"], distance["rotation"]) < distance["identity"]
    assert distance["smooth8"] < distance["smooth16"]
    by_chroma = {name: hue_emd(made[name][0], target[0], chroma(source), chroma(target)) for name in made}
    assert by_chroma["chroma8"] < by_chroma["smooth8"]
    for name, picture in made.items():
        assert (name == "reinhard") != np.array_equal(picture[1:], source[1:])
    hists = [np.histogram(hsv[0], 256, (0, 1))[0] / hsv[0].size for hsv in pair]
    for bins in (8, 16):
        expected = apply_displacement(source[0], hue_transport(*hists, smooth=bins))
        np.testing.assert_allclose(made[f"smooth{bins}"][0], expected, atol=1e-6)
    assert np.corrcoef(made["reinhard"][2].ravel(), source[2].ravel())[0, 1] > 0.8
    rotated = np.stack([(source[0] + 0.25) % 1, source[1], source[2]])
    np.testing.assert_allclose(outputs(source, rotated, {})["rotation"][0], rotated[0], atol=1e-9)


@pytest.mark.slow
def test_gradient_descent_is_one_of_the_methods_where_asked(pair):
    source, target = pair
    made = outputs(source, target, {}, descend=True)["optimize"]
    assert hue_emd(made[0], target[0]) < hue_emd(source[0], target[0])


@pytest.mark.parametrize(
    "kinds", [("grey", "blobs"), ("blobs", "grey"), ("grey", "grey"), ("black", "one"), ("one", "blobs")]
)
def test_pictures_without_colour_have_figures_too(pair, kinds):
    rgb = {"grey": (0.5, 0.5, 0.5), "black": (0.0, 0.0, 0.0), "one": (0.8, 0.2, 0.1)}
    hsv = {name: rgb_to_hsv(np.tile(np.reshape(colour, (3, 1, 1)), (1, 32, 32))) for name, colour in rgb.items()}
    hsv["blobs"] = pair[0]
    source, target = (hsv[kind] for kind in kinds)
    found = figures(source, target, outputs(source, target, {}))
    assert all(np.isfinite(value) for row in found.values() for value in row.values())
    if kinds[0] == "grey":
        assert found["chroma16"]["emd_hard"] == found["identity"]["emd_hard"]
        assert found["identity"]["incoherence"] == 0


# Statistics


def test_intervals_are_scipys_bootstrap(rng):
    values = rng.gamma(2, size=(60, 2))
    mean, low, high = intervals(values)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    for i in range(2):
        expected = stats.bootstrap((values[:, i],), np.mean, method="percentile", n_resamples=20000, rng=rng)
        spread = expected.confidence_interval.high - expected.confidence_interval.low
        assert low[i] == pytest.approx(expected.confidence_interval.low, abs=0.05 * spread)
        assert high[i] == pytest.approx(expected.confidence_interval.high, abs=0.05 * spread)


def test_one_pair_has_an_interval_without_width():
    np.testing.assert_array_equal(intervals(np.array([[0.25, 1.0]])), [[0.25, 1.0]] * 3)


def rows_of(count=40, seed=0, **methods):
    """Pairs in which every figure of a method is 0.5 plus its own shift plus noise that all methods share."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        common = rng.normal(0, 0.05, len(FIGURES))
        row = {"target": {"mi_hard": 0.05, "mi_soft": 0.03, "floor_hard": 0.04, "floor_soft": 0.02}}
        for name, shift in methods.items():
            small = rng.normal(0, 0.005, len(FIGURES))
            row[name] = {key: 0.5 + shift.get(key, 0) + a + b for key, a, b in zip(FIGURES, common, small, strict=True)}
        rows.append(row)
    return rows


def test_wins_and_differences_are_those_of_the_pairs():
    rows = [
        {"huenet": dict.fromkeys(FIGURES, a), "identity": dict.fromkeys(FIGURES, b)}
        for a, b in ((0.1, 0.2), (0.3, 0.3), (0.5, 0.2), (0.1, 0.4))
    ]
    found = summarize(rows)["against"]["identity"]
    assert found["emd_hard"]["wins"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)  # less is better
    assert found["mi_hard"]["wins"] == pytest.approx((0 + 0.5 + 1 + 0) / 4)  # more is better
    assert found["emd_hard"]["mean"] == pytest.approx(np.mean([-0.1, 0, 0.3, -0.3]))
    assert "floor_hard" not in found


def test_a_method_of_some_pairs_is_compared_on_these_alone():
    rows = rows_of(huenet={}, identity={})
    for row in rows[:3]:
        row["optimize"] = dict(row["huenet"], emd_hard=0.0)
    results = summarize(rows)
    assert results["methods"]["optimize"]["pairs"] == 3
    expected = np.mean([row["huenet"]["emd_hard"] for row in rows[:3]])
    assert results["against"]["optimize"]["emd_hard"]["mean"] == pytest.approx(expected)


CLOSER = {"emd_hard": -0.2, "chroma_emd": -0.2}


@pytest.mark.parametrize(
    ("kind", "shifts"),
    [
        ("behind", {"huenet": CLOSER, "smooth8": {**CLOSER, "incoherence": -0.1}}),
        ("behind", {"huenet": CLOSER, "reinhard": {"emd_hard": -0.3, "chroma_emd": -0.2}}),
        ("behind", {"huenet": CLOSER, "smooth8": {**CLOSER, "mi_hard": 0.1}, "chroma8": {"emd_hard": 0.1}}),
        ("ahead", {"huenet": CLOSER, "chroma8": {**CLOSER, "mi_hard": -0.2}, "reinhard": {**CLOSER, "mi_hard": -0.2}}),
        ("mixed", {"huenet": CLOSER, "chroma8": {"emd_hard": -0.3, "chroma_emd": -0.1}, "reinhard": {}}),
        ("mixed", {"huenet": CLOSER, "chroma8": {**CLOSER, "mi_hard": -0.2, "incoherence": -0.2}}),
        ("mixed", {"huenet": CLOSER, "smooth8": {"emd_hard": -0.3, "chroma_emd": -0.1}}),
        ("mixed", {"huenet": {"emd_hard": -0.2, "chroma_emd": 0.1}, "smooth8": {"emd_hard": -0.3, "chroma_emd": 0.2}}),
        ("mixed", {"huenet": {"emd_hard": 0.1, "chroma_emd": -0.2}, "smooth8": {"emd_hard": 0.05}}),
        ("idle", {"huenet": {"emd_hard": 0.001, "chroma_emd": 0.001}, "smooth8": {"emd_hard": 0.1}}),
        ("idle", {"huenet": {"emd_hard": 0.1, "chroma_emd": 0.1}}),
    ],
)
def test_the_verdict_follows_the_figures(kind, shifts):
    found = verdict(summarize(rows_of(identity={"mi_hard": 0.2, "incoherence": -0.15}, **shifts)))
    assert found.kind == kind
    named = {name for name in shifts if METHODS[name].lower() in found.text.lower()}
    if kind == "behind":
        assert named == {"smooth8" if "smooth8" in shifts else "reinhard"}
        assert "training does not pay" in found.text
    if kind == "ahead":
        assert named == {"chroma8", "reinhard"}
    if kind == "mixed":
        assert named == {"reinhard"} & set(shifts)


def test_the_verdict_is_two_sentences_that_hold_the_figures():
    results = summarize(rows_of(identity={}, huenet=CLOSER, smooth8=CLOSER))
    text = verdict(results).text
    assert text.count(". ") == 1
    assert text.endswith(".")
    for name in ("identity", "huenet"):
        assert f"{results['methods'][name]['emd_hard']['mean']:.3f}" in text


def test_too_few_pairs_or_too_few_of_a_method_decide_nothing():
    assert verdict(summarize(rows_of(LEAST_PAIRS - 1, identity={}, huenet=CLOSER))).kind == "few"
    rows = rows_of(identity={"mi_hard": 0.2, "incoherence": -0.15}, huenet=CLOSER)
    rows[0]["optimize"] = dict.fromkeys(FIGURES, 0.0) | {"mi_hard": 1.0}
    assert verdict(summarize(rows)).kind == "mixed"


# Pairs


def test_pairs_are_distinct_fair_and_fixed():
    names = [f"{i}.png" for i in range(10)]
    pairs = draw_pairs(names, 20)
    assert len(set(pairs)) == 20
    assert all(source != target for source, target in pairs)
    assert pairs == draw_pairs(names, 20)
    assert pairs != draw_pairs(names, 20, seed=1)
    assert sorted(source for source, _ in pairs[:10]) == sorted(target for _, target in pairs[:10]) == names
    assert set(draw_pairs(names[:4], 200)) == {(a, b) for a in names[:4] for b in names[:4] if a != b}


def test_pictures_that_were_trained_on_are_left_out(folder, tmp_path):
    trained = [f"{i:02}.png" for i in range(8)]
    run = make_run(tmp_path / "run", folder, trained=trained, held_out=[f"{i:02}.png" for i in range(8, 12)])
    copy = make_pictures(tmp_path / "moved" / "elsewhere")
    for place in (folder, copy):
        results = evaluate.evaluate(run, str(place), pairs=3, workers=1, out=tmp_path / place.name)
        used = {name for pair in read_pairs(tmp_path / place.name / "pairs.csv") for name in pair}
        assert used <= {f"{i:02}.png" for i in range(8, 12)}
        assert results["trained_on"] == 0
    given = tmp_path / "mine.csv"
    given.write_text("source,target\n00.png,09.png\n10.png,11.png\n")
    results = evaluate.evaluate(run, str(folder), pairs=str(given), workers=1, out=tmp_path / "given")
    assert results["trained_on"] == 1
    assert any("1 pairs hold" in note for note in tables.notes(results))


def test_without_data_the_run_is_measured_on_what_it_held_out(folder, tmp_path):
    run = make_run(tmp_path / "run", folder, seed=0)
    results = evaluate.evaluate(run, workers=1)
    assert results["pairs"] == 2  # a split of twelve holds out two
    assert not results["trained_on"]


# The folder


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A run and its evaluation of four pairs, made once."""
    run = make_run(tmp_path_factory.mktemp("finished") / "run")
    assert command(run, "--data", folder, "--pairs", 4, "--workers", 1) == 0
    return run


@pytest.fixture
def done(finished, run):
    return Path(shutil.copytree(finished / "evaluation", run / "evaluation"))


def contents(place):
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_what_is_written_agrees_with_the_rows(done, capsys):
    rows = list(read_rows(done).values())
    assert len(rows) == 4
    with open(done / "table1.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["pair"] for row in table] == [*"1234", "mean"]
    assert [(row["source"], row["target"]) for row in table[:-1]] == read_pairs(done / "pairs.csv")
    where = {
        "emd_target_source": ("identity", "emd"),
        "emd_target_output": ("huenet", "emd"),
        "mi_source_target": ("target", "mi"),
        "mi_source_output": ("huenet", "mi"),
        "mi_floor": ("huenet", "floor"),
        "mi_ceiling": ("identity", "mi"),
    }
    results = json.loads((done / "results.json").read_text())
    for column, (method, figure) in where.items():
        for bins in ("hard", "soft"):
            values = [row[method][f"{figure}_{bins}"] for row in rows]
            found = [float(row[f"{column}_{bins}"]) for row in table]
            np.testing.assert_allclose(found, [*values, np.mean(values)], atol=1e-6)
            assert results["methods"][method][f"{figure}_{bins}"]["mean"] == pytest.approx(np.mean(values))
    assert {row["mi_source_output_without_mi_hard"] for row in table} == {""}
    assert results["verdict"]["kind"] == "few"


def test_tables_hold_the_papers_numbers_and_even_rows(done):
    markdown, latex = ((done / name).read_text() for name in ("tables.md", "tables.tex"))
    for number in ("0.244 [0.173 to 0.482]", "0.113", "0.047", "0.259", "0.100"):
        assert number in markdown
        assert number in latex
    assert "no run without the MI loss was given" in markdown
    for block in markdown.split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, block
    for tabular in latex.split(r"\begin{tabular}")[1:]:
        lines = tabular.partition(r"\end{tabular}")[0].splitlines()
        columns = len(lines[0].strip("{}"))
        assert {line.count("&") for line in lines if "&" in line} == {columns - 1}
        assert "%" not in tabular.partition(r"\end{tabular}")[0].replace(r"\%", "")


def test_the_same_command_again_measures_nothing_and_changes_nothing(done, folder, run, monkeypatch):
    monkeypatch.setattr(evaluate, "figures", lambda *_: pytest.fail("measured again"))
    assert command(run, "--data", folder) == 0
    before = contents(done)
    for flags in (["--pairs", 4], ["--pairs", done / "pairs.csv"]):
        assert command(run, "--data", folder, *flags) == 0
    assert contents(done) == before


def test_rows_that_are_missing_or_cut_short_are_done_again(done, folder, run, monkeypatch):
    assert command(run, "--data", folder) == 0
    before = contents(done)
    lines = (done / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (done / "rows.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:50])
    counted = []
    measure = evaluate.figures
    monkeypatch.setattr(evaluate, "figures", lambda *arguments: counted.append(1) or measure(*arguments))
    assert command(run, "--data", folder, "--workers", 1) == 0
    assert len(counted) == 2
    after = contents(done)
    assert json.loads(after.pop("results.json")) == json.loads(before.pop("results.json"))
    assert after.pop("rows.jsonl").startswith(b"".join(lines[:2]))
    before.pop("rows.jsonl")
    assert after == before


def test_the_first_of_two_rows_for_a_pair_counts(tmp_path):
    place = Folder(tmp_path / "e", [("a", "b")], {})
    place.append(0, {"huenet": {"emd_hard": 0.5}})
    place.append(0, {"huenet": {"emd_hard": 0.25}})
    assert place.rows() == {0: {"huenet": {"emd_hard": 0.5}}}


def test_rows_appended_at_once_are_all_whole(tmp_path):
    pairs = [("a", "b")] * 400
    places = [Folder(tmp_path / "e", pairs, {}) for _ in range(4)]
    figures_ = {name: dict.fromkeys(FIGURES, 1 / 3) for name in METHODS}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: places[number % 4].append(number, figures_), range(400)))
    assert sorted(read_rows(tmp_path / "e")) == list(range(400))


@pytest.mark.slow
def test_workers_find_what_one_process_finds(done, folder, run, tmp_path):
    assert command(run, "--data", folder, "--pairs", 4, "--workers", 2, "--out", tmp_path / "two") == 0
    one, two = (read_rows(place) for place in (done, tmp_path / "two"))
    for number, row in one.items():
        for method, values in row.items():
            assert two[number][method] == pytest.approx(values, abs=2e-3), method


@pytest.mark.slow
def test_a_killed_evaluation_goes_on(folder, run):
    arguments = [sys.executable, "-m", "huenet.evaluate", str(run), "--data", str(folder), "--pairs", "20"]
    process = subprocess.Popen(
        [*arguments, "--workers", "2"], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    rows = run / "evaluation" / "rows.jsonl"
    deadline = time.time() + 120
    while not (rows.exists() and rows.read_bytes().count(b"\n") > 3):
        assert time.time() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    kept = rows.read_bytes()
    assert not (run / "evaluation" / "results.json").exists()
    assert command(run, "--data", folder, "--workers", 1) == 0
    assert rows.read_bytes().startswith(kept)
    assert len(read_rows(run / "evaluation")) == 20


def test_the_ablation_fills_its_column(folder, run, tmp_path, capsys):
    ablation = make_run(tmp_path / "ablation", gamma_mi=0.0, seed=1)
    assert command(run, "--data", folder, "--pairs", 2, "--workers", 1, "--ablation", ablation) == 0
    results = json.loads((run / "evaluation" / "results.json").read_text())
    rows = read_rows(run / "evaluation").values()
    mean = np.mean([row["without_mi"]["mi_hard"] for row in rows])
    assert f"{mean:.3f}" in tables.table1(results)[1][-1]
    assert not any("last column is empty" in note for note in tables.notes(results))


# Mistakes


def test_another_evaluation_is_not_written_over(done, folder, run, tmp_path, capsys):
    before = contents(done)
    ablation = make_run(tmp_path / "ablation", gamma_mi=0.0)
    other = make_pictures(tmp_path / "other", seed=1)
    mine = tmp_path / "mine.csv"
    mine.write_text("source,target\n00.png,01.png\n")
    for flags, what in (
        (["--data", folder, "--pairs", 5], "pictures"),
        (["--data", folder, "--pairs", mine], "pictures"),
        (["--data", other], "pictures"),
        (["--data", folder, "--optimize", 1], "optimize"),
        (["--data", folder, "--ablation", ablation], "ablation"),
    ):
        line = refused(capsys, run, *flags)
        assert what in line
        assert "--out" in line
    make_run(tmp_path / "later", seed=5)
    shutil.copy(tmp_path / "later" / MODEL, run / MODEL)
    assert "model" in refused(capsys, run, "--data", folder)
    assert contents(done) == before


def test_pairs_of_other_names_for_the_same_pictures_are_another_evaluation(tmp_path):
    Folder(tmp_path / "e", [("a", "b")], {"model": "x"})
    with pytest.raises(EvaluationError, match="pairs"):
        Folder(tmp_path / "e", [("b", "a")], {"model": "x"})


def test_a_folder_with_something_else_in_it_is_left_alone(folder, run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("mine")
    assert "results.json" in refused(capsys, run, "--data", folder, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "results.json").read_text() == "mine"


def truncated(run):
    whole = (run / MODEL).read_bytes()
    (run / MODEL).write_bytes(whole[: len(whole) // 2])


def of_another_configuration(run):
    tensors, meta = checkpoint.load(run / MODEL)
    config = {**json.loads(meta["config"]), "width": 8}
    checkpoint.save(run / MODEL, tensors, {**meta, "config": json.dumps(config)})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated, "not a readable checkpoint"),
        (of_another_configuration, "does not fit the configuration"),
        (lambda run: (run / MODEL).unlink(), "has no model.safetensors"),
        (lambda run: (run / "data.json").write_text("{"), "data.json"),
    ],
)
def test_a_damaged_run_gets_one_line(folder, run, capsys, damage, words):
    damage(run)
    assert words in refused(capsys, run, "--data", folder)
    assert not (run / "evaluation").exists()


def test_wrong_input_gets_one_line(folder, run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    text = make_pictures(tmp_path / "text", count=1)
    (text / "note.png").write_text("not a picture")
    headless, bare, absent = (tmp_path / name for name in ("headless.csv", "bare.csv", "absent.csv"))
    headless.write_text("00.png,01.png\n01.png,02.png\n")
    bare.write_text("source,target\n")
    absent.write_text("source,target\n00.png,nowhere.png\n")
    with_mi = make_run(tmp_path / "with-mi")
    larger = make_run(tmp_path / "larger", size=64, gamma_mi=0.0)
    for flags, words in (
        ([tmp_path / "nowhere", "--data", folder], "no such folder"),
        ([run, "--data", tmp_path / "nowhere"], "no such folder"),
        ([run, "--data", tmp_path / "empty"], "0 readable images"),
        ([run, "--data", text], "could not be read"),
        ([run, "--data", folder, "--pairs", 0], "--pairs must be at least 1"),
        ([run, "--data", folder, "--pairs", tmp_path / "none.csv"], "No such file"),
        ([run, "--data", folder, "--pairs", headless], "source,target"),
        ([run, "--data", folder, "--pairs", bare], "no pairs"),
        ([run, "--data", folder, "--pairs", absent], "nowhere.png"),
        ([run, "--data", folder, "--optimize", -1], "--optimize"),
        ([run, "--data", folder, "--ablation", with_mi], "--gamma-mi"),
        ([run, "--data", folder, "--ablation", larger], "size 64"),
        ([run, "--data", folder, "--out", folder / "00.png"], "--out"),
        ([], "RUN"),
    ):
        assert words in refused(capsys, *flags)
    assert not (run / "evaluation").exists()


def test_pictures_of_one_pixel_are_measured(run, tmp_path):
    place = tmp_path / "dots"
    place.mkdir()
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (128, 128, 128), (0, 0, 0)]):
        Image.new("RGB", (1, 1), colour).save(place / f"{i}.png")
    results = evaluate.evaluate(run, str(place), pairs=4, workers=1)
    assert results["pairs"] == 4
    assert all(np.isfinite(figure["mean"]) for row in results["methods"].values() for figure in list(row.values())[1:])


def test_help_says_what_a_newcomer_needs(capsys):
    assert command("--help") == 0
    text = capsys.readouterr().out
    for word in ("RUN", "--data", "--pairs", "--ablation", "table1.csv", "example"):
        assert word in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_the_axes_of_the_verdict_are_figures_with_a_better_end():
    assert all(FIGURES[key][1] for key in AXES)

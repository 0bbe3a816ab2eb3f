"""`huenet evaluate`: a folder that says what was measured, and survives kills and mistakes."""

import csv
import json
import shutil
from functools import partial
from itertools import chain

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from commands import refusal, status
from PIL import Image
from runs import contents, make_pictures, make_run

from huenet import realism
from huenet.data import loading as data
from huenet.evaluate import run as evaluate
from huenet.evaluate import tables
from huenet.evaluate.folder import read_pairs, read_rows
from huenet.evaluate.measures import DIAL, FRONTIER, TITLES, dialled
from huenet.evaluate.summary import summarize
from huenet.images.read import read_square

torch.set_num_threads(1)
command = partial(status, evaluate.main)
refused = partial(refusal, evaluate.main)
pytestmark = pytest.mark.usefixtures("few_steps")


# Pairs


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
    assert any("1 pair holds" in note for note in tables.notes(results))


@pytest.mark.slow
def test_a_list_of_pairs_as_people_have_them(run, tmp_path):
    """From a spreadsheet, with pictures in folders, grey ones, other sizes and shapes, and pairs that come twice."""
    place = make_pictures(tmp_path / "pictures" / "deep er")
    Image.new("L", (200, 90), 140).save(place / "grey, light.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 33, 4), np.uint8)).save(place / "tall\u00e9.png")
    pairs = [("deep er/00.png", "deep er/grey, light.png"), ("deep er/tall\u00e9.png", "deep er/01.png")]
    pairs += [pairs[0], ("deep er/02.png", "deep er/02.png")]
    with open(tmp_path / "mine.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("source", "target", "remark"), *((*pair, "x") for pair in pairs), ()])
    results = evaluate.evaluate(run, str(place.parent), pairs=str(tmp_path / "mine.csv"), workers=1)
    assert read_pairs(run / "evaluation" / "pairs.csv") == pairs
    rows = read_rows(run / "evaluation")
    assert rows[0] == rows[2]
    assert rows[3]["identity"]["emd_hard"] == 0
    assert results["pairs"] == 4


def test_without_data_the_run_is_measured_on_what_it_held_out(folder, tmp_path, capsys):
    run = make_run(tmp_path / "run", folder, seed=0)
    results = evaluate.evaluate(run, workers=1)
    assert results["pairs"] == 2  # a split of twelve holds out two
    assert not results["trained_on"]
    held_out = data.load(folder, 32).record["validation"]
    run = make_run(tmp_path / "split in another way", folder, trained=held_out[:1])
    assert "1 pictures that the run was not trained on; at least 2" in refused(capsys, run)


# The folder


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
        assert all(part in latex for part in number.split(" ", 1))
    assert "no run without the MI loss was given" in markdown
    for block in markdown.split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, block


def test_the_same_command_again_measures_nothing_and_changes_nothing(done, folder, run, monkeypatch):
    monkeypatch.setattr(evaluate, "figures", lambda *_: pytest.fail("measured again"))
    reads, rows = [], evaluate.Folder.rows
    monkeypatch.setattr(evaluate.Folder, "rows", lambda place: reads.append(place) or rows(place))
    assert command(run, "--data", folder) == 0
    assert len(reads) == 2  # not once a pair: the file of a large evaluation is megabytes
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


def test_the_ablation_fills_its_column(folder, run, tmp_path, capsys):
    ablation = make_run(tmp_path / "ablation", gamma_mi=0.0, seed=1)
    assert command(run, "--data", folder, "--pairs", 2, "--workers", 1, "--ablation", ablation) == 0
    results = json.loads((run / "evaluation" / "results.json").read_text())
    rows = read_rows(run / "evaluation").values()
    mean = np.mean([row["without_mi"]["mi_hard"] for row in rows])
    assert f"{mean:.3f}" in tables.table1(results)[1][-1]
    assert not any("last column is empty" in note for note in tables.notes(results))


@pytest.mark.slow
def test_the_shipped_weights_are_measured_without_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results = evaluate.evaluate(pairs=1, workers=1)
    assert results["origin"] == "scikit-image"
    assert results["size"] == 128
    assert results["run"] is None
    assert (tmp_path / "runs" / "shipped" / "evaluation" / "results.json").exists()
    assert any("is not recorded" in note for note in tables.notes(results))


def test_the_next_command_is_one_that_works(done, folder, run, capsys):
    place = run.parent / "a place"
    shutil.copytree(done, place)
    assert command(run, "--data", folder, "--out", place) == 0
    assert capsys.readouterr().out.endswith(f"Next: huenet report {run} --evaluation '{place}'\n")
    assert command(run, "--data", folder) == 0
    assert capsys.readouterr().out.endswith(f"Next: huenet report {run}\n")


def test_every_pair_has_the_same_methods(done):
    names = chain(TITLES, map(dialled, DIAL), *FRONTIER.values())
    methods = {"target", *names} - {"without_mi"}  # no ablation was given
    assert [set(row) for row in read_rows(done).values()] == [methods] * 4


# Realism


@pytest.fixture
def judge(monkeypatch):
    """Eyes that see the mean colour of a picture, and are content with few; how many pictures they looked at."""
    looked = []

    def features(pictures, device="cpu"):
        pictures = list(pictures)
        looked.append(len(pictures))
        return np.stack([np.asarray(picture, float).mean((1, 2)) for picture in pictures])

    monkeypatch.setattr(realism, "features", features)
    monkeypatch.setattr(realism, "missing", lambda: None)
    monkeypatch.setattr(realism, "LEAST_REAL", 4)
    monkeypatch.setattr(evaluate, "LEAST_PAIRS", 3)
    return looked


def test_realism_is_that_of_the_results_beside_photographs_of_no_pair(folder, run, judge, monkeypatch):
    kept = []
    monkeypatch.setattr(evaluate, "summarize", lambda *given: kept.append(given) or summarize(*given))
    arguments = {"pairs": 4, "workers": 1, "out": run / "judged"}
    results = evaluate.evaluate(run, str(folder), **arguments)
    used = {name for pair in read_pairs(run / "judged" / "pairs.csv") for name in pair}
    others = sorted(path.name for path in folder.glob("*.png") if path.name not in used)
    assert results["photographs"] == len(others) >= 4
    assert results["realism"] is None
    rows, sources, judged = kept[0]
    assert sources == [source for source, _ in read_pairs(run / "judged" / "pairs.csv")]
    shown = sorted(read_square(folder / name, 32).mean((0, 1)).tolist() for name in others)
    np.testing.assert_allclose(sorted(judged.photographs.tolist()), shown)
    assert list(judged.results) == [name for name in rows[0] if name != "target"]
    own = np.stack([read_square(folder / source, 32).mean((0, 1)) for source in sources])
    np.testing.assert_allclose(judged.results["identity"], own, rtol=1e-3)
    assert results["methods"]["identity"]["auc"]["mean"] == 0.5
    assert np.isfinite(results["methods"]["huenet"]["kid"]["mean"])

    judge.clear()
    again = evaluate.evaluate(run, str(folder), **arguments)
    assert judge == [len(others)]  # no result was made again
    assert again == results
    (run / "judged" / "seen" / "000002.npy").write_bytes(b"cut")
    assert evaluate.evaluate(run, str(folder), **arguments) == results
    assert len(judge) == 3


def test_without_the_extra_one_line_says_so_and_the_other_figures_come(folder, run, judge, monkeypatch, capsys):
    monkeypatch.setattr(realism, "missing", lambda: realism.MISSING)
    assert command(run, "--data", folder, "--pairs", 4, "--workers", 1) == 0
    told = capsys.readouterr().out
    assert told.count("pip install 'diffhist[realism]'") == 1
    assert "KID" not in told.splitlines()[0]
    assert judge == []
    assert not (run / "evaluation" / "seen").exists()


@pytest.mark.slow
def test_pictures_of_one_pixel_are_measured(run, tmp_path):
    place = tmp_path / "dots"
    place.mkdir()
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (128, 128, 128), (0, 0, 0)]):
        Image.new("RGB", (1, 1), colour).save(place / f"{i}.png")
    results = evaluate.evaluate(run, str(place), pairs=4, workers=1)
    assert results["pairs"] == 4
    assert all(np.isfinite(figure["mean"]) for row in results["methods"].values() for figure in row.values())


def test_help_says_what_a_newcomer_needs(capsys):
    assert command("--help") == 0
    text = capsys.readouterr().out
    for word in ("RUN", "--data", "--pairs", "--ablation", "table1.csv", "example"):
        assert word in text
    assert all(len(line) <= 120 for line in text.splitlines())

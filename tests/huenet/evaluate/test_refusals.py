"""What `huenet evaluate` refuses, in one line, and what it leaves as it was then."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from commands import refusal, status
from runs import contents, make_pictures, make_run

from huenet.evaluate import main
from huenet.model import checkpoint
from huenet.model.checkpoint import MODEL

command = partial(status, main)
refused = partial(refusal, main)
pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.mark.parametrize(("value", "message"), [(np.nan, "weights that are infinite or NaN"), (3e38, "output is")])
def test_weights_that_are_of_no_use_are_not_measured(run, folder, capsys, value, message):
    tensors, meta = checkpoint.load(run / MODEL)
    for tensor in tensors.values():
        tensor.fill_(value)
    checkpoint.save(run / MODEL, tensors, meta)
    assert message in refused(capsys, run, "--data", folder, "--pairs", 2, "--workers", 1)
    assert not (run / "evaluation" / "results.json").exists()


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
        (["--data", folder, "--ablation", ablation], "ablation"),
    ):
        line = refused(capsys, run, *flags)
        assert what in line
        assert "--out" in line
    settings = (done / "settings.json").read_text()
    (done / "settings.json").write_text(settings.replace("reinhard", "another"))
    assert "other methods" in refused(capsys, run, "--data", folder)
    (done / "settings.json").write_text(json.dumps({**json.loads(settings), "optimize": 2}))  # of an earlier version
    assert "other optimize" in refused(capsys, run, "--data", folder)
    (done / "settings.json").write_text(settings)
    make_run(tmp_path / "later", seed=5)
    shutil.copy(tmp_path / "later" / MODEL, run / MODEL)
    assert "model" in refused(capsys, run, "--data", folder)
    assert contents(done) == before


def test_a_folder_with_something_else_in_it_is_left_alone(folder, run, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("mine")
    assert "results.json" in refused(capsys, run, "--data", folder, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "results.json").read_text() == "mine"
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "pairs.csv").write_text("source,target,remark\n00.png,01.png,mine\n")
    assert "--pairs" in refused(capsys, run, "--data", folder, "--pairs", 5, "--out", tmp_path / "pairs")
    assert command(run, "--data", folder, "--workers", 1, "--out", tmp_path / "pairs") == 0
    assert "remark" in (tmp_path / "pairs" / "pairs.csv").read_text()


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
    half = tmp_path / "half.csv"
    half.write_text("source,target\n00.png,01.png\n\n02.png\n")
    unreadable = make_pictures(tmp_path / "unreadable")
    (unreadable / "03.png").write_text("not a picture")
    fourth = tmp_path / "fourth.csv"
    fourth.write_text("source,target\n03.png,00.png\n")
    with_mi = make_run(tmp_path / "with-mi", gamma_mi=25.0)
    larger = make_run(tmp_path / "larger", size=64, gamma_mi=0.0)
    for flags, words in (
        ([tmp_path / "nowhere", "--data", folder], "no such folder"),
        ([run, "--data", tmp_path / "nowhere"], "no such folder"),
        ([run, "--data", tmp_path / "empty"], "0 readable images"),
        ([run, "--data", text], "1 left out (note.png"),
        ([run, "--data", folder, "--pairs", 0], "--pairs must be at least 1"),
        ([run, "--data", folder, "--pairs", tmp_path / "none.csv"], "No such file"),
        ([run, "--data", folder, "--pairs", headless], "source,target"),
        ([run, "--data", folder, "--pairs", bare], "no pairs"),
        (
            [run, "--data", folder, "--pairs", absent],
            "1 picture of the pairs, such as 'nowhere.png'; its names are like '00",
        ),
        ([run, "--data", folder, "--pairs", half], "half.csv, line 4"),
        ([run, "--data", folder, "--pairs", tmp_path], "Is a directory"),
        ([run, "--data", unreadable, "--pairs", fourth], "'03.png' could not be read"),
        ([run, "--data", folder, "--workers", -1], "--workers must be at least 0"),
        ([run, "--data", folder, "--ablation", with_mi], "--gamma-mi"),
        ([run, "--data", folder, "--ablation", larger], "size 64"),
        ([run, "--data", folder, "--out", folder / "00.png"], "--out"),
    ):
        assert words in refused(capsys, *flags)
    assert not (run / "evaluation").exists()

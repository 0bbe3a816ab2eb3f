"""Going on: exactly where a run was killed, and never on something else."""

import json
import os
import shutil

import pytest
import torch
from commands import refusal
from runs import make_pictures
from training import TINY, checkpoints, lines, run, step_of

from huenet.model import checkpoint
from huenet.model.checkpoint import CHECKPOINT, MODEL
from huenet.train import loop as train
from huenet.train import recorder
from huenet.train.folder import saved_device, saved_run


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_a_killed_run_goes_on_bit_for_bit(folder, tmp_path, monkeypatch, preset):
    """With dropout and batch norm (paper), and with averaged weights and a falling rate (default)."""
    flags = ["--preset", preset, "--steps", 5, "--save-every", 2, "--seed", 3]
    assert run(folder, tmp_path / "whole", *flags) == 0

    step = train.training_step
    count = 0

    def dies(*arguments):
        nonlocal count
        count += 1
        if count == 4:
            raise ZeroDivisionError("killed")
        return step(*arguments)

    monkeypatch.setattr(train, "training_step", dies)
    with pytest.raises(ZeroDivisionError):
        run(folder, tmp_path / "cut", *flags)
    monkeypatch.undo()
    assert checkpoint.load(tmp_path / "cut" / CHECKPOINT)[1]["step"] == 2
    torch.manual_seed(99)  # nothing of the old process is left
    assert train.main(["--resume", "auto", "--out", str(tmp_path / "cut")]) == 0
    for name, (one, other) in checkpoints(tmp_path / "whole", tmp_path / "cut").items():
        assert torch.equal(one, other), name


def test_resume_auto_starts_afresh_where_there_is_nothing(folder, tmp_path):
    assert run(folder, tmp_path / "new", "--resume", "auto", "--steps", 1) == 0
    assert run(folder, tmp_path / "new", "--resume", "auto", "--steps", 2) == 0
    assert checkpoint.load(tmp_path / "new" / CHECKPOINT)[1]["step"] == 2


def test_auto_takes_the_run_saved_last(ended, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert saved_run("auto", None) is None
    for age, name in enumerate(("b", "c", "a")):
        shutil.copytree(ended, tmp_path / "runs" / name)
        os.utime(tmp_path / "runs" / name / CHECKPOINT, (10**9 - age, 10**9 - age))
    assert saved_run("auto", None).name == "b"
    assert saved_run("auto", "runs/c").name == "c"
    assert saved_run("auto", "runs/d") is None


def test_epochs_prolong_a_run_that_counted_steps(out):
    assert train.main(["--resume", str(out), "--epochs", "1"]) == 0
    assert step_of(out) == 3  # ten training pictures, four pairs a step
    assert json.loads((out / "config.json").read_text())["epochs"] == 1


def test_a_run_that_is_done_says_so_and_stays_as_it_is(out, capsys):
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert train.main(["--resume", str(out), "--log-every", "7"]) == 0
    assert capsys.readouterr().out == f"Going on in {out} at step 2 of 2; for more, give --epochs or --steps\n"
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--width", "16"], "--width of the run in {out} is 8 and must stay so, got 16; leave it out"),
        (["--preset", "paper"], "--preset of the run in {out} is default and must stay so"),
        (["--seed", "1"], "--seed of the run"),
        (["--batch-size", "2"], "--batch-size of the run in {out} is 4 and must stay so"),
        (["--out", "elsewhere"], "--resume {out} goes on in that folder; leave out --out elsewhere"),
        (["--features"], "--features of the run in {out} is False and must stay so"),
    ],
)
def test_what_cannot_change_on_the_way_is_one_line(out, capsys, flags, message):
    assert message.format(out=out) in refusal(train.main, capsys, "--resume", out, "--steps", 3, *flags)
    assert step_of(out) == 2


def test_other_pictures_are_refused(out, tmp_path, capsys):
    make_pictures(tmp_path / "more", count=13)
    line = refusal(train.main, capsys, "--resume", out, "--steps", 3, "--data", tmp_path / "more")
    assert "12 then, 13 now (12.png); bring them back" in line
    record = json.loads((out / "data.json").read_text())
    moved = {**record, "validation": record["validation"][1:], "train": [record["validation"][0], *record["train"]]}
    (out / "data.json").write_text(json.dumps(moved))
    line = refusal(train.main, capsys, "--resume", out, "--steps", 3)
    assert "(the same ones, of which 1 and 2 for validation)" in line
    (out / "data.json").unlink()
    assert "does not fit" in refusal(train.main, capsys, "--resume", out, "--steps", 3, "--data", tmp_path / "more")
    make_pictures(tmp_path / "moved")
    assert train.main(["--resume", str(out), "--steps", "3", "--data", str(tmp_path / "moved")]) == 0


def test_lines_without_sense_are_passed_over(out, capsys):
    with open(out / "metrics.jsonl", "ab") as file:
        file.write(b"\0" * 50 + b'\n[1]\n{"epoch": 3}\n\xff\n')
    assert train.main(["--resume", str(out)]) == 0
    assert "at step 2 of 2; for more" in capsys.readouterr().out
    assert train.main(["--resume", str(out), "--steps", "3"]) == 0
    assert "before training: palette distance" in capsys.readouterr().out


def test_a_line_that_was_cut_off_is_taken_away(out):
    with open(out / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "em')
    before = len(lines_whole := (out / "metrics.jsonl").read_text().splitlines()[:-1])
    assert train.main(["--resume", str(out), "--steps", "3", "--log-every", "1"]) == 0
    assert (out / "metrics.jsonl").read_text().splitlines()[:before] == lines_whole
    assert [line["step"] for line in lines(out)][-2:] == [3, 3]


def test_a_run_below_its_own_pictures_goes_on(tmp_path, capsys):
    pictures = make_pictures(tmp_path / "pictures")
    assert run(pictures, pictures / "runs" / "one", "--steps", 1) == 0
    assert train.main(["--resume", str(pictures / "runs" / "one"), "--steps", "2"]) == 0
    assert run(pictures, pictures / "runs" / "two", "--steps", 1) == 0
    record = json.loads((pictures / "runs" / "two" / "data.json").read_text())
    assert len(record["train"] + record["validation"]) == 12


def test_no_training_gets_in_where_one_is_running(folder, out, tmp_path, capsys):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "begun").mkdir()
    before = (out / "config.json").read_bytes()
    for busy in (out, tmp_path / "begun"):
        descriptor = os.open(busy, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            line = refusal(train.main, capsys, "--data", folder, "--out", busy, "--resume", "auto", *TINY, "--steps", 9)
            assert f"a training is running in {busy}; wait for it" in line
        finally:
            os.close(descriptor)
    assert (out / "config.json").read_bytes() == before
    assert train.main(["--resume", str(out), "--steps", "3"]) == 0
    assert train.main(["--resume", str(out), "--steps", "4"]) == 0  # the first has let go


@pytest.mark.parametrize("lost", ["everything", "the model", "the curves"])
def test_an_end_that_was_cut_off_is_made_up_for(out, capsys, lost):
    """A kill between the last checkpoint and the curves."""
    whole = lines(out)
    (out / "curves.png").unlink()
    if lost != "the curves":
        text = (out / "metrics.jsonl").read_text()
        (out / "metrics.jsonl").write_text(text[: text.rindex('{"step": 2, "val')])
    if lost == "everything":
        (out / "samples" / "step-0000002.png").unlink()
        tensors, meta = checkpoint.load(out / MODEL)
        checkpoint.save(out / MODEL, {name: 0 * tensor for name, tensor in tensors.items()}, {**meta, "step": 0})
    assert train.main(["--resume", str(out)]) == 0
    assert "trained: palette distance" in capsys.readouterr().out
    assert lines(out) == whole
    assert (out / "samples" / "step-0000002.png").is_file()
    model, meta = checkpoint.load(out / MODEL)
    assert meta["step"] == 2
    assert all(torch.equal(t, checkpoint.load(out / CHECKPOINT)[0][f"average/{n}"]) for n, t in model.items())
    assert train.main(["--resume", str(out)]) == 0
    assert "at step 2 of 2; for more" in capsys.readouterr().out


def test_a_start_that_was_cut_off_is_made_up_for(folder, tmp_path, monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(recorder, "validate", stop)
    assert run(folder, tmp_path / "run", "--steps", 1) == 130
    monkeypatch.undo()
    assert train.main(["--resume", str(tmp_path / "run")]) == 0
    assert [line["step"] for line in lines(tmp_path / "run") if "val/emd_output" in line] == [0, 1]
    assert "before training: palette distance" in capsys.readouterr().out


def test_a_run_stays_on_its_device(out):
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "device": "cuda:1"}))
    assert saved_device({"resume": str(out)}) == "cuda:1"
    assert saved_device({"resume": str(out), "device": "cpu"}) == "cpu"
    assert saved_device({"resume": "auto", "out": str(out.parent / "new")}) == "auto"
    assert saved_device({"resume": "nowhere"}) == "auto"  # what is wrong with that is told later


def test_a_dry_run_of_going_on_says_what_is_left(out, tmp_path, capsys):
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for steps, left in ((2, 0), (7, 5)):
        assert train.main(["--resume", str(out), "--steps", str(steps), "--dry-run"]) == 0
        assert f"the run    {left} steps more, about" in capsys.readouterr().out
    make_pictures(tmp_path / "more", count=13)
    assert "12 then, 13 now" in refusal(train.main, capsys, "--resume", out, "--data", tmp_path / "more", "--dry-run")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_checkpoint_that_is_cut_off_is_one_line(out, capsys):
    os.truncate(out / CHECKPOINT, 10_000)
    assert "is not a readable checkpoint" in refusal(train.main, capsys, "--resume", out)

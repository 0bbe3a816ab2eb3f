"""Nothing that was there is lost: which folders a training takes for its run."""

import shutil

import pytest
from commands import refusal
from training import TINY, run, step_of

from huenet.data import loading as data
from huenet.model.checkpoint import CHECKPOINT
from huenet.train import loop as train


def test_nothing_is_written_over(folder, tmp_path, capsys):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("precious")
    assert run(folder, out, "--steps", 1) == 2
    assert "is not empty; name another folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["chapter.txt"]


def test_a_folder_in_use_is_refused_before_the_pictures_are_read(out, monkeypatch, capsys):
    monkeypatch.setattr(data, "load", None)
    for flags in ([], ["--dry-run"]):
        line = refusal(train.main, capsys, "--out", out, *TINY, *flags)
        assert f"--out {out} is not empty; name another folder, or go on with --resume {out}" in line
    assert "is not a folder" in refusal(train.main, capsys, "--out", out / "config.json", *TINY)


def test_a_start_that_was_killed_is_made_anew(folder, ended, tmp_path, capsys):
    out = tmp_path / "begun"
    (out / "samples").mkdir(parents=True)
    (out / f".{CHECKPOINT}.tmp").mkdir()
    shutil.copy(ended / "config.json", out)
    (out / "events.out.tfevents.1.host.2.0").touch()
    (out / "samples" / "mine.png").touch()
    assert "is not empty; name another folder, or empty it" in refusal(train.main, capsys, "--out", out, *TINY)
    (out / "samples" / "mine.png").unlink()
    assert run(folder, out, "--resume", "auto", "--steps", 1) == 0
    assert step_of(out) == 1


def test_a_start_that_was_killed_before_its_first_file_is_made_anew(folder, tmp_path):
    out = tmp_path / "begun"
    (out / "samples").mkdir(parents=True)
    (out / ".config.json.tmp").mkdir()
    (out / ".config.json.tmp" / "config.json").write_text('{"siz')
    assert run(folder, out, "--resume", "auto", "--steps", 1) == 0
    assert step_of(out) == 1


def test_pictures_named_as_a_run_names_its_own_files_are_no_run(folder, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.json").write_text("precious")
    assert "is not empty" in refusal(train.main, capsys, "--out", tmp_path / "mine", *TINY)


@pytest.mark.posix
def test_a_place_that_cannot_be_written_is_found_before_the_pictures_are_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "load", None)
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "run", "/proc/huenet/run"):
        assert f"cannot write {out} (" in refusal(train.main, capsys, "--out", out, *TINY)

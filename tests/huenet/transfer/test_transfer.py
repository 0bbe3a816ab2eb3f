"""`huenet transfer`: files and folders, nothing lost, and one line where something is wrong."""

import os
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import tifffile
from commands import refusal, status
from PIL import Image
from scenes import GREY, RED, hsv_of, plain, scene

from huenet.images.picture import read_picture
from huenet.transfer import command as transfer
from huenet.transfer import recolor

command = partial(status, transfer.main)
error_of = partial(refusal, transfer.main)


def test_nothing_is_overwritten_without_force(files, capsys):
    out = files / "out.png"
    out.write_bytes(b"precious")
    assert "out.png exists; --force replaces" in error_of(capsys, files / "source.png", files / "target.png", "-o", out)
    assert out.read_bytes() == b"precious"
    assert command(files / "source.png", files / "target.png", "-o", out, "--force") == 0
    assert read_picture(out).pixels.shape == (48, 64, 3)


def test_inputs_are_never_overwritten(files, capsys):
    before = (files / "source.png").read_bytes()
    for out in (files / "source.png", files / "target.png", files):
        error = error_of(capsys, files / "source.png", files / "target.png", "-o", out, "--force")
        assert "is one of the pictures read" in error
    assert (files / "source.png").read_bytes() == before


@pytest.mark.posix
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    """Killed at any moment of the writing, the output is whole."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)).save(tmp_path / "s.png")
    out = tmp_path / "out.png"
    Image.fromarray(plain(RED)).save(out)
    old = out.read_bytes()
    program = [sys.executable, "-m", "huenet.transfer", "s.png", "s.png", "-o", "out.png", "--force"]
    process = subprocess.Popen(program, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        while not (parts := list(tmp_path.glob(".*.part"))) or parts[0].stat().st_size < 1000:
            assert process.poll() is None
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    assert out.read_bytes() == old or read_picture(out).pixels.shape == (900, 900, 3)


def test_a_failed_write_leaves_no_trace(files, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    error = error_of(capsys, files / "source.png", files / "target.png", "-o", files / "out.png")
    assert "out.png: cannot be written: No space left on device" in error
    assert sorted(path.name for path in files.iterdir()) == ["source.png", "target.png"]


# Folders


def test_folders_in_and_out(tmp_path, capsys):
    for i, name in enumerate(["a/1.png", "a/b/2.jpg", "a/3.bmp", "t/x.png", "t/y.png", "t/z.png"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(i)).save(path)
    assert command(tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "out") == 0
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")) == [
        "1.png",
        "3.png",
        "b/2.jpg",
    ]
    # paired in order of name: 1.png, 3.bmp, b/2.jpg with x, y, z
    assert command(tmp_path / "a", tmp_path / "t", "-o", tmp_path / "pairs") == 0
    expected = recolor(scene(2), scene(4))
    np.testing.assert_array_equal(read_picture(tmp_path / "pairs/3.png").pixels, expected)
    assert command(tmp_path / "a/1.png", tmp_path / "t", "-o", tmp_path / "many") == 0
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["x.png", "y.png", "z.png"]
    # results inside the source folder are not read again
    assert command(tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "a/out") == 0
    assert command(tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "a/out", "--force") == 0
    assert len(list((tmp_path / "a/out").rglob("*.*"))) == 3
    capsys.readouterr()
    assert "and 2 more exist; --force" in error_of(capsys, tmp_path / "a", tmp_path / "t/x.png", "-o", tmp_path / "out")


def test_a_bad_file_costs_itself_alone(files, capsys):
    folder = files / "in"
    folder.mkdir()
    Image.fromarray(scene(2)).save(folder / "good.png")
    (folder / "bad.png").write_text("not a picture")
    assert command(folder, files / "target.png", "-o", files / "out") == 1
    assert [p.name for p in (files / "out").iterdir()] == ["good.png"]
    error = capsys.readouterr().err
    assert error.startswith("1 of 2 pictures skipped")  # and no progress bar where nobody watches
    assert "bad.png: not an image of a known format" in error


def test_a_bad_target_for_all_is_said_once_and_writes_nothing(files, capsys):
    folder = files / "in"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(scene(i)).save(folder / f"{i}.png")
    (files / "bad.png").write_text("not a picture")
    assert "bad.png: not an image of a known format" in error_of(capsys, folder, files / "bad.png", "-o", files / "out")
    assert not (files / "out").exists()


def test_a_file_that_appears_while_the_work_goes_on_is_kept(files, monkeypatch, capsys):
    out = files / "out.png"
    monkeypatch.setattr("huenet.transfer.command.recolor_picture", lambda *_: out.write_bytes(b"precious"))
    error = error_of(capsys, files / "source.png", files / "target.png", "-o", out)
    assert "out.png: has appeared meanwhile; --force replaces" in error
    assert out.read_bytes() == b"precious"
    assert command(files / "source.png", files / "target.png", "-o", out, "--force") == 0
    assert read_picture(out).pixels.shape == (48, 64, 3)


def test_folders_that_do_not_fit_are_refused(files, capsys):
    two, empty = files / "two", files / "empty"
    for folder in (two, empty):
        folder.mkdir()
    for name in ("a.png", "a.bmp"):
        Image.fromarray(scene(0)).save(two / name)
    target = files / "target.png"
    assert "no pictures in this folder" in error_of(capsys, empty, target, "-o", files / "out")
    assert "has 2 pictures and" in error_of(capsys, two, files, "-o", files / "two" / "out")
    assert "is a file; for a folder of pictures -o must name a folder" in error_of(capsys, two, target, "-o", target)
    assert "a.png would be written more than once" in error_of(capsys, two, target, "-o", files / "out")
    assert "--mask is for one SOURCE" in error_of(capsys, two, target, "-o", files / "out", "--mask", target)
    assert not (files / "out").exists()


# Wrong input


def test_one_line_for_every_wrong_input(files, capsys):
    source, target, out = files / "source.png", files / "target.png", files / "out.png"
    (files / "text.png").write_text("I am no picture")
    (files / "empty.png").write_bytes(b"")
    (files / "cut.png").write_bytes(source.read_bytes()[:-300])
    (files / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    tifffile.imwrite(files / "float.tif", np.full((8, 8, 3), np.nan, np.float32), photometric="rgb")
    for name in ("text.png", "empty.png", "cut.png", "cut.jpg", "float.tif", "missing.png"):
        assert name in error_of(capsys, files / name, target, "-o", out)
        assert name in error_of(capsys, source, files / name, "-o", out)
    assert "must end in one of .png, .jpg" in error_of(capsys, source, target, "-o", files / "out.gif")
    assert "strength must be from 0 to 2, got 3.0" in error_of(capsys, source, target, "-o", out, "--strength", 3)
    assert "the mask has 40 x 40 pixels and the source 64 x 48" in error_of(
        capsys, source, target, "-o", out, "--mask", target
    )
    assert "invalid choice: 'magic'" in error_of(capsys, source, target, "-o", out, "--method", "magic")
    options = "--method", "reinhard", "--run", files
    assert "--run is for method huenet, got reinhard" in error_of(capsys, source, target, "-o", out, *options)
    options = "--method", "reinhard", "--smooth", 4
    assert "--smooth is for method transport and relaxed, got reinhard" in error_of(
        capsys, source, target, "-o", out, *options
    )
    assert not out.exists()


@pytest.mark.posix
def test_a_pipe_is_not_waited_for(files, capsys):
    os.mkfifo(files / "pipe.png")
    assert "pipe.png" in error_of(capsys, files / "pipe.png", files / "target.png", "-o", files / "out.png")
    assert "pipe.png" in error_of(capsys, files / "source.png", files / "pipe.png", "-o", files / "out.png")


def test_a_grey_source_is_copied_with_a_note(files, capsys):
    Image.fromarray(plain(GREY)).save(files / "grey.png")
    assert command(files / "grey.png", files / "target.png", "-o", files / "out.png") == 0
    assert "note:" in (error := capsys.readouterr().err)
    assert "the source has no colour" in error
    np.testing.assert_array_equal(read_picture(files / "out.png").pixels, plain(GREY))


def test_mask_file(files):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    Image.fromarray(mask).save(files / "mask.png")
    out = files / "out.png"
    assert command(files / "source.png", files / "target.png", "-o", out, "--mask", files / "mask.png") == 0
    np.testing.assert_array_equal(read_picture(out).pixels, recolor(scene(0), scene(1, 40, 40), mask=mask))
    # white drawn on nothing, as editors save a layer
    Image.fromarray(np.dstack([np.full((48, 64, 3), 255, np.uint8), mask])).save(files / "layer.png")
    again = files / "again.png"
    assert command(files / "source.png", files / "target.png", "-o", again, "--mask", files / "layer.png") == 0
    np.testing.assert_array_equal(read_picture(again).pixels, read_picture(out).pixels)


# A trained network


@pytest.fixture
def run(tmp_path):
    """A run folder with the weights of an untrained network, whose last layer turns every hue by a tenth."""
    import torch

    from huenet.config import from_preset
    from huenet.model import checkpoint
    from huenet.model.checkpoint import MODEL
    from huenet.model.networks import build_generator

    config = from_preset("quick", size=32, width=4)
    torch.manual_seed(0)
    generator = build_generator(config)
    folder = tmp_path / "run"
    folder.mkdir()
    checkpoint.save(folder / MODEL, generator.state_dict(), {"step": 1, "config": config.to_json()})
    return folder


def test_a_network_rotates_hue_at_any_size(run):
    source, target = scene(0, 300, 171), np.full((40, 50, 3), (200, 60, 40), np.uint8)
    before, after = hsv_of(source), hsv_of(recolor(source, target, run=run, keep="value"))
    away = [hue - hsv_of(target)[0, 0, 0] for hue in (before[0], after[0])]
    away = [np.abs(turns - np.round(turns))[before[1] * before[2] > 0.2].mean() for turns in away]
    assert away[1] < 0.03 < 0.1 < away[0]  # near hues move together, so not all get there
    np.testing.assert_allclose(after[1:], before[1:], atol=2.01 / 255)


def test_closeness_is_a_dial_of_the_network(run):
    source, target = scene(0), scene(1)
    torch = pytest.importorskip("torch")
    from huenet.model import checkpoint
    from huenet.model.checkpoint import MODEL

    tensors, meta = checkpoint.load(run / MODEL)
    shaken = {name: t + 0.1 * torch.randn(t.shape) for name, t in tensors.items()}
    checkpoint.save(run / MODEL, shaken, meta)
    results = [recolor(source, target, run=run, closeness=c) for c in (None, 0.0, 0.4, 1.0)]
    np.testing.assert_array_equal(results[0], results[2])
    assert (results[1] != results[3]).any()
    with pytest.raises(ValueError, match=r"closeness must be from 0 to 1, got 1\.5"):
        recolor(source, target, run=run, closeness=1.5)
    with pytest.raises(ValueError, match="--closeness is for method huenet, got transport"):
        recolor(source, target, method="transport", closeness=0.5)


def test_networks_that_cannot_be_used_get_one_line(files, run, capsys):
    from huenet.model import checkpoint
    from huenet.model.checkpoint import MODEL

    arguments = files / "source.png", files / "target.png", "-o", files / "out.png", "--run"
    assert command(*arguments, run) == 0
    (files / "out.png").unlink()
    tensors, meta = checkpoint.load(run / MODEL)
    for change in ({"width": 8}, {"circle": False}, {"new_field": 1}, {"size": 33}):
        import json

        config = json.dumps({**json.loads(meta["config"]), **change})
        checkpoint.save(run / MODEL, tensors, {**meta, "config": config})
        assert "does not fit the configuration it names" in error_of(capsys, *arguments, run)
    (run / MODEL).write_bytes((run / MODEL).read_bytes()[:-50])
    assert "is not a readable checkpoint" in error_of(capsys, *arguments, run)
    assert f"has no {MODEL}" in error_of(capsys, *arguments, files)
    assert not (files / "out.png").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "holds weights that are infinite or NaN; choose another run"),
        (float("inf"), "holds weights that are infinite or NaN; choose another run"),
        (3e38, "the network's output is infinite or NaN"),
    ],
)
def test_weights_that_are_of_no_use_write_no_picture(files, run, capsys, value, message):
    from huenet.model import checkpoint
    from huenet.model.checkpoint import MODEL

    tensors, meta = checkpoint.load(run / MODEL)
    for tensor in tensors.values():
        tensor.fill_(value)
    checkpoint.save(run / MODEL, tensors, meta)
    out = files / "out.png"
    assert message in error_of(capsys, files / "source.png", files / "target.png", "-o", out, "--run", run)
    assert not out.exists()


# The console command


def test_the_console_command_is_the_modules(files, capsys):
    from huenet.__main__ import main

    assert main(["transfer", str(files / "source.png"), str(files / "target.png"), "-o", str(files / "out.png")]) == 0
    assert (files / "out.png").exists()
    for arguments in (["--help"], ["transfer", "--help"], ["train", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        text = capsys.readouterr().out
        assert f"usage: {' '.join(['huenet', *arguments[:-1]])} [" in text
    for arguments in ([], ["paint"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.posix
def test_memory_is_bounded(tmp_path):
    """48 megapixels: less than 10 bytes a pixel above what an empty run takes."""
    rng = np.random.default_rng(0)
    block = np.kron(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), np.ones((100, 100, 1), np.uint8))
    Image.fromarray(block).save(tmp_path / "large.jpg")
    Image.fromarray(scene(0)).save(tmp_path / "small.png")
    script = (
        "import resource, sys; from huenet.transfer.command import main; main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for name in ("small.png", "large.jpg"):
        out = subprocess.run(
            [sys.executable, "-c", script, tmp_path / name, tmp_path / "small.png", "-o", tmp_path / f"out-{name}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(out.stdout))
    assert (peaks[1] - peaks[0]) * 1024 < 10 * 48e6

"""The trainer: it learns, goes on exactly where it was killed, loses nothing, and says in one line what is wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from commands import refusal
from PIL import Image

from huenet import checkpoint, losses, train
from huenet.config import ConfigError, describe, from_preset
from huenet.monitor import Monitor
from huenet.processes import Processes
from huenet.state import CHECKPOINT, MODEL, State
from huenet.validation import warnings

torch.set_num_threads(1)
TINY = ["--size", "32", "--width", "8", "--batch-size", "4", "--val-pairs", "4", "--bins", "32", "--no-tensorboard"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(folder, out, *flags):
    return train.main(["--data", str(folder), "--out", str(out), *TINY, *map(str, flags)])


def command(folder, out, *flags):
    return [sys.executable, "-m", "huenet.train", "--data", str(folder), "--out", str(out), *TINY, *map(str, flags)]


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def checkpoints(a, b):
    """Tensors of two run folders, side by side, once they are known to stand at the same step and place in the data."""
    (one, meta), (other, other_meta) = (checkpoint.load(out / CHECKPOINT) for out in (a, b))
    assert one.keys() == other.keys()
    assert (meta["step"], meta["sampler"]) == (other_meta["step"], other_meta["sampler"])
    return {name: (one[name], other[name]) for name in one}


def same_gradients(a, b):
    """Adam's running means of the gradients agree to rounding; weights need not, where a gradient is nearly 0."""
    means = {name: pair for name, pair in checkpoints(a, b).items() if name.endswith("exp_avg")}
    largest = max(one.abs().max() for one, _ in means.values()).item()
    for name, (one, other) in means.items():
        torch.testing.assert_close(one, other, atol=1e-5 * largest, rtol=1e-3, msg=name)


def test_a_tiny_run_lowers_its_loss_and_leaves_a_run_folder(folder, tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--steps", 40, "--lr", 2e-3, "--prior", 0, "--log-every", 5, "--ema", 0.9, "--val-every", 20]
    weights = ["--lambda-emd", 100, "--gamma-mi", 0.1, "--lambda-smooth", 1]
    assert run(folder, out, *flags, *weights) == 0
    emd = [line["emd"] for line in lines(out) if "emd" in line]
    assert np.mean(emd[-2:]) < 0.7 * emd[0]
    expected = {"config.json", "data.json", "metrics.jsonl", CHECKPOINT, MODEL, "curves.png", "samples"}
    assert {path.name for path in out.iterdir()} == expected
    assert {path.name for path in (out / "samples").iterdir()} == {"step-0000000.png", "step-0000040.png"}
    assert [line["step"] for line in lines(out) if "val/emd_output" in line] == [0, 20, 40]
    printed = capsys.readouterr().out
    assert str(out) in printed
    last = printed.splitlines()[-1]
    assert "EMD" in last
    assert "incoherence" in last
    assert "relative MI" in last


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["paper", "default"])
def test_two_images_can_be_overfitted(folder, preset):
    changes = {"prior": 0.0} if preset == "default" else {"lambda_emd": 100.0}
    config = from_preset(
        preset,
        size=32,
        width=16,
        lr=2e-3,
        bins=32,
        lambda_adv=0.0,
        gamma_mi=0.1,
        lambda_smooth=0.0,
        dropout=0.0,
        **changes,
    )
    images = np.stack([np.asarray(Image.open(folder / f"0{i}.png").resize((32, 32))) for i in (0, 1)])
    processes = Processes("cpu")
    state = State(config, 2, processes)
    pictures = train.Pictures(images.transpose(0, 3, 1, 2).copy(), "none", processes.device)
    networks = state.generator, state.discriminator
    emd = []
    for _ in range(120):
        terms = train.training_step(config, state, networks, *pictures.pairs(next(state.sampler)))
        state.step += 1
        emd.append(terms[0].item())
    assert np.mean(emd[-5:]) < 0.1 * emd[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_compiled_networks_have_the_same_gradients(folder, tmp_path):
    flags = ["--steps", 1, "--lambda-emd", 1]
    for name, choice in (("plain", "--no-compile"), ("compiled", "--compile")):
        done = subprocess.run(command(folder, tmp_path / name, *flags, choice), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    same_gradients(tmp_path / "plain", tmp_path / "compiled")


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_a_killed_run_goes_on_bit_for_bit(folder, tmp_path, monkeypatch, preset):
    """With dropout and batch norm (paper), and with averaged weights and a falling rate (default)."""
    flags = ["--preset", preset, "--steps", 8, "--save-every", 4, "--seed", 3]
    assert run(folder, tmp_path / "whole", *flags) == 0

    step = train.training_step
    count = 0

    def dies(*arguments):
        nonlocal count
        count += 1
        if count == 7:
            raise MemoryError("killed")
        return step(*arguments)

    monkeypatch.setattr(train, "training_step", dies)
    with pytest.raises(MemoryError):
        run(folder, tmp_path / "cut", *flags)
    monkeypatch.undo()
    assert checkpoint.load(tmp_path / "cut" / CHECKPOINT)[1]["step"] == 4
    torch.manual_seed(99)  # nothing of the old process is left
    assert train.main(["--resume", "auto", "--out", str(tmp_path / "cut")]) == 0
    for name, (one, other) in checkpoints(tmp_path / "whole", tmp_path / "cut").items():
        assert torch.equal(one, other), name


def test_resume_auto_starts_afresh_where_there_is_nothing(folder, tmp_path):
    assert run(folder, tmp_path / "new", "--resume", "auto", "--steps", 1) == 0
    assert run(folder, tmp_path / "new", "--resume", "auto", "--steps", 2) == 0
    assert checkpoint.load(tmp_path / "new" / CHECKPOINT)[1]["step"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits(folder, tmp_path, number):
    out = tmp_path / "run"
    arguments = command(folder, out, "--steps", 100_000, "--log-every", 1, "--save-every", 100_000)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").is_file() or len(lines(out)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Stopped and saved at step" in printed
    assert "Traceback" not in errors
    assert checkpoint.load(out / CHECKPOINT)[1]["step"] >= 3


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(folder, tmp_path):
    flags = ["--steps", 2, "--log-every", 1, "--norm", "group", "--dropout", 0]
    assert run(folder, tmp_path / "one", *flags) == 0
    arguments = command(folder, tmp_path / "two", *flags)
    arguments[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    same_gradients(tmp_path / "one", tmp_path / "two")
    for one, two in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert one["step"] == two["step"]
        if "emd" in one:
            assert one["emd"] == pytest.approx(two["emd"], rel=1e-3)


def test_accumulation_changes_nothing(folder, tmp_path):
    for parts in (1, 2):
        assert run(folder, tmp_path / str(parts), "--steps", 1, "--accumulate", parts) == 0
    same_gradients(tmp_path / "1", tmp_path / "2")


def test_a_loss_that_is_not_finite_goes_back_once_and_ends_twice(folder, tmp_path, monkeypatch, capsys):
    real, calls, bad = losses.emd_loss, 0, {6}

    def spoiled(*arguments):
        nonlocal calls
        calls += 1
        return real(*arguments) * (float("nan") if calls in bad else 1)

    monkeypatch.setattr(losses, "emd_loss", spoiled)
    flags = ["--steps", 8, "--save-every", 4, "--log-every", 1]
    assert run(folder, tmp_path / "once", *flags) == 0
    printed = capsys.readouterr()
    assert "emd became infinite or NaN by step 6: back to step 4" in printed.err + printed.out
    tensors, meta = checkpoint.load(tmp_path / "once" / CHECKPOINT)
    assert meta["step"] == 8
    assert meta["sampler"]["position"] == 4 * (8 + 2)  # the pairs that led to trouble are left behind
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())

    calls, bad = 0, {6, 7}
    assert run(folder, tmp_path / "twice", *flags) == 2
    assert "emd became infinite or NaN by step 5, after step 6; lower --lr" in capsys.readouterr().err
    assert checkpoint.load(tmp_path / "twice" / CHECKPOINT)[1]["step"] == 4


def test_nothing_is_written_over(folder, tmp_path, capsys):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("precious")
    assert run(folder, out, "--steps", 1) == 2
    assert "is not empty; name another folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "50"], "--size must be a power of two from 32 up"),
        (["--preset", "papre"], "--preset must be one of paper, default, quick"),
        (["--lambda-emd", "-1"], "--lambda-emd must be at least 0, got -1.0"),
        (["--lambda-emd", "nan"], "--lambda-emd must be at least 0, got nan"),
        (["--gamma-mi", "much"], "argument --gamma-mi: invalid float value: 'much'"),
        (["--batch-size", "4", "--accumulate", "3"], "--batch-size must be a multiple of"),
        (["--boundary", "round"], "--boundary must be one of open, circular, reflect"),
        (["--device", "abacus"], "--device abacus is not to be had here"),
        (["--resume", "nowhere"], "--resume nowhere has no checkpoint.safetensors"),
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(train.main, capsys, *TINY, *flags)
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_of_another_network_is_one_line(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "a", "--steps", 1) == 0
    assert train.main(["--resume", str(tmp_path / "a"), "--width", "16"]) == 2
    assert "does not fit this configuration" in capsys.readouterr().err.splitlines()[-1]


def test_dry_run_writes_nothing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--data", str(folder), *TINY, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("training and", "device", "GiB", "steps/s", "the run"))
    assert os.listdir(tmp_path) == []


def test_print_config_gives_a_reason_for_every_difference(capsys):
    assert train.main(["--print-config", "--preset", "quick", "--lr", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert "paper: 0.0002; chosen on the command line" in printed
    for preset in ("default", "quick"):
        for line in describe(from_preset(preset)).splitlines():
            assert "paper:" not in line or ";" in line
    assert "paper:" not in describe(from_preset("paper"))


def test_the_paper_preset_holds_every_constant_of_section_2_6():
    config = from_preset("paper")
    assert (config.bins, config.batch_size, config.lr, config.beta1, config.beta2) == (256, 32, 2e-4, 0.5, 0.999)
    assert (config.lambda_emd, config.gamma_mi, config.flip) == (100, 25, "vertical")
    assert (config.boundary, config.bandwidth, config.size, config.epochs) == ("open", 0.4, 128, 100)
    assert not config.circle
    assert not config.chroma_weights
    with pytest.raises(ConfigError, match="--prior needs --circle"):
        from_preset("paper", prior=8.0)


def test_a_collapse_is_warned_of():
    fine = {"rotation": 0.1, "emd_source": 0.2, "hues_output": 40.0, "hues_target": 50.0, "d_accuracy": 0.7}
    assert warnings(fine) == []
    for change, word in (
        ({"rotation": 0.0}, "equals the source"),
        ({"hues_output": 1.0}, "one hue everywhere"),
        ({"d_accuracy": 1.0}, "discriminator"),
    ):
        (found,) = warnings({**fine, **change})
        assert word in found


def test_bfloat16_and_tensorboard(folder, tmp_path):
    flags = [flag for flag in TINY if flag != "--no-tensorboard"]
    arguments = ["--data", str(folder), "--out", str(tmp_path / "run"), *flags, "--steps", "2", "--amp"]
    assert train.main(arguments) == 0
    assert any(path.name.startswith("events.out") for path in (tmp_path / "run").iterdir())


def test_numbers_are_read_late_and_nan_is_not_lost():
    monitor = Monitor(("emd", "mi"), 2, Processes("cpu"))
    monitor.late = 3  # as on a GPU
    reports = [monitor.add(step, torch.tensor([float(step), 1.0]), stop=step == 4) for step in range(1, 9)]
    assert [report.step for report in reports] == [0, 0, 0, 0, 2, 0, 4, 0]
    assert reports[4].means == {"emd": 1.5, "mi": 1.0}
    assert [report.stop for report in reports] == [False] * 6 + [True, False]
    monitor.reset()
    reports = [
        monitor.add(step, torch.tensor([float("nan") if step == 3 else 0.0, 1.0]), stop=False) for step in range(3, 9)
    ]
    assert [report.bad for report in reports if report.bad] == [["emd"]]

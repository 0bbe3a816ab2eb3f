"""A training that is told to stop saves, and ends at once where it is told again."""

import shutil
import signal
import subprocess
import time

import pytest
import torch
from training import ENVIRONMENT, checkpoints, command, lines, step_of, torchrun

from huenet.model import checkpoint
from huenet.model.checkpoint import CHECKPOINT
from huenet.train import loop as train


@pytest.mark.slow
@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
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
    assert process.returncode == train.STOPPED == 75, errors
    assert "Stopped and saved at step" in printed
    assert "Traceback" not in errors
    assert checkpoint.load(out / CHECKPOINT)[1]["step"] >= 3


@pytest.mark.slow
@pytest.mark.posix
def test_a_second_ctrl_c_ends_at_once(folder, tmp_path):
    out = tmp_path / "run"
    slow = command(folder, out, "--size", 256, "--width", 32, "--batch-size", 32, "--steps", 1000)
    process = subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    deadline = time.monotonic() + 240
    while not (out / "metrics.jsonl").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told = []
    while not told or "a second time ends at once" not in told[-1]:
        told.append(process.stderr.readline())
        assert told[-1], told
    process.send_signal(signal.SIGINT)  # in the same step: one takes seconds
    _, errors = process.communicate(timeout=60)
    errors = "".join(told) + errors
    assert process.returncode == 130, errors
    assert errors.count("a second time ends at once") == 1
    assert "Traceback" not in errors
    assert step_of(out) == 0


@pytest.mark.slow
@pytest.mark.posix
def test_a_signal_to_torchrun_saves_at_once(folder, tmp_path):
    """It kills after 30 seconds: nobody waits for the next line of metrics. Then both go on, exactly."""
    out = tmp_path / "run"
    arguments = torchrun(command(folder, out, "--steps", 100_000, "--log-every", 100_000, "--save-every", 100_000))
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate(timeout=60)
    assert "Stopped and saved at step" in printed, errors
    assert "Deprecat" not in errors
    saved = step_of(out)
    assert saved > 0
    shutil.copytree(out, tmp_path / "copy")
    for name in ("run", "copy"):
        more = torchrun(command(folder, tmp_path / name, "--resume", "auto", "--steps", saved + 3))
        done = subprocess.run(more, capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
    assert step_of(out) == saved + 3
    for name, (one, other) in checkpoints(out, tmp_path / "copy").items():
        assert torch.equal(one, other), name

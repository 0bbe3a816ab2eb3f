"""`huenet evaluate` in several processes: they find what one finds, and go when it is stopped or killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from commands import status

from huenet.evaluate import run as evaluate
from huenet.evaluate.folder import read_rows

torch.set_num_threads(1)
pytestmark = pytest.mark.slow


def test_workers_find_what_one_process_finds(folder, run, tmp_path):
    for workers in (1, 2):
        evaluate.evaluate(run, str(folder), pairs=4, workers=workers, out=tmp_path / str(workers))
    one, two = (read_rows(tmp_path / place) for place in ("1", "2"))
    assert list(one) == [0, 1, 2, 3]
    assert sorted(two) == [0, 1, 2, 3]
    for number, row in one.items():
        for method, values in row.items():
            assert two[number][method] == pytest.approx(values, abs=2e-3), method


@pytest.mark.posix
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
    assert status(evaluate.main, run, "--data", folder, "--workers", 1) == 0
    assert rows.read_bytes().startswith(kept)
    assert len(read_rows(run / "evaluation")) == 20


@pytest.mark.posix
def test_a_killed_evaluation_leaves_no_process_behind(folder, run):
    arguments = [sys.executable, "-m", "huenet.evaluate", str(run), "--data", str(folder), "--pairs", "100"]
    reader, writer = os.pipe()  # open as long as one of them lives
    process = subprocess.Popen(
        [*arguments, "--workers", "2"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=writer,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    rows = run / "evaluation" / "rows.jsonl"
    deadline = time.time() + 120
    while not rows.exists():
        assert time.time() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait(60)
    os.set_blocking(reader, False)
    deadline = time.time() + 20
    while time.time() < deadline:
        try:
            if not os.read(reader, 100):
                break
        except BlockingIOError:
            time.sleep(0.1)
    else:
        pytest.fail("a worker still holds the pipe")
    os.close(reader)

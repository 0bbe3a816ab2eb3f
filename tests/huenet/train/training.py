"""Runs of the trainer, small enough for a test."""

import json
import os
import sys

import pytest
import torch

from huenet.model import checkpoint
from huenet.model.checkpoint import CHECKPOINT
from huenet.train import loop as train
from huenet.train import plots

torch.set_num_threads(1)
TINY = ["--size", "32", "--width", "8", "--batch-size", "4", "--val-pairs", "4", "--bins", "32", "--no-tensorboard"]
TINY += ["--no-features"]  # weights of another network, which not every machine has
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(folder, out, *flags, drawn=False):
    """Status of a training in this process. Unless ``drawn``, its pictures, which take most of the time, are empty."""
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr(plots, "save", lambda figure, path: path.touch())
        return train.main(["--data", str(folder), "--out", str(out), *TINY, *map(str, flags)])


def command(folder, out, *flags):
    return [sys.executable, "-m", "huenet.train", "--data", str(folder), "--out", str(out), *TINY, *map(str, flags)]


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def step_of(out):
    return checkpoint.load(out / CHECKPOINT)[1]["step"]


def checkpoints(a, b):
    """Tensors of two run folders, side by side, once they are known to stand at the same step and place in the data."""
    (one, meta), (other, other_meta) = (checkpoint.load(out / CHECKPOINT) for out in (a, b))
    assert one.keys() == other.keys()
    assert (meta["step"], meta["sampler"]) == (other_meta["step"], other_meta["sampler"])
    return {name: (one[name], other[name]) for name in one}


def same_gradients(a, b):
    """Adam's running means of the gradients agree to rounding; weights need not, where a gradient is nearly 0."""
    means = {name: pair for name, pair in checkpoints(a, b).items() if name.endswith("exp_avg")}
    for name, (one, other) in means.items():
        assert one.any(), f"{name}: nothing to compare"
        torch.testing.assert_close(one, other, atol=1e-4 * one.abs().max().item(), rtol=1e-3, msg=name)


def torchrun(arguments):
    """The same command line, in two processes."""
    return [arguments[0], "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments[1:]]

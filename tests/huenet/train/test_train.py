"""The trainer: it learns, the same in any number of processes, and says in one line what is wrong."""

import errno
import io
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from commands import refusal
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from training import ENVIRONMENT, TINY, command, lines, run, same_gradients, torchrun

from huenet.config import ConfigError, describe, from_preset
from huenet.data.batches import Pictures
from huenet.images.read import read_image
from huenet.model import checkpoint, losses
from huenet.model.checkpoint import CHECKPOINT, MODEL
from huenet.train import loop as train
from huenet.train.processes import Processes, pick_device
from huenet.train.state import State


def test_a_tiny_run_lowers_its_loss_and_leaves_a_run_folder(folder, tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--steps", 40, "--lr", 2e-3, "--log-every", 5, "--ema", 0.9, "--val-every", 20]
    weights = ["--lambda-emd", 100, "--gamma-mi", 0.1, "--lambda-smooth", 1]
    assert run(folder, out, *flags, *weights, drawn=True) == 0
    emd = [line["emd"] for line in lines(out) if "emd" in line]
    assert np.mean(emd[-2:]) < 0.7 * emd[0]
    expected = {"config.json", "data.json", "metrics.jsonl", CHECKPOINT, MODEL, "curves.png", "samples"}
    assert {path.name for path in out.iterdir()} == expected
    assert {path.name for path in (out / "samples").iterdir()} == {"step-0000000.png", "step-0000040.png"}
    assert all(read_image(path).shape[1] > 500 for path in out.rglob("*.png"))
    assert [line["step"] for line in lines(out) if "val/emd_output" in line] == [0, 20, 40]
    printed = capsys.readouterr().out
    choices, _, begin = printed.partition("\n\n")
    assert describe(train.from_preset("default", data=str(folder))).splitlines()[3] in choices
    assert begin.startswith(f"10 training and 2 validation pictures, 40 steps on {pick_device('auto')}, into {out}\n")
    last = printed.splitlines()[-1]
    assert "EMD" in last
    assert "incoherence" in last
    assert "relative MI" in last


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["paper", "default"])
def test_two_images_can_be_overfitted(folder, preset):
    changes = {"features": False} if preset == "default" else {"lambda_palette": 0.0, "palette_dial": 0.0}
    config = from_preset(
        preset,
        size=32,
        width=16,
        lr=2e-3,
        bins=32,
        lambda_adv=0.0,
        lambda_emd=100.0,
        gamma_mi=0.1,
        lambda_smooth=0.0,
        dropout=0.0,
        **changes,
    )
    images = np.stack([np.asarray(Image.open(folder / f"0{i}.png").resize((32, 32))) for i in (0, 1)])
    processes = Processes("cpu")
    state = State(config, 2, processes)
    pictures = Pictures(images.transpose(0, 3, 1, 2).copy(), "none", processes.device)
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
    flags = ["--steps", 2, "--lambda-emd", 1]  # in the first, the last layer is 0, and no gradient gets past it
    for name, choice in (("plain", "--no-compile"), ("compiled", "--compile")):
        done = subprocess.run(command(folder, tmp_path / name, *flags, choice), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    same_gradients(tmp_path / "plain", tmp_path / "compiled")


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(folder, tmp_path):
    flags = ["--steps", 2, "--log-every", 1, "--norm", "group", "--dropout", 0]
    assert run(folder, tmp_path / "one", *flags) == 0
    arguments = torchrun(command(folder, tmp_path / "two", *flags))
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    same_gradients(tmp_path / "one", tmp_path / "two")
    for one, two in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert one["step"] == two["step"]
        if "emd" in one:
            assert one["emd"] == pytest.approx(two["emd"], rel=1e-3)


def test_accumulation_changes_nothing(folder, tmp_path):
    for parts in (1, 2):
        assert run(folder, tmp_path / str(parts), "--steps", 2, "--accumulate", parts) == 0
    same_gradients(tmp_path / "1", tmp_path / "2")


@pytest.mark.parametrize("term", ["palette", "discriminator"])
def test_a_loss_that_is_not_finite_goes_back_once_and_ends_twice(folder, tmp_path, monkeypatch, capsys, term):
    name = f"{term}_loss"
    real, calls, bad = getattr(losses, name), 0, {6}

    def spoiled(*arguments):
        nonlocal calls
        calls += 1
        return real(*arguments) * (float("nan") if calls in bad else 1)

    monkeypatch.setattr(losses, name, spoiled)
    flags = ["--steps", 8, "--save-every", 4, "--log-every", 1]
    assert run(folder, tmp_path / "once", *flags) == 0
    printed = capsys.readouterr()
    assert f"{term} became infinite or NaN by step 6: back to step 4" in printed.err + printed.out
    tensors, meta = checkpoint.load(tmp_path / "once" / CHECKPOINT)
    assert meta["step"] == 8
    assert all(line["pairs_per_second"] > 0 for line in lines(tmp_path / "once") if "lr" in line)
    assert meta["sampler"]["position"] == 4 * (8 + 2)  # the pairs that led to trouble are left behind
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())

    calls, bad = 0, {6, 7}
    assert run(folder, tmp_path / "twice", *flags) == 2
    assert f"{term} became infinite or NaN by step 5, as it did by step 6; lower --lr" in capsys.readouterr().err
    assert checkpoint.load(tmp_path / "twice" / CHECKPOINT)[1]["step"] == 4


def test_what_adam_keeps_must_be_finite_too():
    """An infinite mean square would leave its weight where it is for ever, without a NaN anywhere."""
    state = State(from_preset("default", size=32, width=4, features=False), 2, Processes("cpu"))
    weight = state.generator.query.weight
    weight.grad = torch.full_like(weight, 1e30)
    assert state.is_finite()
    state.adam_g.step()
    assert weight.isfinite().all()
    assert not state.is_finite()


class Waits(TorchDispatchMode):
    """Names the operations that would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = str(function)
        masked = name.startswith("aten.index.") and any(i is not None and i.dtype == torch.bool for i in arguments[1])
        if masked or any(
            word in name for word in ("_local_scalar", "nonzero", "masked_select", "unique", "aten.equal")
        ):
            self.found.append(name)
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_a_step_asks_the_device_for_nothing(preset):
    config = from_preset(preset, size=32, width=4, batch_size=2, accumulate=2, features=False)
    processes = Processes("cpu")
    state = State(config, 2, processes)
    pictures = Pictures(np.full((2, 3, 32, 32), 99, np.uint8), config.flip, processes.device)
    with Waits() as waits:
        train.training_step(config, state, (state.generator, state.discriminator), *pictures.pairs(next(state.sampler)))
        assert waits.found == []
        state.is_finite()
    assert waits.found  # it does tell


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "50"], "--size must be a power of two from 32 up"),
        (["--preset", "papre"], "--preset must be one of paper, default, quick"),
        (["--lambda-emd", "-1"], "--lambda-emd must be at least 0, got -1.0"),
        (["--lambda-emd", "nan"], "--lambda-emd must be a finite number, got nan"),
        (["--gamma-mi", "much"], "argument --gamma-mi: invalid float value: 'much'"),
        (["--batch-size", "4", "--accumulate", "3", "--data", "cars"], "--batch-size must be a multiple of"),
        (["--boundary", "round"], "--boundary must be one of open, circular, reflect"),
        (["--lr", "inf"], "--lr must be a finite number, got inf"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--seed", str(2**64)], "--seed must be below 2**63"),
        (["--device", "abacus"], "--device abacus is not to be had here"),
        (["--device", "meta"], "--device meta is not to be had here"),
        (["--resume", "nowhere"], "--resume nowhere has no checkpoint.safetensors"),
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(train.main, capsys, *TINY, *flags)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), "device: a.png; free some space, and go on with"),
        (OSError(errno.ENOENT, "No such file", "a.png"), "No such file: a.png; go on with --resume"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "does not hold a batch of 4; give"),
        (MemoryError(), "does not hold a batch of 4; give --accumulate 2 or more"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n2 GiB"),
            "does not hold a batch of 4; give --accumulate 2 or more",
        ),
    ],
)
def test_trouble_on_the_way_is_one_line_too(folder, tmp_path, monkeypatch, capsys, error, advice):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(train, "training_step", fail)
    assert run(folder, tmp_path / "run", "--steps", 1) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("huenet.train")]
    assert advice in line


def test_one_process_tells_what_is_wrong_for_all(monkeypatch):
    """Of two processes, a refusal is one line."""
    error = ConfigError("wrong")
    monkeypatch.setattr("torch.distributed.broadcast_object_list", lambda box, device: box.__setitem__(1, error))
    for rank, raised in ((0, ConfigError), (1, SystemExit)):
        processes = Processes("cpu")
        processes.rank, processes.world, processes.first = rank, 2, rank == 0
        with pytest.raises(raised):
            processes.agree(lambda: None)


def test_dry_run_names_what_it_skips(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "pictures")
    for name in "abcd":
        (tmp_path / "pictures" / f"{name}.jpg").write_bytes(b"")
    assert train.main(["--data", str(tmp_path / "pictures"), *TINY, "--dry-run"]) == 0
    assert "4 files skipped (a.jpg: empty file; b.jpg: empty file; c.jpg: empty file; ...)" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_dry_run_names_what_is_no_text(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "pictures")
    (tmp_path / "pictures" / os.fsdecode(b"\xe9.jpg")).write_bytes(b"")
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8"))  # strict, as it is where LANG says UTF-8
    assert train.main(["--data", str(tmp_path / "pictures"), *TINY, "--dry-run"]) == 0
    sys.stdout.flush()
    assert rb"1 files skipped (\udce9.jpg: empty file)" in out.getvalue()


def test_dry_run_writes_nothing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--data", str(folder), *TINY, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("training and", "device", "GiB", "steps/s", "the run"))
    assert os.listdir(tmp_path) == []


def test_bfloat16_and_tensorboard(folder, tmp_path):
    flags = [flag for flag in TINY if flag != "--no-tensorboard"]
    arguments = ["--data", str(folder), "--out", str(tmp_path / "run"), *flags, "--steps", "2", "--amp"]
    arguments += ["--log-every", "2"]
    assert train.main(arguments) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"images": 0, "scalars": 0}).Reload()
    shown = set(train.TERMS) - {"emd", "mi"}  # which have no weight
    assert {*shown, "lr", "epoch", "pairs_per_second", "val/emd_output"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Images("samples")] == [0, 2]
    (palette,) = events.Scalars("palette")
    assert palette.value == pytest.approx(
        next(line["palette"] for line in lines(tmp_path / "run") if "palette" in line)
    )

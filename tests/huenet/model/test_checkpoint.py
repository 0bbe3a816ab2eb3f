"""Checkpoints: exact, atomic under SIGKILL and a full disk, and never a pickle."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from safetensors.torch import save_file

from huenet.model import checkpoint
from huenet.model.checkpoint import CheckpointError

SAVER = """
import sys, torch
from pathlib import Path
from huenet.model import checkpoint
step = 0
while True:
    step += 1
    tensors = {"a": torch.full((250_000,), float(step)), "b": torch.full((250_000,), float(step))}
    checkpoint.save(Path(sys.argv[1]), tensors, {"step": step})
    print(step, flush=True)
"""


def test_tensors_and_meta_come_back(tmp_path):
    tensors = {
        "weights/channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "step": torch.tensor(3.0),
        "random": torch.get_rng_state(),
        "half": torch.rand(4).bfloat16(),
        "empty": torch.zeros(0),
    }
    meta = {"step": 3, "sampler": {"position": 2**40}, "config": "{}"}
    checkpoint.save(tmp_path / "c.safetensors", tensors, meta)
    found, found_meta = checkpoint.load(tmp_path / "c.safetensors")
    assert found_meta == meta
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in found)
    assert os.listdir(tmp_path) == ["c.safetensors"]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x04}.", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"c\.safetensors is not a readable checkpoint"):
        checkpoint.load(path)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "missing")


@pytest.mark.parametrize("where", [0.2, 0.5, 0.999])
def test_a_wrong_bit_is_found(tmp_path, where):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"a": torch.rand(1000), "b": torch.arange(50)}, {"step": 1})
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    data[int(start + where * (len(data) - start))] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"c\.safetensors is not a readable checkpoint \(damaged: "):
        checkpoint.load(path)


def test_the_same_weights_are_the_same_file(tmp_path):
    tensors = {name: torch.ones(3) for name in "abcdef"}
    for number in range(8):
        checkpoint.save(tmp_path / f"{number}.safetensors", tensors, {"step": 1})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_file_without_a_checksum_is_read(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "c.safetensors", {"meta": '{"step": 1}'})
    assert checkpoint.load(tmp_path / "c.safetensors")[1] == {"step": 1}


def test_optimizer_goes_on_as_if_it_had_never_stopped():
    def steps(parameter, optimizer, count):
        for _ in range(count):
            (parameter**2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    one = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    adam = torch.optim.Adam([one], 0.1)
    steps(one, adam, 3)
    two = torch.nn.Parameter(one.detach().clone())
    other = torch.optim.Adam([two], 0.1)
    checkpoint.load_optimizer(other, {k: v.clone() for k, v in checkpoint.optimizer_tensors(adam).items()})
    steps(one, adam, 3)
    steps(two, other, 3)
    assert torch.equal(one, two)


def test_random_numbers_go_on():
    states = {name: state.clone() for name, state in checkpoint.rng_tensors().items()}
    drawn = torch.rand(4)
    checkpoint.set_rng(states)
    assert torch.equal(torch.rand(4), drawn)


@pytest.mark.slow
@pytest.mark.posix
def test_a_loadable_checkpoint_survives_every_kill(tmp_path):
    path = tmp_path / "c.safetensors"
    rng, last = random.Random(0), 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()  # one save is done, the next under way
        time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        done = [int(line) for line in process.communicate()[0].split()] or [1]
        tensors, meta = checkpoint.load(path)
        assert meta["step"] >= done[-1]  # what was reported as saved is there
        assert (tensors["a"] == meta["step"]).all()
        assert (tensors["b"] == meta["step"]).all()
        last = max(last, meta["step"])
    assert len(os.listdir(tmp_path)) <= 2  # at most one unfinished file, which the next save replaces
    assert last >= 1


@pytest.mark.posix
def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(tmp_path):
    """A limit on the size of files stands for the full disk."""
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"a": torch.ones(4)}, {"step": 1})
    code = """
    import resource, sys, torch
    from pathlib import Path
    from huenet.model import checkpoint
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        checkpoint.save(Path(sys.argv[1]), {"a": torch.zeros(10**6)}, {"step": 2})
    except checkpoint.CheckpointError as error:
        print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), path]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 1
    assert f"cannot write {path}" in lines[0]
    assert "free some space or choose another --out" in lines[0]
    assert checkpoint.load(path)[1] == {"step": 1}
    assert os.listdir(tmp_path) == ["c.safetensors"]


@pytest.mark.posix
def test_others_can_read_what_they_could_read_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    checkpoint.save(tmp_path / "c.safetensors", {"a": torch.ones(1)}, {})
    assert (tmp_path / "c.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot write .*choose another --out"):
        checkpoint.save(tmp_path / "nowhere" / "c.safetensors", {"a": torch.ones(1)}, {})

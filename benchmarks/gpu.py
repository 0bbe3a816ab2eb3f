"""The figures of a CUDA device: ``python -m benchmarks.gpu [--output DIR]``; without one, a line and status 2.

A batch of 32 images of 256 x 256, K = 256, W = L / 2.5: joint histogram + MI distance and histogram + circular squared
EMD, forward and backward, beside the dense formula and beside what no method can be faster than.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import diffhist
from benchmarks import cases, dense, machine, peers, train_step
from benchmarks.cases import Case
from diffhist._evaluation import fused as choice
from huenet.config import Config, from_preset

REPEATS = 20
BAND = 11  # bins that a pixel meets on each axis, to a few parts in a million at W = L / 2.5
Step = Callable[[torch.Tensor], torch.Tensor]


def main(arguments: list[str] | None = None) -> int:
    """Take the figures, print and write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Measure diffhist on a CUDA device.")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to write (default: a new one in runs/)")
    folder = parser.parse_args(arguments).output or Path("runs") / time.strftime("gpu-%Y%m%d-%H%M%S")
    if not torch.cuda.is_available():
        print("benchmarks.gpu: no CUDA device here, nothing was measured", file=sys.stderr)
        return 2
    if (folder / "gpu.json").exists():
        parser.error(f"{folder} holds results already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    record = take(torch.device("cuda"), Case("mi", batch=32, content="hue"))
    record["training step"] = training(from_preset(preset="paper", batch_size=32, device="cuda"))
    record["environment"] = machine.describe() | {"device": torch.cuda.get_device_name(), "CUDA": torch.version.cuda}
    (folder / "gpu.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    return 0


def take(device: torch.device, case: Case) -> dict[str, Any]:
    """Everything that is measured: a dict of milliseconds, with MiB above the inputs, and the ratios that are goals."""
    rows: dict[str, Any] = {}
    for task in cases.TASKS:
        for content in ("hue", "noise", "one hue"):
            x, y, goal = _inputs(device, dataclasses.replace(case, task=task), content)
            for name, fused in ways(device).items():
                with kernels(fused):
                    rows[f"{task}, {content}, {name}"] = _measured(ours(task, case, y, goal), x)
            if content == "hue":
                rows[f"{task}, {content}, dense, image by image"] = _measured(plain(task, case, y, goal), x)
                rows[f"{task}, {content}, dense, the batch at once"] = _measured(mapped(task, case, y, goal), x)
    floors = {"reading": reading_floor(device, case), "arithmetic": arithmetic_floor(device, case)}
    ratios: dict[str, float] = {}
    slow = rows["mi, hue, dense, image by image"]["ms"]
    for name in ways(device):
        ms = {key.removesuffix(f", {name}"): row["ms"] for key, row in rows.items() if key.endswith(name)}
        ratios |= {
            f"MI, {name}: dense / diffhist": slow / ms["mi, hue"],
            f"MI, {name}: diffhist / dearer floor": ms["mi, hue"] / max(floors.values()),
            f"MI, {name}: one hue / noise": ms["mi, one hue"] / ms["mi, noise"],
            f"EMD, {name}: one hue / noise": ms["emd, one hue"] / ms["emd, noise"],
        }
    return {"case": dataclasses.asdict(case), "rows": rows, "floors, ms": floors, "ratios": ratios}


def ways(device: torch.device) -> dict[str, bool]:
    """How diffhist can evaluate there, and whether that is by its fused kernels."""
    return {"fused": True, "array code": False} if choice.kernels(device) else {"array code": False}


@contextlib.contextmanager
def kernels(on: bool) -> Iterator[None]:
    """diffhist with its fused kernels, or by array code alone."""
    before, choice.FUSED = choice.FUSED, on
    try:
        yield
    finally:
        choice.FUSED = before


def training(config: Config) -> dict[str, dict[str, float]]:
    """Milliseconds of a training step and of its losses, and the share of the step that the histogram losses take."""
    found = {}
    for name, fused in ways(torch.device(config.device)).items():
        with kernels(fused):
            costs = train_step.breakdown(config)
        found[name] = {**costs, "EMD and MI / step": (costs["EMD"] + costs["MI"]) / costs["step"]}
    return found


def _inputs(device: torch.device, case: Case, content: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, y = cases.images(dataclasses.replace(case, content="noise" if content == "noise" else "hue"))
    if content == "one hue":
        x, y = np.full_like(x, 0.3), np.full_like(y, 0.3)
    return tuple(torch.from_numpy(a).to(device) for a in (x, y, peers.target(case, x)))  # type: ignore[return-value]


def ours(task: str, case: Case, y: torch.Tensor, goal: torch.Tensor) -> Step:
    """The loss by diffhist, forward and backward: -> gradient."""
    options: dict[str, Any] = {"bins": case.bins, "bandwidth": case.bandwidth}

    def step(x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        if task == "emd":
            loss = diffhist.squared_emd(diffhist.soft_histogram(x, **options), goal, circular=True)
        else:
            loss = diffhist.mi_distance(diffhist.joint_histogram(x, y, **options))
        return torch.autograd.grad(loss.sum(), x)[0]

    return step


def _dense_loss(task: str, case: Case) -> Callable[..., torch.Tensor]:
    options = case.bins, case.bandwidth
    if task == "emd":
        return lambda x, y, goal: dense.circular_squared_emd(dense.histogram(x, *options), goal)
    return lambda x, y, goal: dense.mi_distance(dense.joint_histogram(x, y, *options))


def plain(task: str, case: Case, y: torch.Tensor, goal: torch.Tensor) -> Step:
    """The dense formula, one image after the other."""
    gradient = torch.func.grad(_dense_loss(task, case))
    return lambda x: torch.stack([gradient(*row) for row in zip(x, y, goal, strict=True)])


def mapped(task: str, case: Case, y: torch.Tensor, goal: torch.Tensor) -> Step:
    """The dense formula, all images in one piece."""
    gradient = torch.func.vmap(torch.func.grad(_dense_loss(task, case)))
    return lambda x: gradient(x, y, goal)


def _measured(step: Step, x: torch.Tensor) -> dict[str, Any]:
    """Milliseconds (median, lowest, highest) and MiB above what is there before; a row that does not fit says so."""
    try:
        times = _milliseconds(lambda: step(x), x.device)
    except torch.OutOfMemoryError:
        return {"skipped": "out of memory"}
    return {"ms": statistics.median(times), "lowest": min(times), "highest": max(times), "peak_mib": _peak(step, x)}


def _milliseconds(call: Callable[[], Any], device: torch.device) -> list[float]:
    """Of each of `REPEATS` calls, the device's queue empty before and after."""
    times = []
    for _ in range(REPEATS + 3):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        times.append(1e3 * (time.perf_counter() - start))
    return times[3:]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak(step: Step, x: torch.Tensor) -> float | None:
    if x.device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(x)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def reading_floor(device: torch.device, case: Case, size: int = 1 << 28) -> float:
    """Milliseconds to read both images once, at the rate at which the device copies ``size`` floats."""
    source = torch.zeros(size, device=device)
    goal = torch.empty_like(source)
    copy = statistics.median(_milliseconds(lambda: goal.copy_(source), device))  # reads and writes
    return copy * 2 * case.batch * case.side**2 / (2 * size)


def arithmetic_floor(device: torch.device, case: Case, size: int = 8192) -> float:
    """Milliseconds for the multiply-adds of a direct band, `BAND` squared a pixel forward and again backward, at the
    rate of a float32 matrix product of ``size``."""
    a = torch.rand(size, size, device=device)
    product = statistics.median(_milliseconds(lambda: a @ a, device))
    return product * (2 * BAND**2 * case.batch * case.side**2) / size**3


if __name__ == "__main__":
    sys.exit(main())

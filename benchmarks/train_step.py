"""Where the time of a training step goes: ``python benchmarks/train_step.py --preset default --device cuda``.

Takes the options of ``huenet.train`` (--preset, --size, --batch-size, --device, --amp, --compile, ...). The pictures
are noise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from huenet.color import rgb_to_hsv
from huenet.config import Config, arguments, from_preset
from huenet.model import losses
from huenet.train.loop import training_step
from huenet.train.processes import Processes
from huenet.train.state import State

REPEATS = 5


def milliseconds(call: Callable[[], object], device: torch.device) -> float:
    """Median over a few calls, after one to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times[1:])[REPEATS // 2]


def breakdown(config: Config) -> dict[str, float]:
    """Milliseconds of a training step, of each loss in it by itself, forward and backward."""
    processes = Processes(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    state = State(config, 2, processes)
    networks = state.generator, state.discriminator
    coarse = torch.rand(2, config.batch_size, 3, config.size // 8, config.size // 8)
    source, target = (
        rgb_to_hsv(torch.nn.functional.interpolate(c, scale_factor=8, mode="bilinear").to(processes.device))
        for c in coarse
    )
    closeness = torch.linspace(0, 1, config.batch_size, device=processes.device)
    step = milliseconds(lambda: training_step(config, state, networks, source, target, closeness), processes.device)
    with torch.no_grad():
        hue = state.generator(source, target)
    hue.requires_grad_()
    terms = {
        "EMD": lambda: losses.emd_loss(config, hue, source, target),
        "MI": lambda: losses.mi_loss(config, hue, source),
        "palette": lambda: losses.palette_loss(config, hue, source, target),
        "smoothness": lambda: losses.smoothness_loss(hue, source),
    }
    costs = {
        name: milliseconds(lambda term=term: term().sum().backward(), processes.device) for name, term in terms.items()
    }
    costs["EMD + MI"] = costs["EMD"] + costs["MI"]
    return {"step": step, **costs}


def main() -> None:
    """Print the breakdown."""
    config = from_preset(**{"preset": "default", **arguments(sys.argv[1:])})
    costs = breakdown(config)
    step = costs.pop("step")
    device = Processes(config.device).device
    print(f"{config.preset}, size {config.size}, batch {config.batch_size}, {device}: {step:.1f} ms a step")
    for name, cost in costs.items():
        print(f"{name:10} {cost:8.1f} ms, {cost / step:6.1%} of the step")


if __name__ == "__main__":
    main()

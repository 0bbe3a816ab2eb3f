"""Train Hue-Net: ``python -m huenet.train``, or ``torchrun --nproc-per-node 2 -m huenet.train``.

`train` is the whole of it, from top to bottom; what it needs from elsewhere is in the modules that it imports.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from huenet import data, losses
from huenet.checkpoint import CheckpointError
from huenet.color import rgb_to_hsv
from huenet.config import Config, ConfigError, arguments, describe, from_preset
from huenet.data import DataError, PairBatch
from huenet.monitor import Monitor
from huenet.processes import Processes, StopSignal, without_sync
from huenet.run import Recorder, open_folder, saved_config, saved_run
from huenet.state import State
from huenet.validation import ValidationSet

__all__ = ["TERMS", "Pictures", "TrainingError", "dry_run", "main", "train", "training_step"]

TERMS = ("emd", "mi", "smooth", "adversarial", "discriminator")


class TrainingError(RuntimeError):
    """A run that cannot go on; the message is one line that says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 after a one-line error."""
    given = arguments(argv)
    try:
        with Processes(given.get("device", "auto")) as processes:
            resume = processes.agree(lambda: saved_run(given.get("resume", "no"), given.get("out")))
            config = dataclasses.replace(saved_config(resume), **given) if resume else from_preset(**given)
            if config.threads:
                torch.set_num_threads(config.threads)
            if config.print_config:
                print(describe(config))
            elif config.dry_run:
                dry_run(config, processes)
            else:
                train(config, processes, resume)
    except (ConfigError, DataError, CheckpointError, TrainingError) as error:
        print(f"huenet.train: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a picture or a line of metrics that found no room; checkpoints say it themselves
        print(
            f"huenet.train: {error.strerror}: {error.filename}; free some space or choose another --out",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:  # before the first step, or a second time
        return 130
    return 0


def train(config: Config, processes: Processes, resume: Path | None = None) -> Path:
    """Train, and return the run folder.

    Parameters
    ----------
    config : Config
        Every choice.
    processes : Processes
        Where this process stands among those that train together.
    resume : Path, optional
        A run folder to go on in; its checkpoint must fit `config`.

    Raises
    ------
    ConfigError, DataError, CheckpointError, TrainingError
        Each with one line that says what to do.
    """
    images = data.load(config.data, config.size, config.seed, workers=config.workers or None, progress=processes.first)
    pictures = Pictures(images.train, config.flip, processes.device)
    pairs = ValidationSet(images.validation, config.val_pairs, config.seed, processes.device)
    total = total_steps(config, len(images.train))

    state = State(config, len(images.train), processes)
    if resume:
        state.load(resume)
    folder = processes.agree(lambda: open_folder(config, images.record, resume))
    networks = processes.wrap(state.generator), processes.wrap(state.discriminator)
    monitor = Monitor(TERMS, config.log_every, processes)
    recorder = Recorder(folder, config, pairs, state.step) if processes.first else None
    if recorder and not resume:
        state.save(folder)
        recorder.look(state, final=True)

    failed_at, stopping = 0, False
    bar = tqdm(total=total, initial=state.step, unit="step", disable=not recorder, dynamic_ncols=True)
    with StopSignal() as stop, bar:
        while state.step < total and not stopping:
            state.set_rate(total)
            source, target = pictures.pairs(next(state.sampler))
            terms = training_step(config, state, networks, source, target)
            state.step += 1
            bar.update(1)

            report = monitor.add(state.step, terms, stop.asked)
            stopping = report.stop or (stop.asked and processes.world == 1)
            final = state.step == total
            saving = final or stopping or state.step % config.save_every == 0
            bad = report.bad or (["a weight"] if saving and not state.is_finite() else [])
            if bad:
                trouble = f"{' and '.join(bad)} became infinite or NaN by step {state.step}"
                if failed_at:
                    raise TrainingError(f"{trouble}, after step {failed_at}; lower --lr, or the weight of that term")
                failed_at = state.step
                state.load(folder, weights_only=True)
                monitor.reset()
                bar.write(f"{trouble}: back to step {state.step}")
                bar.n = state.step
                continue
            if saving:
                failed_at = 0
            if not recorder:
                continue
            if saving:
                state.save(folder)
            if report.means:
                recorder.terms(state, report)
                bar.set_postfix({name: f"{value:.3g}" for name, value in report.means.items() if value})
            for line in recorder.look(state, final):
                bar.write(line)

    if recorder:
        print(recorder.finish(state, total))
    return folder


def training_step(
    config: Config, state: State, networks: tuple[nn.Module, nn.Module], source: Tensor, target: Tensor
) -> Tensor:
    """One step of Adam for the generator and one for the discriminator.

    Parameters
    ----------
    config : Config
    state : State
        Its networks and optimisers move.
    networks : tuple
        Generator and discriminator as they are to be called: `state`'s own, or DDP around them.
    source, target : Tensor (B, 3, S, S)
        HSV, on the device.

    Returns
    -------
    Tensor (5,)
        `TERMS`, unweighted, on the device.
    """
    generator, discriminator = networks
    weights = config.lambda_emd, config.gamma_mi, config.lambda_smooth, config.lambda_adv
    parts = list(zip(source.chunk(config.accumulate), target.chunk(config.accumulate), strict=True))
    terms, hues = source.new_zeros(len(TERMS)), []
    state.generator.train()
    state.discriminator.train().requires_grad_(False)
    for i, (s, t) in enumerate(parts, 1):
        with without_sync(generator, i < len(parts)):
            with _autocast(config, source):
                hue = generator(s, t)
                fake = state.discriminator(s, hue)[0].float() if config.lambda_adv else None
            values = [
                losses.emd_loss(config, hue, s, t),
                losses.mi_loss(config, hue, s),
                losses.smoothness_loss(hue, s) if config.lambda_smooth else hue.new_zeros(()),
                losses.generator_adversarial_loss(fake) if fake is not None else hue.new_zeros(()),
            ]
            loss = torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum()
            (loss / len(parts)).backward()
        terms[:4] += torch.stack(values).detach() / len(parts)
        hues.append(hue.detach())
    state.adam_g.step()
    state.adam_g.zero_grad()
    state.update_average()

    state.discriminator.requires_grad_(True)
    for i, ((s, _), hue) in enumerate(zip(parts, hues, strict=True), 1):
        if not config.lambda_adv:
            break
        with without_sync(discriminator, i < len(parts)):
            with _autocast(config, source):
                real, fake = discriminator(s, s[:, 0], hue)
            loss = losses.discriminator_loss(real.float(), fake.float()) / len(parts)
            loss.backward()
        terms[4] += loss.detach()
    if config.lambda_adv:
        state.adam_d.step()
        state.adam_d.zero_grad()
    return terms


def _autocast(config: Config, tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, torch.bfloat16, enabled=config.amp)


class Pictures:
    """The training set where the device reads it fastest, and batches of HSV pairs from it."""

    def __init__(self, images: np.ndarray, flip: str, device: torch.device) -> None:
        self.images, self.device = torch.from_numpy(images), device
        self.axis = {"vertical": -2, "horizontal": -1}.get(flip)
        if device.type == "cuda":
            fits = self.images.nbytes < torch.cuda.mem_get_info(device)[0] / 4
            self.images = self.images.to(device) if fits else self.images.pin_memory()

    def pairs(self, draw: PairBatch) -> tuple[Tensor, Tensor]:
        """Source and target of a batch, HSV (B, 3, S, S) in [0, 1], on the device."""
        return self._hsv(draw.source, draw.flip_source), self._hsv(draw.target, draw.flip_target)

    def _hsv(self, index: np.ndarray, flips: np.ndarray) -> Tensor:
        rgb = self.images[self._send(index, self.images.device)].to(self.device, non_blocking=True).float() / 255
        if self.axis is not None:
            flipped = self._send(flips, self.device)[:, None, None, None]
            rgb = torch.where(flipped, rgb.flip(self.axis), rgb)
        return rgb_to_hsv(rgb)

    @staticmethod
    def _send(array: np.ndarray, device: torch.device) -> Tensor:
        tensor = torch.from_numpy(array)
        if device.type == "cuda":  # from ordinary memory the copy would wait for the GPU
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)


def dry_run(config: Config, processes: Processes, steps: int = 5) -> None:
    """Read the data, take a few steps on it, and print what a run would need; nothing is written."""
    images = data.load(config.data, config.size, config.seed, workers=config.workers or None, progress=processes.first)
    state = State(config, len(images.train), processes)
    networks = processes.wrap(state.generator), processes.wrap(state.discriminator)
    pictures = Pictures(images.train, config.flip, processes.device)
    total = total_steps(config, len(images.train))
    for i in range(steps + 1):
        if i == 1:  # the first step allocates, and compiles
            start = time.perf_counter()
        training_step(config, state, networks, *pictures.pairs(next(state.sampler))).tolist()
    rate = steps / (time.perf_counter() - start)
    if processes.first:
        millions = [sum(p.numel() for p in n.parameters()) / 1e6 for n in (state.generator, state.discriminator)]
        skipped = images.record["skipped"]
        print(
            f"data       {len(images.train)} training and {len(images.validation)} validation pictures, "
            f"{len(skipped)} files skipped\n"
            f"device     {processes.device}, {processes.world} process(es), {'bfloat16' if config.amp else 'float32'}\n"
            f"networks   {millions[0]:.1f} + {millions[1]:.1f} million weights\n"
            f"memory     {_peak_memory(processes.device)} for each process\n"
            f"speed      {rate:.2f} steps/s, {rate * config.batch_size:.1f} pairs/s\n"
            f"the run    {total} steps, about {_duration(total / rate)}, without validations and samples"
        )


def _peak_memory(device: torch.device) -> str:
    """The most that this process has held so far: on the GPU, or resident."""
    if device.type == "cuda":
        size = torch.cuda.max_memory_allocated(device)
    else:
        try:
            import resource
        except ImportError:  # Windows
            return "not known on this system"
        unit = 1 if sys.platform == "darwin" else 1024
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{size / 2**30:.1f} GiB"


def total_steps(config: Config, images: int) -> int:
    """Steps of the whole run."""
    return config.steps or math.ceil(config.epochs * images / config.batch_size)


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


if __name__ == "__main__":
    sys.exit(main())

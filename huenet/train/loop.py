"""Train Hue-Net: ``python -m huenet.train``, or ``torchrun --nproc-per-node 2 -m huenet.train``.

`train` is the whole of it, from top to bottom; what it needs from elsewhere is in the modules that it imports.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import errno
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from huenet import realism
from huenet._memory import ran_out
from huenet.config import Config, ConfigError, arguments, describe, from_preset
from huenet.data import loading as data
from huenet.data.batches import Pictures
from huenet.data.download import DataError
from huenet.model import losses
from huenet.model.checkpoint import CheckpointError
from huenet.train.folder import (
    RUNS,
    check_out,
    check_pictures,
    check_writable,
    opened_folder,
    resumed_config,
    saved_device,
    saved_run,
)
from huenet.train.monitor import Monitor
from huenet.train.processes import Processes, StopSignal, peak_memory, without_sync
from huenet.train.recorder import Recorder, has_figures, is_complete
from huenet.train.state import State, share_of_batch
from huenet.train.validation import ValidationSet

__all__ = ["STOPPED", "TERMS", "Pictures", "TrainingError", "dry_run", "main", "train", "training_step"]

STOPPED = 75  # what sysexits.h calls a failure that passes: the same command with --resume goes on
PHOTOGRAPHS = 500  # that validation compares results with: seconds on a CPU
TERMS = ("emd", "mi", "palette", "smooth", "adversarial", "discriminator")


class TrainingError(RuntimeError):
    """A run that cannot go on; the message is one line that says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, `STOPPED` where a signal ended it, or 2 after a one-line error."""
    given = arguments(argv)
    try:
        with Processes(saved_device(given)) as processes:
            resume = processes.agree(lambda: saved_run(given.get("resume", "no"), given.get("out")))
            config = resumed_config(resume, given) if resume else from_preset(**given)
            if config.threads:
                torch.set_num_threads(config.threads)
            if config.print_config:
                print(describe(config))
                return 0
            share_of_batch(config, processes)
            if not resume:
                processes.agree(lambda: check_out(config))
            processes.agree(lambda: check_writable(resume or Path(config.out or RUNS)))
            if config.dry_run:
                dry_run(config, processes, resume)
            elif not _train(config, processes, resume)[1]:
                return STOPPED
    except (ConfigError, DataError, CheckpointError, TrainingError) as error:
        print(f"huenet.train: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a picture or an event of TensorBoard's that found no room; checkpoints say it themselves
        where = f": {error.filename}" if error.filename else ""
        advice = "free some space, and go on" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "go on"
        print(f"huenet.train: {error.strerror or error}{where}; {advice} with --resume", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        print(
            f"huenet.train: the memory of {processes.device} does not hold a batch of {config.batch_size}; "
            "give --accumulate 2 or more, --amp or, to a new run, a smaller --batch-size",
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
    return _train(config, processes, resume)[0]


def _train(config: Config, processes: Processes, resume: Path | None) -> tuple[Path, bool]:
    """The run folder, and whether the run is done."""
    images = data.load(config.data, config.size, config.seed, workers=config.workers or None, progress=processes.first)
    odd = data.remarks(images)
    pictures = Pictures(images.train, config.flip, processes.device)
    some = np.random.default_rng(config.seed).permutation(len(images.train))[:PHOTOGRAPHS]
    photographs = () if realism.missing() else images.train[np.sort(some)]
    pairs = ValidationSet(images.validation, config.val_pairs, config.seed, processes.device, photographs)
    total = total_steps(config, len(images.train))

    state = State(config, len(images.train), processes)
    if resume:
        check_pictures(resume, images.record)
        state.load(resume)
        done = state.step >= total and processes.agree(lambda: is_complete(resume, state.step))
        if processes.first:
            advice = "; for more, give --epochs or --steps" if done else ""
            print(f"Going on in {resume} at step {state.step} of {total}{advice}", flush=True)
        if done:
            return resume, True
    with opened_folder(config, images.record, resume, processes) as folder:
        recorder = Recorder(folder, config, pairs, state.step) if processes.first else None
        if recorder and not resume:
            counts = f"{len(images.train)} training and {len(images.validation)} validation pictures"
            print(f"{describe(config)}\n\n{counts}, {total} steps on {processes.device}, into {folder}", flush=True)
            if reason := realism.missing():
                print(reason)
            if skipped := len(images.record["skipped"]):
                print(f"{skipped} files were left out: {folder / 'data.json'} lists why")
            print(*odd, sep="\n", end="\n" if odd else "")
        _take_steps(total, config, processes, state, pictures, folder, recorder)
    return folder, state.step >= total


def _take_steps(
    total: int,
    config: Config,
    processes: Processes,
    state: State,
    pictures: Pictures,
    folder: Path,
    recorder: Recorder | None,
) -> None:
    """Train up to that step, and keep what comes of it."""
    networks = processes.wrap(state.generator), processes.wrap(state.discriminator)
    monitor = Monitor(TERMS, config.log_every, processes)

    def make_up_for() -> None:
        if recorder and not has_figures(folder, state.step):  # a new run, or one that was killed here
            state.save(folder)  # at once: from here on there is something to go on with
            recorder.look(state, final=True)

    if state.step == 0 or state.step >= total:
        processes.agree(make_up_for)
    failed_at, stopping = 0, False
    bar = tqdm(total=total, initial=state.step, unit="step", disable=not recorder, dynamic_ncols=True)
    with StopSignal(processes.first) as stop, bar:
        while state.step < total and not stopping:
            state.set_rate(total)
            terms = training_step(config, state, networks, *pictures.pairs(next(state.sampler)))
            state.step += 1
            bar.update(1)

            final = state.step == total
            reports = monitor.add(state.step, terms, stop.asked, last=final)
            stopping = any(report.stop for report in reports)
            saving = final or stopping or state.step % config.save_every == 0
            bad = sorted({name for report in reports for name in report.bad})
            bad = bad or (["a weight"] if saving and not state.is_finite() else [])
            if bad:
                trouble = f"{' and '.join(bad)} became infinite or NaN by step {state.step}"
                if failed_at:
                    advice = "lower --lr, or the weight of that term"
                    processes.fail(TrainingError(f"{trouble}, as it did by step {failed_at}; {advice}"))
                failed_at = state.step
                state.load(folder, weights_only=True)
                monitor.reset()
                if recorder:
                    recorder.count_from(state.step)
                bar.write(f"{trouble}: back to step {state.step}")
                bar.n = state.step
                continue
            if saving:
                failed_at = 0
                processes.agree(lambda: state.save(folder))
            if not recorder:
                continue
            for report in filter(lambda report: report.means, reports):
                recorder.terms(state, report)
                bar.set_postfix({name: f"{value:.3g}" for name, value in report.means.items() if value})
            for line in recorder.look(state, final):
                bar.write(line)

    if recorder:
        print(recorder.finish(state, total))


def training_step(
    config: Config,
    state: State,
    networks: tuple[nn.Module, nn.Module],
    source: Tensor,
    target: Tensor,
    closeness: Tensor,
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
    closeness : Tensor (B,)
        From 0 to 1: how far each pair's weights are on their way to those of closeness 1.

    Returns
    -------
    Tensor (6,)
        `TERMS`, unweighted, on the device.
    """
    generator, discriminator = networks
    parts = list(zip(*(x.chunk(config.accumulate) for x in (source, target, closeness)), strict=True))
    terms, fakes = source.new_zeros(len(TERMS)), []
    state.generator.train()
    state.discriminator.train().requires_grad_(False)
    for i, (s, t, c) in enumerate(parts, 1):
        with without_sync(generator, i < len(parts)):
            with _autocast(config, source):
                hue = generator(s, t, c)
                seen = state.discriminator.see(s, hue) if config.lambda_adv else []
                logits = [x.float() for x in state.discriminator(seen)[0]] if config.lambda_adv else []
            weights = losses.weights(config, c)
            values = losses.terms(config, hue, s, t, logits)
            loss = torch.stack([(weights[name] * value).mean() for name, value in values.items()]).sum()
            (loss / len(parts)).backward()
        for name, value in values.items():
            terms[TERMS.index(name)] += value.detach().mean() / len(parts)
        fakes.append([x.detach() for x in seen])
    if config.clip:
        torch.nn.utils.clip_grad_norm_(state.generator.parameters(), config.clip)
    state.adam_g.step()
    state.adam_g.zero_grad()
    state.update_average()

    state.discriminator.requires_grad_(True)
    for i, ((s, t, _), seen) in enumerate(zip(parts, fakes, strict=True), 1):
        if not config.lambda_adv:
            break
        with without_sync(discriminator, i < len(parts)):
            with _autocast(config, source):
                picture = t if config.circle else s  # Eq. 29 takes the source; another photograph gives nothing away
                with torch.no_grad():
                    photograph = state.discriminator.see(picture, picture[:, 0])
                real, fake = discriminator(photograph, seen)
            loss = losses.discriminator_loss(*([x.float() for x in one] for one in (real, fake))) / len(parts)
            loss.backward()
        terms[-1] += loss.detach()
    if config.lambda_adv:
        state.adam_d.step()
        state.adam_d.zero_grad()
        state.discriminator.settle()
    return terms


def _autocast(config: Config, tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, torch.bfloat16, enabled=config.amp)


def dry_run(config: Config, processes: Processes, resume: Path | None = None, steps: int = 5) -> None:
    """Read the data, take a few steps on it, and print what a run would need; nothing is written."""
    images = data.load(config.data, config.size, config.seed, workers=config.workers or None, progress=processes.first)
    odd = data.remarks(images)
    state = State(config, len(images.train), processes)
    if resume:
        check_pictures(resume, images.record)
        state.load(resume)
    networks = processes.wrap(state.generator), processes.wrap(state.discriminator)
    pictures = Pictures(images.train, config.flip, processes.device)
    left = max(0, total_steps(config, len(images.train)) - state.step)
    for i in range(steps + 1):
        if i == 1:  # the first step allocates, and compiles
            start = time.perf_counter()
        training_step(config, state, networks, *pictures.pairs(next(state.sampler))).tolist()
    rate = steps / (time.perf_counter() - start)
    if processes.first:
        millions = [sum(p.numel() for p in n.parameters()) / 1e6 for n in (state.generator, state.discriminator)]
        print(
            f"data       {len(images.train)} training and {len(images.validation)} validation pictures, "
            f"{_skipped(images.record['skipped'])}{''.join(f'; {line}' for line in odd)}\n"
            f"device     {processes.device}, {processes.world} process(es), {'bfloat16' if config.amp else 'float32'}\n"
            f"networks   {millions[0]:.1f} + {millions[1]:.1f} million weights\n"
            f"memory     {peak_memory(processes.device)} for each process\n"
            f"speed      {rate:.2f} steps/s, {rate * config.batch_size:.1f} pairs/s\n"
            f"the run    {left} steps{' more' if resume else ''}, about {_duration(left / rate)}, "
            "without validations and samples"
        )


def _skipped(files: dict[str, str]) -> str:
    few = "; ".join(f"{data.printable(name)}: {reason}" for name, reason in list(files.items())[:3])
    return f"{len(files)} files skipped" + (f" ({few}{'; ...' if len(files) > 3 else ''})" if few else "")


def total_steps(config: Config, images: int) -> int:
    """Steps of the whole run."""
    return config.steps or math.ceil(config.epochs * images / config.batch_size)


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"

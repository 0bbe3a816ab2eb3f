"""The run folder: made new and never written over, found again, and filled with figures and pictures."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import dataclasses
import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from huenet import checkpoint, plots
from huenet.checkpoint import CheckpointError
from huenet.config import Config, ConfigError
from huenet.monitor import Report
from huenet.state import CHECKPOINT, State
from huenet.validation import ValidationSet, summary, validate, warnings

__all__ = ["Recorder", "check_out", "check_pictures", "open_folder", "resumed_config", "saved_run"]

RUNS = Path("runs")
SAMPLES = 8
FIXED = ("preset", "seed", "size", "circle", "width", "norm")  # what a run cannot change on its way


def saved_run(resume: str, out: str | None) -> Path | None:
    """The run folder that --resume means; None for a fresh start.

    Raises
    ------
    ConfigError
        A folder was named that holds no checkpoint, or another one beside it.
    """
    if resume == "no":
        return None
    if resume != "auto":
        if out and Path(out) != Path(resume):
            raise ConfigError(f"--resume {resume} goes on in that folder; leave out --out {out}")
        if not (Path(resume) / CHECKPOINT).is_file():
            raise ConfigError(f"--resume {resume} has no {CHECKPOINT}; name a run folder, or auto, or no")
        return Path(resume)
    found = [Path(out) / CHECKPOINT] if out else list(RUNS.glob(f"*/{CHECKPOINT}"))
    found = [path for path in found if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def resumed_config(folder: Path, changes: dict[str, Any]) -> Config:
    """The configuration of a run, with `changes`.

    Raises
    ------
    ConfigError
        It is not there, or is none; or a change does not fit what the run has learned so far.
    """
    config = _saved_config(folder)
    for name in FIXED:
        had = getattr(config, name)
        if changes.get(name, had) != had:
            raise ConfigError(
                f"--{name} of the run in {folder} is {had} and must stay so, got {changes[name]}; "
                "leave it out, or start a new run with another --out"
            )
    return dataclasses.replace(config, **changes)


def check_out(config: Config) -> None:
    """Refuse a folder for a new run that has something in it: before the data are read, which can take long.

    Raises
    ------
    ConfigError
    """
    folder = Path(config.out) if config.out else None
    if folder is None or not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ConfigError(f"--out {folder} is not a folder; name another one")
    if any(folder.iterdir()) and not _only_begun(folder):
        advice = f"go on with --resume {folder}" if (folder / CHECKPOINT).is_file() else "empty it"
        raise ConfigError(f"--out {folder} is not empty; name another folder, or {advice}")


def check_pictures(folder: Path, record: dict[str, Any]) -> None:
    """Refuse to go on with a run on other pictures: its split, and its place in them, would mean nothing.

    Raises
    ------
    ConfigError
    """
    try:
        began = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        old, new = ([*images["train"], None, *images["validation"]] for images in (began, record))
    except (OSError, ValueError, KeyError):
        return  # the names are not known; State.load compares their number
    if old != new:
        changed = sorted(name for name in set(old) ^ set(new) if name)
        which = f" ({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''})" if changed else ""
        raise ConfigError(
            f"--data {record['data']} has not the pictures that the run in {folder} began with: {len(old) - 1} then, "
            f"{len(new) - 1} now{which}; bring them back, or start a new run with another --out"
        )


def open_folder(config: Config, record: dict[str, Any], resume: Path | None = None) -> Path:
    """The folder of a new run, or of one to go on with; with its configuration and what was read from the data set.

    Raises
    ------
    ConfigError
        The folder has something in it.
    CheckpointError
        It cannot be written to.
    """
    folder = resume or Path(config.out or _free(RUNS / f"{config.preset}-{datetime.now():%Y%m%d-%H%M%S}"))
    if not resume:
        check_out(config)
    try:
        (folder / "samples").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot write {folder} ({error.strerror}); choose another --out") from error
    checkpoint.write_text(folder / "config.json", config.to_json())
    checkpoint.write_text(folder / "data.json", json.dumps(record, indent=1))
    return folder


def _saved_config(folder: Path) -> Config:
    try:
        return Config.from_json((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder / 'config.json'} is not a readable configuration ({error})") from error


def _only_begun(folder: Path) -> bool:
    """Whether a run was killed here before it had saved anything."""
    try:
        _saved_config(folder)
    except ConfigError:
        return False
    left = {path.name for path in folder.iterdir() if not path.name.endswith(".tmp")}
    return left <= {"config.json", "data.json", "samples"} and not any((folder / "samples").glob("*"))


def _free(path: Path) -> Path:
    """`path`, or with a number behind it the first that nobody has."""
    candidates = [path, *(path.with_name(f"{path.name}-{i}") for i in range(2, 1000))]
    return next(candidate for candidate in candidates if not candidate.exists())


class Recorder:
    """Writes metrics.jsonl, the pictures and, if wanted, TensorBoard's events of a run."""

    def __init__(self, folder: Path, config: Config, pairs: ValidationSet, step: int) -> None:
        self.folder, self.config, self.pairs = folder, config, pairs
        self.metrics = folder / "metrics.jsonl"
        self._mend_metrics()
        self.clock, self.clock_step = time.perf_counter(), step
        self.first: dict[str, float] = {}
        self.board: Any = None
        if config.tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            self.board = SummaryWriter(str(folder), purge_step=step + 1)

    def terms(self, state: State, report: Report) -> None:
        """A line with the terms of the loss, averaged over the steps since the last one."""
        seconds = time.perf_counter() - self.clock
        pairs = (report.step - self.clock_step) * self.config.batch_size
        self.clock, self.clock_step = time.perf_counter(), report.step
        speed = {"epoch": state.sampler.epoch, "lr": state.rate, "pairs_per_second": round(pairs / seconds, 2)}
        self._line(report.step, {**speed, **report.means})

    def look(self, state: State, final: bool) -> list[str]:
        """Validate and draw samples where this step is one for it; what they warn of."""
        began = time.perf_counter()
        try:
            return self._look(state, final)
        finally:
            self.clock += time.perf_counter() - began  # the rate is that of training

    def _look(self, state: State, final: bool) -> list[str]:
        if final or state.step % self.config.sample_every == 0:
            self._samples(state)
        if not final and state.step % self.config.val_every:
            return []
        figures = validate(state.best_generator(), state.discriminator.eval(), self.pairs)
        found = warnings(figures) if state.step else []
        self._line(state.step, {f"val/{name}": value for name, value in figures.items()}, found)
        return [f"step {state.step}: {summary(figures)}", *(f"warning: {line}" for line in found)]

    def finish(self, state: State, total: int) -> str:
        """Draw the curves; what to tell the person who waited."""
        lines = [json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]
        plots.save(plots.curves(lines, self.config), self.folder / "curves.png")
        if self.board:
            self.board.close()
        if state.step < total:
            return f"Stopped and saved at step {state.step} of {total}. Go on with: --resume {self.folder}"
        figures = [line for line in lines if "val/emd_output" in line]
        before, after = (summary({k.removeprefix("val/"): v for k, v in figures[i].items()}) for i in (0, -1))
        advice = _NEXT[self.config.preset].format(folder=self.folder)
        return (
            f"\nThe run is in {self.folder}: look at samples/step-{total:07d}.png beside samples/step-0000000.png, "
            f"and at curves.png.\nTry next: {advice}\n"
            f"On {len(self.pairs)} validation pairs, before training: {before}\n"
            f"On {len(self.pairs)} validation pairs, trained: {after}"
        )

    def _samples(self, state: State) -> None:
        source, target = next(self.pairs.batches(SAMPLES))
        with torch.no_grad():
            hue = state.best_generator()(source, target)
        output = torch.cat([hue[:, None], source[:, 1:]], dim=1)
        title = f"{self.config.preset}, step {state.step}: validation pairs"
        figure = plots.sample_grid(source.cpu().numpy(), target.cpu().numpy(), output.cpu().numpy(), title)
        plots.save(figure, self.folder / "samples" / f"step-{state.step:07d}.png")
        if self.board:
            self.board.add_image("samples", plots.pixels(figure), state.step, dataformats="HWC")

    def _mend_metrics(self) -> None:
        """Take away a last line that a kill or a full disk has cut off: what is written behind it must be read."""
        if self.metrics.exists():
            lines = self.metrics.read_bytes()
            os.truncate(self.metrics, lines.rfind(b"\n") + 1)

    def _line(self, step: int, values: dict[str, Any], warned: list[str] | None = None) -> None:
        line = {"step": step, **values, **({"warnings": warned} if warned else {})}
        try:
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            self._mend_metrics()
            raise CheckpointError(f"cannot write {self.metrics} ({error.strerror}); free some space") from error
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)


_NEXT = {
    "quick": "--data FOLDER with photographs of your own, which trains the `default` preset",
    "default": "--resume {folder} --epochs N for longer, or another --lambda-emd and --lambda-smooth",
    "paper": "--preset default, which treats hue as a circle",
}

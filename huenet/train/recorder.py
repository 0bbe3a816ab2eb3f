"""What a run leaves for people: metrics.jsonl, TensorBoard's events, sample grids and curves."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import contextlib
import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from huenet.config import Config
from huenet.model.checkpoint import CheckpointError
from huenet.model.inference import painted, settled
from huenet.train import plots
from huenet.train.monitor import Report
from huenet.train.state import State
from huenet.train.validation import ValidationSet, summary, validate, warnings

__all__ = ["Recorder", "has_figures", "is_complete"]

METRICS, CURVES = "metrics.jsonl", "curves.png"
SAMPLES = 8


def is_complete(folder: Path, step: int) -> bool:
    """Whether nothing is left to do at the last step: a kill may have come between the checkpoint and the curves."""
    return has_figures(folder, step) and (folder / CURVES).exists()


def has_figures(folder: Path, step: int) -> bool:
    """Whether the run was validated at this step."""
    return any(line["step"] == step for line in _lines(folder / METRICS) if "val/emd_output" in line)


class Recorder:
    """Writes metrics.jsonl, the pictures and, if wanted, TensorBoard's events of a run."""

    def __init__(self, folder: Path, config: Config, pairs: ValidationSet, step: int) -> None:
        self.folder, self.config, self.pairs = folder, config, pairs
        self.metrics = folder / METRICS
        self._mend_metrics()
        self.count_from(step)
        self.board: Any = None
        if config.tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            self.board = SummaryWriter(str(folder), purge_step=step + 1)

    def terms(self, state: State, report: Report) -> None:
        """A line with the terms of the loss, averaged since the last one; without those that are not computed."""
        seconds = time.perf_counter() - self.clock
        pairs = (report.step - self.clock_step) * self.config.batch_size
        self.count_from(report.step)
        speed = {"epoch": state.sampler.epoch, "lr": state.rate, "pairs_per_second": round(pairs / seconds, 2)}
        weights = dict.fromkeys(("adversarial", "discriminator"), self.config.lambda_adv)
        weights |= {"emd": self.config.lambda_emd, "mi": self.config.gamma_mi, "smooth": self.config.lambda_smooth}
        weights["palette"] = self.config.lambda_palette + self.config.palette_dial
        means = {name: mean for name, mean in report.means.items() if weights.get(name, 1.0)}
        self._line(report.step, {**speed, **means})

    def count_from(self, step: int) -> None:
        """Let the rate be that of the steps from this one on."""
        self.clock, self.clock_step = time.perf_counter(), step

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
        critic = copy.deepcopy(state.discriminator).train() if self.config.lambda_adv else None
        figures = validate(state.best_generator(), critic, self.pairs)
        found = warnings(figures) if state.step else []
        self._line(state.step, {f"val/{name}": value for name, value in figures.items()}, found)
        return [f"step {state.step}: {summary(figures)}", *(f"warning: {line}" for line in found)]

    def finish(self, state: State, total: int) -> str:
        """Draw the curves; what to tell the person who waited."""
        lines = _lines(self.metrics)
        if lines:
            plots.save(plots.curves(lines, self.config), self.folder / CURVES)
        if self.board:
            self.board.close()
        if state.step < total:
            return f"Stopped and saved at step {state.step} of {total}. Go on with: --resume {self.folder}"
        figures = {line["step"]: line for line in lines if "val/emd_output" in line}
        told = [
            f"On {len(self.pairs)} validation pairs, {when}: "
            + summary({name.removeprefix("val/"): value for name, value in figures[step].items()})
            for when, step in (("before training", 0), ("trained", state.step))
            if step in figures
        ]
        advice = _NEXT[self.config.preset].format(folder=self.folder)
        return (
            f"\nThe run is in {self.folder}: look at samples/step-{state.step:07d}.png "
            f"beside samples/step-0000000.png, and at {CURVES}.\nTry next: {advice}\n" + "\n".join(told)
        )

    def _samples(self, state: State) -> None:
        source, target = next(self.pairs.batches(SAMPLES))
        with torch.no_grad():
            generator = state.best_generator()
            output = painted(self.config, source, generator(source, target, settled(generator, source, target)))
        title = f"{self.config.preset}, step {state.step}: validation pairs"
        figure = plots.sample_grid(source.cpu().numpy(), target.cpu().numpy(), output.cpu().numpy(), title)
        plots.save(figure, self.folder / "samples" / f"step-{state.step:07d}.png")
        if self.board:
            self.board.add_image("samples", plots.pixels(figure), state.step, dataformats="HWC")

    def _mend_metrics(self) -> None:
        """Take away a last line that a kill or a full disk has cut off: what is written behind it must be read."""
        if self.metrics.exists():
            lines = self.metrics.read_bytes()
            if not lines.endswith(b"\n"):
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


def _lines(metrics: Path) -> list[dict[str, Any]]:
    """Its lines but those that a kill or a power cut has left without sense."""
    lines: list[dict[str, Any]] = []
    if not metrics.exists():
        return lines
    for text in metrics.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            lines += [line] if isinstance(line, dict) and "step" in line else []
    return lines


_NEXT = {
    "quick": "--data FOLDER with photographs of your own, which trains the `default` preset",
    "default": "--resume {folder} --epochs N for longer, or another --lambda-emd and --lambda-smooth",
    "paper": "--preset default, which treats hue as a circle",
}

"""Every choice of a training run: one frozen dataclass whose fields are the command line.

The defaults of the fields are the paper's (section 2.6; where it is silent, pix2pix and the authors' code).
A preset is a set of differences from them, each with its reason.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from huenet._parser import Parser, named

__all__ = ["CLOSENESS", "PRESETS", "Config", "ConfigError", "arguments", "describe", "from_preset"]


CLOSENESS = 0.4  # of a result to the target's palette, where nobody says how close to come


class ConfigError(ValueError):
    """A choice that cannot work; its message is one line that says what to do."""


def _field(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Config:
    """A training run. See ``python -m huenet.train --help`` for every field."""

    data: str | None = _field(None, "folder of images, or flowers102, or cars; without it, scikit-image's photographs")
    out: str | None = _field(None, "run folder, new or empty; without it, runs/PRESET-DATE-TIME")
    preset: str = _field("paper", "quick, default or paper; `default` with --data, `quick` without")
    resume: str = _field(
        "no", "auto (the newest checkpoint of --out, or of runs/; a fresh start where there is none) or a run folder"
    )
    device: str = _field("auto", "auto, cpu, cuda, cuda:1, mps")
    seed: int = _field(0, "seed of the split, the pairs, the weights and dropout")
    size: int = _field(128, "side of the training pictures, a power of two from 32 up")
    batch_size: int = _field(32, "pairs in a step, over all processes")
    accumulate: int = _field(1, "parts that a batch is cut into, to save memory")
    epochs: int = _field(100, "passes over the training pictures")
    steps: int = _field(0, "optimiser steps in place of --epochs; 0 leaves it to --epochs")
    lr: float = _field(2e-4, "learning rate of Adam, both networks")
    beta1: float = _field(0.5, "Adam's first momentum")
    beta2: float = _field(0.999, "Adam's second momentum")
    decay_from: float = _field(
        1.0, "share of the run after which the rate falls to 0 in a straight line; 1 keeps it constant"
    )
    ema: float = _field(0.0, "decay of the averaged generator that samples and checkpoints use; 0 for none")
    flip: str = _field("vertical", "random flips: vertical (top to bottom), horizontal, none")
    lambda_emd: float = _field(100.0, "weight of the EMD term, Eq. 26")
    emd_form: str = _field("mean", "EMD term over the bins: their mean, sum (Eq. 13 as printed), or root of the mean")
    gamma_mi: float = _field(25.0, "weight of the MI term, Eq. 27")
    lambda_adv: float = _field(1.0, "weight of the adversarial term, Eq. 28; 0 trains no discriminator")
    lambda_smooth: float = _field(0.0, "weight of the smoothness of the displacement of hue")
    lambda_palette: float = _field(0.0, "with --circle, weight of the palette distance at closeness 0")
    palette_dial: float = _field(0.0, "what comes to --lambda-palette at closeness 1")
    adv_dial: float = _field(0.0, "what comes to --lambda-adv at closeness 1")
    features: bool = _field(False, "with --circle, let the discriminator see a pretrained network's maps too")
    clip: float = _field(0.0, "largest norm of the generator's gradient; 0 for no limit")
    lr_d: float = _field(0.0, "learning rate of the discriminator; 0 for --lr")
    bins: int = _field(256, "bins of the histograms")
    bandwidth: float = _field(0.4, "width W of the histogram's kernel, in bins")
    boundary: str = _field("open", "ends of the histogram: open (Eq. 4), circular, reflect")
    chroma_weights: bool = _field(
        False, "weight the histograms by chroma and keep the source's hue where there is none"
    )
    circle: bool = _field(
        False, "hue as a circle: attention between palettes, luminance kept, a discriminator that sees RGB"
    )
    width: int = _field(64, "channels of the first layer of both networks")
    norm: str = _field("batch", "normalisation: batch or group")
    dropout: float = _field(0.5, "dropout in the generator's first decoder blocks")
    amp: bool = _field(False, "bfloat16 autocast; hue and histograms stay float32")
    compile: bool = _field(False, "torch.compile both networks")
    workers: int = _field(0, "threads that decode images; 0 for one a core")
    threads: int = _field(0, "CPU threads of torch; 0 leaves it to torch")
    log_every: int = _field(10, "steps between lines of metrics.jsonl")
    sample_every: int = _field(1000, "steps between sample grids")
    val_every: int = _field(500, "steps between validations")
    save_every: int = _field(500, "steps between checkpoints")
    val_pairs: int = _field(64, "validation pairs")
    tensorboard: bool = _field(True, "write TensorBoard events into the run folder")
    dry_run: bool = _field(False, "check the data, say what speed and memory to expect, and stop")
    print_config: bool = _field(False, "print every choice, and why it differs from the paper, and stop")

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{_flag(name)} must be a finite number, got {value}")
        for name, low in _AT_LEAST.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{_flag(name)} must be at least {low}, got {getattr(self, name)}")
        if self.seed >= 2**63:
            raise ConfigError(f"--seed must be below 2**63, got {self.seed}")
        for name, choices in _ONE_OF.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"{_flag(name)} must be one of {', '.join(choices)}, got {getattr(self, name)}")
        for name in ("beta1", "beta2", "ema", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{_flag(name)} must be from 0 up to but not 1, got {getattr(self, name)}")
        if not 0 <= self.decay_from <= 1:
            raise ConfigError(f"--decay-from must be from 0 to 1, got {self.decay_from}")
        if not self.lr > 0 or not self.bandwidth > 0:
            raise ConfigError(f"--lr and --bandwidth must be above 0, got {self.lr} and {self.bandwidth}")
        for start, more in (("lambda_palette", "palette_dial"), ("lambda_adv", "adv_dial")):
            if getattr(self, start) and getattr(self, start) + getattr(self, more) < 0:
                raise ConfigError(
                    f"{_flag(start)} plus {_flag(more)} must be at least 0, got "
                    f"{getattr(self, start)} and {getattr(self, more)}"
                )
        if self.size < 32 or self.size & (self.size - 1):
            raise ConfigError(f"--size must be a power of two from 32 up (32, 64, 128, 256, ...), got {self.size}")

    def to_json(self) -> str:
        """The choices as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """The inverse of `to_json`; a field that is missing is as 0.1.0 had it, an unknown one is an error."""
        values = {"emd_form": "sum"} | json.loads(text)  # which 0.1.0, that had no choice, trained with
        if values.pop("prior", None) is not None and values.get("circle"):  # 0.1.0 had both; `paper` is as it was
            raise ConfigError("it was made by version 0.1.0, whose `default` was another network; train anew")
        unknown = sorted(values.keys() - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError(f"the configuration has fields that this version does not know: {', '.join(unknown)}")
        return cls(**values)


_AT_LEAST = {
    **dict.fromkeys(
        (
            "lambda_emd",
            "gamma_mi",
            "lambda_adv",
            "lambda_smooth",
            "lambda_palette",
            "clip",
            "lr_d",
            "steps",
            "seed",
            "workers",
            "threads",
        ),
        0,
    ),
    **dict.fromkeys(("batch_size", "accumulate", "epochs", "width"), 1),
    "bins": 2,  # with one, every picture has the same histogram
    **dict.fromkeys(("log_every", "sample_every", "val_every", "save_every", "val_pairs"), 1),
}
_ONE_OF = {
    "emd_form": ("sum", "mean", "root"),
    "flip": ("vertical", "horizontal", "none"),
    "boundary": ("open", "circular", "reflect"),
    "norm": ("batch", "group"),
}

_CIRCLE: dict[str, tuple[Any, str]] = {
    "circle": (True, "a sigmoid and a convolution over raw hue have a seam at red"),
    "boundary": ("circular", "an open boundary loses half of the mass of a pixel at red"),
    "chroma_weights": (True, "grey and dark pixels have no hue, only noise"),
    "dropout": (0.0, "noise makes patches within one petal"),
    "bins": (64, "as much as a circle of hue can show, at a quarter of the cost"),
    "flip": ("horizontal", "photographs have an up"),
    "ema": (0.999, "averaged weights give steadier pictures"),
    "decay_from": (0.5, "a falling rate settles the pictures"),
    "lambda_emd": (0.0, "the exact distance forces the target's shares on the source, and dips flowers in two colours"),
    "lambda_palette": (1300.0, "hues of the target, in shares that may differ"),
    "palette_dial": (1300.0, "one network draws the whole curve from real to close"),
    "lambda_adv": (11.5, "what looks like no photograph ought to cost more than a hue that is missed"),
    "adv_dial": (-6.5, "one network draws the whole curve from real to close"),
    "lambda_smooth": (350.0, "neither the palette nor the discriminator sees bands within one petal well"),
    "gamma_mi": (0.0, "smoothness and realism keep the source's structure"),
    "lr": (4e-4, "a small network"),
    "beta2": (0.99, "the discriminator's gradients change fast"),
    "lr_d": (1e-3, "the discriminator has to keep up"),
    "clip": (5.0, "a point near the centre of the circle has a steep angle"),
    "width": (32, "a grid of 8 x 8 cells needs no more"),
    "batch_size": (12, "more steps in the same time"),
    "features": (True, "patches alone tell six of ten"),
}

PRESETS: dict[str, dict[str, tuple[Any, str]]] = {
    "paper": {},
    "default": _CIRCLE,
    "quick": {
        **_CIRCLE,
        "size": (64, "minutes on two CPU cores"),
        "batch_size": (8, "minutes on two CPU cores"),
        "width": (16, "minutes on two CPU cores"),
        "steps": (300, "minutes on two CPU cores"),
        "lr": (1e-3, "few steps, a small network"),
        "features": (False, "weights of another network are a download"),
        "ema": (0.99, "few steps"),
        "val_every": (100, "few steps"),
        "sample_every": (100, "few steps"),
        "save_every": (100, "few steps"),
    },
}


def arguments(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The flags that a command line gives, by field; what it leaves out is not there.

    --epochs alone also takes back the --steps of a preset, or of a run that is gone on with.
    """
    given = vars(_parser().parse_args(argv))
    return {"steps": 0, **given} if "epochs" in given else given


def from_preset(preset: str | None = None, **changes: Any) -> Config:
    """The choices of a preset, with `changes`; without a name, `default` where there is data and else `quick`.

    Raises
    ------
    ConfigError
        If there is no such preset, or a choice cannot work.
    """
    preset = preset or ("default" if changes.get("data") else "quick")
    if preset not in PRESETS:
        raise ConfigError(f"--preset must be one of {', '.join(PRESETS)}, got {preset}")
    values = {name: value for name, (value, _) in PRESETS[preset].items()}
    return Config(**{**values, **changes, "preset": preset})


def describe(config: Config) -> str:
    """Every choice, one a line; those that differ from the paper say what the paper has and why."""
    reasons = {name: reason for name, (_, reason) in PRESETS[config.preset].items()}
    lines = []
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        line = f"{_flag(f.name)[2:]:15} {value!s:12}"
        if value != f.default and f.name not in _ABOUT_THE_RUN:
            preset_value = PRESETS[config.preset].get(f.name, (None,))[0]
            reason = reasons[f.name] if value == preset_value else "chosen on the command line"
            line += f" paper: {f.default!s}; {reason}"
        lines.append(line.rstrip())
    return "\n".join(lines)


_ABOUT_THE_RUN = ("data", "out", "preset", "resume", "dry_run", "print_config")  # of which the paper says nothing


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> Parser:
    parser = Parser(
        prog="huenet train",
        description="Train Hue-Net. With no argument: the `quick` preset on photographs that come with scikit-image.",
        epilog="exit status: 0 where the run is done; 75 where Ctrl-C, SIGTERM, SIGHUP or SIGUSR1 stopped it and it is "
        "saved, to go on with --resume; 2 after an error, which is one line",
        argument_default=argparse.SUPPRESS,  # so that a preset's choice is told from a flag's
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(Config)
    for f in dataclasses.fields(Config):
        kind = hints[f.name]
        if isinstance(kind, types.UnionType):  # `str | None`
            kind = typing.get_args(kind)[0]
        text = f.metadata["help"] + ("" if f.default in (None, False, True) else f" (paper: {f.default})")
        if kind is bool:
            parser.add_argument(_flag(f.name), action=argparse.BooleanOptionalAction, help=text)
        else:
            read = named if f.name in ("data", "out", "resume") else kind
            parser.add_argument(_flag(f.name), type=read, help=text, metavar=kind.__name__.upper())
    return parser

"""What a command line can ask of a method: an option for each that `METHODS` know."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
from typing import Any

from huenet._parser import path
from huenet.methods.turn import KEEP
from huenet.transfer.methods import METHODS
from huenet.transfer.recoloring import Settings, settings_of

__all__ = ["OPTIONS", "SUMMARIES", "add_options", "settings_from"]

SUMMARIES = "methods:\n" + "".join(f"  {name:10} {method.summary}\n" for name, method in METHODS.items())

OPTIONS: dict[str, dict[str, Any]] = {
    "run": {
        "type": path,
        "metavar": "FOLDER",
        "help": "for huenet: run folder of huenet train (default: the weights that come with the package)",
    },
    "closeness": {
        "type": float,
        "metavar": "0..1",
        "help": "for huenet: 0 could be a photograph, 1 is as close to TARGET as may be; it goes up by itself where "
        "too little would happen (default: 0.4; a network of preset `paper` has no such dial)",
    },
    "smooth": {
        "type": float,
        "metavar": "N",
        "help": "for transport and relaxed: 0 follows TARGET to the letter; more, up to 256, keeps near hues together, "
        "where one surface comes out in several colours (default: 8)",
    },
    "reg_m": {
        "type": float,
        "metavar": "N",
        "help": "for relaxed: what it costs, up to 1, where colours take other shares than in TARGET; less turns hues "
        "less far (default: 0.1)",
    },
    "keep": {
        "choices": KEEP,
        "help": "what stays while hue turns: light, or HSV's value, as in the paper; not for reinhard (default: light)",
    },
    "saturation": {
        "type": float,
        "metavar": "0..1",
        "help": "how far to bring the distribution of saturation to TARGET's; not for reinhard (default: 0)",
    },
    "light": {"type": float, "metavar": "0..1", "help": "the same of light; not for reinhard (default: 0)"},
    "strength": {
        "type": float,
        "metavar": "0..2",
        "help": "how far hue turns, and what else the method changes: 0 not at all, above 1 further (default: 1)",
    },
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how to recolour."""
    parser.add_argument("--method", choices=METHODS, help="how, see below (default: huenet)")
    for name, keywords in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)


def settings_from(options: argparse.Namespace, seed: int = 0) -> Settings:
    """What the options ask for, checked.

    Raises
    ------
    TransferError
        See `settings_of`.
    """
    return settings_of(options.method, seed, **{name: getattr(options, name) for name in OPTIONS})

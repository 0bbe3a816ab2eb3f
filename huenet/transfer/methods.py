"""The methods of colour transfer, in one table.

A method is a file with a function ``find(source, target, /, *, its own options)``: what is to be changed, from two
`Sample`; and a class whose object makes that change to pixels, `Change`. What can be asked of a method is what these
two take.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from huenet.methods import descent, reinhard, relaxed, transport
from huenet.methods.sample import Sample
from huenet.methods.turn import Turn
from huenet.transfer import network

__all__ = ["METHODS", "Change", "Method"]

Array = Any


class Change(Protocol):
    """A map of pixels."""

    def __call__(self, rgb: Array, row: Array, column: Array) -> Array:
        """RGB (B, h, w, 3) of the pictures, or of a part, to new RGB; where its rows and columns lie, from 0 to 1."""

    def flat(self, source: Sample) -> Change:
        """The part that does not depend on place."""


@dataclass(frozen=True)
class Method:
    """How to find what is to be changed, and how to change it."""

    find: Callable[..., Any]
    change: Callable[..., Change]
    summary: str
    of_hue: bool = True  # so that it has nothing to say where there is no colour

    def options(self) -> dict[str, Any]:
        """The name of each option, with its default."""
        return {**_options(self.find), **_options(self.change)}

    def __call__(self, source: Sample, target: Sample, options: Mapping[str, Any]) -> Change:
        """The map for a pair, or for as many pairs as the samples have pictures."""
        own = {name: value for name, value in options.items() if name in _options(self.find)}
        rest = {name: value for name, value in options.items() if name not in own}
        return self.change(self.find(source, target, **own), source, target, **rest)


METHODS = {
    "huenet": Method(network.find, Turn, "a trained network, which sees where a colour lies; seconds"),
    "optimize": Method(descent.find, Turn, "gradient descent of the paper's losses on this pair; about a second"),
    "transport": Method(transport.find, Turn, "one map of hues, which moves them the least way; instant"),
    "relaxed": Method(
        relaxed.find, Turn, "the same, but each colour may take more or less room than in TARGET; instant"
    ),
    "reinhard": Method(
        reinhard.find, reinhard.Restated, "mean and spread of light and colour: light changes; instant", of_hue=False
    ),
}


def _options(function: Callable) -> dict[str, Any]:
    found = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in found if one.kind is inspect.Parameter.KEYWORD_ONLY}

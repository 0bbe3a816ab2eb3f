"""What is measured: the base case, and from there one factor at a time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

TASKS = {
    "emd": "histogram + circular squared EMD",
    "mi": "joint histogram + MI distance",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement: ``batch`` float32 images of ``side`` x ``side``, ``bins`` bins, a kernel of ``width`` bins."""

    task: str
    side: int = 256
    bins: int = 256
    batch: int = 1
    width: float = 0.4
    content: str = "noise"

    @property
    def bandwidth(self) -> float:
        return self.width / self.bins


SWEEPS: dict[str, tuple[Any, ...]] = {
    "side": (32, 64, 128, 256, 512, 1024),
    "bins": (32, 64, 128, 256, 512, 1024, 2048, 4096),
    "batch": (1, 2, 4, 8, 16, 32),
    "width": (0.1, 0.2, 0.4, 1.0, 3.0, 10.0),
}
SHORT_SWEEPS: dict[str, tuple[Any, ...]] = {
    "side": (32, 128, 256, 512, 1024),
    "bins": (32, 64, 256, 1024, 4096),
    "batch": (1, 4, 32),
    "width": (0.1, 0.4, 2.0, 10.0),
}


def base(task: str) -> list[Case]:
    """The base case, on noise and on real hue."""
    return [Case(task), Case(task, content="hue")]


def swept(task: str, sweeps: dict[str, tuple[Any, ...]], content: str = "noise") -> Iterator[Case]:
    """The base case with one factor changed, all other values of all factors in turn."""
    for factor, values in sweeps.items():
        for value in values:
            case = dataclasses.replace(Case(task, content=content), **{factor: value})
            if case != Case(task, content=content):
                yield case


def images(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Two images in [0, 1) that depend on each other, (batch, N) float32 each.

    Noise is uniform; hue is that of photographs (8-bit, so that values repeat), beside the same picture moved a little.
    """
    if case.content == "noise":
        x = np.random.default_rng(0).random((case.batch, case.side, case.side))
    else:
        x = np.stack([_crop(n, case.side) for n in range(case.batch)])
    y = np.roll(x, (2, 3), axis=(1, 2))
    return tuple(np.minimum(a, 1 - 2.0**-24).astype(np.float32).reshape(case.batch, -1) for a in (x, y))  # type: ignore[return-value]


def _crop(n: int, side: int) -> np.ndarray:
    """A different part of a photograph for each n; pictures smaller than it repeat."""
    hues = _photographs()
    hue = hues[n % len(hues)]
    step = 37 * (n // len(hues))
    rows, columns = (np.arange(side) + (length - side) // 2 + step for length in hue.shape)
    return hue.take(rows, axis=0, mode="wrap").take(columns, axis=1, mode="wrap")


@functools.cache
def _photographs() -> list[np.ndarray]:
    """Hue channels of photographs that come inside scikit-image's wheel."""
    from skimage import data

    from huenet.color import rgb_to_hsv

    pictures = (data.chelsea(), data.coffee(), data.astronaut(), data.rocket())
    return [rgb_to_hsv(picture / 255.0, axis=-1)[..., 0] for picture in pictures]

"""The order in which pairs of images are drawn: random, endless, resumable, the same for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

__all__ = ["PairBatch", "PairSampler"]


DIAL = 256  # steps of closeness


class PairBatch(NamedTuple):
    """A batch of pairs, each of shape (B,): indices into a set of images (int64), whether to flip each (bool), and how
    close to come to the target (float32 from 0 to 1), for a network with a dial."""

    source: np.ndarray
    target: np.ndarray
    flip_source: np.ndarray
    flip_target: np.ndarray
    closeness: np.ndarray


class PairSampler:
    """Random source-target pairs without end, the same for every number of processes.

    Every epoch is a new random permutation, in which each image is once a source and once a target, and never both of a
    pair (when there is more than one image). Batches cut that endless stream at regular steps and may straddle epochs:
    nothing is dropped, and every process sees equally many. Of `world` processes, each takes its own slice of the same
    global batch: together they see what one process would see with `world` times the batch.

    Parameters
    ----------
    n : int
        Number of images, at least 1. It may be less than `batch_size`.
    batch_size : int
        Pairs in a batch, for each process.
    seed : int
        With the position in the stream, it determines every batch.
    rank, world : int
        This process and the number of processes.

    Examples
    --------
    >>> batch = next(PairSampler(10, batch_size=4, seed=0))
    >>> batch.source.shape, bool((batch.source != batch.target).all())
    ((4,), True)
    """

    def __init__(self, n: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        for name, value, least in (("n", n, 1), ("batch_size", batch_size, 1), ("seed", seed, 0), ("world", world, 1)):
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}")
        if not 0 <= rank < world:
            raise ValueError(f"`rank` must be from 0 to {world - 1} (`world` is {world}), got {rank}")
        self.n, self.batch_size, self.seed, self.rank, self.world = n, batch_size, seed, rank, world
        self._position = 0  # pairs that all processes together have drawn
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def __iter__(self) -> Iterator[PairBatch]:
        return self

    def __next__(self) -> PairBatch:
        first = self._position + self.rank * self.batch_size
        self._position += self.world * self.batch_size
        epochs, places = np.divmod(np.arange(first, first + self.batch_size), self.n)
        parts = [self._epoch(int(epoch))[:, places[epochs == epoch]] for epoch in np.unique(epochs)]
        source, target, flip_source, flip_target, dial = np.concatenate(parts, axis=1)
        closeness = dial.astype(np.float32) / DIAL
        return PairBatch(source, target, flip_source.astype(bool), flip_target.astype(bool), closeness)

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self._position // self.n

    def state_dict(self) -> dict[str, int]:
        """Position in the stream: the same on every process, and independent of their number."""
        return {"n": self.n, "seed": self.seed, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on exactly where `state` was taken.

        Raises
        ------
        ValueError
            The state belongs to another number of images or another seed.
        """
        for name in ("n", "seed"):
            if state[name] != getattr(self, name):
                raise ValueError(f"`{name}` of the saved sampler must be {getattr(self, name)}, got {state[name]}")
        self._position = state["position"]

    def _draw_epoch(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        source = rng.permutation(self.n)
        # A rotated permutation has no image facing itself, and a random shift hardly ever the same images in a batch's
        # sources as in its targets.
        target = np.roll(source, rng.integers(1, self.n) if self.n > 1 else 0)
        flips = rng.integers(0, 2, size=(2, self.n))
        return np.stack([source, target, *flips, rng.integers(0, DIAL + 1, size=self.n)])

"""Pictures that belong together, looked at as one: the frames of a film, a burst."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from huenet.images.picture import read_picture
from huenet.images.read import ImageError
from huenet.methods.sample import Sample, pooled
from huenet.transfer.pixel_map import LOOKED_AT, small_copy

__all__ = ["sequence_copy"]

FRAMES = 16


def sequence_copy(paths: Sequence[Path]) -> tuple[Sample, bytes | None]:
    """What is looked at of up to 16 of the pictures, evenly chosen, as one; and the colour profile of the first.

    Raises
    ------
    ImageError
        None of them can be read.
    """
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, FRAMES).round().astype(int))]
    smalls, profiles, errors = [], [], []
    for path in chosen:
        try:
            picture = read_picture(path, LOOKED_AT)
        except ImageError as error:
            errors.append(error)
        else:
            smalls.append(small_copy(picture.pixels))
            profiles.append(picture.profile)
    if not smalls:
        raise errors[0]
    return pooled(smalls), profiles[0]

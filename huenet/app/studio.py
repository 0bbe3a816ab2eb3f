"""What the page asks for: a preview, the picture at full size, its map; from files and options to files."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from PIL import Image

from huenet._notes import noted
from huenet.images.lut import write_lut
from huenet.images.picture import OUTPUTS, read_picture, write_picture
from huenet.methods.lut import sampled
from huenet.transfer.methods import METHODS
from huenet.transfer.pixel_map import LOOKED_AT, small_copy
from huenet.transfer.recoloring import (
    Settings,
    find_change,
    goal_of,
    recolor,
    recolor_picture,
    settings_of,
    target_copy,
)

__all__ = ["finished", "mask_for", "preview", "shown", "spectrum"]

SHOWN = 1024  # longer side of what is shown
BINS = 90


def shown(path: str | Path) -> np.ndarray:
    """A picture as it is shown: uint8 RGB, its longer side at most 1024."""
    pixels = read_picture(path, SHOWN).pixels[..., :3]
    image = Image.fromarray(pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8))
    image.thumbnail((SHOWN, SHOWN))
    return np.asarray(image)


def preview(
    source: np.ndarray, target: np.ndarray, strokes: np.ndarray | None, options: Mapping[str, Any]
) -> tuple[np.ndarray, list[str]]:
    """The result for pictures as they are shown, and what there is to note."""
    with noted() as notes:
        made = recolor(source, target, mask=mask_for(strokes, *source.shape[:2]), **_known(options))
    return made, notes


def finished(
    source: str | Path, target: str | Path, strokes: np.ndarray | None, options: Mapping[str, Any]
) -> list[str]:
    """The result at full size, with the source's metadata, and its map as a .cube: paths, in a folder of their own."""
    goal = goal_of([read_picture(target, LOOKED_AT)], [None])  # first: not both in memory
    picture = read_picture(source)
    settings = _settings(options)
    folder, stem = Path(mkdtemp(prefix="result-")), Path(source).stem
    made = []
    with noted():  # the preview has said it
        seen = small_copy(picture.pixels)
        change = find_change(seen, target_copy(goal, picture.profile), settings)
        if change is not None:
            made.append(folder / f"{stem}-map.cube")
            write_lut(made[0], sampled(change.flat(seen), 33).table, title=stem)
        recolor_picture(picture, goal, mask_for(strokes, *picture.pixels.shape[:2]), settings)
        suffix = Path(source).suffix.lower()
        made.insert(0, folder / f"{stem}-recoloured{suffix if suffix in OUTPUTS else '.png'}")
        write_picture(made[0], picture)
    return [str(path) for path in made]


def mask_for(strokes: np.ndarray | None, height: int, width: int) -> np.ndarray | None:
    """What was painted on the picture as it is shown (h, w), as a mask of another size; None where nothing was."""
    if strokes is None or not strokes.any():
        return None
    return np.asarray(Image.fromarray(strokes).resize((width, height), Image.Resampling.BILINEAR))


def spectrum(pictures: Mapping[str, np.ndarray]) -> Figure:
    """The hue histograms of pictures, one beside the other, by chroma."""
    figure = Figure(figsize=(9, 1.6), layout="constrained")
    centres = (np.arange(BINS) + 0.5) / BINS
    colours = hsv_to_rgb(np.stack([centres, np.full(BINS, 0.8), np.full(BINS, 0.85)], axis=1))
    for axes, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        sample = small_copy(picture)
        hue, weights = sample.hsv()[0, ..., 0].ravel(), sample.hue_weights()[0].ravel()
        axes.bar(centres, np.histogram(hue, BINS, (0, 1), weights=weights)[0], 1 / BINS, color=colours)
        axes.set(title=name, xlim=(0, 1), xticks=[], yticks=[])
    return figure


def _known(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the method has."""
    names = METHODS[options["method"]].options()
    return {name: value for name, value in options.items() if name in names or name == "method"}


def _settings(options: Mapping[str, Any]) -> Settings:
    known = _known(options)
    return settings_of(known.pop("method"), 0, **known)

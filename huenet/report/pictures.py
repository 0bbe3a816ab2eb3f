"""Pictures for a web page as inline JPEG and PNG: photographs, hue channels, joint histograms.

What comes in are HSV arrays (3, H, W) or hues (H, W) in [0, 1].
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import base64
import io
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image

from huenet.color import hsv_to_rgb

__all__ = ["Picture", "hue_channel", "joint_histogram", "photograph"]

JOINT = 96  # bins of a joint histogram that is drawn


class Picture(NamedTuple):
    """An `img` of its own: address (the data itself) and size in pixels."""

    src: str
    width: int
    height: int


def photograph(hsv: np.ndarray) -> Picture:
    # 4:4:4, because the usual 4:2:0 would blur the very colours that the page is about
    return _inline(_pixels(hsv), "jpeg", quality=93, subsampling=0)


def hue_channel(hue: np.ndarray) -> Picture:
    """The hues alone, at full saturation and value."""
    return photograph(_pure(hue))


def joint_histogram(source: np.ndarray, other: np.ndarray) -> Picture:
    """The joint histogram of two hue channels, the source across and the other up, between two strips of hue."""
    counts = np.histogram2d(other.ravel() % 1, source.ravel() % 1, JOINT, ((0, 1), (0, 1)))[0]
    share = np.log1p(counts) / np.log1p(counts.max())
    table = (colormaps["magma"](share[::-1])[..., :3] * 255).astype(np.uint8)
    strip = _pixels(_pure(np.tile((np.arange(JOINT) + 0.5) / JOINT, (6, 1))))
    left = np.concatenate([strip.transpose(1, 0, 2)[::-1], np.zeros((6, 6, 3), np.uint8)])
    return _inline(np.concatenate([left, np.concatenate([table, strip])], axis=1), "png")


def _inline(pixels: np.ndarray, kind: str, **options: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return Picture(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", *pixels.shape[1::-1])


def _pixels(hsv: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(hsv_to_rgb(hsv), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _pure(hue: np.ndarray) -> np.ndarray:
    return np.stack([hue, np.ones_like(hue), np.ones_like(hue)])

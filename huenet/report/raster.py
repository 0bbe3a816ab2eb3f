"""Pictures for a web page as inline JPEG and PNG: photographs, hue channels, joint histograms.

Pictures are HSV arrays (3, H, W) in [0, 1]; captions and descriptions are text.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import base64
import io
from html import escape

import numpy as np
from matplotlib import colormaps
from PIL import Image

from huenet.color import hsv_to_rgb

__all__ = ["hue_channel", "joint_histogram", "photograph"]

JOINT = 96  # bins of a joint histogram that is drawn


def photograph(hsv: np.ndarray, *caption: str, alt: str = "", style: str = "") -> str:
    """A figure with the lines of `caption` below it; `alt` describes it where the caption does not."""
    return _figure(_pixels(hsv), caption, alt, style)


def hue_channel(hsv: np.ndarray, *caption: str) -> str:
    """The hues alone, at full saturation and value."""
    return _figure(_pixels(_pure(hsv[0])), caption)


def joint_histogram(source: np.ndarray, other: np.ndarray, *caption: str) -> str:
    """The joint histogram of two hue channels, between two strips of hue."""
    counts = np.histogram2d(other.ravel() % 1, source.ravel() % 1, JOINT, ((0, 1), (0, 1)))[0]
    share = np.log1p(counts) / np.log1p(counts.max())
    table = (colormaps["magma"](share[::-1])[..., :3] * 255).astype(np.uint8)
    strip = _pixels(_pure(np.tile((np.arange(JOINT) + 0.5) / JOINT, (6, 1))))
    left = np.concatenate([strip.transpose(1, 0, 2)[::-1], np.zeros((6, 6, 3), np.uint8)])
    whole = np.concatenate([left, np.concatenate([table, strip])], axis=1)
    return _figure(whole, caption, f"joint histogram, {caption[0]}", kind="png")


def _figure(pixels: np.ndarray, caption: tuple[str, ...], alt: str = "", style: str = "", kind: str = "jpeg") -> str:
    file = io.BytesIO()
    # 4:4:4, because the usual 4:2:0 would blur the very colours that the page is about
    options = {"quality": 93, "subsampling": 0} if kind == "jpeg" else {}
    Image.fromarray(pixels).save(file, kind, **options)
    data = base64.b64encode(file.getvalue()).decode()
    height, width = pixels.shape[:2]
    text = f"<figcaption>{'<br>'.join(map(escape, caption))}</figcaption>" if caption else ""
    return (
        f"<figure{f' class={style}' if style else ''}>"
        f'<img src="data:image/{kind};base64,{data}" width="{width}" height="{height}" '
        f'alt="{escape(alt or caption[0])}">{text}</figure>'
    )


def _pixels(hsv: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(hsv_to_rgb(hsv), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _pure(hue: np.ndarray) -> np.ndarray:
    return np.stack([hue, np.ones_like(hue), np.ones_like(hue)])

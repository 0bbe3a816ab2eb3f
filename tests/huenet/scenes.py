"""Small pictures made for recolouring, and how far one's colours are from another's."""

import numpy as np

from huenet.color import rgb_to_hsv
from huenet.metrics import hue_emd

RED, GREEN, GREY = (200, 40, 40), (40, 200, 40), (90, 90, 90)


def plain(colour, height=24, width=32):
    return np.tile(np.uint8(colour), (height, width, 1))


def scene(seed=0, height=48, width=64, dtype=np.uint8):
    """Smooth shading over a few hues, no two pictures alike."""
    from skimage.color import hsv2rgb

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    a, b, c = rng.random(3)
    hue = (a + 0.15 * np.sin(5 * x + 6 * b) + 0.4 * (y > c * 0.5 + 0.25)) % 1
    rgb = hsv2rgb(np.stack([hue, 0.4 + 0.5 * y, 0.3 + 0.6 * x], axis=-1))
    return np.rint(rgb * np.iinfo(dtype).max).astype(dtype)


def hsv_of(pixels):
    return np.moveaxis(rgb_to_hsv(pixels[..., :3] / np.float64(np.iinfo(pixels.dtype).max), axis=-1), -1, 0)


def distance(one, other):
    (hue_a, s_a, v_a), (hue_b, s_b, v_b) = hsv_of(one), hsv_of(other)
    return hue_emd(hue_a, hue_b, s_a * v_a, s_b * v_b, bins=64)

"""What the figures of pictures share: square photographs of scikit-image, and the measures of a result in one line."""

import numpy as np
from skimage.transform import resize

from huenet.color import chroma, rgb_to_hsv
from huenet.data.loading import photographs
from huenet.metrics import hue_emd, incoherence, relative_mi

PICTURES = {name.partition(".")[0]: picture for name, picture in photographs().items()}


def square(name: str, side: int = 128) -> np.ndarray:
    picture = PICTURES[name]
    n = min(picture.shape[:2])
    return (resize(picture[:n, :n], (side, side), anti_aliasing=True) * 255).round().astype(np.uint8)


def values(source: np.ndarray, target: np.ndarray, output: np.ndarray) -> str:
    """EMD to the target and relative MI with the source, of hue; and the hue's incoherence."""
    s, t, o = (rgb_to_hsv(np.moveaxis(np.asarray(p), -1, 0)[None] / np.float32(255)) for p in (source, target, output))
    emd, mi = hue_emd(o[:, 0], t[:, 0]), relative_mi(o[:, 0], s[:, 0])
    return f"EMD {emd[0]:.2f}, MI {mi[0]:.2f}, incoherence {incoherence(o[:, 0], chroma(o))[0]:.3f}"

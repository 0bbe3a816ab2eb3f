"""One pair of pictures: what every method makes of it, and the figures of each result.

Pictures are HSV arrays (3, H, W), float64 in [0, 1].
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from skimage.color import rgb2lab
from skimage.metrics import structural_similarity

from huenet.color import chroma, hsv_to_rgb, rgb_to_hsv
from huenet.methods.descent import optimize
from huenet.methods.reinhard import reinhard
from huenet.methods.transport import apply_displacement, best_rotation, hue_transport, transport
from huenet.metrics import hue_emd, hue_histogram, incoherence, relative_mi
from huenet.model.inference import output_hue

if TYPE_CHECKING:
    from huenet.model.networks import Generator

__all__ = ["FIGURES", "METHODS", "WIDTHS", "figures", "outputs"]

WIDTHS = (4, 8, 16, 32, 64)  # of smoothed transport, in bins: from close to coherent
METHODS = {
    "huenet": "Hue-Net (this run)",
    "without_mi": "Hue-Net without the MI loss",
    "identity": "the source, unchanged",
    "rotation": "best single rotation",
    **{f"smooth{width}": f"plain transport, smooth {width}" for width in WIDTHS},
    **{f"chroma{width}": f"chroma transport, smooth {width}" for width in WIDTHS},
    "transport": "exact circular transport",
    "linear": "exact linear transport",
    "reinhard": "Reinhard",
    "optimize": "gradient descent on the pair",
}

# Name of a figure to what it is and whether more (+1) or less (-1) of it is better; 0: a mark on the scale of another.
FIGURES = {
    "emd_hard": ("EMD to target", -1),
    "emd_soft": ("EMD to target, soft bins", -1),
    "chroma_emd": ("chroma EMD", -1),
    "mi_hard": ("relative MI", 1),
    "mi_soft": ("relative MI, soft bins", 1),
    "floor_hard": ("relative MI by chance", 0),
    "floor_soft": ("relative MI by chance, soft bins", 0),
    "incoherence": ("incoherence", -1),
    "ssim": ("SSIM of luma", 1),
    "lightness": ("change of L*", -1),
}
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def outputs(source: np.ndarray, target: np.ndarray, generators: Mapping[str, Generator]) -> dict[str, np.ndarray]:
    """The result of every method on one pair.

    The transports and the rotation go by the plain hue histograms that EMD compares, the "chroma" transports by
    histograms weighted with chroma, as `huenet.transfer` and the prior of the default preset do: that network and
    "optimize" go on from "chroma32".

    Parameters
    ----------
    source, target : ndarray, (3, H, W)
        HSV in [0, 1]; H and W as the generators take them.
    generators : mapping
        Trained generators by the name of their method: "huenet", "without_mi".

    Returns
    -------
    dict
        Name of the method, in the order of `METHODS`, to HSV (3, H, W).
    """
    hue, goal = source[0], target[0]
    plain = hue_histogram(hue), hue_histogram(goal)
    weighted = hue_histogram(hue, chroma(source)), hue_histogram(goal, chroma(target))
    hues = {name: output_hue(generator, source, target).astype(float) for name, generator in generators.items()}
    hues["identity"] = hue
    hues["rotation"] = (hue + best_rotation(*plain)) % 1
    hues["transport"] = transport(hue, goal)
    hues["linear"] = transport(hue, goal, circular=False)
    for width in WIDTHS:
        hues[f"smooth{width}"] = apply_displacement(hue, hue_transport(*plain, smooth=width))
        hues[f"chroma{width}"] = apply_displacement(hue, hue_transport(*weighted, smooth=width))
    # a seventh of the time in float64; relative MI, the most sensitive figure, is 0.0003 off on average
    hues["optimize"] = optimize(_short(source), _short(target))
    made = {name: np.stack([new, source[1], source[2]]) for name, new in hues.items()}
    made["reinhard"] = rgb_to_hsv(reinhard(hsv_to_rgb(source), hsv_to_rgb(target)))
    return {name: made[name] for name in METHODS if name in made}


def figures(source: np.ndarray, target: np.ndarray, made: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The figures of every result on one pair, K = 256.

    Parameters
    ----------
    source, target : ndarray, (3, H, W)
        HSV in [0, 1].
    made : mapping
        Method to HSV (3, H, W); see `outputs`.

    Returns
    -------
    dict
        Method to {name in `FIGURES`: value}. What "identity" scores is the EMD from target to source, the ceiling of
        relative MI (the source with itself) and the source's own incoherence. One entry more, "target", holds the
        relative MI of source and target, pixel by pixel, with what chance gives.

    Notes
    -----
    Chance: the result's pixels shuffled. SSIM: Wang's, Gaussian window of deviation 1.5, luma of BT.601. L*: mean
    absolute difference. A picture of one hue has relative MI 1 with itself and whatever it is turned to (Eq. 17 is 0
    at H = 0); a grey one has hue 0 throughout, weight 0, incoherence 0 and a histogram by chroma without mass, at EMD
    0 from an equal one.
    """
    stack = np.stack(list(made.values()))
    hue, weights = stack[:, 0], chroma(stack)
    rgb = hsv_to_rgb(stack)
    own = hsv_to_rgb(source)
    mi = _relative_mis(source[0], np.concatenate([hue, target[:1]]))
    columns = {
        "emd_hard": hue_emd(hue, target[0]),
        "emd_soft": hue_emd(_short(hue), _short(target[0]), hard=False),
        "chroma_emd": hue_emd(hue, target[0], weights, chroma(target)),
        "incoherence": incoherence(hue, weights),
        "ssim": [_ssim(own, one) for one in rgb],
        "lightness": [np.abs(_lightness(one) - _lightness(own)).mean() for one in rgb],
        **{name: values[:-1] for name, values in mi.items()},
    }
    rows = {name: {key: float(columns[key][i]) for key in FIGURES} for i, name in enumerate(made)}
    return {**rows, "target": {name: float(values[-1]) for name, values in mi.items()}}


def _relative_mis(source: np.ndarray, hues: np.ndarray) -> dict[str, np.ndarray]:
    """Relative MI of the source with each hue (M, H, W) and with its pixels shuffled, by hard and by soft bins."""
    order = np.random.default_rng(0).permutation(source.size)
    shuffled = hues.reshape(len(hues), -1)[:, order].reshape(hues.shape)
    found = {}
    for name, other in (("mi", hues), ("floor", shuffled)):
        own = np.broadcast_to(source, other.shape)
        found[f"{name}_hard"] = relative_mi(own, other)
        found[f"{name}_soft"] = relative_mi(_short(own), _short(other), hard=False)
    return found


def _short(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)  # an eighth of the time of soft bins in float64, for the sixth digit


def _ssim(one: np.ndarray, other: np.ndarray) -> float:
    luma = [np.tensordot(LUMA, rgb, 1) for rgb in (one, other)]
    return structural_similarity(*luma, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def _lightness(rgb: np.ndarray) -> np.ndarray:
    return rgb2lab(rgb, channel_axis=0)[0]

"""One pair of pictures: what every method makes of it, and the figures of each result.

Pictures are HSV arrays (3, H, W), float64 in [0, 1].
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from huenet.color import chroma, hsv_to_rgb, rgb_to_hsv, turn_hue
from huenet.methods.descent import optimize
from huenet.methods.reinhard import reinhard
from huenet.methods.transport import apply_displacement, best_rotation, hue_transport, transport
from huenet.metrics import (
    change_of_light,
    hue_emd,
    hue_histogram,
    incoherence,
    palette_distance,
    parting,
    relative_mi,
    surfaces,
)
from huenet.model.inference import output_hue, painted

if TYPE_CHECKING:
    from huenet.model.networks import AnyGenerator

__all__ = ["DIAL", "FIGURES", "FRONTIER", "METHODS", "STRENGTHS", "WIDTHS", "figures", "outputs"]

WIDTHS = (8, 16, 32, 64)  # of smoothed transport, in bins: from close to coherent
STRENGTHS = (0.3, 0.5, 0.7, 1.0)  # shares of its turn
# Transport of chroma at each width and strength: what there is without training. Its name, and width to names.
FRONTIER = {width: [f"chroma{width}{f'@{s:g}' if s < 1 else ''}" for s in STRENGTHS] for width in WIDTHS}
DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)  # settings of a network that has one
METHODS = {
    "huenet": "Hue-Net (this run)",
    "without_mi": "Hue-Net without the MI loss",
    "identity": "the source, unchanged",
    "rotation": "best single rotation",
    **{f"chroma{width}": f"chroma transport, smooth {width}" for width in WIDTHS},
    "transport": "exact circular transport",
    "reinhard": "Reinhard",
    "optimize": "gradient descent on the pair",
}

TABLE1 = ("huenet", "without_mi", "identity", "target")  # of the paper

# Name of a figure to what it is and whether more (+1) or less (-1) of it is better; 0: a mark on the scale of another.
FIGURES = {
    "palette": ("palette distance", -1),
    "parting": ("parting", -1),
    "incoherence": ("incoherence", -1),
    "light": ("change of light", -1),
    "emd_hard": ("EMD to target", -1),
    "emd_soft": ("EMD to target, soft bins", -1),
    "mi_hard": ("relative MI", 1),
    "mi_soft": ("relative MI, soft bins", 1),
    "floor_hard": ("relative MI by chance", 0),
    "floor_soft": ("relative MI by chance, soft bins", 0),
}


def outputs(source: np.ndarray, target: np.ndarray, generators: Mapping[str, AnyGenerator]) -> dict[str, np.ndarray]:
    """The result of every method on one pair.

    All of them turn the source's hue and keep its light, but for "reinhard" and for the networks of the paper's preset,
    which keep S and V. The rotation and the exact transport go by the plain hue histograms that EMD compares, the
    smoothed transports by histograms weighted with chroma.

    Parameters
    ----------
    source, target : ndarray, (3, H, W)
        HSV in [0, 1]; H and W as the generators take them.
    generators : mapping
        Trained generators by the name of their method: "huenet", "without_mi".

    Returns
    -------
    dict
        Name of the method, in the order of `METHODS` and then of `FRONTIER`, to HSV (3, H, W).
    """
    hue, goal = source[0], target[0]
    plain = hue_histogram(hue), hue_histogram(goal)
    moves = {width: hue_transport(*_by_chroma(source, target), smooth=width) for width in WIDTHS}
    turned = {
        name: apply_displacement(hue, s * moves[w])
        for w in WIDTHS
        for s, name in zip(STRENGTHS, FRONTIER[w], strict=True)
    }
    turned["rotation"] = (hue + best_rotation(*plain)) % 1
    turned["transport"] = transport(hue, goal)
    # a seventh of the time in float64; relative MI, the most sensitive figure, is 0.0003 off on average
    turned["optimize"] = optimize(_short(source), _short(target))
    made = {name: _painted(source, new) for name, new in turned.items()}
    made["identity"] = source
    made["reinhard"] = rgb_to_hsv(reinhard(hsv_to_rgb(source), hsv_to_rgb(target)))
    for name, generator in generators.items():
        made[name] = painted(generator.config, source, output_hue(generator, source, target).astype(float))
    return {name: made[name] for name in [*METHODS, *turned] if name in made}


def figures(source: np.ndarray, target: np.ndarray, made: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The figures of every result on one pair.

    Parameters
    ----------
    source, target : ndarray, (3, H, W)
        HSV in [0, 1].
    made : mapping
        Method to HSV (3, H, W); see `outputs`.

    Returns
    -------
    dict
        Method to {name in `FIGURES`: value}; the paper's figures (EMD, MI, K = 256) for those in `METHODS` alone, with
        soft bins for those of its Table 1. What "identity" scores is the distance from target to source, the ceiling
        of relative MI (the source with itself) and the source's own incoherence. One entry more, "target", holds the
        relative MI of source and target, pixel by pixel, with what chance gives.

    Notes
    -----
    Chance: the result's pixels shuffled. A picture of one hue has relative MI 1 with itself and whatever it is turned
    to (Eq. 17 is 0 at H = 0); a grey one has hue 0 throughout, weight 0, incoherence 0 and a histogram by chroma
    without mass, at EMD 0 from an equal one.
    """
    stack = np.stack(list(made.values()))
    hue, weights = stack[:, 0], chroma(stack)
    columns = {
        "palette": palette_distance(stack, target),
        "parting": parting(source[0], hue, np.minimum(weights, chroma(source)), surfaces(hsv_to_rgb(source))),
        "incoherence": incoherence(hue, weights),
        "light": change_of_light(source, stack),
    }
    rows = {name: {key: float(values[i]) for key, values in columns.items()} for i, name in enumerate(made)}
    for names, hard in ((*METHODS, "target"), True), (TABLE1, False):
        hues = {name: hsv[0] for name, hsv in [*made.items(), ("target", target)] if name in names}
        for name, found in _papers_figures(source[0], target[0], hues, hard).items():
            rows.setdefault(name, {}).update(found)
    return {**rows, "target": {key: value for key, value in rows["target"].items() if not key.startswith("emd")}}


def _papers_figures(
    source: np.ndarray, target: np.ndarray, hues: Mapping[str, np.ndarray], hard: bool
) -> dict[str, dict[str, float]]:
    """EMD to the target, relative MI with the source, and that with the pixels shuffled, by hard or by soft bins."""
    order = np.random.default_rng(0).permutation(source.size)
    new = np.stack(list(hues.values()))
    # soft bins in float64 take eight times as long, for the sixth digit
    source, target, new = (x if hard else _short(x) for x in (source, target, new))
    shuffled = new.reshape(len(new), -1)[:, order].reshape(new.shape)
    own = np.broadcast_to(source, new.shape)
    columns = {
        "emd": hue_emd(new, target, hard=hard),
        "mi": relative_mi(own, new, hard=hard),
        "floor": relative_mi(own, shuffled, hard=hard),
    }
    bins = "hard" if hard else "soft"
    return {name: {f"{key}_{bins}": float(v[i]) for key, v in columns.items()} for i, name in enumerate(hues)}


def _by_chroma(*pictures: np.ndarray) -> list[np.ndarray]:
    return [hue_histogram(hsv[0], chroma(hsv)) for hsv in pictures]


def _painted(source: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """The source in another hue, with its light."""
    return rgb_to_hsv(turn_hue(source, hue - source[0]))


def _short(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)

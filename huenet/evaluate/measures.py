"""One pair of pictures: what every method makes of it, and the figures of each result.

Pictures are HSV arrays (3, H, W), float64 in [0, 1].
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from huenet.color import chroma, hsv_to_rgb, rgb_to_hsv, turn_hue
from huenet.config import CLOSENESS
from huenet.methods.grid import centres
from huenet.methods.sample import Sample
from huenet.methods.transport import best_rotation, transport
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
from huenet.transfer.methods import METHODS

if TYPE_CHECKING:
    from huenet.model.networks import AnyGenerator

__all__ = ["CURVES", "DIAL", "FIGURES", "FRONTIER", "STRENGTHS", "TITLES", "dialled", "figures", "outputs"]

STRENGTHS = (0.3, 0.5, 0.7, 1.0)
# What there is without training: methods that have an option from coherent to close, each at every strength
CURVES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"smooth {width}": ("transport", {"smooth": width}) for width in (8, 16, 32, 64)},
    **{f"relaxed {reg_m:g}": ("relaxed", {"reg_m": reg_m}) for reg_m in (0.03, 0.1, 0.3)},
}
FRONTIER = {curve: [f"{curve}@{s:g}" if s < 1 else curve for s in STRENGTHS] for curve in CURVES}
DIAL = (0.0, 0.2, CLOSENESS, 0.6, 0.8, 1.0)  # settings of a network that has one
OTHERS = [name for name in METHODS if name not in ("huenet", *(method for method, _ in CURVES.values()))]
TITLES = {
    "huenet": "Hue-Net (this run)",
    "without_mi": "Hue-Net without the MI loss",
    "identity": "the source, unchanged",
    "rotation": "best single rotation",
    "exact": "exact circular transport",
    **{curve: f"{method}, {curve.replace(method, 'reg_m')}" for curve, (method, _) in CURVES.items()},
    **{method: method for method in OTHERS},
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

    The methods of `huenet.transfer.methods` do what ``huenet transfer`` does. Beside them: the source, the one rotation
    and the exact transport of the hue histograms that EMD compares, in the source's light; and networks, which keep it
    too, but for those of the paper's preset, which keep S and V.

    Parameters
    ----------
    source, target : ndarray, (3, H, W)
        HSV in [0, 1]; H and W as the generators take them.
    generators : mapping
        Trained generators by the name of their method: "huenet", "without_mi".

    Returns
    -------
    dict
        Name of the method to HSV (3, H, W): those of `TITLES`, the settings of the network's dial by `dialled`, and the
        points of `FRONTIER`.
    """
    hue, goal = source[0], target[0]
    made = {name: _paint(generator, source, target) for name, generator in generators.items()}
    if "huenet" in generators and _has_dial(generators["huenet"]):
        made |= {dialled(c): _paint(generators["huenet"], source, target, c) for c in DIAL if c != CLOSENESS}
    made["identity"] = source
    rotation = np.full_like(hue, best_rotation(hue_histogram(hue), hue_histogram(goal)))
    made["rotation"], made["exact"] = (rgb_to_hsv(turn_hue(source, t)) for t in (rotation, transport(hue, goal) - hue))
    return {**made, **dict(_without_training(source, target))}


def dialled(closeness: float) -> str:
    """The name of the network's method at a setting of its dial."""
    return "huenet" if closeness == CLOSENESS else f"huenet@{closeness:g}"


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
        Method to {name in `FIGURES`: value}; the paper's figures (EMD, MI, K = 256) not for points of `FRONTIER` that
        have no title, and with soft bins for the methods of its Table 1 alone. What "identity" scores is the distance
        from target to source, the ceiling of relative MI (the source with itself) and the source's own incoherence. One
        entry more, "target", holds the relative MI of source and target, pixel by pixel, with what chance gives.

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
    untitled = {name for names in FRONTIER.values() for name in names} - TITLES.keys()
    for names, hard in (({*made, "target"} - untitled, True), (TABLE1, False)):
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


def _has_dial(generator: AnyGenerator) -> bool:
    """Whether a network was trained at several settings of closeness."""
    return bool(generator.config.palette_dial or generator.config.adv_dial)


def _paint(generator: AnyGenerator, source: np.ndarray, target: np.ndarray, closeness: float = CLOSENESS) -> np.ndarray:
    return painted(generator.config, source, output_hue(generator, source, target, closeness).astype(float))


def _without_training(source: np.ndarray, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What the table's methods make of a pair: as they are, and along `CURVES`."""
    # a fraction of the time in float64; relative MI, the most sensitive figure, is 0.0003 off on average
    rgb = [_short(np.moveaxis(hsv_to_rgb(hsv), 0, -1))[None] for hsv in (source, target)]
    one, other = (Sample(values, np.ones_like(values[..., 0])) for values in rgb)
    changes = {name: METHODS[name](one, other, {}) for name in OTHERS}
    for curve, (name, options) in CURVES.items():
        found = METHODS[name].find(one, other, **options)
        for point, strength in zip(FRONTIER[curve], STRENGTHS, strict=True):
            changes[point] = METHODS[name].change(found, one, other, strength=strength)
    for name, change in changes.items():
        new = change(rgb[0], *map(centres, source.shape[1:]))[0]
        yield name, rgb_to_hsv(np.moveaxis(np.clip(new, 0, 1), -1, 0).astype(float))


def _short(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)

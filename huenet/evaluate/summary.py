"""Means, intervals and wins over the pairs of an evaluation, and the verdict that they allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from huenet.evaluate.measures import FIGURES, METHODS, WIDTHS

__all__ = ["AXES", "CURVES", "Verdict", "against", "intervals", "past_curve", "summarize", "verdict"]

DRAWS = 4000
LEAST_PAIRS = 20  # below, the spread between pairs drowns the differences between methods
AXES = {"emd_hard": "EMD", "chroma_emd": "chroma EMD", "mi_hard": "relative MI", "incoherence": "incoherence"}
# The families of smoothed transports, each by the distance that it goes by: curves from close to coherent.
CURVES = {
    key: [f"{stem}{width}" for width in WIDTHS] for key, stem in (("emd_hard", "smooth"), ("chroma_emd", "chroma"))
}
PRIOR = "chroma32"  # from here "optimize" goes on, and a network of the default preset: both have to improve on it
RIVALS = ("rotation", *CURVES["emd_hard"], *CURVES["chroma_emd"], "transport", "linear", "reinhard", "optimize")
ON = "EMD (plain and by chroma), relative MI and incoherence"

Figures = Mapping[str, Mapping[str, float]]


class Verdict(NamedTuple):
    """`kind`: "few", "idle", "behind", "ahead" or "mixed"; `label`: that in a few words; `text`: two sentences."""

    kind: str
    label: str
    text: str


def intervals(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Mean and percentile bootstrap interval, 95%, of each column.

    Parameters
    ----------
    values : ndarray, (N, F)
        F figures of N pairs; a pair is drawn with all of its figures.
    seed : int
        Of the draws.

    Returns
    -------
    ndarray, (3, F)
        Mean, low end and high end.

    References
    ----------
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    N = len(values)
    counts = np.random.default_rng(seed).multinomial(N, np.full(N, 1 / N), size=DRAWS)
    means = counts @ values / N
    return np.stack([values.mean(axis=0), *np.quantile(means, [0.025, 0.975], axis=0)])


def summarize(rows: Sequence[Figures]) -> dict[str, Any]:
    """Everything that `results.json` says of the figures.

    Parameters
    ----------
    rows : sequence of mappings
        For each pair, what `huenet.evaluate.measures.figures` returns, of the same methods.

    Returns
    -------
    dict
        "methods": for each and for each figure mean, low and high. "against": for each other method and figure that
        has a better end, the share of pairs that Hue-Net wins (a tie is half a win), and the mean difference (Hue-Net
        minus the other) with its interval; and with the wider interval "sure_low" to "sure_high", for all that the
        verdict compares at once (see `verdict`). "past": for each of `CURVES`, what `past_curve` returns.
    """
    names = [name for name in (*METHODS, "target") if name in rows[0]]
    methods = {}
    for name in names:
        keys = list(rows[0][name])
        means = intervals(np.array([[row[name][key] for key in keys] for row in rows]))
        methods[name] = {key: _interval(means[:, i]) for i, key in enumerate(keys)}
    return {
        "pairs": len(rows),
        "methods": methods,
        "against": {name: against(rows, name) for name in names if name not in ("huenet", "target")},
        "past": {key: past_curve(rows, key) for key in CURVES},
    }


def against(rows: Sequence[Figures], other: str) -> dict[str, dict[str, float]]:
    """How Hue-Net does against one other method; see `summarize`."""
    keys = [key for key, (_, better) in FIGURES.items() if better]
    better = np.array([FIGURES[key][1] for key in keys])
    difference = np.array([[row["huenet"][key] - row[other][key] for key in keys] for row in rows])
    gain = np.where(np.abs(difference) < 1e-9, 0, difference) * better  # rounding is not a win
    wins = (gain > 0).mean(axis=0) + (gain == 0).mean(axis=0) / 2
    means = intervals(difference)
    sure = _sure(difference)
    return {
        key: {"wins": float(wins[i]), **_interval(means[:, i]), "sure_low": sure[0][i], "sure_high": sure[1][i]}
        for i, key in enumerate(keys)
    }


def past_curve(rows: Sequence[Figures], key: str, seed: int = 0) -> dict[str, float] | None:
    """Whether the network is more coherent than smoothed transport that is as close to the target.

    Parameters
    ----------
    rows : sequence of mappings
        As for `summarize`.
    key : str
        The distance, one of `CURVES`.
    seed : int
        Of the bootstrap's draws.

    Returns
    -------
    dict or None
        "curve": incoherence at the network's mean distance on the line through the mean points of the widths; "mean":
        the network's incoherence less that, "low" and "high": its bootstrap interval, 95%, over pairs. None where a
        width was not measured, or none is as close or as far as the network.
    """
    methods = CURVES[key]
    if not all(name in rows[0] for name in methods):
        return None
    x, y = (np.array([[row[name][figure] for name in methods] for row in rows]) for figure in (key, "incoherence"))
    own = np.array([[row["huenet"][figure] for figure in (key, "incoherence")] for row in rows])

    def at_equal_distance(shares: np.ndarray) -> tuple[float, float]:
        """Incoherence of the curve and of the network; beyond its ends the curve goes on level."""
        distance, incoherence = shares @ own
        xs, ys = shares @ x, shares @ y
        order = np.argsort(xs)
        return float(np.interp(distance, xs[order], ys[order])), float(incoherence)

    N = len(rows)
    distances = x.mean(axis=0)
    if not distances.min() <= own[:, 0].mean() <= distances.max():
        return None
    curve, incoherence = at_equal_distance(np.full(N, 1 / N))
    counts = np.random.default_rng(seed).multinomial(N, np.full(N, 1 / N), size=DRAWS)
    drawn = np.array([at_equal_distance(count / N) for count in counts])
    low, high = np.quantile(drawn[:, 1] - drawn[:, 0], [0.025, 0.975])
    return {"curve": curve, "mean": incoherence - curve, "low": float(low), "high": float(high)}


def verdict(results: Mapping[str, Any]) -> Verdict:
    """What the figures say to someone who asks whether the network is worth its training.

    A method is better than another where, on the figures in `AXES`, no interval of the mean difference between the two
    speaks against it and at least one speaks for it. The intervals are Student's at 95% for all figures and rivals
    together (Bonferroni): of as many looks as that, one in twenty alone would find a difference where there is none.
    "ahead" takes that no baseline is better, not even descent on the pair, part of which the default preset's network
    begins with, and that the network is better than the transport from which both start, `PRIOR`.
    """
    methods, pairs = results["methods"], results["pairs"]
    source, ours, against = methods["identity"], methods["huenet"], results["against"]
    first = (
        f"On {pairs} pair{'s' if pairs > 1 else ''} the network brings the distance to the target's hues (EMD) from "
        f"{source['emd_hard']['mean']:.3f} to {ours['emd_hard']['mean']:.3f}, keeps {ours['mi_hard']['mean']:.2f} of "
        f"the source's hue information (chance gives {ours['floor_hard']['mean']:.2f}) and takes hue incoherence from "
        f"{source['incoherence']['mean']:.4f} to {ours['incoherence']['mean']:.4f}."
    )
    signs = {name: _sign(against[name]) for name in against if name in RIVALS}
    worse, level, better = ([name for name in signs if signs[name] == sign] for sign in (-1, 0, 1))
    others = f"{'the other ' if better else ''}{len(level)} baseline{'s' if len(level) != 1 else ''}"
    if pairs < LEAST_PAIRS:
        kind, label = "few", "Too few pairs to tell"
        second = f"It takes {LEAST_PAIRS} pairs or more to say anything against the baselines."
    elif all(against["identity"][key]["high"] >= 0 for key in ("emd_hard", "chroma_emd")):
        kind, label = "idle", "No closer to the target"
        second = "That is not reliably closer than the source was: as it stands, the network is of no use."
    elif worse:
        kind, label = "behind", "A baseline does better"
        second = (
            f"{_named(worse)[0].upper()}{_named(worse)[1:]}, which need{'s' if len(worse) == 1 else ''} no training, "
            f"{'is' if len(worse) == 1 else 'are each'} better on some of {ON} and worse on none: on these figures the "
            "training does not pay."
        )
    elif signs.get(PRIOR) == 1:
        kind, label = "ahead", "Better than smoothed transport"
        rest = f", and trades one figure for another with {others}" if level else ""
        second = f"On {ON} no baseline beats it, and it is better, and worse on none, than {_named(better)}{rest}."
    else:
        kind, label = "mixed", "A trade-off"
        some = f"it is better, and worse on none, than {_named(better)}, but " if better else ""
        second = f"On {ON} {some}it trades one figure for another with {others}, which no training went into."
    return Verdict(kind, label, f"{first} {second}")


def _sign(figures: Mapping[str, Mapping[str, float]]) -> int:
    """1 where Hue-Net is better, -1 where the other is, 0 where each has something for it, or neither anything."""
    signs = set()
    for key in AXES:
        low, high = (figures[key][end] * FIGURES[key][1] for end in ("sure_low", "sure_high"))
        signs.add(1 if min(low, high) > 0 else -1 if max(low, high) < 0 else 0)
    signs.discard(0)
    return signs.pop() if len(signs) == 1 else 0


def _sure(values: np.ndarray) -> tuple[list[float], list[float]]:
    """Ends of the intervals of the means of columns that all hold together in 95% of the evaluations."""
    N = len(values)
    share = 0.05 / (len(AXES) * len(RIVALS))
    half = student.ppf(1 - share / 2, max(N - 1, 1)) * values.std(axis=0, ddof=min(N - 1, 1)) / np.sqrt(N)
    mean = values.mean(axis=0)
    return (mean - half).tolist(), (mean + half).tolist()


def _named(methods: Sequence[str]) -> str:
    """Methods in a sentence; the widths of a family together."""
    names = [METHODS[name] for name in methods if not name.startswith(("smooth", "chroma"))]
    for label, family in zip(("plain", "chroma"), CURVES.values(), strict=True):
        widths = [str(width) for width, name in zip(WIDTHS, family, strict=True) if name in methods]
        if widths:
            names.append(f"{label} transport smoothed over {_and(widths)} bins")
    return _and(names)


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _interval(column: np.ndarray) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), map(float, column), strict=True))

"""Means and intervals over the pairs of an evaluation, and the verdict that they allow.

Intervals are of the percentile bootstrap over sources: a source is drawn with all of its pairs, and every method and
figure is taken on the same draws, so that differences between them have intervals too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from huenet import realism
from huenet.evaluate.measures import DIAL, FIGURES, FRONTIER, dialled
from huenet.metrics import undone

__all__ = ["LEAST_PAIRS", "Judged", "Verdict", "conclude", "draw", "frontier", "settings", "summarize", "verdict"]

DRAWS = 2000
LEAST_PAIRS = 20  # below, the spread between pairs drowns the differences between methods
REAL = ("kid", "auc")  # in both of these the network has to be better than the frontier
KEPT = ("undone", "parting", "incoherence")  # and in none of these worse

Figures = Mapping[str, Mapping[str, float]]
Drawn = Mapping[str, Mapping[str, np.ndarray]]  # method to figure to its value for all pairs, then for every draw


class Judged(NamedTuple):
    """What the judge of realism saw: in photographs that are in no pair, and in the results of each method."""

    photographs: np.ndarray  # (R, F)
    results: Mapping[str, np.ndarray]  # (N, F)


class Verdict(NamedTuple):
    """`kind`: "few", "unknown", "idle", "behind", "mixed" or "ahead"; `label`: that in a few words; `text`: why."""

    kind: str
    label: str
    text: str


def summarize(rows: Sequence[Figures], sources: Sequence[str], judged: Judged | None = None) -> dict[str, Any]:
    """Everything that `results.json` says of the figures.

    Parameters
    ----------
    rows : sequence of mappings
        For each pair, what `huenet.evaluate.measures.figures` returns, of the same methods.
    sources : sequence of str
        The name of each pair's source.
    judged : Judged, optional
        Without it nothing is said of realism.

    Returns
    -------
    dict
        "pairs": their number; and what `conclude` returns.
    """
    return {"pairs": len(rows), **conclude(draw(rows, sources, judged))}


def conclude(drawn: Drawn) -> dict[str, Any]:
    """What the draws say.

    Returns
    -------
    dict
        "methods": for each and for each figure mean, low and high (95%). "against": for each other method and figure
        that has a better end the mean difference, Hue-Net minus the other, with its interval. "frontier": for each
        setting of the network, what `frontier` returns.
    """
    ours = drawn["huenet"]
    return {
        "methods": {name: {key: _interval(v) for key, v in figures.items()} for name, figures in drawn.items()},
        "against": {
            name: {key: _interval(ours[key] - v) for key, v in figures.items() if better(key) and key in ours}
            for name, figures in drawn.items()
            if name not in ("huenet", "target")
        },
        "frontier": {name: frontier(drawn, name) for name in settings(drawn)},
    }


def better(figure: str) -> int:
    """1 where more of a figure is better, -1 where less is, 0 for a mark on the scale of another."""
    return FIGURES[figure][1] if figure in FIGURES else -1  # what is measured on all pairs at once is all of this kind


def settings(methods: Mapping[str, Any]) -> dict[str, float | None]:
    """The points of the network's curve, by method: its dial's settings; None for a network without a dial."""
    dial: dict[str, float | None] = {dialled(c): c for c in DIAL}
    return dial if dial.keys() <= methods.keys() else {"huenet": None}


def draw(rows: Sequence[Figures], sources: Sequence[str], judged: Judged | None = None, seed: int = 0) -> Drawn:
    """Every figure of every method over all pairs, and then over each draw of the bootstrap.

    Parameters
    ----------
    rows, sources, judged
        As for `summarize`.
    seed : int
        Of the draws.

    Returns
    -------
    mapping
        Method to figure to ndarray (1 + DRAWS,): means over pairs; and "undone", and with `judged` "kid" and "auc".

    References
    ----------
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
    """
    names, number = np.unique(sources, return_inverse=True)
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    counts = np.concatenate([np.ones((1, len(names))), times])[:, number]
    before = np.array([row["identity"]["palette"] for row in rows])
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for name in rows[0]:
        values = {key: np.array([row[name][key] for row in rows]) for key in rows[0][name]}
        drawn[name] = {key: counts @ v / counts.sum(axis=1) for key, v in values.items()}
        if "palette" in values:
            drawn[name]["undone"] = undone(before, values["palette"], counts)
    if judged:
        scale, own = realism.scale(judged.photographs), judged.results["identity"]
        photographs = judged.photographs / scale
        likeness = realism.likeness(photographs)
        for name, seen in judged.results.items():
            drawn[name]["kid"] = realism.kid(realism.kernel(photographs, seen / scale, likeness), counts)
            drawn[name]["auc"] = realism.auc(realism.scores(own, seen, number), counts)
    return drawn


def frontier(drawn: Drawn, name: str) -> dict[str, Any]:
    """A setting of the network beside what needs no training, at the network's palette distance.

    The frontier of a figure is the best that any curve of `FRONTIER` reaches at that distance: on straight lines
    between the points of its strengths, from the source, which is strength 0. A network that is closer to the target
    than all of them is held against the closest.

    Parameters
    ----------
    drawn : mapping
        Method to figure to values: for all pairs, then for every draw of the bootstrap.
    name : str
        The network's setting.

    Returns
    -------
    dict
        For each of palette distance and the figures that the verdict rests on: "own"; and but for the palette
        distance "best", the frontier's, "mean", the difference of the two, "low" and "high", its interval, so wide that
        the intervals of all settings hold together in 95% of the evaluations. "real": whether the network is more real
        by both figures; None where realism was not measured. "behind": in which figures it is worse.
    """
    share = 0.05 / len(settings(drawn))
    ends = [share / 2, 1 - share / 2]
    distance = drawn[name]["palette"]
    found: dict[str, Any] = {"palette": {"own": float(distance[0])}}
    for key in (*REAL, *KEPT):
        if key in drawn[name]:
            own, best = drawn[name][key], _best_at(drawn, key, distance)
            low, high = np.quantile(own[1:] - best[1:], ends)
            found[key] = {
                "own": float(own[0]),
                "best": float(best[0]),
                "mean": float(own[0] - best[0]),
                "low": float(low),
                "high": float(high),
            }
    real = all(found[key]["high"] < 0 for key in REAL) if all(key in found for key in REAL) else None
    return {**found, "real": real, "behind": [key for key in (*REAL, *KEPT) if key in found and found[key]["low"] > 0]}


def _best_at(drawn: Drawn, key: str, distance: np.ndarray) -> np.ndarray:
    """The least of a figure on the curves of `FRONTIER` at a palette distance, for each draw."""
    curves = [[drawn[name] for name in ("identity", *names)] for names in FRONTIER.values()]
    reached = np.stack([point["palette"] for curve in curves for point in curve])
    distance = np.clip(distance, reached.min(axis=0), reached.max(axis=0))
    best = np.full(distance.shape, np.inf)
    for curve in curves:
        for one, other in pairwise(curve):
            span = other["palette"] - one["palette"]
            place = np.divide(distance - one["palette"], span, out=np.zeros_like(span), where=span != 0)
            on = (place >= -1e-9) & (place <= 1 + 1e-9) & ((span != 0) | (distance == one["palette"]))
            best = np.where(on, np.minimum(best, one[key] + place * (other[key] - one[key])), best)
    return best


def verdict(results: Mapping[str, Any]) -> Verdict:
    """What the figures say to someone who asks whether the network is worth its training.

    It earns its place where, at equal palette distance, it is more real by both figures, KID and AUC, than what
    needs no training (see `frontier`), and is worse in none of undone, parting and incoherence. "ahead": at one setting
    of its dial or more; "mixed": it is more real somewhere, and worse in something there; "behind": nowhere. Of a
    network with a dial it is said at which settings it is behind the frontier, and in what.
    """
    methods, pairs, points = results["methods"], results["pairs"], results["frontier"]
    source, ours = methods["identity"], methods["huenet"]
    first = (
        f"On {pairs} pair{'s' if pairs > 1 else ''} the network brings the palette distance from "
        f"{source['palette']['mean']:.4f} to {ours['palette']['mean']:.4f}, leaves {ours['undone']['mean']:.0%} of the "
        f"far pairs undone, and has {ours['incoherence']['mean'] / max(source['incoherence']['mean'], 1e-9):.2f} of "
        "the source's incoherence."
    )
    dial = settings(methods)
    more = [name for name in points if points[name]["real"]]
    good = [name for name in more if not points[name]["behind"]]
    if pairs < LEAST_PAIRS:
        kind, label = "few", "Too few pairs to tell"
        second = f"It takes {LEAST_PAIRS} pairs or more to say anything against what needs no training."
    elif results["against"]["identity"]["palette"]["high"] >= 0:
        kind, label = "idle", "No closer to the target"
        second = "That is not reliably closer than the source was: as it stands, the network is of no use."
    elif results.get("realism") or any(point["real"] is None for point in points.values()):
        kind, label = "unknown", "Realism was not measured"
        second = f"Without it nothing is said against what needs no training. {results.get('realism') or ''}".strip()
    elif good:
        kind, label = "ahead", "The network earns its place"
        second = (
            f"{_where(good, dial)}it is more real than anything that needs no training at the same palette distance "
        )
        second += f"({_told(points[_middle(good)])}), and no worse in {_and(KEPT)}."
    elif more:
        kind, label = "mixed", "More real, at a price"
        worse = sorted({key for name in more for key in points[name]["behind"]}, key=KEPT.index)
        second = (
            f"{_where(more, dial)}it is more real than anything that needs no training at the same palette distance "
        )
        second += f"({_told(points[_middle(more)])}), but worse in {_and(worse)}."
    else:
        kind, label = "behind", "Training does not pay"
        second = (
            f"{'At no setting is it' if len(points) > 1 else 'It is not'} reliably more real than the frontier of what "
        )
        second += f"needs no training, at the same palette distance ({_told(points[_middle(list(points))])})."
    third = _along(points, dial) if kind in ("ahead", "mixed", "behind") and len(dial) > 1 else ""
    return Verdict(kind, label, f"{first} {second} {third}".strip())


def _along(points: Mapping[str, Mapping[str, Any]], dial: Mapping[str, float | None]) -> str:
    """Where along its dial a network is behind what needs no training, and in what."""
    names = {name: [key.upper() if key in REAL else key for key in point["behind"]] for name, point in points.items()}
    behind = [f"{dial[name]:g} ({_and(keys)})" for name, keys in names.items() if keys]
    return f"Along the dial it is {f'behind at closeness {_and(behind)}' if behind else 'nowhere behind'}."


def _where(names: Sequence[str], dial: Mapping[str, float | None]) -> str:
    if list(dial) == ["huenet"]:
        return "Painting so, "
    return f"At closeness {_and([f'{dial[name]:g}' for name in names])} "


def _middle(names: Sequence[str]) -> str:
    return names[len(names) // 2]


def _told(point: Mapping[str, Any]) -> str:
    kid, auc = (point[key] for key in REAL)
    return (
        f"at {point['palette']['own']:.4f}: KID {round(kid['own'])} against {round(kid['best'])}, "
        f"AUC {auc['own']:.3f} against {auc['best']:.3f}"
    )


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _interval(values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}

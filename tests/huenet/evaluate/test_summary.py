"""Statistics over pairs: intervals, the frontier of what needs no training, and the verdict."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from scipy import stats

from huenet.evaluate.measures import CURVES, DIAL, FIGURES, FRONTIER, dialled
from huenet.evaluate.summary import DRAWS, KEPT, LEAST_PAIRS, Judged, conclude, draw, summarize, verdict

torch.set_num_threads(1)
POINTS = [name for names in FRONTIER.values() for name in names]


def rows_of(values, names=("huenet", "identity")):
    """Pairs in which every figure of every method is the pair's value."""
    return [{name: dict.fromkeys(FIGURES, float(value)) for name in (*names, *POINTS)} for value in values]


# Intervals


def test_intervals_are_scipys_bootstrap(rng):
    values = rng.gamma(2, size=60)
    found = summarize(rows_of(values), [str(i) for i in range(60)])["methods"]["huenet"]["light"]
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20000, rng=rng).confidence_interval
    spread = expected.high - expected.low
    assert found["mean"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(expected.low, abs=0.06 * spread)
    assert found["high"] == pytest.approx(expected.high, abs=0.06 * spread)


def test_pairs_of_one_source_are_drawn_together(rng):
    """Every source three times with the same value: no more is known than from once."""
    values, sources = rng.random(30), [f"{i}" for i in range(30)]
    once = summarize(rows_of(values), sources)["methods"]["huenet"]["light"]
    thrice = summarize(rows_of(np.tile(values, 3)), sources * 3)["methods"]["huenet"]["light"]
    assert thrice == pytest.approx(once)


def test_differences_are_those_of_the_pairs():
    rows = rows_of([0.1, 0.3, 0.5, 0.1])
    for row, value in zip(rows, (0.2, 0.3, 0.2, 0.4), strict=True):
        row["identity"] = dict.fromkeys(FIGURES, value)
    found = summarize(rows, ["a", "b", "c", "d"])["against"]["identity"]
    assert found["emd_hard"]["mean"] == pytest.approx(np.mean([-0.1, 0, 0.3, -0.3]))
    assert "floor_hard" not in found


def test_one_pair_has_an_interval_without_width():
    found = summarize(rows_of([0.25]), ["a"])["methods"]["huenet"]["palette"]
    assert found == {"mean": 0.25, "low": 0.25, "high": 0.25}


# The frontier


PLACES = {  # palette distance and any other figure, at the strengths of each curve
    "smooth 8": [(0.016, 0.3), (0.012, 0.5), (0.008, 0.8), (0.002, 2.0)],
    "smooth 16": [(0.017, 0.2), (0.014, 0.4), (0.010, 0.6), (0.004, 1.2)],
    "smooth 32": [(0.018, 0.1), (0.016, 0.3), (0.013, 0.5), (0.008, 0.7)],
    "smooth 64": [(0.019, 0.1), (0.018, 0.2), (0.017, 0.3), (0.015, 0.9)],
    **{curve: [(0.018, 0.5), (0.016, 0.7), (0.013, 0.9), (0.008, 1.5)] for curve in list(CURVES)[4:]},
}


def drawn_with(noise=0.0, dial=(), **own):
    """Draws in which what needs no training lies on `PLACES`, and the network at `own`, all with noise of their own."""
    rng = np.random.default_rng(0)

    def value(mean, size=1.0):
        return mean + noise * size * np.concatenate([[0], rng.normal(size=DRAWS)])

    def method(palette, other):
        return {"palette": value(palette, 1e-3), **{key: value(other) for key in ("kid", "auc", *KEPT)}}

    drawn = {"identity": method(0.02, 0.0)}
    for curve, names in FRONTIER.items():
        drawn |= {name: method(*point) for name, point in zip(names, PLACES[curve], strict=True)}
    for name in dial or ("huenet",):
        drawn[name] = {
            **method(0.01, 0.6),
            **{key: value(v, 1e-3 if key == "palette" else 1) for key, v in own.items()},
        }
    drawn.setdefault("huenet", drawn[list(drawn)[-1]])
    return drawn


@pytest.mark.parametrize("palette", [0.002, 0.003, 0.0075, 0.010, 0.0145, 0.0185, 0.02])
def test_the_frontier_is_the_lowest_line_at_the_networks_palette_distance(palette):
    found = conclude(drawn_with(palette=palette))["frontier"]["huenet"]
    lines = []
    for curve in PLACES.values():
        x, y = zip(*[(0.02, 0.0), *curve], strict=True)
        if x[-1] <= palette:
            lines.append(np.interp(palette, x[::-1], y[::-1]))
    assert found["kid"]["best"] == pytest.approx(min(lines))
    assert found["palette"]["own"] == palette


@pytest.mark.parametrize(("palette", "best"), [(0.001, 2.0), (0.03, 0.0)])
def test_beyond_the_frontiers_ends_it_is_its_end(palette, best):
    assert conclude(drawn_with(palette=palette))["frontier"]["huenet"]["kid"]["best"] == pytest.approx(best)


def test_a_network_is_compared_on_the_draws_of_the_frontier():
    """What pairs have in common moves both alike, and is no doubt about their difference."""
    drawn = drawn_with(kid=0.5)
    common = np.concatenate([[0], np.random.default_rng(1).normal(0, 5, DRAWS)])
    for method in drawn.values():
        method["kid"] = method["kid"] + common
    found = conclude(drawn)["frontier"]["huenet"]["kid"]
    assert found["low"] == pytest.approx(-0.1)
    assert found["high"] == pytest.approx(-0.1)


# The verdict


def concluded(drawn, pairs=100, **more):
    return {"pairs": pairs, **conclude(drawn), **more}


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("ahead", {"kid": 0.4, "auc": 0.4}),
        ("ahead", {"kid": 0.4, "auc": 0.4, "undone": 0.62}),  # not reliably worse
        ("mixed", {"kid": 0.4, "auc": 0.4, "parting": 0.8}),
        ("behind", {"kid": 0.4, "auc": 0.6}),  # real by one figure alone
        ("behind", {"kid": 0.58, "auc": 0.58}),  # not reliably
        ("behind", {"kid": 0.9, "auc": 0.9, "undone": 0.1}),
        ("idle", {"palette": 0.02, "kid": 0.0, "auc": 0.0}),
    ],
)
def test_the_verdict_follows_the_rule(kind, own):
    found = verdict(concluded(drawn_with(0.02, **own)))
    assert found.kind == kind
    assert ("parting" in found.text) == (kind in ("ahead", "mixed"))


def test_one_good_setting_of_the_dial_is_enough_and_is_named():
    names = [dialled(c) for c in DIAL]
    drawn = drawn_with(0.02, names, kid=0.4, auc=0.4)
    for name in names[1:]:
        drawn[name] = {**drawn[name], "auc": drawn[name]["auc"] + 0.5}
    found = verdict(concluded(drawn))
    assert found.kind == "ahead"
    assert "At closeness 0 it is" in found.text
    drawn[names[0]] = {**drawn[names[0]], "incoherence": drawn[names[0]]["incoherence"] + 0.5}
    assert verdict(concluded(drawn)).kind == "mixed"
    assert (
        "behind at closeness 0 (incoherence), 0.2 (AUC), 0.4 (AUC), 0.6 (AUC), 0.8 (AUC) and 1 (AUC)."
        in verdict(concluded(drawn)).text
    )
    assert "At no setting" in verdict(concluded(drawn_with(0.02, names, kid=0.9))).text


def test_the_verdict_is_two_sentences_that_hold_the_figures():
    results = concluded(drawn_with(0.02, kid=0.4, auc=0.4))
    text = verdict(results).text
    assert text.count(". ") == 1
    assert text.endswith(".")
    assert "from 0.0200 to 0.0100" in text
    assert "KID 0 against 1, AUC 0.400 against 0.600" in text


def test_too_few_pairs_or_no_realism_decide_nothing():
    drawn = drawn_with(0.02, kid=0.4, auc=0.4)
    assert verdict(concluded(drawn, LEAST_PAIRS - 1)).kind == "few"
    for method in drawn.values():
        del method["kid"], method["auc"]
    found = verdict(concluded(drawn, realism="Realism is not measured: do this"))
    assert found.kind == "unknown"
    assert found.text.endswith("do this")


def test_chance_alone_is_no_reason_to_train():
    """Methods that differ by noise alone, the network among them."""
    kinds = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        names = ("identity", "huenet", *POINTS)
        rows = []
        for _ in range(30):
            row = {name: dict.fromkeys(FIGURES, 0.01 + rng.normal(0, 1e-3)) for name in names}
            rows.append({**row, "identity": dict.fromkeys(FIGURES, 0.02)})
        judged = Judged(rng.normal(size=(40, 6)), {name: rng.normal(size=(30, 6)) for name in names})
        sources = [str(i) for i in range(30)]
        kinds.append(verdict({"pairs": 30, **conclude(draw(rows, sources, judged))}).kind)
    assert kinds.count("ahead") <= 1

"""Statistics over pairs: intervals, comparisons and the verdict."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from scipy import stats

from huenet.evaluate.measures import FIGURES, METHODS
from huenet.evaluate.summary import (
    AXES,
    CURVES,
    LEAST_PAIRS,
    RIVALS,
    against,
    intervals,
    past_curve,
    summarize,
    verdict,
)

torch.set_num_threads(1)


def test_intervals_are_scipys_bootstrap(rng):
    values = rng.gamma(2, size=(60, 2))
    mean, low, high = intervals(values)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    for i in range(2):
        expected = stats.bootstrap((values[:, i],), np.mean, method="percentile", n_resamples=20000, rng=rng)
        spread = expected.confidence_interval.high - expected.confidence_interval.low
        assert low[i] == pytest.approx(expected.confidence_interval.low, abs=0.05 * spread)
        assert high[i] == pytest.approx(expected.confidence_interval.high, abs=0.05 * spread)


def test_one_pair_has_an_interval_without_width():
    np.testing.assert_array_equal(intervals(np.array([[0.25, 1.0]])), [[0.25, 1.0]] * 3)


def rows_of(count=40, seed=0, **methods):
    """Pairs in which every figure of a method is 0.5 plus its own shift plus noise that all methods share."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        common = rng.normal(0, 0.05, len(FIGURES))
        row = {"target": {"mi_hard": 0.05, "mi_soft": 0.03, "floor_hard": 0.04, "floor_soft": 0.02}}
        for name, shift in methods.items():
            small = rng.normal(0, 0.005, len(FIGURES))
            row[name] = {key: 0.5 + shift.get(key, 0) + a + b for key, a, b in zip(FIGURES, common, small, strict=True)}
        rows.append(row)
    return rows


def test_wins_and_differences_are_those_of_the_pairs():
    rows = [
        {"huenet": dict.fromkeys(FIGURES, a), "identity": dict.fromkeys(FIGURES, b)}
        for a, b in ((0.1, 0.2), (0.3, 0.3), (0.5, 0.2), (0.1, 0.4))
    ]
    found = summarize(rows)["against"]["identity"]
    assert found["emd_hard"]["wins"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)  # less is better
    assert found["mi_hard"]["wins"] == pytest.approx((0 + 0.5 + 1 + 0) / 4)  # more is better
    assert found["emd_hard"]["mean"] == pytest.approx(np.mean([-0.1, 0, 0.3, -0.3]))
    assert "floor_hard" not in found


CLOSER = {"emd_hard": -0.2, "chroma_emd": -0.2}


@pytest.mark.parametrize(
    ("kind", "shifts"),
    [
        ("behind", {"huenet": CLOSER, "smooth8": {**CLOSER, "incoherence": -0.1}}),
        ("behind", {"huenet": CLOSER, "reinhard": {"emd_hard": -0.3, "chroma_emd": -0.2}}),
        ("behind", {"huenet": CLOSER, "smooth8": {**CLOSER, "mi_hard": 0.1}, "chroma8": {"emd_hard": 0.1}}),
        ("behind", {"huenet": CLOSER, "chroma32": {**CLOSER, "incoherence": -0.1}, "chroma4": {"mi_hard": -0.2}}),
        ("ahead", {"huenet": CLOSER, "chroma32": {**CLOSER, "mi_hard": -0.2}, "reinhard": {**CLOSER, "mi_hard": -0.2}}),
        # past another smoothed transport, but not past the one that it starts from
        ("mixed", {"huenet": CLOSER, "chroma8": {**CLOSER, "mi_hard": -0.2}, "chroma32": CLOSER}),
        ("mixed", {"huenet": CLOSER, "chroma8": {"emd_hard": -0.3, "chroma_emd": -0.1}, "reinhard": {}}),
        ("mixed", {"huenet": CLOSER, "chroma8": {**CLOSER, "mi_hard": -0.2, "incoherence": -0.2}}),
        ("mixed", {"huenet": CLOSER, "smooth8": {"emd_hard": -0.3, "chroma_emd": -0.1}}),
        ("mixed", {"huenet": {"emd_hard": -0.2, "chroma_emd": 0.1}, "smooth8": {"emd_hard": -0.3, "chroma_emd": 0.2}}),
        ("mixed", {"huenet": {"emd_hard": 0.1, "chroma_emd": -0.2}, "smooth8": {"emd_hard": 0.05}}),
        ("idle", {"huenet": {"emd_hard": 0.001, "chroma_emd": 0.001}, "smooth8": {"emd_hard": 0.1}}),
        ("idle", {"huenet": {"emd_hard": 0.1, "chroma_emd": 0.1}}),
    ],
)
def test_the_verdict_follows_the_figures(kind, shifts):
    found = verdict(summarize(rows_of(identity={"mi_hard": 0.2, "incoherence": -0.15}, **shifts)))
    assert found.kind == kind
    phrases = {"smooth8": "plain transport smoothed over 8 bins", "chroma32": "chroma transport smoothed over 32 bins"}
    named = {name for name in shifts if phrases.get(name, METHODS[name]).lower() in found.text.lower()}
    if kind == "behind":
        assert named == {"smooth8", "chroma32", "reinhard"} & set(shifts)
        assert "training does not pay" in found.text
    if kind == "ahead":
        assert named == {"chroma32", "reinhard"}
    if kind == "mixed":
        assert named == {"reinhard"} & set(shifts)


@pytest.mark.parametrize(("mi", "kind"), [(0.0, "behind"), (-0.4, "ahead")])
def test_a_network_that_descent_on_the_pair_does_as_well_without_training_is_not_ahead(mi, kind):
    """Both are better than the transport that they start from; what tells them apart is relative MI."""
    shifts = {"huenet": CLOSER, "chroma32": {"mi_hard": -0.3}, "optimize": {**CLOSER, "mi_hard": mi + 0.1}}
    found = verdict(summarize(rows_of(identity={"mi_hard": 0.2}, **shifts)))
    assert found.kind == kind
    assert METHODS["optimize"] in found.text.lower()


def test_the_verdict_is_two_sentences_that_hold_the_figures():
    results = summarize(rows_of(identity={}, huenet=CLOSER, smooth8=CLOSER))
    text = verdict(results).text
    assert text.count(". ") == 1
    assert text.endswith(".")
    for name in ("identity", "huenet"):
        assert f"{results['methods'][name]['emd_hard']['mean']:.3f}" in text


def test_too_few_pairs_decide_nothing():
    assert verdict(summarize(rows_of(LEAST_PAIRS - 1, identity={}, huenet=CLOSER))).kind == "few"
    assert verdict(summarize(rows_of(LEAST_PAIRS, identity={}, huenet=CLOSER))).kind != "few"


def test_the_axes_of_the_verdict_are_figures_with_a_better_end():
    assert all(FIGURES[key][1] for key in AXES)


def test_chance_alone_gives_no_verdict():
    """Methods that differ by noise alone: hardly any evaluation may find one of them better or worse."""
    names = {name: {} for name in ("identity", "huenet", *RIVALS)}
    found = []
    for seed in range(40):
        rows = rows_of(30, seed, **names)
        found.append({name: against(rows, name) for name in RIVALS})
    sure, plain = (
        np.mean([any(one[r][k][low] > 0 or one[r][k][high] < 0 for r in RIVALS for k in AXES) for one in found])
        for low, high in (("sure_low", "sure_high"), ("low", "high"))
    )
    assert sure <= 0.1
    assert plain > 0.5  # each interval by itself


def test_the_verdict_names_the_widths_of_a_family_together():
    closer = {**CLOSER, "incoherence": -0.1}
    rivals = {"smooth4": closer, "chroma8": closer, "chroma16": closer, "chroma64": closer, "linear": closer}
    text = verdict(summarize(rows_of(identity={}, huenet=CLOSER, **rivals))).text
    plain, chroma = "plain transport smoothed over 4 bins", "chroma transport smoothed over 8, 16 and 64 bins"
    assert f"Exact linear transport, {plain} and {chroma}, which need no training, are each better" in text


def curve_rows(distance, incoherence, widths=((0.1, 0.05), (0.2, 0.03), (0.3, 0.02), (0.4, 0.02), (0.5, 0.01))):
    """Pairs whose smoothed transports lie at `widths`; the network's figures are given pair by pair."""
    figures = dict.fromkeys(FIGURES, 0.5)
    rows = []
    for x, y in zip(distance, incoherence, strict=True):
        row = {
            name: {**figures, key: at[0], "incoherence": at[1]}
            for key in CURVES
            for name, at in zip(CURVES[key], widths, strict=True)
        }
        rows.append({**row, "huenet": {**figures, "emd_hard": x, "chroma_emd": x, "incoherence": y}})
    return rows


@pytest.mark.parametrize("key", CURVES)
def test_past_the_curve_is_the_height_above_the_line_between_two_widths(key, rng):
    noise = rng.normal(0, 0.01, 30)
    noise -= noise.mean()
    found = past_curve(curve_rows(np.full(30, 0.175), 0.03 + noise), key)
    assert found["curve"] == pytest.approx(0.03 + 0.02 / 4)
    assert found["mean"] == pytest.approx(-0.005)
    spread = np.std(noise) / np.sqrt(30)  # the curve itself does not vary here
    assert found["low"] == pytest.approx(-0.005 - 1.96 * spread, abs=0.15 * spread)
    assert found["high"] == pytest.approx(-0.005 + 1.96 * spread, abs=0.15 * spread)
    # distances whose mean alone is on the line
    assert past_curve(curve_rows([0.05, 0.30], [0.03, 0.03]), key)["curve"] == pytest.approx(0.035)


def test_past_the_curve_is_not_said_beyond_its_ends_or_without_it():
    for distance in (0.09, 0.51):
        assert past_curve(curve_rows([distance] * 3, [0.03] * 3), "emd_hard") is None
    rows = curve_rows([0.2] * 3, [0.03] * 3)
    for row in rows:
        del row["smooth16"]
    assert past_curve(rows, "emd_hard") is None
    assert past_curve(rows, "chroma_emd") is not None


def test_past_the_curve_an_order_of_distances_other_than_that_of_the_widths_is_none_the_worse():
    widths = ((0.5, 0.01), (0.2, 0.03), (0.3, 0.02), (0.4, 0.02), (0.1, 0.05))
    assert past_curve(curve_rows([0.175], [0.03], widths), "emd_hard")["curve"] == pytest.approx(0.035)

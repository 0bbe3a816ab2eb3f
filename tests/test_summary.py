"""Statistics over pairs: intervals, comparisons and the verdict."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch
from scipy import stats

from huenet.measures import FIGURES, METHODS
from huenet.summary import AXES, LEAST_PAIRS, RIVALS, intervals, summarize, verdict

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


def test_a_method_of_some_pairs_is_compared_on_these_alone():
    rows = rows_of(huenet={}, identity={})
    for row in rows[:3]:
        row["optimize"] = dict(row["huenet"], emd_hard=0.0)
    results = summarize(rows)
    assert results["methods"]["optimize"]["pairs"] == 3
    expected = np.mean([row["huenet"]["emd_hard"] for row in rows[:3]])
    assert results["against"]["optimize"]["emd_hard"]["mean"] == pytest.approx(expected)


CLOSER = {"emd_hard": -0.2, "chroma_emd": -0.2}


@pytest.mark.parametrize(
    ("kind", "shifts"),
    [
        ("behind", {"huenet": CLOSER, "smooth8": {**CLOSER, "incoherence": -0.1}}),
        ("behind", {"huenet": CLOSER, "reinhard": {"emd_hard": -0.3, "chroma_emd": -0.2}}),
        ("behind", {"huenet": CLOSER, "smooth8": {**CLOSER, "mi_hard": 0.1}, "chroma8": {"emd_hard": 0.1}}),
        ("ahead", {"huenet": CLOSER, "chroma8": {**CLOSER, "mi_hard": -0.2}, "reinhard": {**CLOSER, "mi_hard": -0.2}}),
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
    named = {name for name in shifts if METHODS[name].lower() in found.text.lower()}
    if kind == "behind":
        assert named == {"smooth8" if "smooth8" in shifts else "reinhard"}
        assert "training does not pay" in found.text
    if kind == "ahead":
        assert named == {"chroma8", "reinhard"}
    if kind == "mixed":
        assert named == {"reinhard"} & set(shifts)


def test_the_verdict_is_two_sentences_that_hold_the_figures():
    results = summarize(rows_of(identity={}, huenet=CLOSER, smooth8=CLOSER))
    text = verdict(results).text
    assert text.count(". ") == 1
    assert text.endswith(".")
    for name in ("identity", "huenet"):
        assert f"{results['methods'][name]['emd_hard']['mean']:.3f}" in text


def test_too_few_pairs_or_too_few_of_a_method_decide_nothing():
    assert verdict(summarize(rows_of(LEAST_PAIRS - 1, identity={}, huenet=CLOSER))).kind == "few"
    rows = rows_of(identity={"mi_hard": 0.2, "incoherence": -0.15}, huenet=CLOSER)
    rows[0]["optimize"] = dict.fromkeys(FIGURES, 0.0) | {"mi_hard": 1.0}
    assert verdict(summarize(rows)).kind == "mixed"


def test_the_axes_of_the_verdict_are_figures_with_a_better_end():
    assert all(FIGURES[key][1] for key in AXES)


def test_chance_alone_gives_no_verdict():
    """Methods that differ by noise alone: hardly any evaluation may find one of them better or worse."""
    names = {name: {} for name in ("identity", "huenet", *RIVALS)}
    found = [summarize(rows_of(30, seed, **names))["against"] for seed in range(40)]
    sure, plain = (
        np.mean([any(one[r][k][low] > 0 or one[r][k][high] < 0 for r in RIVALS for k in AXES) for one in found])
        for low, high in (("sure_low", "sure_high"), ("low", "high"))
    )
    assert sure <= 0.1
    assert plain > 0.5  # each interval by itself

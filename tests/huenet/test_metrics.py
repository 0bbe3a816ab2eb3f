"""Figures of a transfer against NumPy, scikit-learn and pictures whose figures are known."""

import numpy as np
import pytest
from oracles import sklearn_mi
from reference import circular_emd

from huenet.metrics import hue_emd, hue_histogram, incoherence, relative_mi


@pytest.fixture
def pictures(rng):
    return rng.random((2, 3, 16, 12))


def test_hard_histogram_is_numpys_also_on_the_edges(pictures):
    hue = np.round(pictures[0] * 64) % 64 / 64  # every pixel on a bin's edge
    for h, found in zip(hue, hue_histogram(hue, bins=64), strict=True):
        np.testing.assert_allclose(found, np.histogram(h, 64, (0, 1))[0] / h.size, atol=1e-12)


def test_weighted_hard_histogram_is_numpys(pictures):
    hue, weights = pictures
    expected = np.histogram(hue[0], 256, (0, 1), weights=weights[0])[0] / weights[0].sum()
    np.testing.assert_allclose(hue_histogram(hue[0], weights[0]), expected, atol=1e-12)


def test_emd_is_the_brute_force_minimum_over_cuts(pictures):
    for a, b, found in zip(*pictures, hue_emd(*pictures, bins=32), strict=True):
        p, q = (np.histogram(h, 32, (0, 1))[0] / h.size for h in (a, b))
        assert found == pytest.approx(circular_emd(p, q), abs=1e-9)


def test_emd_of_opposite_hues_and_of_a_rotation_across_red():
    red, cyan = np.full((4, 4), 0.002), np.full((4, 4), 0.502)
    assert hue_emd(red, cyan) == pytest.approx(circular_emd(*np.eye(256)[[0, 128]]), abs=1e-9)
    assert hue_emd(red, red + 0.9) == pytest.approx(hue_emd(red, red + 0.1), abs=3e-2)
    assert hue_emd(red, red) == 0


def test_pictures_of_different_sizes_compare(rng):
    hue = rng.random((6, 6))
    assert hue_emd(hue, np.tile(hue, (2, 3))) == pytest.approx(0, abs=1e-7)


def test_relative_mi_is_sklearns(pictures):
    a, b = pictures[:, 0]
    assert relative_mi(a, b, bins=16) == pytest.approx(sklearn_mi(a, b, bins=16), abs=1e-9)


def test_relative_mi_is_1_for_itself_and_for_any_relabelling(pictures):
    hue = np.floor(pictures[0] * 16) / 16
    relabelled = (np.random.default_rng(3).permutation(16) / 16)[np.floor(hue * 16).astype(int)]
    np.testing.assert_allclose(relative_mi(hue, hue, bins=16), 1, atol=1e-12)
    np.testing.assert_allclose(relative_mi(hue, relabelled, bins=16), 1, atol=1e-12)


def test_incoherence_counts_neighbours_across_red_by_the_smaller_chroma():
    hue = np.array([[0.95, 0.05, 0.55]])
    chroma = np.array([[1.0, 0.5, 0.3]])
    assert incoherence(hue, chroma) == pytest.approx((0.5 * 0.1 + 0.3 * 0.5) / 0.8)
    assert incoherence(hue.T, chroma.T) == pytest.approx((0.5 * 0.1 + 0.3 * 0.5) / 0.8)
    assert incoherence(hue, np.zeros((1, 3))) == 0


def test_incoherence_of_noise_is_a_quarter_turn(rng):
    assert incoherence(rng.random((200, 200)), np.ones((200, 200))) == pytest.approx(0.25, abs=3e-3)


@pytest.mark.parametrize("hard", [True, False])
def test_torch_agrees_with_numpy(torch, pictures, hard):
    a, b = pictures
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_allclose(hue_emd(ta, tb, tb, ta, hard=hard), hue_emd(a, b, b, a, hard=hard), atol=1e-9)
    np.testing.assert_allclose(relative_mi(ta, tb, hard=hard), relative_mi(a, b, hard=hard), atol=1e-9)
    np.testing.assert_allclose(incoherence(ta, tb), incoherence(a, b), atol=1e-12)

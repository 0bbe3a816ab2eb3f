"""Hue transport against POT and brute force; Reinhard against the formulas of the 2001 paper."""

import numpy as np
import ot
import pytest

from huenet.baselines import apply_displacement, hue_transport

K = 48


def circle(turns):
    return np.abs(turns - np.round(turns))


def random_hist(rng, *shape):
    return rng.dirichlet(np.full(K, 0.2), size=shape)


@pytest.mark.parametrize("seed", range(6))
def test_displacement_costs_what_the_optimal_transport_costs(seed):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(800, 0.1), size=2)
    centres = (np.arange(800) + 0.5) / 800
    optimum = ot.wasserstein_circle(centres, centres, u_weights=p, v_weights=q, p=1).item()
    assert (p * circle(hue_transport(p, q))).sum() == pytest.approx(optimum, abs=2e-3)  # a bin's mass moves as one


def test_transport_of_a_rotated_arc_is_that_rotation():
    p = np.zeros(K)
    p[:10] = random_hist(np.random.default_rng(0))[:10] + 0.01
    for shift in (1, 11, -7):
        displacement = hue_transport(p, np.roll(p, shift))
        np.testing.assert_allclose(displacement[:10], shift / K, atol=1e-12)


def test_batches_equal_their_rows_and_torch_equals_numpy():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    p, q, hue = random_hist(rng, 2, 3), random_hist(rng, 3), rng.random((2, 3, 5, 7))
    for smooth in (0.0, 3.0):
        batch = hue_transport(p, q, smooth=smooth)
        rows = np.stack([[hue_transport(p[i, j], q[j], smooth=smooth) for j in range(3)] for i in range(2)])
        np.testing.assert_allclose(batch, rows, atol=1e-12)
        moved = apply_displacement(hue, batch)
        as_torch = hue_transport(torch.tensor(p), torch.tensor(q), smooth=smooth)
        np.testing.assert_allclose(apply_displacement(torch.tensor(hue), as_torch), moved, atol=1e-12)


def test_the_standard_suffices():
    xp = pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(2)
    p, q, hue = random_hist(rng, 3), random_hist(rng, 3), rng.random((3, 4, 4))
    expected = apply_displacement(hue, hue_transport(p, q, smooth=2.0))
    strict = apply_displacement(xp.asarray(hue), hue_transport(xp.asarray(p), xp.asarray(q), smooth=2.0))
    np.testing.assert_allclose(np.asarray(strict), expected, atol=1e-12)


def test_smoothing_is_the_circular_mean_weighted_by_the_source():
    rng = np.random.default_rng(3)
    p, q = random_hist(rng), random_hist(rng)
    sharp, smooth = hue_transport(p, q), hue_transport(p, q, smooth=3.0)
    for k in np.flatnonzero(p > 1e-3):
        distance = circle((np.arange(K) - k) / K) * K
        mean = np.sum(p * np.exp(-(distance**2) / 18) * np.exp(2j * np.pi * sharp))
        assert circle(np.angle(mean) / (2 * np.pi) - smooth[k]) < 1e-3


def test_displacement_is_interpolated_the_short_way_round():
    hue = np.array([[1 / 3, 0.25, 0.0, 1.0]])
    displacement = np.array([0.1, 0.45, -0.45])  # at 1/6, 1/2 and 5/6
    moved = apply_displacement(hue, displacement)
    np.testing.assert_allclose(moved, [[1 / 3 + 0.275, 0.25 + 0.1875, 0.325, 0.325]], atol=1e-12)
    assert apply_displacement(np.array([[2 / 3]]), displacement) == pytest.approx(2 / 3 + 0.5 - 1)


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_histogram_moves_nothing(empty):
    hists = [random_hist(np.random.default_rng(4)), random_hist(np.random.default_rng(5))]
    hists[empty] = np.zeros(K)
    for smooth in (0.0, 2.0):
        np.testing.assert_array_equal(hue_transport(*hists, smooth=smooth), 0)


def test_wrong_arguments_are_named():
    p = np.ones(4)
    with pytest.raises(ValueError, match=r"`target_hist` must have the 4 bins of `source_hist`, got 5"):
        hue_transport(p, np.ones(5))
    with pytest.raises(ValueError, match=r"`smooth` must be at least 0 bins, got -1"):
        hue_transport(p, p, smooth=-1)

"""Hue transport against POT and brute force; Reinhard against the formulas of the 2001 paper."""

import numpy as np
import ot
import pytest

from huenet.methods.reinhard import reinhard
from huenet.methods.transport import apply_displacement, best_rotation, hue_transport, transport
from huenet.metrics import hue_emd

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


# Pixel by pixel


@pytest.mark.parametrize("circular", [True, False])
def test_exact_transport_gives_the_targets_hues_at_the_optimal_cost(circular):
    rng = np.random.default_rng(0)
    source, target = rng.random((20, 30)) ** 3, (0.8 + 0.3 * rng.random((20, 30)) ** 2) % 1
    moved = transport(source, target, circular=circular)
    np.testing.assert_array_equal(np.sort(moved.ravel()), np.sort(target.ravel()))
    if circular:
        cost = circle(moved - source).mean()
        optimum = ot.wasserstein_circle(source.ravel(), target.ravel(), p=1).item()
    else:
        cost = np.abs(moved - source).mean()
        optimum = ot.wasserstein_1d(source.ravel(), target.ravel(), p=1)
    assert cost == pytest.approx(optimum, abs=1e-6)


def test_exact_transport_of_weighted_pixels_and_other_sizes():
    rng = np.random.default_rng(1)
    source, target = rng.random((40, 50)) ** 2, 0.5 * rng.random((31, 17))
    a, b = rng.random((40, 50)), rng.random((31, 17))
    moved = transport(source, target, source_weights=a, target_weights=b)
    assert hue_emd(moved, target, a, b, bins=64) < 0.002 < 0.1 < hue_emd(source, target, a, b, bins=64)
    cost = (a * circle(moved - source)).sum() / a.sum()
    weights = {"u_weights": a.ravel() / a.sum(), "v_weights": b.ravel() / b.sum()}
    optimum = ot.wasserstein_circle(source.ravel(), target.ravel(), p=1, **weights).item()
    assert cost == pytest.approx(optimum, abs=1e-3)


def test_one_hue_becomes_several_in_the_targets_shares():
    target = np.repeat([0.2, 0.3, 0.6], [10, 20, 70])
    moved = transport(np.full((10, 10), 0.25), target)
    np.testing.assert_array_equal(np.sort(moved.ravel()), target)
    assert (moved != transport(np.full((10, 10), 0.25), target, seed=1)).any()


def test_exact_transport_without_weight_changes_nothing():
    hue = np.random.default_rng(2).random((4, 4))
    np.testing.assert_array_equal(transport(hue, 1 - hue, source_weights=np.zeros((4, 4))), hue)
    np.testing.assert_array_equal(transport(hue, 1 - hue, target_weights=np.zeros((4, 4))), hue)


# One rotation


def test_best_rotation_is_the_best_of_all():
    rng = np.random.default_rng(3)
    p, q = random_hist(rng, 2), random_hist(rng, 2)
    centres = (np.arange(K) + 0.5) / K
    for row, turn in enumerate(best_rotation(p, q)):
        turned = [np.roll(p[row], shift)[None] for shift in range(K)]
        costs = [hue_emd(centres[None], centres[None], weights, q[row][None], bins=K) for weights in turned]
        shift = round(float(turn) * K)
        assert -K // 2 <= shift < K // 2
        assert costs[shift] == pytest.approx(min(costs), abs=1e-12)
    np.testing.assert_allclose(best_rotation(p, np.roll(p, 5, axis=-1)), 5 / K)
    np.testing.assert_allclose(best_rotation(p, np.roll(p, -5, axis=-1)), -5 / K)


# Reinhard


PRINTED = [[4.4679, -3.5873, 0.1193], [-1.2186, 2.3809, -0.1624], [0.0497, -0.2439, 1.2045]]
FORTH = [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]]


def reinhard_by_hand(source, target, rgb_from_lms):
    """Reinhard et al. 2001, Eq. 4 and 6-11, pixel by pixel."""

    def to_lab(rgb):
        r, g, b = rgb
        l, m, s = (  # noqa: E741 - the paper's letters
            0.3811 * r + 0.5783 * g + 0.0402 * b,
            0.1967 * r + 0.7244 * g + 0.0782 * b,
            0.0241 * r + 0.1288 * g + 0.8444 * b,
        )
        l, m, s = np.log10(l), np.log10(m), np.log10(s)  # noqa: E741
        return np.array([(l + m + s) / 3**0.5, (l + m - 2 * s) / 6**0.5, (l - m) / 2**0.5])

    def to_rgb(lab):
        l, a, b = lab[0] * 3**0.5 / 3, lab[1] * 6**0.5 / 6, lab[2] * 2**0.5 / 2  # noqa: E741
        return rgb_from_lms @ np.array([10 ** (l + a + b), 10 ** (l + a - b), 10 ** (l - 2 * a)])

    one, other = (np.array([to_lab(rgb) for rgb in picture]) for picture in (source, target))
    result = (one - one.mean(0)) * (other.std(0) / one.std(0)) + other.mean(0)
    return np.array([to_rgb(lab) for lab in result])


def colours(rng, shape, low, high):
    return rng.uniform(low, high, (*shape, 3))


def test_reinhard_is_the_papers():
    rng = np.random.default_rng(4)
    source, target = colours(rng, (6, 7), 0.3, 0.6), colours(rng, (4, 5), [0.3, 0.2, 0.2], [0.7, 0.5, 0.4])
    for rgb_from_lms, rounding in ((np.linalg.inv(FORTH), 1e-12), (np.array(PRINTED), 5e-3)):
        expected = reinhard_by_hand(source.reshape(-1, 3), target.reshape(-1, 3), rgb_from_lms).reshape(source.shape)
        assert 0 < expected.min() < expected.max() < 1  # nothing to clip
        np.testing.assert_allclose(reinhard(source, target, axis=-1), expected, atol=rounding)
    moved = reinhard(np.moveaxis(source, -1, 0), np.moveaxis(target, -1, 0))
    np.testing.assert_allclose(np.moveaxis(moved, 0, -1), reinhard(source, target, axis=-1), atol=1e-12)


def test_reinhard_golden_value():
    """One pixel worked out on paper: two greys become the target's two greys, whatever the source's contrast."""
    greys = np.array([0.2, 0.8])[None, :, None] * np.ones(3)
    wanted = np.array([0.3, 0.4])[None, :, None] * np.ones(3)
    np.testing.assert_allclose(reinhard(greys, wanted, axis=-1), wanted, atol=1e-12)


def test_reinhard_of_a_picture_after_itself_and_in_parts():
    rng = np.random.default_rng(5)
    source, target = colours(rng, (8, 9), 0.05, 1), colours(rng, (8, 9), 0.05, 1)
    np.testing.assert_allclose(reinhard(source, source, axis=-1), source, atol=1e-12)
    whole = reinhard(source, target, axis=-1)
    np.testing.assert_allclose(reinhard(source[2:5], target, axis=-1, whole=source), whole[2:5], atol=1e-12)
    one_colour = np.full((3, 3, 3), 0.4)
    assert np.isfinite(reinhard(one_colour, target, axis=-1)).all()
    assert np.isfinite(reinhard(np.zeros((3, 3, 3)), target, axis=-1)).all()


def test_reinhard_takes_what_is_darker_than_one_step_for_one_step():
    rng = np.random.default_rng(6)
    source, target = colours(rng, (8, 9), 0.05, 1), colours(rng, (8, 9), 0.05, 1)
    results = []
    for dark in (0.0, 1 / 255, 3 / 255):
        source[:2] = dark
        results.append(reinhard(source, target, axis=-1))
    np.testing.assert_allclose(results[0], results[1], atol=1e-12)
    assert np.abs(results[0] - results[2]).max() > 0.01

"""Figures of a transfer against NumPy, scikit-learn and pictures whose figures are known."""

import numpy as np
import pytest
from oracles import sklearn_mi
from reference import circular_emd

from huenet.color import hsv_to_rgb, lightness
from huenet.metrics import (
    change_of_light,
    hue_emd,
    hue_histogram,
    incoherence,
    palette,
    palette_distance,
    parting,
    relative_mi,
    surfaces,
    undone,
)


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
    np.testing.assert_allclose(palette_distance(ta, tb), palette_distance(a, b), atol=1e-9)
    np.testing.assert_allclose(change_of_light(ta, tb), change_of_light(a, b), atol=1e-9)
    np.testing.assert_allclose(undone(ta[0, 0], tb[0, 0]), undone(a[0, 0], b[0, 0]))


def test_a_palette_parts_every_pixels_chroma_between_two_bins(pictures):
    hsv = pictures[0].copy()
    hsv[0, 0, :3] = 0.0, 63.5 / 64, 0.5 / 64  # red lies between the last bin and the first
    expected = np.zeros(64)
    for hue, saturation, value in hsv.reshape(3, -1).T:
        place = hue * 64 - 0.5
        low = int(np.floor(place))
        for index, share in ((low, low + 1 - place), (low + 1, place - low)):
            expected[index % 64] += saturation * value * share
    np.testing.assert_allclose(palette(hsv), expected / expected.sum(), atol=1e-12)
    assert not palette(hsv * [[[1]], [[0]], [[1]]]).any()


def sinkhorn(p, q, reg=0.002, reg_m=0.01):
    """The least of <P, C> + reg KL(P | p q) + reg_m (KL(P 1 | p) + KL(P' 1 | q)), by the iteration of its dual."""
    steps = (np.arange(64)[:, None] - np.arange(64)) / 64
    cost = (steps - np.round(steps)) ** 2
    f, g = np.zeros(64), np.zeros(64)
    for _ in range(2000):
        f = -reg_m * reg / (reg_m + reg) * np.log(np.exp((g - cost) / reg) @ q)
        g = -reg_m * reg / (reg_m + reg) * np.log(np.exp((f - cost) / reg) @ p)
    P = np.exp((f[:, None] + g - cost) / reg) * np.outer(p, q)

    def kl(a, b):
        return np.sum(np.where(a > 0, a * np.log(np.where(a > 0, a, 1) / np.where(b > 0, b, 1)), 0) - a + b)

    return np.sum(P * cost) + reg * kl(P, np.outer(p, q)) + reg_m * (kl(P.sum(1), p) + kl(P.sum(0), q))


def test_palette_distance_is_the_least_cost_of_a_plan_that_need_not_carry_all(pictures):
    pictures[:, 0] *= 0.3
    pictures[1, 0] += 0.25
    assert palette_distance(*pictures) == pytest.approx(sinkhorn(*map(palette, pictures)), abs=1e-7)


def test_palette_distance_lets_proportions_differ_where_emd_does_not():
    """A flower on a lawn, as large as the lawn or a quarter of it; and the same flower in another colour."""
    small, large, other = (np.full((3, 16, 16), 0.8) for _ in range(3))
    for hsv, hue, share in ((small, 0.95, 4), (large, 0.95, 8), (other, 0.15, 8)):
        hsv[0] = 0.3
        hsv[0, :share] = hue
    assert palette_distance(small, large) < 0.25 * palette_distance(other, large)
    assert hue_emd(small[0], large[0]) > 0.5 * hue_emd(other[0], large[0])


def test_lightness_and_its_change_are_skimages(pictures):
    rgb2lab = pytest.importorskip("skimage.color").rgb2lab
    pictures[:, 2, :2] *= 0.02  # the straight part of the curves
    rgb = hsv_to_rgb(pictures)
    expected = rgb2lab(rgb, channel_axis=1)[:, 0]
    np.testing.assert_allclose(lightness(rgb), expected, atol=0.01)  # its white point has one digit less
    coloured = pictures[0, 1] * pictures[0, 2] > 0.1
    assert not coloured.all()
    assert change_of_light(*pictures) == pytest.approx(np.abs(expected[1] - expected[0])[coloured].mean(), abs=0.02)
    grey = pictures * np.reshape([1, 0, 1], (3, 1, 1))
    assert change_of_light(grey[0], pictures[1]) == 0


def test_parting_is_the_circular_variance_of_the_turn_within_surfaces(rng):
    source, hue, weights = rng.random((3, 8, 8))
    labels = rng.integers(0, 3, (8, 8))
    total = 0.0
    for number in range(3):
        w, turn = weights[labels == number], (hue - source)[labels == number]
        total += w.sum() - abs((w * np.exp(2j * np.pi * turn)).sum())
    assert parting(source, hue, weights, labels) == pytest.approx(total / weights.sum())
    both = parting(source, np.stack([hue, source + 0.7]), np.stack([weights, weights]), labels)
    np.testing.assert_allclose(both, [total / weights.sum(), 0], atol=1e-12)
    assert parting(source, hue, np.zeros((8, 8)), labels) == 0


def test_a_dipped_flower_is_parted_and_one_of_another_colour_is_not():
    pytest.importorskip("skimage")
    hsv = np.full((3, 64, 64), 0.7)
    hsv[0] = 0.3
    hsv[0, 16:48, 16:48] = 0.9
    labels = surfaces(hsv_to_rgb(hsv))
    assert len(np.unique(labels[18:46, 18:46])) == 1
    assert labels[32, 32] != labels[0, 0]
    other, dipped = hsv[0].copy(), hsv[0].copy()
    other[16:48, 16:48] = 0.1
    dipped[16:48, 16:32] = 0.4
    found = parting(hsv[0], np.stack([other, dipped]), np.full((2, 64, 64), 0.49), labels)
    assert found[0] < 0.05  # a few pixels of the blurred border
    assert found[1] == pytest.approx(0.25, abs=0.05)  # a quarter of the picture is one petal of two opposite halves


def test_undone_counts_far_pairs_that_stay_far():
    before = np.array([0.01, 0.02, 0.03, 0.04])
    after = np.array([0.01, 0.02, 0.021, 0.02])
    assert undone(before, after) == 0.5
    np.testing.assert_allclose(
        undone(before, after, np.array([[1, 1, 1, 1], [5, 5, 3, 1], [2, 0, 0, 0]])), [0.5, 0.75, 0]
    )

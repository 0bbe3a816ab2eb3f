"""Transport with relaxed shares: against POT, and where it must and must not move a hue."""

import numpy as np
import pytest

from huenet.methods.relaxed import REG, find, palette_plan, relaxed_transport
from huenet.methods.sample import Sample
from huenet.methods.transport import hue_transport

K = 48
CENTRES = (np.arange(K) + 0.5) / K


def circle(turns):
    return np.abs(turns - np.round(turns))


def arcs(*places):
    """A histogram of arcs: hue of its middle, deviation and mass of each."""
    hist = sum(mass * np.exp(-(circle(CENTRES - at) ** 2) / (2 * wide**2)) / wide for at, wide, mass in places)
    return hist / hist.sum()


def palettes(rng, *shape):
    return rng.dirichlet(np.full(K, 0.3), size=shape)


@pytest.mark.parametrize("reg_m", [0.03, 0.1, 0.3])
def test_each_hue_goes_to_the_mean_of_pots_plan_but_for_its_blur(reg_m):
    ot = pytest.importorskip("ot")
    p, q = palettes(np.random.default_rng(0), 2)
    cost = circle(CENTRES[:, None] - CENTRES) ** 2

    def mean(goal):
        plan = ot.unbalanced.sinkhorn_unbalanced(
            p + 1e-6, goal + 1e-6, cost, REG, reg_m, reg_type="kl", method="sinkhorn_stabilized",
            numItermax=20000, stopThr=1e-13,
        )  # fmt: skip
        return np.angle(plan @ np.exp(2j * np.pi * CENTRES)) / (2 * np.pi)

    off = circle(relaxed_transport(p, q, reg_m=reg_m) - (mean(q) - mean(p)))
    assert off.max() < 1e-3


@pytest.mark.parametrize("reg_m", [0.01, 0.1, 1.0])
def test_equal_palettes_move_nothing(reg_m):
    p = palettes(np.random.default_rng(1), 5)
    assert circle(relaxed_transport(p, p, reg_m=reg_m)).max() < 1e-9


@pytest.mark.parametrize("shift", [1, 6, -9, 15])
def test_a_rotation_is_found(shift):
    p = arcs((0.1, 0.02, 1.0), (0.2, 0.03, 0.6))
    moved = relaxed_transport(p, np.roll(p, shift), reg_m=1.0)
    assert np.average(circle(moved - shift / K), weights=p) < 0.25 / K


def test_a_hue_that_the_target_has_too_stays_however_much_of_it_there_is():
    """A red flower before a lawn, after a yellow flower that takes more room: exact transport turns grass yellow."""
    red, yellow, green = 0.0, 0.15, 0.35
    p, q = arcs((red, 0.01, 0.2), (green, 0.01, 0.8)), arcs((yellow, 0.01, 0.5), (green, 0.01, 0.5))
    relaxed, exact = relaxed_transport(p, q, reg_m=0.02), hue_transport(p, q)
    flower, lawn = circle(CENTRES - red) < 0.03, circle(CENTRES - green) < 0.03
    assert np.average(circle(relaxed - (yellow - red)), weights=p * flower) < 0.005
    assert np.average(circle(relaxed), weights=p * lawn) < 0.005
    assert np.average(circle(exact), weights=p * lawn) > 0.05


def test_a_dearer_difference_of_shares_leaves_less_of_it():
    rng = np.random.default_rng(2)
    p, q = palettes(rng, 8), palettes(rng, 8)
    landed = [
        np.abs(np.einsum("bi,bij->bj", p, palette_plan(p, q, reg_m=reg_m, steps=2000)) - q).sum(-1)
        for reg_m in (0.003, 0.03, 0.3)
    ]
    assert (landed[0] > landed[1]).all()
    assert (landed[1] > landed[2]).all()


@pytest.mark.parametrize("empty", [0, 1])
def test_without_mass_nothing_moves(empty):
    hists = [*palettes(np.random.default_rng(3), 2)]
    hists[empty] = np.zeros(K)
    np.testing.assert_array_equal(relaxed_transport(*hists), 0)


def test_every_library_in_batches_and_in_single_precision():
    torch, xp = pytest.importorskip("torch"), pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(4)
    p, q = palettes(rng, 3), palettes(rng, 3)
    expected = np.stack([relaxed_transport(*pair) for pair in zip(p, q, strict=True)])
    for found, exact in (
        (relaxed_transport(p, q), 1e-9),
        (relaxed_transport(torch.tensor(p), torch.tensor(q)).numpy(), 1e-9),
        (np.asarray(relaxed_transport(xp.asarray(p), xp.asarray(q))), 1e-9),
        (relaxed_transport(p.astype(np.float32), q.astype(np.float32)), 1e-3),
    ):
        assert circle(found - expected).max() < exact
    assert relaxed_transport(p.astype(np.float32), q.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("reg_m", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("far", [1, 12, 24])
def test_single_hues_go_all_the_way_in_single_precision(reg_m, far):
    p, q = np.eye(K, dtype=np.float32)[[0, far]]
    moved = relaxed_transport(p, q, reg_m=reg_m)
    assert np.isfinite(moved).all()
    assert circle(moved[0] - far / K) < 0.01


def test_grey_pixels_have_no_say():
    """Pixels of a hue that is noise, and as many as there are others, leave the map as it is."""
    rng = np.random.default_rng(5)
    rgb = rng.random((2, 1, 16, 16, 3))
    grey = 0.5 + 0.004 * rng.random((1, 16, 16, 3))
    source, target = (Sample(one, np.ones((1, 16, 16))) for one in rgb)
    diluted = Sample(np.concatenate([rgb[0], grey], axis=1), np.ones((1, 32, 16)))
    np.testing.assert_allclose(find(diluted, target), find(source, target), atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reg_m": 0}, "reg_m must be above 0 and at most 1, got 0"),
        ({"reg_m": 1.5}, "reg_m must be above 0 and at most 1, got 1.5"),
        ({"smooth": 300}, "smooth must be from 0 to 256, got 300"),
    ],
)
def test_wrong_options_are_named(options, message):
    sample = Sample(np.ones((1, 2, 2, 3)), np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match=message):
        find(sample, sample, **options)

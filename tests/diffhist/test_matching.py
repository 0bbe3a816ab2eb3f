"""Matching and equalising against scikit-image, sorted values, rotations of the circle and finite differences."""

import numpy as np
import pytest
import reference as formulas
from arrays import from_numpy, gradients, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from diffhist import emd, equalize, match_histogram, soft_histogram

SHARP = {"bins": 20000, "bandwidth": 1e-6}


def exposure(name):
    return getattr(pytest.importorskip("skimage.exposure"), name)


def distinct(rng, shape):
    """Values in (0, 1) no two of which fall into one bin of `SHARP`."""
    n = int(np.prod(shape))
    return rng.permutation((np.arange(n) + rng.uniform(0.2, 0.8, n)) / n).reshape(shape) ** 1.5


def turns(a, b):
    return np.abs((a - b + 0.5) % 1 - 0.5)


# --- the limit of hard bins ---


def test_skimage_agrees_on_images_without_ties(xp, rng):
    x, reference = distinct(rng, (13, 11)) * 0.5, 1 - distinct(rng, (13, 11)) ** 0.5
    got = match_histogram(from_numpy(xp, x), from_numpy(xp, reference), axis=(0, 1), **SHARP)
    assert_allclose(to_numpy(got), exposure("match_histograms")(x, reference), atol=1.01 / 20000)


def test_skimage_agrees_on_images_of_different_sizes_to_the_next_value(rng):
    x, reference = distinct(rng, (30, 20)), distinct(rng, (17, 23))
    got = match_histogram(x, reference, axis=(0, 1), **SHARP)
    gap = np.diff(np.sort(reference, axis=None)).max()
    assert_allclose(got, exposure("match_histograms")(x, reference), atol=2 * gap)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40))
def test_of_one_size_ranks_meet_ranks(seed, n):
    x, reference = (distinct(np.random.default_rng(seed + k), n) for k in range(2))
    got = match_histogram(x, reference, **SHARP)
    assert_allclose(got, np.sort(reference)[np.argsort(np.argsort(x))], atol=1.01 / 20000)
    assert_allclose(equalize(x, **SHARP), (np.argsort(np.argsort(x)) + 0.5) / n, atol=1e-9)


def test_equalize_is_skimages_to_half_a_value_and_a_bin(rng):
    x = distinct(rng, (20, 30))
    assert_allclose(equalize(x, axis=(0, 1), **SHARP), exposure("equalize_hist")(x, nbins=20000), atol=0.5 / 600 + 1e-3)


def test_weights_are_repetitions(xp, rng):
    x, reference = distinct(rng, 12), distinct(rng, 9)
    often = rng.integers(0, 4, 9)
    got = match_histogram(
        from_numpy(xp, x), from_numpy(xp, reference), reference_weights=from_numpy(xp, often), bins=32, bandwidth=0.05
    )
    want = match_histogram(x, np.repeat(reference, often), bins=32, bandwidth=0.05)
    assert_allclose(to_numpy(got), want, atol=1e-12)
    often = rng.integers(1, 4, 12)
    got = match_histogram(
        from_numpy(xp, x), from_numpy(xp, reference), weights=from_numpy(xp, often), bins=32, bandwidth=0.05
    )
    want = match_histogram(np.repeat(x, often), reference, bins=32, bandwidth=0.05)
    assert_allclose(to_numpy(got), want[np.cumsum(often) - 1], atol=1e-12)


# --- soft bins ---


@given(seed=st.integers(0, 2**32 - 1), power=st.floats(0.3, 3.0))
def test_order_is_kept_and_the_histogram_is_met(seed, power):
    rng = np.random.default_rng(seed)
    x, reference = rng.random(500) * 0.6 + 0.1, rng.random(400) ** power
    got = match_histogram(x, reference, 64)
    assert (np.diff(got[np.argsort(x)]) >= -1e-12).all()
    assert 0 <= got.min() <= got.max() <= 1
    before, after = (
        emd(soft_histogram(v, 64, boundary="reflect"), soft_histogram(reference, 64, boundary="reflect"), order=1)
        for v in (x, got)
    )
    assert after < 0.01
    assert after < before + 0.005
    flat = soft_histogram(equalize(x, 64), 64, boundary="reflect")
    assert emd(flat, np.ones(64), order=1) < 0.01


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), turn=st.integers(0, 63))
def test_the_circle_has_no_cut(seed, turn):
    rng = np.random.default_rng(seed)
    x, reference = rng.normal(0.3, 0.1, 300) % 1, rng.normal(0.4, 0.2, 200) % 1

    def fun(x, reference):
        return match_histogram(x, reference, 64, boundary="circular"), equalize(x, 64, boundary="circular")

    for got, turned in zip(fun(x, reference), fun((x + turn / 64) % 1, (reference + turn / 64) % 1), strict=True):
        assert turns(turned, got + turn / 64).max() < 1e-6
    matched = [soft_histogram(v, 64, boundary="circular") for v in (fun(x, reference)[0], reference)]
    assert emd(*matched, order=1, circular=True) < 0.01


def test_on_the_circle_values_take_the_shorter_way(rng):
    """A palette on both sides of red, moved by a little: on the line it would go all the way round."""
    x = rng.normal(0.0, 0.05, 2000)
    got = match_histogram(x % 1, (x + 0.03) % 1, 64, boundary="circular")
    assert turns(got, x + 0.03).max() < 0.01
    assert turns(match_histogram(x % 1, (x + 0.03) % 1, 64), x + 0.03).max() > 0.2


def test_on_the_circle_no_turn_of_the_plan_costs_less(rng):
    """All ways of giving sorted values to sorted values, which are one after the other on the circle."""
    x, reference = distinct(rng, 40), (distinct(rng, 40) + 0.3) % 1
    got = match_histogram(x, reference, boundary="circular", **SHARP)
    ranked, order = np.sort(reference), np.argsort(np.argsort(x))
    costs = [turns(np.roll(ranked, n)[order], x).sum() for n in range(40)]
    assert_allclose(turns(got, x).sum(), min(costs), atol=40 / 20000)


@pytest.mark.parametrize("boundary", ["reflect", "circular"])
@pytest.mark.parametrize("bandwidth", [0.05, 0.3, 3.0])
def test_gradients(xp, boundary, bandwidth, rng):
    x, reference, w, v = (
        rng.uniform(0.05, 0.95, (2, 7)),
        rng.uniform(0.05, 0.95, (2, 5)),
        *rng.uniform(0.5, 1, (2, 2, 7)),
    )
    v, g = v[:, :5], rng.standard_normal((2, 7))
    options = {"bins": 9, "bandwidth": bandwidth, "boundary": boundary}
    inputs = x, reference, w, v

    def fun(x, reference, w, v):
        return match_histogram(x, reference, weights=w, reference_weights=v, **options)

    found = gradients(xp, fun, g, *(from_numpy(xp, a) for a in inputs))
    for n, got in enumerate(found):

        def along(a, n=n):
            return (g * fun(*inputs[:n], a, *inputs[n + 1 :])).sum()

        want = formulas.central_differences(along, inputs[n], 1e-7)
        assert_allclose(got, want, rtol=1e-4, atol=1e-5 * max(1, np.abs(want).max()))
    (got,) = gradients(xp, lambda x: equalize(x, **options), g, from_numpy(xp, x))
    want = formulas.central_differences(lambda x: (g * equalize(x, **options)).sum(), x, 1e-7)
    assert_allclose(got, want, rtol=1e-4, atol=1e-5 * max(1, np.abs(want).max()))


@pytest.mark.parametrize("boundary", ["reflect", "circular"])
def test_second_derivative_and_transforms_on_torch(torch, boundary, rng):
    x, reference = (torch.tensor(rng.uniform(0.05, 0.95, n), requires_grad=True) for n in (5, 4))

    def fun(x, reference):
        return match_histogram(x, reference, 6, bandwidth=0.2, boundary=boundary)

    assert torch.autograd.gradgradcheck(fun, (x, reference))
    many = torch.func.vmap(fun)(*(torch.stack((a, a.flip(0))).detach() for a in (x, reference)))
    assert_allclose(many[0], fun(x, reference).detach(), rtol=1e-12)


# --- shapes and inputs ---


def test_shapes_and_broadcasting(xp, rng):
    x, reference = rng.random((3, 4, 5)), rng.random((6, 1))
    got = match_histogram(from_numpy(xp, x), from_numpy(xp, reference), 16, axis=(-2, -1))
    assert got.shape == x.shape
    for row, want in zip(to_numpy(got), x, strict=True):
        assert_allclose(row.ravel(), match_histogram(want.ravel(), reference.ravel(), 16), rtol=1e-12)
    got = to_numpy(equalize(from_numpy(xp, x), 16, axis=0))
    assert_allclose(got[:, 2, 3], equalize(x[:, 2, 3], 16), rtol=1e-12)
    empty = from_numpy(xp, np.ones((0, 4)))
    assert equalize(empty, 8).shape == match_histogram(empty, empty + 0, 8).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("boundary", ["reflect", "circular"])
def test_less_than_double_precision(xp, boundary, dtype, rng):
    if not hasattr(xp, dtype):
        pytest.skip(f"{xp.__name__} has no {dtype}")
    x, reference = (from_numpy(xp, rng.random((2, 3000)), dtype) for _ in range(2))
    got = match_histogram(x, reference, 32, boundary=boundary)
    assert got.dtype == getattr(xp, dtype)
    exact = (to_numpy(a).astype(np.float64) for a in (x, reference))
    off = turns(to_numpy(got), match_histogram(*exact, 32, boundary=boundary))
    assert off.max() < {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-5}[dtype]


def test_nan_and_no_mass(xp, rng):
    x, reference = rng.random((3, 6)), rng.random((3, 6))
    x[1, 2] = np.nan
    got = to_numpy(match_histogram(from_numpy(xp, x), from_numpy(xp, reference), 16))
    assert_allclose(np.isnan(got).all(-1), [False, True, False])
    nothing = from_numpy(xp, np.zeros(6))
    x = from_numpy(xp, rng.random(6))
    assert_allclose(to_numpy(match_histogram(x, x + 0, 16, (-1, 2), reference_weights=nothing)), -1, atol=0)
    for found in gradients(xp, lambda x, y: match_histogram(x, y, 16, reference_weights=nothing), np.ones(6), x, x + 0):
        assert_allclose(found, 0, atol=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"boundary": "open"}, ValueError, "`boundary` must be reflect or circular, got 'open'"),
        ({"boundary": "wrap"}, ValueError, "`boundary` .*'wrap'"),
        ({"bins": 0}, ValueError, "`bins` must be at least 1, got 0"),
        ({"weights": np.ones(3)}, ValueError, r"`weights` must broadcast .*\(2, 4\).*\(3,\)"),
        ({"reference_weights": np.ones(3)}, ValueError, r"`reference_weights` must broadcast .*\(5,\).*\(3,\)"),
        ({"reference_weights": np.ones(5, int)}, TypeError, "`reference_weights` must be of a floating dtype"),
        ({"reference": np.ones((3, 5))}, ValueError, r"`reference` must have batch axes .*\(3,\) and \(2,\)"),
        ({"reference": np.ones((1, 1, 5))}, ValueError, r"`reference` must have batch axes"),
        ({"reference": np.ones((2, 0))}, ValueError, "`reference` must hold at least one value"),
        ({"reference": np.ones(5, int)}, TypeError, "`reference` must be of a floating dtype"),
    ],
)
def test_errors_name_the_argument(options, error, message):
    options = {"reference": np.ones(5)} | options
    with pytest.raises(error, match=message):
        match_histogram(np.ones((2, 4)), options.pop("reference"), **options)

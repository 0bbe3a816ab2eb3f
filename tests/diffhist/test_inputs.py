"""What both histograms do with weights, with pixels that are no numbers, and with arrays in every form."""

import numpy as np
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy, value_and_gradients
from cases import BOUNDARIES
from numpy.testing import assert_allclose

from diffhist import joint_histogram, match_histogram, soft_histogram


def soft(x, **options):
    return soft_histogram(x, 6, **options)


def joint(x, **options):
    """Of x with itself on other bins, so that one array stands for both."""
    return joint_histogram(x, x, (6, 5), ((0.0, 1.0), (-0.5, 1.5)), **options)


def joint_of_two(x, y, **options):
    return joint_histogram(x, y, (6, 5), **options)


both = pytest.mark.parametrize("histogram", [soft, joint], ids=["soft", "joint"])
boundaries = pytest.mark.parametrize("boundary", BOUNDARIES)


# --- weights ---


@both
def test_equal_weights_change_nothing(xp, histogram, rng):
    x = from_numpy(xp, rng.random((3, 20)))
    want = to_numpy(histogram(x))
    for weights in (np.full((3, 20), 0.3), np.full((20,), 2.0), np.full((3, 1), 7.0), np.array(0.1)):
        assert_allclose(to_numpy(histogram(x, weights=from_numpy(xp, weights))), want, atol=1e-14)


@both
@boundaries
def test_boolean_masks_choose_pixels(xp, histogram, boundary, rng):
    x, mask = rng.random(40), rng.random(40) < 0.5
    got = histogram(from_numpy(xp, x), weights=xp.asarray(mask), boundary=boundary)
    want = histogram(x[mask], boundary=boundary)
    assert_allclose(to_numpy(got), want, atol=1e-14)
    got = histogram(from_numpy(xp, x), weights=xp.asarray(mask), boundary=boundary, normalize=False)
    assert_allclose(to_numpy(got), want * mask.sum(), atol=1e-13)


@both
def test_weights_are_shares_of_their_total(xp, histogram, rng):
    x, w = rng.random(15), rng.integers(0, 4, 15)
    got = histogram(from_numpy(xp, x), weights=from_numpy(xp, w))
    assert_allclose(to_numpy(got), histogram(np.repeat(x, w)), atol=1e-14)


@both
@pytest.mark.parametrize("scale", [3e38, 1e38, 1e-36, 1e-42])
def test_shares_do_not_depend_on_the_scale_of_weights(xp, histogram, scale, rng):
    """Even where their total is more than float32 can say, or they are next to nothing."""
    if xp.__name__ == "jax.numpy" and scale < 1e-38:
        pytest.skip("XLA takes numbers this small for 0")
    x, w = rng.random((2, 30)), rng.uniform(0.5, 1.0, (2, 30))
    g = rng.standard_normal(histogram(x).shape)
    arrays = [from_numpy(xp, a, "float32") for a in (x, w * scale)]
    weights = to_numpy(arrays[1]).astype(np.float64)  # the smallest are rounded
    got = to_numpy(histogram(arrays[0], weights=arrays[1]))
    assert_allclose(got, histogram(x, weights=weights), atol=3e-6)
    (slope,) = gradients(xp, lambda x: histogram(x, weights=arrays[1]), g, arrays[0])
    (want,) = gradients(np, lambda x: histogram(x, weights=weights), g, x)
    assert_allclose(slope, want, atol=3e-5 * np.abs(want).max())
    if histogram is soft:
        reference, of = from_numpy(xp, rng.random((2, 20)), "float32"), {"bins": 6, "reference_weights": None}
        got = to_numpy(match_histogram(arrays[0], reference, weights=arrays[1], **of))
        want = match_histogram(x, to_numpy(reference).astype(np.float64), weights=weights, **of)
        assert_allclose(got, want, atol=3e-6)


def test_second_derivatives_by_weights_know_of_their_scale(torch, rng):
    """Shares do not change with it, and so it is no variable; their derivatives are in inverse proportion to it."""
    x, w = (torch.asarray(a) for a in (rng.random(6), rng.uniform(0.5, 1.0, 6)))
    assert torch.autograd.gradgradcheck(lambda w: soft(x, weights=w).square().sum(), w.requires_grad_())
    assert torch.autograd.gradcheck(lambda w: soft(x, weights=w), w, check_forward_ad=True)


@both
@boundaries
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_total_of_zero_gives_zeros_and_no_gradient(xp, histogram, boundary, dtype, rng):
    x, w = rng.random((3, 10)), rng.random((3, 10))
    w[1] = 0.0
    arrays = from_numpy(xp, x, dtype), from_numpy(xp, w, dtype)

    def weighted(x, w):
        return histogram(x, weights=w, boundary=boundary)

    got = to_numpy(weighted(*arrays))
    assert_allclose(got[1], 0.0, atol=0)
    assert_allclose(got[2], weighted(x[2], w[2]), atol=1e-5)
    for found in gradients(xp, weighted, rng.standard_normal(got.shape), *arrays):
        assert_allclose(found[1], 0.0, atol=0)
        assert np.abs(found[2]).max() > 0


@both
@boundaries
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e300])
def test_pixels_of_weight_zero_do_not_count(xp, histogram, boundary, odd, rng):
    x, w = rng.random(20), rng.random(20)
    w[[3, 7]] = 0.0
    spoiled = x.copy()
    spoiled[[3, 7]] = odd

    def weighted(x, w):
        return histogram(x, weights=w, boundary=boundary)

    assert_allclose(to_numpy(weighted(from_numpy(xp, spoiled), from_numpy(xp, w))), weighted(x, w), atol=1e-14)
    mask = xp.asarray(w > 0)
    assert_allclose(to_numpy(weighted(from_numpy(xp, spoiled), mask)), weighted(x, w > 0), atol=1e-14)
    g = rng.standard_normal(weighted(x, w).shape)
    got = gradients(xp, weighted, g, from_numpy(xp, spoiled), from_numpy(xp, w))
    want = gradients(np, weighted, g, x, w)
    assert_allclose(got[0], want[0], atol=1e-12)
    assert_allclose(got[1][w > 0], want[1][w > 0], atol=1e-12)


@both
@boundaries
def test_sums_add_over_chunks(xp, histogram, boundary, rng):
    x, w = rng.random((2, 30)), rng.random((2, 30))
    options = {"boundary": boundary, "normalize": False}
    parts = [
        to_numpy(histogram(from_numpy(xp, x[:, part]), weights=from_numpy(xp, w[:, part]), **options))
        for part in (slice(0, 7), slice(7, 8), slice(8, 30))
    ]
    whole = to_numpy(histogram(from_numpy(xp, x), weights=from_numpy(xp, w), boundary=boundary))
    total = w.sum(1).reshape(2, *[1] * (whole.ndim - 1))
    assert_allclose(sum(parts) / total, whole, atol=1e-14)


def test_sums_without_weights_count_pixels(xp, rng):
    x = from_numpy(xp, rng.random((2, 30)))
    sums = soft_histogram(x, 6, boundary="circular", normalize=False)
    assert_allclose(to_numpy(sums).sum(-1), 30, rtol=1e-14)
    assert_allclose(to_numpy(sums), 30 * to_numpy(soft_histogram(x, 6, boundary="circular")), rtol=1e-13)


# --- pixels that are no numbers ---


@both
@boundaries
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_spoils_its_own_sample_alone(xp, histogram, boundary, dtype, rng):
    x = rng.random((3, 20))
    spoiled = x.copy()
    spoiled[1, 4] = np.nan

    def fun(x):
        return histogram(x, boundary=boundary)

    got = to_numpy(fun(from_numpy(xp, spoiled, dtype)))
    assert np.isnan(got[1]).all()
    assert_allclose(got[[0, 2]], fun(x)[[0, 2]], atol=1e-5)
    g = rng.standard_normal(got.shape)
    (found,) = gradients(xp, fun, g, from_numpy(xp, spoiled, dtype))
    (want,) = gradients(np, fun, g, x)
    assert_allclose(found[[0, 2]], want[[0, 2]], atol=1e-4)


@boundaries
def test_nan_in_either_image_of_a_pair(xp, boundary, rng):
    x, y = rng.random((2, 3, 20))
    x[0, 4], y[1, 5] = np.nan, np.nan
    got = to_numpy(joint_of_two(from_numpy(xp, x), from_numpy(xp, y), boundary=boundary))
    assert_allclose(np.isnan(got), np.array([True, True, False])[:, None, None] * np.ones((6, 5)))


@boundaries
def test_nan_weights_spoil_their_own_sample_alone(xp, boundary, rng):
    x, w = rng.random((2, 3, 20))
    w[1, 2] = np.nan
    got = to_numpy(soft(from_numpy(xp, x), weights=from_numpy(xp, w), boundary=boundary))
    assert_allclose(np.isnan(got), np.array([False, True, False])[:, None] * np.ones(6))


@both
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
@pytest.mark.parametrize("bandwidth", [1e-4, None, 3.0])
def test_infinity_is_lost_under_open(xp, histogram, infinity, bandwidth, rng):
    x = rng.random((2, 20))
    x[0, 3] = infinity

    def fun(x, weights=None):
        return histogram(x, weights=weights, bandwidth=bandwidth)

    present = np.isfinite(x[0])
    got = to_numpy(fun(from_numpy(xp, x)))
    assert_allclose(got[0], fun(x[0, present]) * 19 / 20, atol=1e-14)
    (found,) = gradients(xp, fun, np.ones(got.shape), from_numpy(xp, x))
    assert found[0, 3] == 0.0
    assert np.isfinite(found).all()


@both
@pytest.mark.parametrize("boundary", ["circular", "reflect"])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
@pytest.mark.parametrize("bandwidth", [1e-4, None, 3.0])
def test_infinity_has_no_place_on_a_closed_range(xp, histogram, boundary, infinity, bandwidth, rng):
    x = rng.random((2, 20))
    x[0, 3] = infinity
    with np.errstate(invalid="ignore"):  # NumPy says so, as it does for sin(inf)
        got = to_numpy(histogram(from_numpy(xp, x), boundary=boundary, bandwidth=bandwidth))
    assert np.isnan(got[0]).all()
    assert np.isfinite(got[1]).all()


@both
@boundaries
def test_huge_values_stay_in_bounds(xp, histogram, boundary):
    """Positions past the integers that float32 or int64 can hold must not become addresses."""
    for dtype in ("float32", "float64"):
        for value in (1e20, -1e20, 1e30, -1e30):
            got = to_numpy(histogram(from_numpy(xp, np.full(3, value), dtype), boundary=boundary))
            assert_allclose(got.sum(), 0.0 if boundary == "open" else 1.0, atol=1e-5)


# --- arrays in every form ---


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@both
@boundaries
def test_half_precision_is_computed_in_float32(xp, dtype, histogram, boundary, rng):
    if not hasattr(xp, dtype):
        pytest.skip(f"{xp.__name__} has no {dtype}")
    x = from_numpy(xp, rng.random(5000), dtype)
    got = histogram(x, boundary=boundary)
    assert got.dtype == getattr(xp, dtype)
    exact = to_numpy(x).astype(np.float64)
    want = histogram(exact, boundary=boundary)
    eps = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert_allclose(to_numpy(got), want, rtol=eps, atol=1e-6)
    g = to_numpy(from_numpy(xp, x.shape[0] * rng.standard_normal(want.shape), dtype)).astype(np.float64)

    def fun(x):
        return histogram(x, boundary=boundary)

    (found,) = gradients(xp, fun, g, x)
    (exact_gradient,) = gradients(np, fun, g, exact)
    assert_allclose(found, exact_gradient, rtol=2 * eps, atol=4 * eps * np.abs(exact_gradient).max())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@both
def test_half_precision_does_not_overflow(xp, dtype, histogram):
    """More pixels than float16 can count."""
    if not hasattr(xp, dtype):
        pytest.skip(f"{xp.__name__} has no {dtype}")
    x = from_numpy(xp, np.full(10**5, 0.3), dtype)
    want = histogram(to_numpy(x)[:1].astype(np.float64), boundary="circular")
    for weights in (None, x * 0 + 1):
        got = to_numpy(histogram(x, boundary="circular", weights=weights))
        assert_allclose(got, want, rtol=2.0**-8, atol=1e-6)
    sums = histogram(x, boundary="circular", normalize=False)
    assert sums.dtype == xp.float32
    assert_allclose(to_numpy(sums), 10**5 * want, rtol=0, atol=2e-5 * 10**5 * want.max())


FORMS = {
    "transposed": lambda a: a.T.copy().T,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[:, ::-1].copy()[:, ::-1],
    "column of a table": lambda a: np.stack([a, a], -1)[..., 1],
    "Fortran order": np.asfortranarray,
}


@pytest.mark.parametrize("form", FORMS)
@both
def test_strides_do_not_matter(histogram, form, rng):
    x, w = rng.random((2, 3, 20))
    oddly = FORMS[form]
    assert_allclose(histogram(oddly(x), weights=oddly(w)), histogram(x, weights=w), atol=1e-15)
    g = rng.standard_normal(histogram(x).shape)

    def fun(x, w):
        return histogram(x, weights=w)

    for got, want in zip(gradients(np, fun, g, oddly(x), oddly(w)), gradients(np, fun, g, x, w), strict=True):
        assert_allclose(got, want, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bandwidth", [0.01, 0.1])
@both
@boundaries
def test_repeating_a_sample_changes_nothing(histogram, boundary, bandwidth, dtype, rng):
    """Large enough to be walked through in parts, with a remainder."""
    x, w = rng.random((2, 301)).astype(dtype)

    def fun(x, w):
        return histogram(x, weights=w, boundary=boundary, bandwidth=bandwidth)

    exact = fun(x.astype(np.float64), w.astype(np.float64))
    g = rng.standard_normal(exact.shape)
    value, found = value_and_gradients(np, fun, g, np.tile(x, 901), np.tile(w, 901))
    base = 2e-5 if dtype == "float32" else 1e-12
    assert_allclose(value, exact, rtol=0, atol=base * exact.max())
    for got, want in zip(found, gradients(np, fun, g, x, w), strict=True):
        want = np.tile(want / 901, 901)
        assert_allclose(got, want, rtol=0, atol=10 * base * np.abs(want).max())


@both
def test_broadcast_and_read_only_inputs(histogram, rng):
    x = rng.random((1, 20))
    wide = np.broadcast_to(x, (3, 20))
    constant = np.broadcast_to(np.float64(0.3), (3, 20))
    for array in (wide, constant):
        assert not array.flags.writeable
        before = array.copy()
        got = histogram(array, weights=constant)
        assert_allclose(got, histogram(before), atol=1e-15)
        (found,) = gradients(np, histogram, rng.standard_normal(got.shape), array)
        assert found.shape == (3, 20)
        assert_allclose(array, before, atol=0)


@both
def test_inputs_are_left_alone(xp, histogram, rng):
    x, w = rng.random((2, 3, 20))
    x[0, 0], x[1, 1], w[0, 0] = np.nan, np.inf, 0.0
    arrays = from_numpy(xp, x), from_numpy(xp, w)
    gradients(xp, lambda x, w: histogram(x, weights=w), np.ones(histogram(x).shape), *arrays)
    assert_allclose(to_numpy(arrays[0]), x, atol=0)
    assert_allclose(to_numpy(arrays[1]), w, atol=0)


@both
@boundaries
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1, 3), (1, 2, 3, 4, 5)])
def test_any_rank(xp, histogram, boundary, shape, rng):
    x = rng.random(shape)
    for axis in (-1, 0, tuple(range(len(shape))), -len(shape)):
        got = to_numpy(histogram(from_numpy(xp, x), axis=axis, boundary=boundary))
        want = histogram(reference.rows(x, axis), boundary=boundary)
        assert got.shape == want.shape
        assert_allclose(got, want, atol=1e-14)


def test_all_axes_leave_one_histogram(xp, rng):
    x = from_numpy(xp, rng.random((2, 3, 4)))
    assert soft_histogram(x, 6, axis=(0, 1, 2)).shape == (6,)
    assert joint_histogram(x, x, (6, 5), axis=(0, 1, 2)).shape == (6, 5)


def test_an_empty_batch_is_no_error(xp):
    x = from_numpy(xp, np.ones((0, 5)))
    assert soft_histogram(x, 6).shape == (0, 6)
    assert joint_histogram(x, x, (6, 4)).shape == (0, 6, 4)


@both
def test_results_stay_on_the_device_of_the_input(histogram, rng):
    """The strict namespace has made-up devices, which tell a careless transfer without a GPU."""
    strict = pytest.importorskip("array_api_strict")
    device = strict.Device("device1")
    x = strict.asarray(rng.random((2, 20)).tolist(), device=device)
    assert histogram(x).device == device
    assert histogram(x, weights=x, boundary="circular").device == device

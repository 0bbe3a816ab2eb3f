"""soft_histogram against Eq. 5 and 6 written out, and against the limits that its documentation promises."""

import numpy as np
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy, value_and_gradients
from cases import BOUNDARIES, contents, rounding, samples, strides, sum_to
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from diffhist import soft_histogram

BASE = {"float32": 5e-6, "float64": 1e-12}  # of the largest bin, beside the rounding of positions

# name: (shape of x, shape of weights or None, options)
CASES = {
    "plain": ((50,), None, {"bins": 16}),
    "one bin": ((20,), None, {"bins": 1}),
    "one pixel": ((1,), None, {"bins": 8}),
    "prime bins": ((40,), None, {"bins": 37, "range": (-2.0, 5.0)}),
    "many bins": ((60,), None, {"bins": 256}),
    "wider than the range": ((30,), None, {"bins": 5, "bandwidth": 2.0}),
    "sharp": ((30,), None, {"bins": 12, "bandwidth": 0.002}),
    "batch": ((2, 3, 20), None, {"bins": 6}),
    "first axis": ((20, 3), None, {"bins": 6, "axis": 0}),
    "image axes": ((2, 4, 5), None, {"bins": 6, "axis": (-2, -1)}),
    "outer axes": ((4, 2, 5), None, {"bins": 6, "axis": (0, 2)}),
    "reversed axes": ((2, 4, 5), None, {"bins": 6, "axis": (2, 0), "normalize": False}),
    "weights": ((50,), (50,), {"bins": 16}),
    "weights of sums": ((50,), (50,), {"bins": 16, "normalize": False}),
    "weights of an image": ((3, 4, 5), (4, 5), {"bins": 6, "axis": (-2, -1)}),
    "weights of a sample": ((3, 20), (3, 1), {"bins": 6}),
    "many pixels": ((3000,), None, {"bins": 64}),
    "many pixels of a weight": ((3001,), (3001,), {"bins": 64}),
    "many pixels of two images": ((2, 50, 60), (50, 60), {"bins": 50, "range": (-1.0, 3.0), "axis": (-2, -1)}),
    "many pixels of a sharp kernel": ((3000,), None, {"bins": 64, "bandwidth": 0.1 / 64}),
    "many pixels of a wide kernel": ((3000,), None, {"bins": 128, "bandwidth": 2 / 128, "normalize": False}),
    "beyond the range": ((3000,), None, {"bins": 64}),
    "weight for all": ((3, 20), (), {"bins": 6, "normalize": False}),
}


def positions(rng, shape, options, outside=0.2):
    """Values inside the range, on its edges and a little outside."""
    lo, hi = options.get("range", (0.0, 1.0))
    x = rng.uniform(-outside, 1 + outside, shape)
    x.flat[::7] = np.round(x.flat[::7] * options["bins"]) / options["bins"]
    return lo + (hi - lo) * x


def make_case(name, rng, dtype):
    """float64 copies of inputs that `dtype` holds exactly."""
    x_shape, w_shape, options = CASES[name]
    x = (
        positions(rng, x_shape, options, 0.0 if name.startswith("many pixels") else 0.2)
        .astype(dtype)
        .astype(np.float64)
    )
    weights = None
    if w_shape is not None:
        weights = (
            (rng.uniform(0.0, 2.0, w_shape) * (rng.random(w_shape) < 0.8) + (w_shape == ()))
            .astype(dtype)
            .astype(np.float64)
        )
    return x, weights, options


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", CASES)
def test_equation_6_and_its_derivatives(xp, name, boundary, dtype, rng):
    x, weights, options = make_case(name, rng, dtype)
    options = options | {"boundary": boundary}
    inputs = [x] if weights is None else [x, weights]
    want = reference.soft_histogram(*inputs, **options)
    g = rng.standard_normal(want.shape).astype(dtype).astype(np.float64)

    def fun(x, w=None):
        return soft_histogram(x, weights=w, **options)

    got, found = value_and_gradients(xp, fun, g, *(from_numpy(xp, a, dtype) for a in inputs))
    loose = rounding(x, dtype, **options)
    assert_allclose(got, want, rtol=0, atol=want.max() * (BASE[dtype] + loose))
    base = 1e-4 if dtype == "float32" else 1e-11
    for gradient, slope, a in zip(found, reference.soft_histogram_vjp(g, *inputs, **options), inputs, strict=False):
        slope = sum_to(slope, a.shape)
        scale = max(np.abs(slope).max(), np.abs(g).max() / x.size)
        assert_allclose(gradient, slope, rtol=0, atol=scale * (base + 4 * loose))


# --- the limits, as properties ---


@given(case=samples(), data=st.data())
def test_equation_6_anywhere(case, data):
    x, options = case
    weights = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, 0.25, 3.0]), min_size=x.size, max_size=x.size)))
    weights[0] = 1.0
    got, want = soft_histogram(x, weights=weights, **options), reference.soft_histogram(x, weights, **options)
    assert_allclose(got, want, rtol=0, atol=max(want.max(), 1e-3) * (1e-12 + rounding(x, "float64", **options)))


@given(case=samples())
def test_gradient_of_equation_6_anywhere(case):
    x, options = case
    g = np.cos(3.0 * np.arange(options["bins"]))
    (got,) = gradients(np, lambda x: soft_histogram(x, **options), g, x)
    want, _ = reference.soft_histogram_vjp(g, x, **options)
    width = options["bandwidth"] or (options["range"][1] - options["range"][0]) / options["bins"] / 2.5
    assert_allclose(got, want, rtol=0, atol=(1e-11 + 4 * rounding(x, "float64", **options)) / width)


@given(
    bins=st.integers(1, 50),
    lo=st.sampled_from([0.0, 100.0, -7.0]),
    length=st.sampled_from([0.5, 1.0, 2e3]),
    data=st.data(),
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sharp_kernel_counts_like_numpy(dtype, bins, lo, length, data):
    inside = st.tuples(st.integers(-2, bins + 1), st.floats(0.02, 0.98)).map(sum)
    x = lo + np.array(data.draw(st.lists(inside, min_size=1, max_size=30))) * length / bins
    hi = lo + length
    counts = np.histogram(x, bins, (lo, hi))[0]
    sharp = 1e-6 * length / bins
    assert_allclose(
        soft_histogram(x.astype(dtype), bins, (lo, hi), bandwidth=sharp), counts / x.size, rtol=0, atol=1e-6
    )
    x = x[(lo < x) & (x < hi)]
    for boundary in ("circular", "reflect") if x.size else ():
        got = soft_histogram(x.astype(dtype), bins, (lo, hi), bandwidth=sharp, boundary=boundary)
        assert_allclose(got, counts / x.size, rtol=0, atol=1e-6)


@given(case=st.sampled_from(["circular", "reflect"]).flatmap(samples))
def test_closed_boundaries_keep_the_mass(case):
    x, options = case
    h = soft_histogram(x, **options)
    assert_allclose(h.sum(), 1.0, rtol=0, atol=1e-13)
    assert h.min() >= -1e-15


@given(case=samples("open"))
def test_open_boundary_never_adds_mass(case):
    x, options = case
    h = soft_histogram(x, **options)
    assert h.min() >= -1e-15
    assert h.sum() <= 1 + 1e-13


@given(case=samples("circular"), turn=st.integers(-80, 80))
def test_circular_commutes_with_rotation(case, turn):
    x, options = case
    lo, hi = options["range"]
    shifted = x + turn * (hi - lo) / options["bins"]
    atol = 1e-12 + 2 * rounding(np.append(x, shifted), "float64", **options)
    assert_allclose(soft_histogram(shifted, **options), np.roll(soft_histogram(x, **options), turn), rtol=0, atol=atol)


@given(case=samples("reflect"))
def test_reflect_is_even_about_both_borders(case):
    x, options = case
    lo, hi = options["range"]
    h = soft_histogram(x, **options)
    for mirrored in (2 * lo - x, 2 * hi - x):
        atol = 1e-12 + 2 * rounding(np.append(x, mirrored), "float64", **options)
        assert_allclose(soft_histogram(mirrored, **options), h, rtol=0, atol=atol)


def test_default_bandwidth_is_the_authors(xp, rng):
    x = from_numpy(xp, rng.random(30))
    assert_allclose(
        to_numpy(soft_histogram(x, 20)), to_numpy(soft_histogram(x, 20, bandwidth=1 / 20 / 2.5)), atol=1e-15
    )


def test_open_border_pixel_loses_half():
    assert_allclose(soft_histogram(np.zeros(3), 10, bandwidth=0.001).sum(), 0.5, atol=1e-12)


# --- float32 on large samples: the figures of the documentation ---


@strides
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_float32_stays_within_5e_6(boundary, stride, hues, rng):
    g = rng.standard_normal(256).astype(np.float32)
    for name, x in contents(hues, rng, stride).items():
        want = reference.soft_histogram(x, boundary=boundary)
        assert_allclose(soft_histogram(x, boundary=boundary), want, rtol=0, atol=5e-6 * want.max(), err_msg=name)
        (got,) = gradients(np, lambda x: soft_histogram(x, boundary=boundary), g, x)
        want, _ = reference.soft_histogram_vjp(g, x, boundary=boundary)
        # a constant on a mirror has the gradient 0: what a pixel could have had is the scale there
        scale = max(np.abs(want).max(), 1e-3 * np.abs(g).max() * 640 / x.size)
        assert_allclose(got, want, rtol=0, atol=1e-4 * scale, err_msg=name)


@pytest.mark.parametrize("bins", [6, 64, 256])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_constant_images(xp, boundary, bins, rng):
    """Here no error averages out."""
    for value in (0.0, 0.5, *rng.random(6)):
        x = np.full(5000, value, np.float32)
        want = reference.soft_histogram(x[:1], bins=bins, boundary=boundary)
        got = to_numpy(soft_histogram(xp.asarray(x), bins, boundary=boundary))
        assert_allclose(got, want, rtol=0, atol=5e-6 * want.max(), err_msg=str(value))


@pytest.mark.slow
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_ten_million_equal_pixels(xp, boundary):
    if "strict" in xp.__name__:
        pytest.skip("the strict namespace computes with NumPy, and is too slow for this")
    x = xp.asarray(np.full(10**7, 0.3, np.float32))
    want = reference.soft_histogram(np.full(1, 0.3, np.float32), boundary=boundary)
    assert_allclose(to_numpy(soft_histogram(x, boundary=boundary)), want, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_ten_million_pixels(rng):
    x = rng.random(10**7, np.float32)
    want = reference.soft_histogram(x[: 10**5], bins=64)
    assert_allclose(soft_histogram(np.tile(x[: 10**5], 100), 64), want, rtol=0, atol=5e-6 / 64)
    assert_allclose(soft_histogram(x, boundary="circular"), 1 / 256, rtol=0, atol=6 * np.sqrt(1 / 256 / 10**7))


def test_weights_of_very_different_sizes(xp):
    """No bin is a difference of sums in which it would be lost."""
    x = from_numpy(xp, np.linspace(0.005, 0.995, 100))
    w = np.geomspace(1e25, 1e-3, 100)
    h = soft_histogram(x, 100, bandwidth=1e-4, weights=from_numpy(xp, w), normalize=False)
    assert_allclose(to_numpy(h), w, rtol=1e-6)


@pytest.mark.parametrize("bandwidth", [100.0, 1e5])
@pytest.mark.parametrize("kernel", ["logistic", "gaussian"])
def test_float32_far_wider_than_an_open_range(kernel, bandwidth, rng):
    x, options = rng.random(50, np.float32), {"bins": 64, "bandwidth": bandwidth, "kernel": kernel}
    want = reference.soft_histogram(x.astype(np.float64), **options)
    assert_allclose(soft_histogram(x, **options), want, rtol=2e-6)

"""joint_histogram against Eq. 23 written out, and against the limits that its documentation promises."""

import numpy as np
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy, value_and_gradients
from cases import BOUNDARIES, contents, rounding, samples, strides, sum_to
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from diffhist import joint_histogram, mi_distance, soft_histogram

BASE = {"float32": 2e-5, "float64": 1e-12}  # of the largest cell, beside the rounding of positions

# name: (shape of x and y, shape of weights or None, options)
CASES = {
    "plain": ((50,), None, {"bins": 8}),
    "one bin": ((20,), None, {"bins": 1}),
    "one pixel": ((1,), None, {"bins": 8}),
    "wider than the range": ((20,), None, {"bins": 5, "bandwidth": 2.0}),
    "many bins": ((40,), None, {"bins": 64}),
    "pair of bins": ((30,), None, {"bins": (5, 40)}),
    "pair of ranges": ((30,), None, {"bins": 6, "range": ((0.0, 1.0), (-2.0, 2.0))}),
    "pair of bandwidths": ((30,), None, {"bins": 6, "bandwidth": (None, 0.01)}),
    "open and circular": ((30,), None, {"bins": 6, "boundary": ("open", "circular")}),
    "reflect and open": ((30,), None, {"bins": (6, 20), "boundary": ("reflect", "open")}),
    "narrow and wide": ((30,), None, {"bins": (30, 4), "bandwidth": (0.002, 3.0)}),
    "batch": ((2, 3, 20), None, {"bins": 6}),
    "first axis": ((20, 3), None, {"bins": 6, "axis": 0}),
    "image axes": ((2, 4, 5), None, {"bins": (6, 7), "axis": (-2, -1)}),
    "outer axes": ((4, 2, 5), None, {"bins": 6, "axis": (0, 2), "normalize": False}),
    "many pixels": ((4000,), None, {"bins": 64}),
    "many pixels of a weight": ((4001,), (4001,), {"bins": (64, 32)}),
    "many pixels of two images": ((2, 60, 80), (60, 80), {"bins": (32, 64), "axis": (1, 2)}),
    "many pixels of two kernels": ((4000,), None, {"bins": (64, 16), "bandwidth": (0.1 / 64, None)}),
    "many pixels of a wide kernel": ((4000,), None, {"bins": 64, "bandwidth": 1 / 64, "normalize": False}),
    "beyond the ranges": ((4000,), None, {"bins": (64, 32)}),
    "weights": ((50,), (50,), {"bins": 8}),
    "weights of sums": ((50,), (50,), {"bins": 8, "normalize": False}),
    "weights of an image": ((3, 4, 5), (4, 5), {"bins": 6, "axis": (-2, -1)}),
    "weights of a sample": ((3, 20), (3, 1), {"bins": 6}),
}


def make_case(name, rng, dtype):
    shape, w_shape, options = CASES[name]
    outside, pixels = 0.0 if name.startswith("many pixels") else 0.2, []
    for one in reference.pair(options):
        lo, hi = one["range"]
        places = rng.uniform(-outside, 1 + outside, shape)
        places.flat[::5] = np.round(places.flat[::5] * one["bins"]) / one["bins"]
        pixels.append((lo + (hi - lo) * places).astype(dtype).astype(np.float64))
    weights = None
    if w_shape is not None:
        weights = (rng.uniform(0.0, 2.0, w_shape) * (rng.random(w_shape) < 0.8)).astype(dtype).astype(np.float64)
    return *pixels, weights, options


def allowance(x, y, dtype, options):
    of_x, of_y = reference.pair(options)
    return BASE[dtype] + rounding(x, dtype, **of_x) + rounding(y, dtype, **of_y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", CASES)
def test_equation_23_and_its_derivatives(xp, name, boundary, dtype, rng):
    x, y, weights, options = make_case(name, rng, dtype)
    options = {"boundary": boundary} | options
    inputs = [x, y] if weights is None else [x, y, weights]
    want = reference.joint_histogram(*inputs, **options)
    g = rng.standard_normal(want.shape).astype(dtype).astype(np.float64)

    def fun(x, y, w=None):
        return joint_histogram(x, y, weights=w, **options)

    got, found = value_and_gradients(xp, fun, g, *(from_numpy(xp, a, dtype) for a in inputs))
    loose = allowance(x, y, dtype, options)
    assert_allclose(got, want, rtol=0, atol=want.max() * loose)
    base = 1e-4 if dtype == "float32" else 1e-11
    for gradient, slope, a in zip(found, reference.joint_histogram_vjp(g, *inputs, **options), inputs, strict=False):
        slope = sum_to(slope, a.shape)
        scale = max(np.abs(slope).max(), np.abs(g).max() / x.size)
        assert_allclose(gradient, slope, rtol=0, atol=scale * (base + 4 * loose))


# --- the limits, as properties ---


@st.composite
def pairs(draw, boundary=None):
    """Two samples of equal size, each with options of its own."""
    (x, of_x), (y, of_y) = draw(samples(boundary, max_bins=12)), draw(samples(boundary, max_bins=12))
    n = min(x.size, y.size)
    return x[:n], y[:n], of_x, of_y


def paired(of_x, of_y):
    return {key: (of_x[key], of_y[key]) for key in of_x}


@given(case=pairs(), data=st.data())
def test_equation_23_anywhere(case, data):
    x, y, of_x, of_y = case
    options = paired(of_x, of_y)
    weights = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, 0.25, 3.0]), min_size=x.size, max_size=x.size)))
    weights[0] = 1.0
    want = reference.joint_histogram(x, y, weights, **options)
    atol = max(want.max(), 1e-3) * allowance(x, y, "float64", options)
    assert_allclose(joint_histogram(x, y, weights=weights, **options), want, rtol=0, atol=atol)


@given(case=pairs())
def test_transposed_when_swapped(case):
    x, y, of_x, of_y = case
    table = joint_histogram(x, y, **paired(of_x, of_y))
    assert_allclose(joint_histogram(y, x, **paired(of_y, of_x)), table.T, rtol=0, atol=1e-14)


@given(case=st.sampled_from(["circular", "reflect"]).flatmap(pairs))
def test_marginals_are_the_histograms(case):
    x, y, of_x, of_y = case
    table = joint_histogram(x, y, **paired(of_x, of_y))
    assert_allclose(table.sum(1), soft_histogram(x, **of_x), rtol=0, atol=2e-13)
    assert_allclose(table.sum(0), soft_histogram(y, **of_y), rtol=0, atol=2e-13)


@given(case=pairs("circular"), turns=st.tuples(st.integers(-20, 20), st.integers(-20, 20)))
def test_circular_commutes_with_rotation(case, turns):
    x, y, of_x, of_y = case
    options = paired(of_x, of_y)
    lengths = [(one["range"][1] - one["range"][0]) / one["bins"] for one in (of_x, of_y)]
    moved = [a + turn * length for a, turn, length in zip((x, y), turns, lengths, strict=True)]
    atol = 2 * allowance(np.append(x, moved[0]), np.append(y, moved[1]), "float64", options)
    want = np.roll(joint_histogram(x, y, **options), turns, axis=(0, 1))
    assert_allclose(joint_histogram(*moved, **options), want, rtol=0, atol=atol)


@given(bins=st.tuples(st.integers(1, 12), st.integers(1, 12)), data=st.data())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sharp_kernel_counts_like_numpy(dtype, bins, data):
    ranges = ((0.0, 1.0), (100.0, 102.0))
    lengths = [(hi - lo) / k for k, (lo, hi) in zip(bins, ranges, strict=True)]
    cell = st.tuples(*(st.tuples(st.integers(-1, k), st.floats(0.02, 0.98)).map(sum) for k in bins))
    places = np.array(data.draw(st.lists(cell, min_size=1, max_size=30)))
    x, y = (lo + place * length for (lo, _), place, length in zip(ranges, places.T, lengths, strict=True))
    want = np.histogram2d(x, y, bins, ranges)[0] / x.size
    sharp = tuple(1e-6 * length for length in lengths)
    got = joint_histogram(x.astype(dtype), y.astype(dtype), bins, ranges, bandwidth=sharp)
    assert_allclose(got, want, rtol=0, atol=1e-6)


# --- float32 on large samples: the figures of the documentation ---


def partners(x, rng):
    """Itself, another channel that follows it, and one that knows nothing of it."""
    yield "itself", x
    yield "noisy", np.clip(1 - x + 0.05 * rng.standard_normal(x.size), 0, 1).astype(np.float32)
    yield "shuffled", rng.permutation(x)


@strides
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_float32_stays_within_2e_5(boundary, stride, hues, rng):
    for name, x in contents(hues, rng, stride).items():
        for partner, y in partners(x, rng):
            got = joint_histogram(x, y, boundary=boundary)
            want = reference.joint_histogram(x, y, boundary=boundary)
            assert_allclose(got, want, rtol=0, atol=2e-5 * want.max(), err_msg=f"{name}, {partner}")
            assert abs(float(mi_distance(got)) - reference.mi_distance(want)) < 1e-5, (name, partner)


@strides
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_float32_gradient_of_mi_within_1e_4(boundary, stride, hues, rng):
    options = {"bins": 64, "boundary": boundary}

    def loss(x, y):
        return mi_distance(joint_histogram(x, y, **options))

    samples = contents(hues, rng, stride)
    for name in ("noise", "astronaut", "pile at 0"):
        x = samples[name]
        for partner, y in partners(x, rng):
            got = gradients(np, loss, 1.0, x, y)
            slope = reference.mi_distance_gradient(reference.joint_histogram(x, y, **options))
            want = reference.joint_histogram_vjp(slope, x, y, **options)[:2]
            for got_one, want_one in zip(got, want, strict=True):
                scale = np.abs(want_one).max()
                assert_allclose(got_one, want_one, rtol=0, atol=1e-4 * scale, err_msg=f"{name}, {partner}")


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
def test_float32_keeps_mass_and_marginals(boundary, hues, rng):
    for name, x in contents(hues, rng, 4).items():
        y = rng.permutation(x)
        h, table = soft_histogram(x, boundary=boundary), joint_histogram(x, y, boundary=boundary)
        assert_allclose(h.sum(dtype=np.float64), 1.0, rtol=0, atol=1e-6, err_msg=name)
        assert_allclose(table.sum(dtype=np.float64), 1.0, rtol=0, atol=1e-6, err_msg=name)
        assert_allclose(table.sum(1), h, rtol=0, atol=2e-5 * h.max(), err_msg=name)
        assert_allclose(table.sum(0), h, rtol=0, atol=2e-5 * h.max(), err_msg=name)
        (got,) = gradients(np, lambda x: soft_histogram(x, boundary=boundary), np.ones(256), x)
        assert_allclose(got, 0, atol=1e-6 * 640 / x.size, err_msg=name)


@pytest.mark.parametrize("bins", [6, (64, 16)], ids=str)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_constant_images(xp, boundary, bins, rng):
    """Here no error averages out."""
    for values in ((0.0, 0.5), *rng.random((5, 2))):
        x, y = (np.full(10000, value, np.float32) for value in values)
        want = reference.joint_histogram(x[:1], y[:1], bins=bins, boundary=boundary)
        got = to_numpy(joint_histogram(xp.asarray(x), xp.asarray(y), bins, boundary=boundary))
        assert_allclose(got, want, rtol=0, atol=2e-5 * want.max(), err_msg=str(values))


@pytest.mark.parametrize(("dtype", "shape"), [("float32", (3, 8000)), ("float64", (20, 300))])
@pytest.mark.parametrize("xp", ["numpy", "torch"], indirect=True)
def test_batches_larger_than_a_table(xp, dtype, shape, rng):
    x, y = rng.random((2, *shape)).astype(dtype)
    g = rng.standard_normal((shape[0], 256, 256))
    got, found = value_and_gradients(xp, joint_histogram, g, from_numpy(xp, x, dtype), from_numpy(xp, y, dtype))
    for row in (0, shape[0] - 1):
        want = reference.joint_histogram(x[row], y[row])
        assert_allclose(got[row], want, rtol=0, atol=BASE[dtype] * want.max())
        slopes = reference.joint_histogram_vjp(g[row], x[row], y[row])
        for gradient, slope in zip(found, slopes, strict=False):
            assert_allclose(gradient[row], slope, rtol=0, atol=10 * BASE[dtype] * np.abs(slope).max())


@pytest.mark.slow
def test_ten_million_equal_pixels():
    x = np.full(10**7, 0.3, np.float32)
    want = reference.joint_histogram(x[:1], x[:1])
    assert_allclose(joint_histogram(x, x), want, rtol=0, atol=1e-6)

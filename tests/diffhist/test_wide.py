"""Kernels many bins wide, in float32: what they cost, and that they are right on bins wider than those asked for."""

import tracemalloc

import numpy as np
import pytest
import reference
from cases import BOUNDARIES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from diffhist import _array, joint_histogram, soft_histogram, vjp

SMOOTH = ("logistic", "gaussian")


@settings(max_examples=20, deadline=None)
@given(
    bins=st.integers(16, 300),
    wide=st.floats(0.0, 1.0),
    boundary=st.sampled_from(BOUNDARIES),
    kernel=st.sampled_from(SMOOTH),
    seed=st.integers(0, 99),
)
@example(bins=113, wide=1.0, boundary="circular", kernel="logistic", seed=0)  # a prime number: no wider bins
def test_wide_kernels_against_the_formula(bins, wide, boundary, kernel, seed):
    """From 8 bins wide to as wide as four times the range."""
    bandwidth = 8.0 / bins * (bins / 2.0) ** wide
    rng = np.random.default_rng(seed)
    x, w = rng.random((2, 2, 60), np.float32)
    g = rng.random((2, bins), np.float32)
    options = {"bins": bins, "bandwidth": bandwidth, "boundary": boundary, "kernel": kernel}
    want = reference.soft_histogram(x.astype(np.float64), weights=w, **options)
    found, pullback = vjp(lambda x: soft_histogram(x, weights=w, **options), x)
    assert_allclose(found, want, rtol=0, atol=8e-6 * want.max())
    _, exact = vjp(lambda x: soft_histogram(x, weights=w, **options), x.astype(np.float64))
    slope = (np.abs(g).sum(-1, keepdims=True) * want.max() / (options["bandwidth"] * 60)).max()  # of one bin's mass
    assert_allclose(pullback(g)[0], exact(g.astype(np.float64))[0], rtol=0, atol=1e-5 * slope)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_wide_kernels_of_two_variables(boundary, rng):
    x, y = rng.random((2, 3, 200), np.float32)
    options = {"bins": (40, 60), "bandwidth": (0.3, 0.01), "boundary": boundary}
    want = reference.joint_histogram(x, y, **options)
    assert_allclose(joint_histogram(x, y, **options), want, rtol=0, atol=1e-5 * want.max())
    one_way = vjp(lambda x: joint_histogram(x, y, **options), x)[1](want.astype(np.float32))[0]
    wide = [a.astype(np.float64) for a in (x, y)]
    exact = vjp(lambda x: joint_histogram(x, wide[1], **options), wide[0])[1](want)[0]
    assert_allclose(one_way, exact, rtol=0, atol=1e-4 * np.abs(exact).max())


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("bins", [4096, 100_000])
def test_memory_is_linear_in_bins_and_values(bins, boundary, rng):
    x = rng.random(1000, np.float32)
    tracemalloc.start()
    h, pullback = vjp(lambda x: soft_histogram(x, bins, bandwidth=0.1, boundary=boundary), x)
    pullback(h)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 4 * (bins + 1000) + (8 << 20)


def test_memory_is_bounded_where_bins_cannot_be_merged(rng):
    """B-splines have kinks; values are then taken a part at a time."""
    x = rng.random(10_000, np.float32)
    tracemalloc.start()
    soft_histogram(x, 10_000, bandwidth=0.2, kernel="linear")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 << 20


def test_what_is_kept_is_bounded_in_bytes(monkeypatch, rng):
    """As a bandwidth is lowered, each step has a width of its own."""
    monkeypatch.setattr(_array, "KEPT", 1 << 20)
    x = rng.random(3000, np.float32)
    for bandwidth in np.geomspace(0.1, 0.01, 30):
        soft_histogram(x, 256, bandwidth=float(bandwidth))
    assert 0 < sum(kept.nbytes for kept, _ in _array._kept.values()) <= 1 << 20


@pytest.mark.parametrize("bandwidth", [0.01, 0.02, 0.05])
def test_tails_are_not_below_zero(bandwidth, rng):
    """Of a mass below 0 there is no logarithm."""
    outside = np.full(100, -1.5, np.float32)  # its tail ends within the range
    assert soft_histogram(outside, 69, bandwidth=10 / 69).min() >= 0
    x = (0.05 + 0.02 * rng.random(500)).astype(np.float32)
    assert soft_histogram(x, 256, bandwidth=bandwidth).min() >= 0
    assert joint_histogram(x, x, 256, bandwidth=bandwidth).min() >= 0

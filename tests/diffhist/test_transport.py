"""Earth mover's distances against brute force over all shifts, SciPy and POT."""

import numpy as np
import ot
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from scipy.stats import wasserstein_distance

from diffhist import emd, soft_histogram, squared_emd
from diffhist._array import doubling_sum, namespace

KINDS = [(1, False), (1, True), (2, False), (2, True)]


def histograms(min_size=1, max_size=24):
    """Two rows of masses with empty bins and ties, of any total."""
    mass = st.one_of(st.sampled_from([0.0, 0.25, 1.0]), st.floats(0.0, 2.0).map(lambda v: round(v, 6)))
    shape = st.tuples(st.just(2), st.integers(min_size, max_size))
    return shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=mass))


def shares(rows):
    return rows / rows.sum(1, keepdims=True)


@pytest.mark.parametrize("equal_masses", [True, False])
@pytest.mark.parametrize("bins", [1, 2, 7, 64])
def test_squared_emd_against_equation_13_and_all_shifts(xp, bins, equal_masses, rng):
    p, q = rng.random((5, bins)), rng.random((5, bins))
    if equal_masses:
        p, q = shares(p), shares(q)
    arrays = from_numpy(xp, p), from_numpy(xp, q)
    want = [reference.squared_emd(*pair) for pair in zip(p, q, strict=True)]
    assert_allclose(to_numpy(squared_emd(*arrays)), want, rtol=1e-13, atol=1e-15)
    want = [reference.circular_squared_emd(*pair) for pair in zip(p, q, strict=True)]
    assert_allclose(to_numpy(squared_emd(*arrays, circular=True)), want, rtol=1e-12, atol=1e-15)


@given(rows=histograms())
def test_circular_squared_emd_is_the_least_over_all_shifts(rows):
    p, q = rows
    want = reference.circular_squared_emd(p, q)
    assert_allclose(squared_emd(p, q, circular=True), want, rtol=1e-11, atol=1e-13)


@given(rows=histograms(), shift=st.integers(0, 30))
def test_circular_distances_forget_where_the_circle_is_cut(rows, shift):
    p, q = rows
    turned = np.roll(p, shift), np.roll(q, shift)
    assert_allclose(squared_emd(*turned, circular=True), squared_emd(p, q, circular=True), rtol=1e-11, atol=1e-13)


@given(rows=histograms())
def test_squared_emd_is_symmetric_and_zero_for_equals(rows):
    p, q = rows
    for circular in (False, True):
        there, back = squared_emd(p, q, circular=circular), squared_emd(q, p, circular=circular)
        assert_allclose(there, back, rtol=1e-12, atol=1e-14)
        assert squared_emd(p, p, circular=circular) == 0.0


@pytest.mark.parametrize("circular", [False, True])
def test_squared_emd_of_diracs(xp, circular):
    """Moving a unit d bins crosses d edges; on the circle the short way round."""
    bins = 12
    eye = from_numpy(xp, np.eye(bins))
    i, j = np.meshgrid(np.arange(bins), np.arange(bins), indexing="ij")
    d = np.abs(i - j)
    got = to_numpy(squared_emd(eye[:, None, :], eye[None, :, :], circular=circular))
    want = np.minimum(d, bins - d) if circular else d
    assert_allclose(got, want, atol=1e-13)


@pytest.mark.parametrize("circular", [False, True])
def test_squared_emd_near_ties_in_float32(circular, rng):
    p = soft_histogram(rng.random((6, 500)).astype(np.float32), boundary="circular")
    q = p + np.float32(1e-4) * rng.standard_normal(p.shape).astype(np.float32) / 256
    fun = reference.circular_squared_emd if circular else reference.squared_emd
    want = [fun(*pair) for pair in zip(p.astype(np.float64), q.astype(np.float64), strict=True)]
    assert_allclose(squared_emd(p, q, circular=circular), want, rtol=1e-3)


@pytest.mark.parametrize("bins", [256, 4096])
def test_squared_emd_in_float32_with_many_bins(xp, bins, rng):
    p, q = (shares(rng.random((1, bins)) ** 4).astype(np.float32) for _ in range(2))
    for circular, fun in ((False, reference.squared_emd), (True, reference.circular_squared_emd)):
        want = fun(p[0].astype(np.float64), q[0].astype(np.float64))
        got = squared_emd(xp.asarray(p[0]), xp.asarray(q[0]), circular=circular)
        assert_allclose(to_numpy(got), want, rtol=1e-4)


# --- emd ---


@pytest.mark.parametrize(("order", "circular"), KINDS)
def test_emd_is_equation_12_of_shapes(xp, order, circular, rng):
    p, q = rng.random((4, 9)), 3 * rng.random((4, 9))
    fun = reference.circular_emd if circular else reference.emd
    want = [fun(a, b, order) for a, b in zip(p, q, strict=True)]
    got = emd(from_numpy(xp, p), from_numpy(xp, q), order=order, circular=circular)
    assert_allclose(to_numpy(got), want, rtol=1e-11)


@given(rows=histograms(min_size=2).filter(lambda rows: rows.sum(1).min() > 0.1))
def test_order_1_is_the_wasserstein_distance(rows):
    p, q = shares(rows)
    places = np.arange(p.size) / p.size
    assert_allclose(emd(p, q, order=1), wasserstein_distance(places, places, p, q), rtol=1e-10, atol=1e-12)


@given(rows=histograms(min_size=2).filter(lambda rows: rows.sum(1).min() > 0.1))
def test_circular_order_1_is_the_cost_of_the_best_plan(rows):
    """By linear programming, with the shorter way round as the ground distance."""
    p, q = shares(rows)
    places = np.arange(p.size) / p.size
    apart = np.abs(places[:, None] - places)
    want = ot.emd2(p, q, np.minimum(apart, 1 - apart))
    assert_allclose(emd(p, q, order=1, circular=True), want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("bins", [2, 7, 64, 256])
def test_circular_order_1_is_the_wasserstein_distance_on_the_circle(bins, rng):
    for _ in range(10):
        p, q = shares(rng.random((2, bins)) ** 4)
        centres = (np.arange(bins) + 0.5) / bins  # with mass at 0 itself, POT 0.9.7 depends on where the circle is cut
        want = ot.binary_search_circle(
            centres, centres, p, q, p=1
        )  # `wasserstein_circle` of POT 0.9.4 is another number
        assert_allclose(emd(p, q, order=1, circular=True), np.ravel(want)[0], rtol=1e-9, atol=1e-10)


@given(rows=histograms(min_size=2).filter(lambda rows: rows.sum(1).min() > 0.1), scale=st.sampled_from([0.5, 3.0]))
@pytest.mark.parametrize(("order", "circular"), KINDS)
def test_emd_is_a_metric_of_shapes(order, circular, rows, scale):
    p, q = rows
    options = {"order": order, "circular": circular}
    there = emd(p, q, **options)
    # the root turns rounding of the sums, 1e-16, into 1e-8
    assert_allclose(emd(q, p, **options), there, rtol=1e-9, atol=1e-7)
    assert_allclose(emd(scale * p, q, **options), there, rtol=1e-9, atol=1e-7)
    assert 0 <= there <= 1
    assert emd(p, p, **options) == 0.0
    if order == 1 or not circular:  # Eq. 14 cuts at a bin, not at the mean
        r = p[::-1].copy()
        assert there <= emd(p, r, **options) + emd(r, q, **options) + 1e-9


def test_emd_of_order_2_by_default(rng):
    p, q = shares(rng.random((2, 9)))
    assert_allclose(emd(p, q), np.sqrt(squared_emd(p, q) / 9), rtol=1e-12)
    assert_allclose(emd(p, q, circular=True), np.sqrt(squared_emd(p, q, circular=True) / 9), rtol=1e-12)


# --- gradients ---


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("equal_masses", [True, False])
def test_gradient_of_squared_emd(xp, circular, equal_masses, rng):
    p, q = rng.random((3, 8)), rng.random((3, 8))
    if equal_masses:
        p, q = shares(p), shares(q)
    fun = reference.circular_squared_emd if circular else reference.squared_emd
    g = np.array([1.0, -2.0, 0.5])
    got = gradients(xp, lambda p, q: squared_emd(p, q, circular=circular), g, from_numpy(xp, p), from_numpy(xp, q))
    for row in range(3):
        want = reference.central_differences(lambda p: g[row] * fun(p, q[row]), p[row])  # noqa: B023
        assert_allclose(got[0][row], want, atol=1e-8)
        want = reference.central_differences(lambda q: g[row] * fun(p[row], q), q[row])  # noqa: B023
        assert_allclose(got[1][row], want, atol=1e-8)


@pytest.mark.parametrize(("order", "circular"), KINDS)
def test_gradient_of_emd(xp, order, circular, rng):
    p, q = rng.random(9), 2 * rng.random(9)
    fun = reference.circular_emd if circular else reference.emd
    arrays = from_numpy(xp, p), from_numpy(xp, q)
    got = gradients(xp, lambda p, q: emd(p, q, order=order, circular=circular), 1.0, *arrays)
    assert_allclose(got[0], reference.central_differences(lambda p: fun(p, q, order), p), atol=1e-8)
    assert_allclose(got[1], reference.central_differences(lambda q: fun(p, q, order), q), atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("order", "circular"), KINDS)
def test_gradient_at_equal_histograms_is_zero(xp, order, circular, dtype, rng):
    p = from_numpy(xp, rng.random((2, 9)), dtype)
    for got in gradients(xp, lambda p, q: emd(p, q, order=order, circular=circular), np.ones(2), p, p + 0):
        assert_allclose(got, 0, atol=0)
    for got in gradients(xp, lambda p, q: squared_emd(p, q, circular=circular), np.ones(2), p, p + 0):
        assert_allclose(got, 0, atol=0)


def test_gradient_of_opposite_hues_still_pulls(xp):
    """The mean in place of the nearest cut would be smoother, and would leave no gradient here."""
    p, q = np.eye(8)[0], np.eye(8)[4]
    got, _ = gradients(xp, lambda p, q: squared_emd(p, q, circular=True), 1.0, from_numpy(xp, p), from_numpy(xp, q))
    assert np.ptp(got) > 0.5


# --- shapes and inputs ---


@pytest.mark.parametrize(("order", "circular"), KINDS)
def test_batch_axes_broadcast(xp, order, circular, rng):
    p, q = rng.random((3, 1, 6)), rng.random((4, 6))
    for fun in (
        lambda p, q: squared_emd(p, q, circular=circular),
        lambda p, q: emd(p, q, order=order, circular=circular),
    ):
        got = to_numpy(fun(from_numpy(xp, p), from_numpy(xp, q)))
        assert got.shape == (3, 4)
        assert_allclose(got[2, 1], float(fun(p[2, 0], q[1])), rtol=1e-12)
        g = rng.standard_normal((3, 4))
        found = gradients(xp, fun, g, from_numpy(xp, p), from_numpy(xp, q))
        each = [[gradients(np, fun, g[i, j], p[i, 0], q[j]) for j in range(4)] for i in range(3)]
        assert_allclose(found[0][:, 0], [sum(each[i][j][0] for j in range(4)) for i in range(3)], atol=1e-12)
        assert_allclose(found[1], [sum(each[i][j][1] for i in range(3)) for j in range(4)], atol=1e-12)


def test_nan_stays_in_its_row(xp, rng):
    p, q = rng.random((3, 6)), rng.random((3, 6))
    p[1, 2] = np.nan
    for circular in (False, True):
        for fun in (squared_emd, emd):
            got = to_numpy(fun(from_numpy(xp, p), from_numpy(xp, q), circular=circular))
            assert_allclose(np.isnan(got), [False, True, False])


@pytest.mark.parametrize(("order", "circular"), KINDS)
def test_histograms_without_mass_leave_no_nan(xp, order, circular, rng):
    """They come from samples whose weights are all zero."""
    empty, full = from_numpy(xp, np.zeros((2, 6))), from_numpy(xp, rng.random((2, 6)))
    for p, q in ((empty, full), (full, empty), (empty, empty + 0)):
        assert np.isfinite(to_numpy(emd(p, q, order=order, circular=circular))).all()
        for got in gradients(xp, lambda p, q: emd(p, q, order=order, circular=circular), np.ones(2), p, q):
            assert np.isfinite(got).all()


@pytest.mark.parametrize("fun", [squared_emd, emd])
def test_errors_name_the_argument(xp, fun):
    p = from_numpy(xp, np.ones(4))
    with pytest.raises(ValueError, match=r"(?s)\bq\b.*5|5.*\bq\b"):
        fun(p, from_numpy(xp, np.ones(5)))
    with pytest.raises(ValueError, match=r"broadcast|shape"):
        fun(from_numpy(xp, np.ones((2, 4))), from_numpy(xp, np.ones((3, 4))))
    with pytest.raises(TypeError, match="int"):
        fun(xp.asarray([1, 2, 3, 4]), p)
    with pytest.raises(ValueError, match=r"\bp\b"):
        fun(from_numpy(xp, np.ones(())), p)
    with pytest.raises(ValueError, match=r"\bp\b"):
        fun(from_numpy(xp, np.ones(0)), from_numpy(xp, np.ones(0)))
    with pytest.raises(TypeError):
        fun([1.0, 2.0], p)


@pytest.mark.parametrize("order", [0, 3, "2", 1.5, None])
def test_order_is_1_or_2(order):
    with pytest.raises((ValueError, TypeError), match="(?s)order.*" + str(order)):
        emd(np.ones(4), np.ones(4), order=order)


@pytest.mark.parametrize("bins", [1, 2, 3, 64, 100])
def test_running_sum_by_doubling(xp, rng, bins):
    a = rng.random((3, bins))
    summed = doubling_sum(namespace(from_numpy(xp, a)), from_numpy(xp, a))
    assert_allclose(to_numpy(summed), np.cumsum(a, -1), rtol=1e-14)

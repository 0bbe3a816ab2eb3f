"""Divergences of histograms against SciPy, and where bins are empty."""

import numpy as np
import pytest
import reference
import scipy.stats
from arrays import from_numpy, gradients, to_numpy
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from scipy.spatial.distance import jensenshannon

from diffhist import entropy, js_divergence, kl_divergence, value_and_grad

both = pytest.mark.parametrize("fun", [kl_divergence, js_divergence])


def histograms():
    """Two rows of masses with empty bins, neither row without mass."""
    mass = st.one_of(st.sampled_from([0.0, 0.0, 1.0]), st.floats(1e-9, 2.0))
    shape = st.tuples(st.just(2), st.integers(1, 12))
    return shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=mass)).filter(lambda h: h.sum(1).min() > 0)


def scipys(fun, p, q):
    return scipy.stats.entropy(p, q, axis=-1) if fun is kl_divergence else jensenshannon(p, q, axis=-1) ** 2


@both
def test_scipy_agrees(xp, fun, rng):
    p, q = rng.random((2, 3, 10)), 3 * rng.random((2, 3, 10))
    p[0, 0, :4] = 0.0
    assert_allclose(to_numpy(fun(from_numpy(xp, p), from_numpy(xp, q))), scipys(fun, p, q), rtol=1e-12)


@given(rows=histograms())
@both
def test_scipy_agrees_whatever_is_empty(fun, rows):
    p, q = rows
    got = fun(p, q)
    assert_allclose(got, scipys(fun, p, q), rtol=1e-9, atol=1e-14)
    assert got >= (-1e-15 if fun is kl_divergence else 0.0)
    for found in value_and_grad(fun, argnums=(0, 1))(p, q)[1]:
        assert np.isfinite(found).all()
    assert fun(p, p) == 0.0


@given(rows=histograms())
@example(rows=np.array([[1.0, 1e-9], [1e-9, 1e-9]]))
def test_identities(rows):
    p, q = rows / rows.sum(1, keepdims=True)
    mean = (p + q) / 2
    assert_allclose(js_divergence(p, q), (kl_divergence(p, mean) + kl_divergence(q, mean)) / 2, rtol=1e-9, atol=1e-14)
    assert_allclose(js_divergence(p, q), entropy(mean) - (entropy(p) + entropy(q)) / 2, rtol=1e-9, atol=1e-14)
    assert_allclose(js_divergence(q, p), js_divergence(p, q), rtol=1e-12)
    assert js_divergence(p, q) <= np.log(2) * (1 + 1e-15)
    for scale in (0.2, 7.0):
        assert_allclose(js_divergence(scale * p, q), js_divergence(p, q), rtol=1e-9, atol=1e-15)
        assert_allclose(kl_divergence(scale * p, q), kl_divergence(p, q), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_close_histograms_keep_their_digits(dtype, rng):
    """The textbook formula loses them all: it adds and subtracts terms a million times the result."""
    p = (rng.random(20) + 0.5).astype(dtype)
    q = p * (1 + 1e-3 * rng.standard_normal(20).astype(dtype))
    a, b = (h.astype(np.longdouble) / h.astype(np.longdouble).sum() for h in (p, q))
    want = (a * np.log(2 * a / (a + b)) + b * np.log(2 * b / (a + b))).sum()
    assert_allclose(js_divergence(p, q), float(want / 2), rtol=1e4 * np.finfo(dtype).eps)


@both
def test_gradient(xp, fun, rng):
    p, q = rng.random((2, 3, 6)) + 0.1
    g = np.array([1.0, -2.0, 0.5])
    got = gradients(xp, fun, g, from_numpy(xp, p), from_numpy(xp, q))
    for row in range(3):
        want = reference.central_differences(lambda p: g[row] * scipys(fun, p, q[row]), p[row])  # noqa: B023
        assert_allclose(got[0][row], want, atol=1e-8)
        want = reference.central_differences(lambda q: g[row] * scipys(fun, p[row], q), q[row])  # noqa: B023
        assert_allclose(got[1][row], want, atol=1e-8)


@both
def test_second_derivative_on_torch(torch, fun, rng):
    p, q = (torch.tensor(h, requires_grad=True) for h in rng.random((2, 2, 5)) + 0.1)
    assert torch.autograd.gradgradcheck(fun, (p, q))
    with torch.no_grad():
        p[0, 2] = q[0, 2] = 0.0
    (slope,) = torch.autograd.grad(fun(p, q).sum(), p, create_graph=True)
    for found in torch.autograd.grad(slope.square().sum(), (p, q)):
        assert torch.isfinite(found).all()


@both
def test_without_mass_it_is_0_with_gradient_0(xp, fun, rng):
    full, part = rng.random((2, 3, 6))
    part[1] = 0.0
    for p, q in ((full, part), (part, full), (part, part + 0)):
        arrays = from_numpy(xp, p), from_numpy(xp, q)
        assert to_numpy(fun(*arrays))[1] == 0.0
        for found in gradients(xp, fun, np.ones(3), *arrays):
            assert_allclose(found[1], 0.0, atol=0)


def test_an_infinite_divergence_does_not_spoil_the_gradient_of_others(xp, rng):
    p, q = rng.random((2, 3, 6))
    q[1, 2] = 0.0
    arrays = from_numpy(xp, p), from_numpy(xp, q)
    assert_allclose(np.isinf(to_numpy(kl_divergence(*arrays))), [False, True, False])
    for found in gradients(xp, kl_divergence, np.ones(3), *arrays):
        assert_allclose(found[1], 0.0, atol=0)
        assert np.isfinite(found).all()
        assert np.abs(found[[0, 2]]).min() > 0


@both
def test_nan_stays_in_its_row(xp, fun, rng):
    p, q = rng.random((2, 3, 6))
    p[1, 2] = np.nan
    assert_allclose(np.isnan(to_numpy(fun(from_numpy(xp, p), from_numpy(xp, q)))), [False, True, False])


@both
def test_batch_axes_broadcast_and_half_precision(xp, fun, rng):
    p, q = rng.random((3, 1, 6)) + 0.1, rng.random((4, 6)) + 0.1
    got = to_numpy(fun(from_numpy(xp, p), from_numpy(xp, q)))
    assert_allclose(got, scipys(fun, *np.broadcast_arrays(p, q)), rtol=1e-11)
    if hasattr(xp, "float16"):
        halves = from_numpy(xp, p, "float16"), from_numpy(xp, q, "float16")
        want = scipys(fun, *np.broadcast_arrays(*(to_numpy(h).astype(np.float64) for h in halves)))
        assert fun(*halves).dtype == xp.float16
        assert_allclose(to_numpy(fun(*halves)), want, rtol=1e-3, atol=1e-6)


@both
def test_errors_name_the_argument(fun):
    with pytest.raises(ValueError, match=r"`p` and `q`.*\(4,\) and \(5,\)"):
        fun(np.ones(4), np.ones(5))

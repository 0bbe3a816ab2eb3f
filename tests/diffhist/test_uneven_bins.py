"""Bins given by their edges: against Eq. 6 written out, NumPy, and bins of one length."""

import numpy as np
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy, value_and_gradients
from cases import BOUNDARIES
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import diffhist
from diffhist import joint_histogram, soft_histogram

KERNELS = list(reference.KERNELS)
EDGES = np.array([-1.0, -0.9, -0.2, 0.0, 0.05, 0.06, 1.0, 2.5])
MANY = np.cumsum(np.random.default_rng(1).exponential(size=80) + 0.05)

# name: (edges, values, bandwidth)
CASES = {
    "default": (EDGES, 50, None),
    "wide": (EDGES, 30, 1.5),
    "sharp": (EDGES, 30, 0.004),
    "many bins, many values": (MANY, 500, None),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kernel", ["logistic", "cubic"])
def test_values_and_gradients(xp, kernel, name, boundary, dtype, rng):
    edges, n, bandwidth = CASES[name]
    span = edges[-1] - edges[0]
    x = rng.uniform(edges[0] - 0.2 * span, edges[-1] + 0.2 * span, n).astype(dtype).astype(np.float64)
    options = {"bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
    want = reference.soft_histogram(x, bins=edges, **options)
    g = rng.standard_normal(want.shape).astype(dtype).astype(np.float64)
    got, (slope,) = value_and_gradients(xp, lambda x: soft_histogram(x, edges, **options), g, from_numpy(xp, x, dtype))
    width = bandwidth or 0.4 * span / (len(edges) - 1)
    loose = np.finfo(dtype).eps * np.abs(edges).max() / width
    assert_allclose(got, want, rtol=0, atol=want.max() * (5e-6 if dtype == "float32" else 1e-13) + loose)
    want, _ = reference.soft_histogram_vjp(g, x, bins=edges, **options)
    scale = max(np.abs(want).max(), np.abs(g).max() / n)
    assert_allclose(slope, want, rtol=0, atol=scale * ((1e-4 if dtype == "float32" else 1e-11) + 8 * loose))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_joint_histogram_of_even_and_uneven_bins(xp, boundary, rng):
    x, y, z = rng.uniform(-1.2, 2.7, 200), rng.uniform(0.0, 1.0, 200), rng.uniform(-2.0, 3.0, 200)
    arrays = [from_numpy(xp, a) for a in (x, y, z)]
    options = {"bandwidth": (0.1, None, 0.2), "boundary": boundary}
    table = to_numpy(joint_histogram(*arrays, bins=(EDGES, 5, list(EDGES)), **options))
    masses = [
        reference.memberships(a, bins=b, bandwidth=w, boundary=boundary)
        for a, b, w in ((x, EDGES, 0.1), (y, 5, None), (z, EDGES, 0.2))
    ]
    assert_allclose(table, np.einsum("ni,nj,nk->ijk", *masses) / 200, rtol=0, atol=1e-14)
    shared = to_numpy(joint_histogram(arrays[0], arrays[2], bins=EDGES, boundary=boundary))
    apart = to_numpy(joint_histogram(arrays[0], arrays[2], bins=(EDGES, EDGES), boundary=boundary))
    assert_allclose(shared, apart, rtol=0, atol=0)


@st.composite
def uneven(draw):
    """Edges, and values on them, between them and beyond."""
    steps = draw(st.lists(st.sampled_from([1e-3, 0.1, 0.7, 1.0, 5.0]), min_size=1, max_size=12))
    edges = draw(st.sampled_from([-3.0, 0.0, 100.0])) + np.concatenate([[0.0], np.cumsum(steps)])
    place = st.one_of(st.floats(-0.3, 1.3), st.integers(0, 12).map(lambda k: k % len(edges)))
    drawn = draw(st.lists(place, min_size=1, max_size=10))
    x = [edges[p] if isinstance(p, int) else edges[0] + p * (edges[-1] - edges[0]) for p in drawn]
    bandwidth = draw(st.one_of(st.none(), st.sampled_from([1e-5, 0.05, 1.0, 20.0])))
    if bandwidth:  # the formula written out has an image of each value for every range that a kernel is wide
        bandwidth = min(bandwidth, 100 * (edges[-1] - edges[0]))
    return np.array(x), edges, {"bandwidth": bandwidth, "kernel": draw(st.sampled_from(KERNELS))}


def rounding(edges, options):
    width = options["bandwidth"] or 0.4 * (edges[-1] - edges[0]) / (len(edges) - 1)
    return 1e-12 + 8 * np.finfo(float).eps * max(np.abs(edges).max(), edges[-1] - edges[0]) / width


@given(case=uneven(), boundary=st.sampled_from(BOUNDARIES))
def test_equation_6_anywhere(case, boundary):
    x, edges, options = case
    got = soft_histogram(x, edges, boundary=boundary, **options)
    want = reference.soft_histogram(x, bins=edges, boundary=boundary, **options)
    assert_allclose(got, want, rtol=0, atol=rounding(edges, options))
    if boundary != "open":
        assert_allclose(got.sum(), 1.0, rtol=0, atol=1e-13)


@given(case=uneven(), boundary=st.sampled_from(BOUNDARIES), data=st.data())
def test_bins_that_are_merged_hold_the_sum(case, boundary, data):
    x, edges, options = case
    options = {**options, "bandwidth": options["bandwidth"] or 0.3, "boundary": boundary}
    kept = data.draw(st.sets(st.integers(1, len(edges) - 1)))
    cuts = sorted({0, len(edges) - 1} | kept)
    fine, coarse = (soft_histogram(x, e, **options) for e in (edges, edges[cuts]))
    assert_allclose(np.add.reduceat(fine, cuts[:-1]), coarse, rtol=0, atol=2 * rounding(edges, options))


@given(case=uneven())
def test_sharp_kernels_count_like_numpy(case):
    x, edges, options = case
    x = x[np.abs(x[:, None] - edges).min(1) > 1e-4]
    if x.size:
        got = soft_histogram(x, edges, bandwidth=1e-7, kernel=options["kernel"])
        assert_allclose(got, np.histogram(x, edges)[0] / x.size, rtol=0, atol=1e-9)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_even_edges_are_even_bins(kernel, boundary, rng):
    x = rng.uniform(-1.5, 3.5, 60)
    want = soft_histogram(x, 12, (-1.0, 3.0), kernel=kernel, boundary=boundary)
    edges = np.linspace(-1.0, 3.0, 13)
    assert_allclose(soft_histogram(x, edges, kernel=kernel, boundary=boundary), want, rtol=0, atol=0)
    edges[1:-1] += 1e-9 * rng.standard_normal(11)  # no longer taken for even
    assert_allclose(soft_histogram(x, edges, kernel=kernel, boundary=boundary), want, rtol=0, atol=1e-7)


def test_default_bandwidth_has_the_mean_length(rng):
    x = rng.random(20)
    want = soft_histogram(x, EDGES, bandwidth=3.5 / 7 / 2.5)
    assert_allclose(soft_histogram(x, EDGES), want, rtol=0, atol=1e-15)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_forward_mode(xp, boundary, rng):
    x, v, g = rng.uniform(-1.2, 2.7, 30), rng.standard_normal(30), rng.standard_normal(7)

    def fun(x):
        return soft_histogram(x, EDGES, bandwidth=0.2, boundary=boundary)

    _, moved = diffhist.jvp(fun, (from_numpy(xp, x),), (from_numpy(xp, v),))
    (slope,) = gradients(xp, fun, g, from_numpy(xp, x))
    assert_allclose(to_numpy(moved) @ g, slope @ v, rtol=1e-10)


def test_second_derivatives_and_transforms(torch, rng):
    x = torch.asarray(rng.uniform(-1.0, 2.5, (3, 12)))
    edges = EDGES.tolist()

    def loss(x):
        return joint_histogram(x, 1 - x, bins=(edges, 3), bandwidth=0.3, boundary="reflect").square().sum((-2, -1))

    assert torch.autograd.gradgradcheck(loss, (x.clone().requires_grad_(),))
    assert_allclose(torch.func.vmap(loss)(x), loss(x), atol=1e-14)
    assert soft_histogram(x.to("meta"), edges).shape == (3, 7)


def test_jax_compiles_it(rng):
    jax = pytest.importorskip("jax")
    x = rng.uniform(-1.0, 2.5, 40)
    got = jax.jit(lambda x: soft_histogram(x, EDGES, boundary="circular"))(jax.numpy.asarray(x))
    assert_allclose(got, soft_histogram(x, EDGES, boundary="circular"), atol=1e-13)
    with pytest.raises(TypeError, match="`bins` must be an integer or increasing edges"):
        jax.jit(lambda edges: soft_histogram(jax.numpy.asarray(x), edges))(EDGES)


def test_edges_of_any_kind(torch, rng):
    x = rng.random(20)
    want = soft_histogram(x, EDGES)
    for edges in (list(EDGES), tuple(EDGES), torch.asarray(EDGES)):
        assert_allclose(soft_histogram(x, edges), want, rtol=0, atol=0)
    assert_allclose(soft_histogram(x, EDGES, (-1.0, 2.5)), want, rtol=0, atol=0)
    table = joint_histogram(x, x, bins=EDGES)
    assert_allclose(diffhist.mi_ceiling(x, EDGES), diffhist.normalized_mutual_information(table))
    assert diffhist.mi_floor(x, x, EDGES).shape == ()
    assert_allclose(soft_histogram(x, [0, 1, 3]), soft_histogram(x, [0.0, 1.0, 3.0]), rtol=0, atol=0)


def test_bad_edges(rng):
    x = rng.random(20)
    for bad in ([0.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan, 1.0], [0.0, np.inf], np.array([1.0, 0.0])):
        with pytest.raises(ValueError, match="`bins` must be an integer or finite edges that increase"):
            soft_histogram(x, bad)
    for bad in ([], np.zeros((2, 2)), "0123", None, 0.5):
        with pytest.raises(TypeError, match="`bins` must be an integer or increasing edges"):
            soft_histogram(x, bad)
    with pytest.raises(ValueError, match="`bins` must be at least 1"):
        soft_histogram(x, [0.5])
    with pytest.raises(ValueError, match="`range` must be left out where `bins` are edges"):
        soft_histogram(x, EDGES, (0.0, 2.0))
    with pytest.raises(TypeError, match=r"`bins` \(of y\) must be an integer or increasing edges"):
        joint_histogram(x, x, bins=(EDGES, "5"))
    for fun in (diffhist.equalize, lambda x, bins: diffhist.match_histogram(x, x, bins)):
        with pytest.raises(TypeError, match="matching has bins of one length"):
            fun(x, bins=EDGES)

"""joint_histogram of three variables and more, against the products of Eq. 23 written out."""

import numpy as np
import pytest
import reference
from arrays import from_numpy, to_numpy, value_and_gradients
from cases import BOUNDARIES, samples, sum_to
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose

import diffhist
from diffhist import joint_histogram, soft_histogram

# name: (shapes of the variables, shape of weights or None, options)
CASES = {
    "three": (((30,),) * 3, None, {"bins": 5}),
    "four": (((20,),) * 4, None, {"bins": (3, 2, 4, 3), "bandwidth": (None, 0.3, None, 0.05)}),
    "batch": (((2, 3, 20),) * 3, (3, 1), {"bins": (4, 3, 5), "axis": (-1,)}),
    "that broadcast": (((2, 1, 20), (20,), (3, 1)), (2, 1, 1), {"bins": (4, 3, 5)}),
    "images": (((2, 4, 5),) * 3, (4, 5), {"bins": 4, "axis": (-2, -1), "normalize": False}),
    "ranges and kernels": (
        ((40,),) * 3,
        (40,),
        {"bins": (8, 6, 5), "range": ((0.0, 1.0), (-1.0, 2.0), (0.0, 3.0)), "kernel": ("cubic", "linear", "gaussian")},
    ),
    "many pixels": (((1000,),) * 3, (1000,), {"bins": (24, 16, 16)}),
    "many pixels of a sharp kernel": (((1000,),) * 3, None, {"bins": 20, "bandwidth": 0.1 / 20, "boundary": "open"}),
}


def brute_force(pixels, weights=None, *, axis=-1, normalize=True, derivative=None, **options):
    """The sum of products of kernel masses; of their slopes for the variable ``derivative``; its table comes first."""
    pixels = np.broadcast_arrays(*pixels)
    w = reference.rows(np.broadcast_to(1.0 if weights is None else weights, pixels[0].shape).astype(float), axis)
    d, each = len(pixels), {"bins": 256, "range": (0.0, 1.0)} | options
    split = [
        {key: v[j] if isinstance(v, tuple) and (key != "range" or np.ndim(v) == 2) else v for key, v in each.items()}
        for j in range(d)
    ]
    masses = [
        reference.memberships(reference.rows(p, axis), derivative=j == derivative, **o)
        for j, (p, o) in enumerate(zip(pixels, split, strict=True))
    ]
    letters = "abcd"[:d]
    table = "...n," + ",".join(f"...n{k}" for k in letters)
    total = w.sum(-1) if normalize else np.ones(w.shape[:-1])
    return table, letters, masses, w, total


def table_of(*args, **options):
    table, letters, masses, w, total = brute_force(*args, **options)
    return np.einsum(f"{table}->...{letters}", w, *masses) / total[(..., *(None,) * len(letters))]


def gradient_of(g, pixels, j, **options):
    """The slope of sum(g * table) by variable j."""
    table, letters, masses, w, total = brute_force(pixels, derivative=j, **options)
    slope = np.einsum(f"{table},...{letters}->...n", w, *masses, g) / total[..., None]
    shape = np.broadcast_shapes(*(np.shape(p) for p in pixels))
    return sum_to(reference.unrows(slope, options.get("axis", -1), shape), np.shape(pixels[j]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(xp, name, dtype, rng):
    shapes, w_shape, options = CASES[name]
    options = {"boundary": tuple(BOUNDARIES[j % 3] for j in range(len(shapes)))} | options
    ranges = options.get("range", ((0.0, 1.0),) * len(shapes))
    pixels = [
        rng.uniform(lo - 0.1 * (hi - lo), hi + 0.1 * (hi - lo), s).astype(dtype).astype(np.float64)
        for (lo, hi), s in zip(ranges, shapes, strict=True)
    ]
    weights = None if w_shape is None else rng.uniform(0.1, 2.0, w_shape).astype(dtype).astype(np.float64)
    want = table_of(pixels, weights, **options)
    g = rng.standard_normal(want.shape).astype(dtype).astype(np.float64)
    w = None if weights is None else from_numpy(xp, weights, dtype)
    arrays = [from_numpy(xp, p, dtype) for p in pixels]
    got, found = value_and_gradients(xp, lambda *a: joint_histogram(*a, weights=w, **options), g, *arrays)
    rough = 2e-5 if dtype == "float32" else 1e-12
    assert_allclose(got, want, rtol=0, atol=rough * want.max())
    for j, gradient in enumerate(found):
        slope = gradient_of(g, pixels, j, weights=weights, **options)
        assert_allclose(gradient, slope, rtol=0, atol=10 * rough * max(np.abs(slope).max(), 0.1), err_msg=f"of {j}")


@given(
    cases=st.lists(samples(max_bins=5), min_size=3, max_size=4), order=st.permutations(range(4)), left=st.integers(0, 3)
)
def test_order_and_marginals(cases, order, left):
    """Variables in another order transpose the table; the sum over a closed variable is the table of the others."""
    n, d = min(x.size for x, _ in cases), len(cases)
    pixels = [x[:n] for x, _ in cases]
    options = {key: tuple(o[key] for _, o in cases) for key in cases[0][1]}
    table = joint_histogram(*pixels, **options)
    order = [j for j in order if j < d]
    turned = joint_histogram(*(pixels[j] for j in order), **{k: tuple(v[j] for j in order) for k, v in options.items()})
    assert_allclose(turned, table.transpose(order), rtol=0, atol=1e-14)
    left %= d
    if options["boundary"][left] != "open":
        others = [j for j in range(d) if j != left]
        want = joint_histogram(
            *(pixels[j] for j in others), **{k: tuple(v[j] for j in others) for k, v in options.items()}
        )
        assert_allclose(table.sum(left), want, rtol=0, atol=1e-13)


def test_sharp_kernels_count_like_numpy(rng):
    colours = rng.random((3, 5000))
    got = joint_histogram(*colours, bins=32, bandwidth=1e-9)
    want = np.histogramdd(colours.T, 32, [(0, 1)] * 3)[0] / 5000
    assert_allclose(got, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel", ["logistic", "linear"])
def test_colours_of_a_photograph_in_float32(xp, kernel):
    data = pytest.importorskip("skimage.data")
    image = (data.chelsea()[::8, ::8] / 255).astype(np.float32)
    channels = [np.ascontiguousarray(image[..., c]).reshape(-1) for c in range(3)]
    options = {"bins": 20, "kernel": kernel, "boundary": "reflect"}
    got = to_numpy(joint_histogram(*(xp.asarray(c) for c in channels), **options))
    want = table_of([c.astype(np.float64) for c in channels], **options)
    assert_allclose(got, want, rtol=0, atol=2e-5 * want.max())
    assert_allclose(got.sum((1, 2)), soft_histogram(channels[0], **options), rtol=0, atol=1e-6)


def test_positions_of_bins_and_range(rng):
    x = rng.random((3, 20))
    want = joint_histogram(*x, bins=5, range=(0.0, 2.0))
    assert_allclose(joint_histogram(*x, 5, (0.0, 2.0)), want, rtol=0, atol=0)
    assert_allclose(joint_histogram(*x, np.int64(5), range=(0.0, 2.0)), want, rtol=0, atol=0)
    assert joint_histogram(*x[:2], (2, 3)).shape == (2, 3)


def test_bad_arguments(rng):
    x = rng.random(20)
    for bad in ({"bins": (5, 4)}, {"range": ((0, 1), (0, 1))}, {"kernel": ("linear",) * 4}, {"bandwidth": (1, 2)}):
        with pytest.raises(ValueError, match=f"`{next(iter(bad))}` must be one value or one for each of 3 variables"):
            joint_histogram(x, x, x, **bad)
    with pytest.raises(ValueError, match=r"`bins` \(of z\)"):
        joint_histogram(x, x, x, bins=(5, 5, 0))
    with pytest.raises(ValueError, match=r"`bins` \(of variable 3\)"):
        joint_histogram(x, x, x, x, bins=(5, 5, 5, 0))
    with pytest.raises(TypeError, match="arrays, then `bins` and `range`"):
        joint_histogram(x, x, 5, x)
    with pytest.raises(TypeError, match="arrays, then `bins` and `range`"):
        joint_histogram(x, x, 5, (0, 1), 0.1)
    with pytest.raises(ValueError, match=r"`x`, `y`, `z` must have shapes that broadcast.*\(7,\)"):
        joint_histogram(x, x, x[:7])
    with pytest.raises(TypeError, match=r"`z` must be of a floating dtype"):
        joint_histogram(x, x, np.arange(20))


# --- derivatives of higher order, and transforms ---


def test_second_derivatives(torch, rng):
    pixels = [torch.asarray(rng.random(6)).requires_grad_() for _ in range(3)]
    weights = torch.asarray(rng.random(6)).requires_grad_()

    def loss(x, y, z, w):
        return joint_histogram(x, y, z, bins=(3, 2, 2), weights=w, boundary="reflect").square().sum()

    assert torch.autograd.gradcheck(loss, (*pixels, weights))
    assert torch.autograd.gradgradcheck(loss, (*pixels, weights))


def test_transforms_of_torch(torch, rng):
    x, y, z = (torch.asarray(rng.random((4, 15))) for _ in range(3))

    def fun(x, y, z):
        return joint_histogram(x, y, z, bins=3)

    got = torch.func.vmap(fun, in_dims=(0, None, 0))(x, y[0], z)
    assert_allclose(got, fun(x, y[0].expand(4, 15), z), atol=1e-14)
    hessian = torch.func.hessian(lambda x: fun(x, y[0], z[0]).square().sum())(x[0])
    assert_allclose(hessian, hessian.T, atol=1e-12)


def test_transforms_of_jax(rng):
    jax = pytest.importorskip("jax")
    x, y, z = (jax.numpy.asarray(rng.random(15)) for _ in range(3))

    def loss(x):
        return (joint_histogram(x, y, z, bins=3) ** 2).sum()

    forward, back = jax.jit(jax.jacfwd(loss))(x), jax.jit(jax.grad(loss))(x)
    assert_allclose(forward, back, atol=1e-13)


# --- what they are for ---


@given(data=st.data())
def test_conditional_information_is_a_mean_over_z(data):
    """Of the mutual information in each slice of the table, weighted by the slice's share."""
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    mass = st.one_of(st.just(0.0), st.floats(1e-6, 3.0))
    table = data.draw(hnp.arrays(np.float64, shape, elements=mass))
    got = float(diffhist.conditional_mutual_information(table))
    slices = [(s.sum(), reference.mutual_information(s)) for s in np.moveaxis(table, -1, 0) if s.sum()]
    want = sum(mass * information for mass, information in slices) / max(table.sum(), 1e-300)
    assert_allclose(got, want, rtol=0, atol=1e-12)


def test_conditional_information_sees_a_common_cause(xp, rng):
    """x and y are noisy copies of z: alike, but not given z."""
    z = rng.random(20000)
    x, y = z + 0.05 * rng.standard_normal((2, 20000))
    options = {"bins": 12, "bandwidth": 1e-4}
    table = joint_histogram(*(from_numpy(xp, a) for a in (x, y, z)), **options)
    given_z = float(diffhist.conditional_mutual_information(table))
    plain = float(diffhist.mutual_information(joint_histogram(x, y, **options)))
    assert given_z < 0.15 * plain
    with pytest.raises(ValueError, match=r"`pxyz` must be of shape \(..., Kx, Ky, Kz\)"):
        diffhist.conditional_mutual_information(xp.ones((3, 4)))


@pytest.mark.parametrize(("more", "named"), [((16,), {"bins": 8}), ((16, (0.0, 2.0)), {"range": (0.0, 3.0)})])
def test_bins_and_range_are_given_once(more, named, rng):
    x, y = rng.random((2, 30))
    with pytest.raises(TypeError, match=f"`{next(iter(named))}` must be given once"):
        joint_histogram(x, y, *more, **named)
    assert joint_histogram(x, y, *more).shape == (16, 16)

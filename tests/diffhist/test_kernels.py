"""Kernels against SciPy's distributions and B-splines, their limits, and the histograms of other libraries."""

import inspect

import array_api_compat.numpy
import numpy as np
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy, value_and_gradients
from cases import BOUNDARIES, rounding, samples
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import ndtr

import diffhist
from diffhist import _steps, histogram, joint_histogram, soft_histogram
from diffhist._evaluation import KERNELS

kernels = pytest.mark.parametrize("kernel", [k for k in KERNELS if k != "logistic"])  # which has files of its own

# name: (values, weighted, options)
CASES = {
    "default": (300, False, {"bins": 12}),
    "weights": (50, True, {"bins": 16, "range": (-2.0, 3.0)}),
    "sharp": (40, False, {"bins": 12, "bandwidth": 0.002}),
    "wide": (40, False, {"bins": 5, "bandwidth": 0.9}),
    "many values, many bins": (3000, True, {"bins": 128, "bandwidth": 2 / 128}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", CASES)
@kernels
def test_values_and_gradients(xp, kernel, name, boundary, dtype, rng):
    n, weighted, options = CASES[name]
    options = options | {"kernel": kernel, "boundary": boundary}
    lo, hi = options.get("range", (0.0, 1.0))
    inputs = [(lo + (hi - lo) * rng.uniform(-0.2, 1.2, n)).astype(dtype).astype(np.float64)]
    inputs += [rng.uniform(0.0, 2.0, n).astype(dtype).astype(np.float64)] if weighted else []
    want = reference.soft_histogram(*inputs, **options)
    g = rng.standard_normal(want.shape).astype(dtype).astype(np.float64)

    def fun(x, w=None):
        return soft_histogram(x, weights=w, **options)

    got, found = value_and_gradients(xp, fun, g, *(from_numpy(xp, a, dtype) for a in inputs))
    loose = rounding(inputs[0], dtype, **{k: v for k, v in options.items() if k != "kernel"})
    assert_allclose(got, want, rtol=0, atol=want.max() * (2e-6 if dtype == "float32" else 1e-14) + loose)
    slopes = reference.soft_histogram_vjp(g, *inputs, **options)
    for gradient, slope in zip(found, slopes, strict=False):
        base = 1e-4 if dtype == "float32" else 1e-11
        scale = max(np.abs(slope).max(), np.abs(g).max() / n)
        assert_allclose(gradient, slope, rtol=0, atol=scale * (base + 8 * loose))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("pair", [("cubic", "linear"), ("gaussian", "cubic"), ("logistic", "gaussian")])
def test_a_kernel_for_each_of_two_variables(xp, pair, boundary, dtype, rng):
    x, y = rng.uniform(-0.1, 1.1, (2, 200)).astype(dtype).astype(np.float64)
    options = {"bins": (16, 9), "bandwidth": (None, 0.13), "kernel": pair, "boundary": boundary}
    want = reference.joint_histogram(x, y, **options)
    g = rng.standard_normal(want.shape).astype(dtype).astype(np.float64)
    arrays = [from_numpy(xp, a, dtype) for a in (x, y)]
    got, found = value_and_gradients(xp, lambda x, y: joint_histogram(x, y, **options), g, *arrays)
    rough = 1e-5 if dtype == "float32" else 1e-12
    assert_allclose(got, want, rtol=0, atol=rough * want.max())
    for gradient, slope in zip(found, reference.joint_histogram_vjp(g, x, y, **options), strict=False):
        assert_allclose(gradient, slope, rtol=0, atol=10 * rough * np.abs(slope).max())


@kernels
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_forward_mode_and_second_derivatives(xp, kernel, boundary, rng):
    """Forward mode is the transpose of reverse mode; forward over reverse is held against differences."""
    x, v, g = rng.uniform(-0.1, 1.1, 40), rng.standard_normal(40), rng.standard_normal(7)
    options = {"bins": 7, "bandwidth": 0.11, "kernel": kernel, "boundary": boundary}
    primals, tangents = (from_numpy(xp, x),), (from_numpy(xp, v),)
    _, moved = diffhist.jvp(lambda x: soft_histogram(x, **options), primals, tangents)
    (slope,) = gradients(xp, lambda x: soft_histogram(x, **options), g, *primals)
    assert_allclose(to_numpy(moved) @ g, slope @ v, rtol=1e-10)
    grid, h = histogram._axis("", 7, (0.0, 1.0), 0.11, kernel, boundary), from_numpy(xp, g)
    _, along = diffhist.jvp(lambda x: _steps.gather(h, x, axes=(grid,), orders=((1,),)), primals, tangents)
    ends = [reference.soft_histogram_vjp(g, x + step * v, normalize=False, **options)[0] for step in (-1e-6, 1e-6)]
    want = (ends[1] - ends[0]) / 2e-6
    assert_allclose(to_numpy(along)[0], want, rtol=0, atol=1e-6 * max(1.0, np.abs(want).max()))


@kernels
def test_second_derivatives_of_a_loss(torch, kernel, rng):
    x = torch.asarray(rng.random(12))
    goal = torch.full((5,), 0.2, dtype=x.dtype)

    def loss(x):
        return diffhist.squared_emd(soft_histogram(x, 5, kernel=kernel, boundary="reflect"), goal)

    assert torch.autograd.gradgradcheck(loss, (x.requires_grad_(),), eps=1e-7)


@pytest.mark.parametrize(("dtype", "rough"), [("float32", 2e-7), ("float64", 4e-16)])
def test_normal_distribution_and_its_derivatives(dtype, rough):
    z = np.concatenate([np.linspace(-45, 45, 200001), [0.0, -1e30, 1e30, np.inf, -np.inf]])
    z = z.astype(dtype)
    above = KERNELS["gaussian"].above(array_api_compat.numpy, z, range(6))
    assert_allclose(above[0], ndtr(z.astype(np.float64)), rtol=0, atol=rough)
    z = np.clip(z.astype(np.float64), -50, 50)
    for order in range(1, 6):
        hermite = np.polynomial.hermite_e.hermeval(z, [0] * (order - 1) + [(-1) ** (order - 1)])
        want = hermite * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        assert_allclose(above[order], want, rtol=0, atol=40 * rough)


@kernels
def test_derivatives_of_the_share(kernel):
    z = np.linspace(-2, 2, 997)
    above = KERNELS[kernel].above(array_api_compat.numpy, z, range(5))
    for order in range(4):
        clear = np.abs(np.abs(z[:, None]) - [0.0, 0.5, 1.5]).min(1) > 0.01  # of kinks
        moved = [KERNELS[kernel].above(array_api_compat.numpy, z + s, (order,))[order] for s in (-1e-5, 1e-5)]
        assert_allclose(above[order + 1][clear], ((moved[1] - moved[0]) / 2e-5)[clear], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("kernel", "degree"), [("linear", 1), ("cubic", 3)])
def test_a_bin_sees_a_b_spline_where_w_is_its_length(kernel, degree):
    places = np.linspace(0.0, 1.0, 401)
    got = soft_histogram(places[:, None], 10, bandwidth=0.1, kernel=kernel)
    middles = (np.arange(10) + 0.5) / 10
    assert_allclose(got, reference.b_spline(degree)((places[:, None] - middles) / 0.1), rtol=0, atol=1e-14)
    assert_allclose(got, soft_histogram(places[:, None], 10, kernel=kernel), rtol=0, atol=1e-14)  # the default


def test_gradient_on_a_knot_is_the_mean_of_both_sides():
    x = np.array([0.25])  # the middle of the first of two bins: as near to the lower border as to the next bin
    (got,) = gradients(np, lambda x: soft_histogram(x, 2, kernel="linear"), np.array([1.0, 0.0]), x)
    assert_allclose(got, 0.0, atol=1e-12)
    (got,) = gradients(np, lambda x: soft_histogram(x, 2, kernel="linear"), np.array([0.0, 1.0]), x)
    assert_allclose(got, 1.0, atol=1e-12)


# --- the limits, as properties ---


@given(case=samples(), kernel=st.sampled_from(list(KERNELS)))
def test_equation_5_anywhere(case, kernel):
    x, options = case
    want = reference.soft_histogram(x, kernel=kernel, **options)
    got = soft_histogram(x, kernel=kernel, **options)
    assert_allclose(got, want, rtol=0, atol=max(want.max(), 1e-3) * (1e-12 + rounding(x, "float64", **options)))


@given(case=samples(), kernel=st.sampled_from(list(KERNELS)))
def test_gradient_anywhere(case, kernel):
    x, options = case
    (lo, hi), bins = options["range"], options["bins"]
    width = options["bandwidth"] or (hi - lo) / bins * KERNELS[kernel].width
    if kernel == "linear":  # kinks: half a bandwidth from edges
        away = ((x[:, None] + [-width / 2, width / 2] - lo) * bins / (hi - lo)) % 1.0
        assume(np.minimum(away, 1 - away).min() > 1e-6)
    g = np.cos(3.0 * np.arange(bins))
    (got,) = gradients(np, lambda x: soft_histogram(x, kernel=kernel, **options), g, x)
    want, _ = reference.soft_histogram_vjp(g, x, kernel=kernel, **options)
    assert_allclose(got, want, rtol=0, atol=(1e-11 + 4 * rounding(x, "float64", **options)) / width)


@given(bins=st.integers(1, 50), kernel=st.sampled_from(list(KERNELS)), data=st.data())
def test_sharp_kernels_count_like_numpy(bins, kernel, data):
    inside = st.tuples(st.integers(-2, bins + 1), st.floats(0.02, 0.98)).map(sum)
    x = -7.0 + np.array(data.draw(st.lists(inside, min_size=1, max_size=30))) * 3.0 / bins
    got = soft_histogram(x, bins, (-7.0, -4.0), bandwidth=1e-6 / bins, kernel=kernel)
    assert_allclose(got, np.histogram(x, bins, (-7.0, -4.0))[0] / x.size, rtol=0, atol=1e-9)


@given(case=st.sampled_from(["circular", "reflect"]).flatmap(samples), kernel=st.sampled_from(list(KERNELS)))
def test_closed_boundaries_keep_the_mass(case, kernel):
    x, options = case
    h = soft_histogram(x, kernel=kernel, **options)
    assert_allclose(h.sum(), 1.0, rtol=0, atol=1e-13)
    assert h.min() >= -1e-15


@given(case=samples("circular"), turn=st.integers(-80, 80), kernel=st.sampled_from(list(KERNELS)))
def test_circular_commutes_with_rotation(case, turn, kernel):
    x, options = case
    lo, hi = options["range"]
    shifted = x + turn * (hi - lo) / options["bins"]
    want = np.roll(soft_histogram(x, kernel=kernel, **options), turn)
    atol = 1e-12 + 2 * rounding(np.append(x, shifted), "float64", **options)
    assert_allclose(soft_histogram(shifted, kernel=kernel, **options), want, rtol=0, atol=atol)


# --- who takes them ---


def test_functions_and_modules_hand_them_on(rng, torch):
    from diffhist import nn

    x, y = rng.random((2, 1, 1, 9, 8))
    options = {"bins": 9, "kernel": "cubic", "boundary": "reflect"}
    flat, tensors = (x.reshape(-1), y.reshape(-1)), (torch.asarray(x), torch.asarray(y))
    table = diffhist.joint_histogram(*flat, **options)
    assert_allclose(nn.MILoss(**options)(*tensors), diffhist.mi_distance(table))
    p, q = (diffhist.soft_histogram(a, **options) for a in flat)
    assert_allclose(nn.EMDLoss(**options)(*tensors), diffhist.squared_emd(p, q))
    own = diffhist.normalized_mutual_information(diffhist.joint_histogram(flat[0], flat[0], **options))
    assert_allclose(diffhist.mi_ceiling(flat[0], **options), own)
    floors = {k: diffhist.mi_floor(*flat, bins=9, kernel=k) for k in KERNELS}
    assert len({round(float(f), 9) for f in floors.values()}) == len(KERNELS)
    for fun in (soft_histogram, joint_histogram, diffhist.mi_ceiling, diffhist.mi_floor, diffhist.equalize):
        assert inspect.signature(fun).parameters["kernel"].default == "logistic"


@kernels
def test_matching_keeps_values_that_match(kernel, rng):
    x = rng.random(200)
    for boundary in ("reflect", "circular"):
        got = diffhist.match_histogram(x, x, 32, kernel=kernel, boundary=boundary)
        assert np.abs((got - x + 0.5) % 1.0 - 0.5).max() < 1 / 32


def test_unknown_kernels_are_refused():
    x = np.zeros(3)
    with pytest.raises(ValueError, match="`kernel` must be one of logistic, gaussian, linear, cubic, got 'box'"):
        soft_histogram(x, kernel="box")
    with pytest.raises(ValueError, match=r"`kernel` \(of y\) must be one of"):
        joint_histogram(x, x, kernel=("cubic", None))
    with pytest.raises(ValueError, match="one for each of 2 variables"):
        joint_histogram(x, x, kernel=("cubic",) * 3)


# --- other libraries ---


def test_mattes_mutual_information_of_simpleitk(rng):
    """Cubic on the moving image, hard bins on the fixed one. ITK lays bins over the images' own ranges, of which it
    keeps two free at each end; a bin's middle is at a whole number on the moving side, its edge on the fixed one."""
    sitk = pytest.importorskip("SimpleITK")
    fixed = rng.random((40, 50))
    moving = np.sqrt(fixed) + 0.2 * rng.random((40, 50))
    bins = 20
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkNearestNeighbor)
    method.SetInitialTransform(sitk.TranslationTransform(2))
    value = method.MetricEvaluate(*(sitk.GetImageFromArray(a) for a in (fixed, moving)))
    steps = [np.ptp(a) / (bins - 4) for a in (fixed, moving)]
    first = fixed.min() - 2 * steps[0], moving.min() - 2.5 * steps[1]
    table = joint_histogram(
        np.clip(fixed, fixed.min() + 1e-9, fixed.max() - 1e-9).ravel(),  # of ITK in bins, of ours on an edge
        moving.ravel(),
        bins,
        tuple((low, low + bins * step) for low, step in zip(first, steps, strict=True)),
        bandwidth=(1e-10 * steps[0], None),
        kernel=("linear", "cubic"),
    )
    assert_allclose(float(diffhist.mutual_information(table)), -value, rtol=1e-6)


def test_b_spline_mutual_information_of_monai(rng, torch):
    """As ITK's, but for hard bins about whole numbers, and values in the last bin, which are moved to its middle."""
    losses = pytest.importorskip("monai.losses")
    a, b = rng.random((2, 1, 1, 12, 12, 12))
    pred, target = b, 0.7 * b + 0.3 * a
    loss = losses.GlobalMutualInformationLoss("b-spline", num_bins=23)
    steps = [np.ptp(a) / 19 for a in (pred, target)]
    lows = [a.min() - 2.5 * s for a, s in zip((pred, target), steps, strict=True)]
    table = joint_histogram(
        *(np.minimum(a, low + 20.5 * s).ravel() for a, low, s in zip((pred, target), lows, steps, strict=True)),
        23,
        tuple((low, low + 23 * s) for low, s in zip(lows, steps, strict=True)),
        bandwidth=(None, 1e-9),
        kernel=("cubic", "linear"),
    )
    want = float(loss(torch.asarray(pred), torch.asarray(target)))
    assert_allclose(-float(diffhist.mutual_information(table)), want, rtol=1e-4)  # it adds 1e-7 in the logarithm


def smooth_values(rng):
    return np.clip(0.5 + 0.1 * rng.standard_normal(20000), 0.15, 0.85)


@pytest.mark.parametrize(("ratio", "rough"), [(0.5, 0.02), (1.0, 1e-3), (2.0, 1e-4)])
def test_gaussian_histogram_of_kornia(ratio, rough, rng, torch):
    """It takes the density in a bin's middle, where we have the mass of the bin: the kernel blurred by the bin. With
    the variance of that, L^2 / 12, taken off, what is left of the difference falls as (L / W)^4."""
    enhance = pytest.importorskip("kornia.enhance")
    x, middles = smooth_values(rng), (np.arange(32) + 0.5) / 32
    want = enhance.histogram(torch.asarray(x)[None], torch.asarray(middles), torch.tensor(ratio / 32))[0]
    got = soft_histogram(x, 32, bandwidth=np.sqrt(ratio**2 - 1 / 12) / 32, kernel="gaussian")
    assert_allclose(got, want, rtol=0, atol=rough * got.max())


@pytest.mark.parametrize(("ratio", "rough"), [(0.5, 0.02), (1.0, 1e-3), (2.0, 1e-4)])
def test_gaussian_histogram_of_monai(ratio, rough, rng, torch):
    """The same, but that it divides the masses of each value by their sum, which is 1 but for the borders."""
    losses = pytest.importorskip("monai.losses")
    x = smooth_values(rng)
    loss = losses.GlobalMutualInformationLoss("gaussian", num_bins=32, sigma_ratio=ratio)
    _, want = loss.parzen_windowing_gaussian(torch.asarray(x)[None, None])
    step = 1 / 31  # its bins' middles run from 0 to 1
    options = {"range": (-step / 2, 1 + step / 2), "bandwidth": np.sqrt(ratio**2 - 1 / 12) * step}
    got = soft_histogram(x, 32, kernel="gaussian", **options)
    assert_allclose(got, want[0, 0], rtol=0, atol=rough * got.max())

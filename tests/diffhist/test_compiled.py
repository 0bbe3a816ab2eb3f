"""The loops that Numba compiles, against the formula in float64 and against array code."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import array_api_compat.numpy as numpy_xp
import numpy as np
import pytest
import reference
from arrays import value_and_gradients
from cases import BOUNDARIES, EPS, rounding, samples
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

import diffhist
from diffhist import joint_histogram, soft_histogram
from diffhist._evaluation import Axis, compiled, evaluate
from diffhist._evaluation.band import Band
from diffhist._evaluation.dense import gather_dense, spread_dense
from diffhist._evaluation.spline import Spline

numba = pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="Numba is told not to compile")

every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
every_dtype = pytest.mark.parametrize("dtype", EPS)
some = settings(max_examples=25)


@pytest.fixture(autouse=True)
def used(monkeypatch):
    """Send all that is covered there, however few pixels, and count what it does."""
    calls = []

    def counted(name, fun):
        def call(*arguments):
            calls.append(name)
            return fun(*arguments)

        return call

    assert compiled._works()
    monkeypatch.setattr(compiled, "LEAST", 1)
    for name in ("spread", "gather"):
        monkeypatch.setattr(compiled, name, counted(name, getattr(compiled, name)))
    return calls


def assert_close(got, want, tolerance):
    """To a share of the largest: of the result, or of what one pixel may bring to it."""
    assert_allclose(got, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 0.1))


def limit(dtype):
    return 5e-6 if dtype == "float32" else 2e-14


# Values and gradients


@every_dtype
@some
@given(samples())
def test_histogram_is_that_of_the_formula(dtype, case):
    values, options = case
    x = values.astype(dtype)
    want = reference.soft_histogram(x.astype(np.float64), **options)
    assert_close(soft_histogram(x, **options), want, limit(dtype) + 4 * rounding(x, dtype, **options))


@every_dtype
@some
@given(samples(max_bins=12), samples(max_bins=12))
def test_joint_histogram_is_that_of_the_formula(dtype, first, second):
    n = min(len(first[0]), len(second[0]))
    x, y = (case[0][:n].astype(dtype) for case in (first, second))
    options = {key: (first[1][key], second[1][key]) for key in first[1]}
    want = reference.joint_histogram(x.astype(np.float64), y.astype(np.float64), **options)
    slack = sum(4 * rounding(a, dtype, **case[1]) for a, case in ((x, first), (y, second)))
    # splines, where they are cheaper, are to a few parts in a million
    assert_close(joint_histogram(x, y, **options), want, (1e-5 if dtype == "float32" else 2e-14) + slack)


def check(rng, dtype, arrays, fun, value, gradients, tolerance):
    arrays = [a.astype(dtype) for a in arrays]
    doubles = [a.astype(np.float64) for a in arrays]
    g = rng.standard_normal(value(*doubles).shape)
    got, found = value_and_gradients(numpy_xp, fun, g, *arrays)
    assert_close(got, value(*doubles), tolerance)
    for ours, theirs in zip(found, gradients(g, *doubles), strict=True):
        assert_close(ours, theirs, 4 * tolerance)


@every_boundary
@every_dtype
@pytest.mark.parametrize(("bins", "bandwidth"), [(64, None), (7, 0.01), (300, 0.0004)])
def test_histogram_and_its_gradients(rng, used, dtype, boundary, bins, bandwidth):
    options = {"bins": bins, "bandwidth": bandwidth, "boundary": boundary}
    x, w = rng.random((2, 2, 300))
    check(
        rng,
        dtype,
        (1.2 * x - 0.1, w),
        fun=lambda x, w: soft_histogram(x, weights=w, **options),
        value=lambda x, w: reference.soft_histogram(x, w, **options),
        gradients=lambda g, x, w: reference.soft_histogram_vjp(g, x, w, **options),
        tolerance=limit(dtype) + 2 * rounding(x, dtype, **options),
    )
    assert {"spread", "gather"} <= set(used)


@every_boundary
@every_dtype
@pytest.mark.parametrize(("bins", "bandwidth"), [((64, 50), None), ((60, 30), (0.001, 0.01))])
def test_joint_histogram_and_its_gradients(rng, used, dtype, boundary, bins, bandwidth):
    options = {"bins": bins, "bandwidth": bandwidth, "boundary": (boundary, "circular")}
    x, y, w = rng.random((3, 2, 3000))
    check(
        rng,
        dtype,
        (1.2 * x - 0.1, y, w),
        fun=lambda x, y, w: joint_histogram(x, y, weights=w, **options),
        value=lambda x, y, w: reference.joint_histogram(x, y, w, **options),
        gradients=lambda g, x, y, w: reference.joint_histogram_vjp(g, x, y, w, **options),
        tolerance=2 * limit(dtype) + 2 * rounding(x, dtype, bins=60, bandwidth=0.001),
    )
    assert {"spread", "gather"} <= set(used)


@every_boundary
@every_dtype
def test_derivatives_of_every_order_are_those_of_the_dense_way(rng, used, dtype, boundary):
    x, y = rng.random((2, 2, 60)).astype(dtype)
    w, h = rng.standard_normal((2, 60)).astype(dtype), rng.standard_normal((2, 40, 64)).astype(dtype)
    axes = [Axis(40, -1.0, 3 / 40, 0.4, boundary), Axis(64, 0.0, 1 / 64, 0.3, boundary)]
    ways = [Band(numpy_xp, a, getattr(np, dtype)) for a in axes]
    doubles = [a.astype(np.float64) for a in (x, y)]
    for orders in itertools.product(range(3), repeat=2):
        got = evaluate.spread_taps(numpy_xp, [x, y], w, ways, orders, getattr(np, dtype))
        want = spread_dense(numpy_xp, doubles, w.astype(np.float64), axes, orders, np.float64)
        assert_close(got, want, 20 * limit(dtype))
        (got,) = evaluate.gather_taps(numpy_xp, h, [x, y], ways, [orders], getattr(np, dtype))
        (want,) = gather_dense(numpy_xp, h.astype(np.float64), doubles, axes, [orders], np.float64)
        assert_close(got, want, 20 * limit(dtype))
    assert len(used) == 18


@every_boundary
@pytest.mark.parametrize("degree", [2, 4])
def test_splines_are_those_of_array_code(rng, used, monkeypatch, degree, boundary):
    x, y = rng.random((2, 1, 500)) * 1.2 - 0.1
    plane, options = degree == 4, (Axis(30, 0.0, 1 / 30, 0.8, boundary), np.float64)
    ways = [Spline(numpy_xp, *options, plane=plane, last=last) for last in ((False, True) if plane else (True,))]
    pixels, h = [x, y][: len(ways)], rng.standard_normal((1, *(30,) * len(ways)))
    for orders in itertools.product((0, 1), repeat=len(ways)):
        found = []
        for on in (True, False):
            monkeypatch.setattr(compiled, "COMPILED", on)
            (seen,) = evaluate.gather_taps(numpy_xp, h, pixels, ways, [orders], np.float64)
            found.append((evaluate.spread_taps(numpy_xp, pixels, None, ways, orders, np.float64), seen))
        for got, want in zip(*found, strict=True):
            assert_close(got, want, 1e-12)
    assert len(used) == 2 * 2 ** len(ways)


LOSSES = {
    "soft": lambda x: (soft_histogram(x, 64) ** 2).sum(),
    "joint": lambda x: (joint_histogram(x, x * x, 32) ** 2).sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives_in_torch(torch, used, rng, name):
    fun = LOSSES[name]
    x = torch.from_numpy(rng.random(3000))
    direction = torch.from_numpy(rng.standard_normal(3000))

    def curvature(x):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(fun(x), x, create_graph=True)
        return torch.autograd.grad((slope * direction.to(x.dtype)).sum(), x)[0]

    h = 1e-6
    got = curvature(x.clone())
    slopes = [torch.func.grad(fun)(x + s * h * direction) for s in (1, -1)]
    assert_close(got, ((slopes[0] - slopes[1]) / (2 * h)).numpy(), 1e-5)
    assert_close(curvature(x.float()), got.numpy(), 1e-4)
    assert len(used) > 6


# What pixels there may be


@pytest.mark.parametrize("plane", [False, True])
def test_equal_pixels_do_not_stagnate(plane):
    n = 2**21
    x = np.full(n, 0.3, np.float32)
    options = {"bins": 64, "boundary": "circular"}
    one = x[:1].astype(np.float64)
    got = joint_histogram(x, x, **options) if plane else soft_histogram(x, **options)
    want = reference.joint_histogram(one, one, **options) if plane else reference.soft_histogram(one, **options)
    assert_close(got, want, 2e-6)


@every_dtype
@some
@given(samples(max_bins=300))
def test_no_mass_is_negative(dtype, case):
    """Not by rounding either: of such a table there is no entropy."""
    values, options = case
    x = np.concatenate([values, np.linspace(values.min(), values.max(), 500)]).astype(dtype)
    assert soft_histogram(x, **options).min() >= 0
    assert joint_histogram(x, x[::-1], **options).min() >= 0


@every_boundary
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, on infinity
def test_nan_and_infinity(used, boundary):
    nan, inf = float("nan"), float("inf")
    x = np.array([[0.1, 0.2, 0.3], [0.1, nan, 0.3], [0.1, inf, 0.3], [0.1, -inf, 0.3], [1e30, -1e30, 0.5]])
    lost = boundary == "open"
    for dtype, fun in itertools.product(EPS, (soft_histogram, lambda a, **o: joint_histogram(a, a, **o))):
        found, pullback = diffhist.vjp(fun, x.astype(dtype), bins=40, boundary=boundary)
        broken = np.isnan(found.reshape(5, -1))
        assert broken.all(1).tolist() == broken.any(1).tolist() == [False, True, not lost, not lost, False]
        (slope,) = pullback(np.ones_like(found))
        assert np.isnan(slope[1, 1])
        assert np.isfinite(slope[[0, 4]]).all()
    assert set(used) == {"spread", "gather"}


def test_pixels_of_no_weight_do_not_count_even_if_they_are_nan():
    x, w = np.array([0.1, np.nan, 0.3]), np.array([1.0, 0.0, 1.0])
    assert_close(soft_histogram(x, 40, weights=w), soft_histogram(x[::2], 40), 1e-15)
    slopes = diffhist.vjp(lambda x, w: soft_histogram(x, 40, weights=w), x, w)[1](np.arange(40.0))
    assert np.isfinite(slopes).all()
    assert slopes[0][1] == 0


def test_any_layout_byte_order_and_dtype(rng, used):
    x = rng.random((6, 4, 50)).astype(np.float32)
    want = joint_histogram(x[:, 1::2].copy(), x[:, ::2].copy(), 40)
    frozen = x.copy()
    frozen.flags.writeable = False
    swapped = x.astype(">f4")
    for a in (x, frozen, swapped):
        assert_array_equal(joint_histogram(a[:, 1::2], a[:, ::2], 40), want)
    assert used == ["spread"] * 4


# How it is run


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_threads_change_nothing_but_rounding(rng, monkeypatch, batch, plane):
    x, w = rng.random((2, batch, 500))
    monkeypatch.setattr(compiled, "PART", 50)
    if plane:
        fun, shape = (lambda x, w: joint_histogram(x, x + 0.1, 50, weights=w)), (batch, 50, 50)
    else:
        fun, shape = (lambda x, w: soft_histogram(x, 50, weights=w)), (batch, 50)
    g, found = rng.random(shape), []
    for threads in (1, 2, 2, 5):
        monkeypatch.setattr(compiled, "_threads", lambda x, threads=threads: threads)
        value, pullback = diffhist.vjp(fun, x, w)
        found.append((value, *pullback(g)))
    for got, want in zip(found[2], found[1], strict=True):
        assert_array_equal(got, want)
    for got, want in zip(found[1] + found[3], found[0] * 2, strict=True):
        assert_close(got, want, 1e-13)


def test_callers_in_several_threads(rng, monkeypatch):
    monkeypatch.setattr(compiled, "PART", 50)
    monkeypatch.setattr(compiled, "_threads", lambda x: 3)
    images = [rng.random((1, 4000)) for _ in range(8)]
    want = [joint_histogram(x, x, 50) for x in images]
    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(lambda x: joint_histogram(x, x, 50), images * 4), want * 4, strict=True):
            assert_array_equal(got, expected)


FORK = """
import os
import numpy as np
import diffhist
from diffhist._evaluation import compiled

compiled._threads = lambda x: 2
x = np.random.default_rng(0).random(50_000)
here = diffhist.joint_histogram(x, x, 64)
assert compiled._works()
if not (child := os.fork()):
    os._exit(0 if np.array_equal(diffhist.joint_histogram(x, x, 64), here) else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.posix
def test_in_a_forked_child():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


# When it is not


def test_numba_is_loaded_when_there_is_work_for_it():
    code = (
        "import sys, numpy as np, diffhist; diffhist.soft_histogram(np.ones(100)); assert 'numba' not in sys.modules;"
        "diffhist.soft_histogram(np.ones(10_000)); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_numba_or_with_a_broken_one(monkeypatch):
    works = compiled._works.__wrapped__
    assert works()
    with monkeypatch.context() as off:
        off.setattr(numba.config, "DISABLE_JIT", 1)
        assert not works()
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "numba", None)
        assert not works()
    with monkeypatch.context() as broken:
        broken.setattr(compiled, "spread", lambda *arguments: 0.505 * np.ones((1, 10, 10)))
        with pytest.warns(UserWarning, match="uses array code, what Numba compiles for it fails here"):
            assert not works()


def test_what_is_left_to_array_code(rng, used, xp):
    x = xp.asarray(rng.random((1, 50)))
    if xp.__name__ not in ("numpy", "torch"):
        soft_histogram(x, 100)
    else:
        soft_histogram(x, 4)  # dense
        soft_histogram(x, 100, bandwidth=1e-6)  # steps, to no polynomial
        joint_histogram(x, x, 100, bandwidth=0.1)  # wider than the rows
        soft_histogram(x[:0], 100)
    assert used == []


def test_without_a_place_to_keep_what_is_compiled(monkeypatch):
    from diffhist._evaluation import compiled_kernels

    compile_ = numba.njit

    def nowhere(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(**options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert compiled_kernels._jit(lambda a: a + 1)(1) == 2


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
def test_no_thread_writes_where_another_adds(boundary, rng):
    """Rows are as wide as vectors are, and reach beyond their table's end, where another thread's begins."""
    x = rng.random((1, 400_000), np.float32)
    options = {"bins": 6, "boundary": boundary, "bandwidth": 0.01}
    want = soft_histogram(x.astype(np.float64), **options)
    for _ in range(20):
        assert_allclose(soft_histogram(x, **options), want, rtol=0, atol=1e-5)

"""The fused kernels in Triton's interpreter, on the CPU; `test_triton.py` runs this in a process of its own.

The interpreter takes milliseconds for each program of a kernel: few pixels and few bins.
"""

import itertools

import numpy as np
import pytest
import reference
import torch
import triton
import triton.language as tl
from arrays import value_and_gradients
from cases import BOUNDARIES, rounding, samples
from hypothesis import given, settings
from numpy.testing import assert_allclose

import diffhist
from diffhist import joint_histogram, soft_histogram
from diffhist._evaluation import Axis, fused
from diffhist._evaluation import triton as _triton
from diffhist._evaluation.dense import gather_dense, spread_dense

torch.set_num_threads(1)


@triton.jit
def _count(n):
    for _ in range(tl.load(n)):
        pass


try:
    _count[(1,)](torch.ones(1, dtype=torch.int64))
except Exception as error:  # that of Triton 3.5 with NumPy 2.4
    pytest.skip(f"Triton's interpreter cannot count here: {error}", allow_module_level=True)

few = settings(max_examples=10)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
LOSSES = {
    "soft": lambda x: (soft_histogram(x, 9, boundary="reflect") ** 2).sum(),
    "weighted": lambda x: (soft_histogram(x, 9, weights=x * x) ** 2).sum(),
    "joint": lambda x: (joint_histogram(x, x * x, 5, boundary="circular") ** 2).sum(),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture(autouse=True)
def used(monkeypatch):
    """Send everything that the kernels cover to them, and count what they do."""
    calls = []

    class Counted:
        covers = staticmethod(_triton.covers)

        def spread(self, *arguments):
            calls.append("spread")
            return _triton.spread(*arguments)

        def gather(self, *arguments):
            calls.append("gather")
            return _triton.gather(*arguments)

    monkeypatch.setattr(fused, "kernels", lambda array: Counted())
    return calls


def assert_close(got, want, tolerance=1e-5):
    """To a share of the largest, or of a hundredth: a pixel far outside brings less than its rounding."""
    assert_allclose(got, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 0.01))


def check(rng, x, *more, fun, value, gradients, tolerance=1e-5, slope=None):
    """Value and gradients in float32 against the dense formula in float64 of the same float32 pixels."""
    x, *more = (a.astype(np.float32) for a in (x, *more))
    doubles = [a.astype(np.float64) for a in (x, *more)]
    want = value(*doubles)
    g = rng.standard_normal(want.shape)
    got, found = value_and_gradients(torch, fun, g, *map(torch.from_numpy, (x, *more)))
    assert_close(got, want, tolerance)
    for ours, theirs in zip(found, gradients(g, *doubles), strict=True):
        assert_close(ours, theirs, 2 * tolerance if slope is None else slope)


# Values and gradients


@few
@given(samples())
def test_histogram_is_that_of_the_formula(case):
    values, options = case
    x = values.astype(np.float32)
    want = reference.soft_histogram(x.astype(np.float64), **options)
    got = soft_histogram(torch.from_numpy(x), **options)
    assert_close(got, want, 1e-5 + 4 * rounding(x, "float32", **options))


@few
@given(samples(max_bins=12), samples(max_bins=12))
def test_joint_histogram_is_that_of_the_formula(first, second):
    n = min(len(first[0]), len(second[0]))
    x, y = (case[0][:n].astype(np.float32) for case in (first, second))
    options = {key: (first[1][key], second[1][key]) for key in first[1]}
    want = reference.joint_histogram(x.astype(np.float64), y.astype(np.float64), **options)
    got = joint_histogram(torch.from_numpy(x), torch.from_numpy(y), **options)
    limit = sum(4 * rounding(a, "float32", **case[1]) for a, case in ((x, first), (y, second)))
    assert_close(got, want, 1e-5 + limit)


@every_boundary
@pytest.mark.parametrize(("bins", "bandwidth"), [(64, None), (7, 0.01), (20, 0.1)])
def test_histogram_and_its_gradients(rng, used, boundary, bins, bandwidth):
    options = {"bins": bins, "bandwidth": bandwidth, "boundary": boundary}
    x, w = rng.random((2, 2, 300))
    check(
        rng,
        1.2 * x - 0.1,
        w,
        fun=lambda x, w: soft_histogram(x, weights=w, **options),
        value=lambda x, w: reference.soft_histogram(x, w, **options),
        gradients=lambda g, x, w: reference.soft_histogram_vjp(g, x, w, **options),
    )
    assert {"spread", "gather"} <= set(used)


@every_boundary
@pytest.mark.parametrize(("bins", "bandwidth"), [((12, 20), None), ((6, 3), (0.01, 0.25))])
def test_joint_histogram_and_its_gradients(rng, used, boundary, bins, bandwidth):
    options = {"bins": bins, "bandwidth": bandwidth, "boundary": (boundary, "circular")}
    x, y, w = rng.random((3, 2, 40))
    check(
        rng,
        1.2 * x - 0.1,
        y,
        w,
        fun=lambda x, y, w: joint_histogram(x, y, weights=w, **options),
        value=lambda x, y, w: reference.joint_histogram(x, y, w, **options),
        gradients=lambda g, x, y, w: reference.joint_histogram_vjp(g, x, y, w, **options),
    )
    assert {"spread", "gather"} <= set(used)


@pytest.mark.parametrize("boundary", ["reflect", *(pytest.param(b, marks=pytest.mark.slow) for b in BOUNDARIES[:2])])
def test_derivatives_of_every_order_are_those_of_array_code(rng, boundary):
    x, y = (torch.from_numpy(rng.random((1, 16)).astype(np.float32)) for _ in range(2))
    h = torch.from_numpy(rng.standard_normal((1, 6, 9)).astype(np.float32))
    axes = [Axis(6, 0.0, 1 / 6, 0.4, boundary), Axis(9, 0.0, 1 / 9, 0.7, boundary)]
    for orders in itertools.product(range(3), repeat=2):
        exact = (x.double(), y.double())
        want = spread_dense(_triton.xp, exact, None, axes, orders, torch.float64)
        assert_close(_triton.spread((x, y), None, axes, [orders]), want.numpy())
        want = gather_dense(_triton.xp, h.double(), exact, axes, [orders], torch.float64)[0]
        assert_close(_triton.gather(h, (x, y), axes, [orders])[0], want.numpy())


def test_gathering_is_the_adjoint_of_spreading(rng):
    x, y, w = (torch.from_numpy(rng.random((2, 50)).astype(np.float32)) for _ in range(3))
    h = torch.from_numpy(rng.standard_normal((2, 5, 4)).astype(np.float32))
    axes = [Axis(bins, 0.0, 1 / bins, 0.4, "reflect") for bins in (5, 4)]
    for orders in [(0, 0), (1, 0), (1, 2)]:
        there = (_triton.spread((x, y), w[:, None], axes, [orders]) * h).sum((1, 2))
        back = (_triton.gather(h, (x, y), axes, [orders])[0] * w).sum(1)
        torch.testing.assert_close(there, back, rtol=1e-5, atol=1e-4)


# What pixels there may be


@pytest.mark.parametrize("plane", [False, True])
def test_equal_pixels_fill_many_programs(plane):
    n = 2**11 if plane else 2**14
    x = torch.full((n,), 0.3)
    options = {"bins": 3, "boundary": "circular", "normalize": False}
    got = joint_histogram(x, x, **options) if plane else soft_histogram(x, **options)
    one = np.full(1, np.float32(0.3), np.float64)
    want = n * (reference.joint_histogram(one, one, **options) if plane else reference.soft_histogram(one, **options))
    assert_close(got, want, 4e-6)


def test_sums_do_not_stagnate():
    """One by one, 2 ** 18 terms of 0.1 come out 0.2% off in float32."""
    total = lost = np.float32(0)
    for _ in range(2**18):
        total, lost = _triton.kernels.compensated.fn(total, lost, np.float32(0.1))
    assert_allclose(total, 2**18 * np.float64(np.float32(0.1)), rtol=1e-7)


@every_boundary
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, on infinity
def test_nan_and_infinity(boundary):
    nan, inf = float("nan"), float("inf")
    x = torch.tensor([[0.1, 0.2, 0.3], [0.1, nan, 0.3], [0.1, inf, 0.3], [0.1, -inf, 0.3], [1e30, -1e30, 0.5]])
    lost = boundary == "open"
    for found in (soft_histogram(x, 9, boundary=boundary), joint_histogram(x, x, 4, boundary=boundary)):
        broken = found.flatten(1).isnan()
        assert broken.all(1).tolist() == broken.any(1).tolist() == [False, True, not lost, not lost, False]
    if lost:
        kept = soft_histogram(x[:1, ::2], 9, normalize=False)
        assert_close(soft_histogram(x[2:4], 9, normalize=False), kept.expand(2, -1).numpy(), 1e-6)


def test_pixels_far_outside_have_no_gradient_and_read_nothing():
    x = torch.tensor([-1e30, -5.0, 0.3, 6.0, 1e30])
    g = torch.arange(1.0, 5.0)
    for fun in (soft_histogram, lambda x, bins: joint_histogram(x, x, bins).sum(-1)):
        (found,) = diffhist.vjp(fun, x, bins=4)[1](g)
        (want,) = diffhist.vjp(fun, x.double(), bins=4)[1](g.double())
        assert found.nonzero().tolist() == [[2]]
        assert_close(found, want.numpy())


def test_pixels_of_no_weight_do_not_count_even_if_they_are_nan():
    x = torch.tensor([0.1, float("nan"), 0.3], requires_grad=True)
    w = torch.tensor([1.0, 0.0, 1.0], requires_grad=True)
    got = soft_histogram(x, 9, weights=w)
    assert_close(got.detach(), soft_histogram(x.detach()[::2], 9).numpy(), 1e-6)
    got[2].backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(w.grad).all()
    assert x.grad[1] == 0


def test_samples_in_parts_are_those_in_one_piece(rng, monkeypatch):
    x, y, w = (torch.from_numpy(rng.random((3, 120)).astype(np.float32)) for _ in range(3))
    whole = joint_histogram(x, y, 4, weights=w)
    monkeypatch.setattr(_triton, "PARTIAL", 1 << 13)
    monkeypatch.setattr(_triton, "PIXELS", 100)
    assert_close(joint_histogram(x, y, 4, weights=w), whole.numpy(), 1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(rng, used, dtype):
    x = torch.from_numpy(rng.random(200)).to(dtype).requires_grad_()
    got = soft_histogram(x, 8, boundary="reflect", normalize=False)
    assert got.dtype == torch.float32
    options = {"bins": 8, "boundary": "reflect", "normalize": False}
    assert_close(got.detach(), reference.soft_histogram(x.detach().double().numpy(), **options))
    got[2].backward()
    assert x.grad.dtype == dtype
    assert used == ["spread", "gather"]


def test_any_layout_in_memory(rng):
    x = torch.from_numpy(rng.random((6, 4, 50)).astype(np.float32))
    got = joint_histogram(x[:, 1::2].mT, x[:, ::2].mT, 5, axis=1, weights=x[:, :1].mT)
    want = reference.joint_histogram(
        *(a.double().numpy() for a in (x[:, 1::2].mT, x[:, ::2].mT, x[:, :1].mT)), axis=1, bins=5
    )
    assert_close(got, want)


# What torch does with them


@every_loss
def test_double_backward(rng, name):
    x = torch.from_numpy(rng.random(30).astype(np.float32))
    direction = torch.from_numpy(rng.standard_normal(30).astype(np.float32))

    def curvature(x):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(LOSSES[name](x), x, create_graph=True)
        return torch.autograd.grad((slope * direction.to(x.dtype)).sum(), x)[0]

    assert_close(curvature(x.clone()), curvature(x.double()).numpy(), 1e-4)


@every_loss
def test_transforms(rng, name):
    x = torch.from_numpy(rng.random((2, 20)).astype(np.float32))
    slope = torch.func.grad(LOSSES[name])
    mapped = torch.func.vmap(slope)(x)
    assert_close(mapped, torch.stack([slope(row) for row in x]).numpy(), 1e-6)
    assert_close(mapped, torch.func.vmap(slope)(x.double()).numpy())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
def test_compiled(rng, used):
    x = torch.from_numpy(rng.random((2, 40)).astype(np.float32)).requires_grad_()
    loss = LOSSES["joint"]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (want,) = torch.autograd.grad(loss(x), x)
    used.clear()
    assert_close(torch.autograd.grad(compiled(x), x)[0], want.numpy(), 1e-6)
    assert {"spread", "gather"} <= set(used)


# What they leave to array code


def test_other_cases_are_array_code(rng, used):
    x = torch.from_numpy(rng.random(50))
    for call in (
        lambda: soft_histogram(x, 8),  # float64
        lambda: joint_histogram(x.float(), x.float(), 8, bandwidth=0.2),  # wider than MOST_TAPS
        lambda: soft_histogram(x.float().expand(0, 50), 8),  # no sample
    ):
        call()
    axis = Axis(8, 0.0, 1 / 8, 0.4, "open")
    diffhist._evaluation.spread(_triton.xp, [x.float()[None]], None, [axis], [(3,)], torch.float32)
    assert used == []


def test_the_check_before_first_use_passes_and_notices(monkeypatch):
    monkeypatch.setattr(fused, "kernels", lambda array: None)  # it compares with array code
    fused._check(_triton, torch.device("cpu"))
    right = _triton.gather
    monkeypatch.setattr(_triton, "gather", lambda *arguments: [1.01 * seen for seen in right(*arguments)])
    with pytest.raises(AssertionError):
        fused._check(_triton, torch.device("cpu"))

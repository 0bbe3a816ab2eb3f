"""The same results on CUDA, through torch and CuPy; every test here skips with a message where there is no device."""

import numpy as np
import pytest
from arrays import gradients, to_numpy
from numpy.testing import assert_allclose
from test_autodiff import PRIMITIVES, primitive_inputs

from diffhist import joint_histogram, mi_distance, soft_histogram, squared_emd

LOSSES = {
    "hue loss": lambda x, y: squared_emd(
        soft_histogram(x, boundary="circular"), soft_histogram(y, boundary="circular"), circular=True
    ),
    "MI loss": lambda x, y: mi_distance(joint_histogram(x, y, boundary="circular")),
    "weighted": lambda x, y: soft_histogram(x, 64, weights=y),
    "pair": lambda x, y: joint_histogram(x, y, (64, 32), bandwidth=(None, 0.2), boundary=("open", "reflect")),
}
TABLES = {
    "two": lambda x, y: soft_histogram(x, boundary="circular") + soft_histogram(y, bandwidth=0.02),
    "joint": lambda x, y: joint_histogram(x, y, boundary="circular"),
    "weighted": lambda x, y: soft_histogram(x, 64, weights=y, normalize=False),
    "pair": lambda x, y: joint_histogram(x, y, (64, 32), bandwidth=(None, 0.02), boundary=("open", "reflect")),
}
every = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture
def cuda(torch):
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    return torch


@pytest.mark.parametrize("name", PRIMITIVES)
def test_cuda_agrees_with_numpy(cuda, name, rng):
    fun, inputs = primitive_inputs(name, rng)
    tensors = [cuda.from_numpy(a).cuda().requires_grad_() for a in inputs]
    out = fun(*tensors)
    assert out.is_cuda
    assert_allclose(to_numpy(out), fun(*inputs), rtol=1e-11, atol=1e-13)
    g = rng.standard_normal(tuple(out.shape))
    theirs = cuda.autograd.grad(out, tensors, cuda.from_numpy(np.array(g)).cuda())
    for ours, other in zip(gradients(np, fun, g, *inputs), theirs, strict=True):
        assert_allclose(ours, to_numpy(other), rtol=1e-9, atol=1e-12)


@every
def test_cuda_in_float32_on_images(cuda, name, hues):
    fun = LOSSES[name]
    x, y = (hues[which].ravel().astype(np.float32) for which in ("astronaut", "coffee"))
    want = fun(x.astype(np.float64), y.astype(np.float64))
    got = fun(cuda.from_numpy(x).cuda(), cuda.from_numpy(y).cuda())
    assert_allclose(to_numpy(got), want, rtol=1e-5, atol=2e-5 * np.abs(want).max())
    g = np.ones(np.shape(want))
    found = gradients(cuda, fun, g, cuda.from_numpy(x), cuda.from_numpy(y))
    tensors = [cuda.from_numpy(a).cuda().requires_grad_() for a in (x, y)]
    theirs = cuda.autograd.grad(fun(*tensors).sum(), tensors)
    for ours, other in zip(found, theirs, strict=True):
        assert_allclose(ours, to_numpy(other), rtol=0, atol=2e-4 * np.abs(ours).max())


@pytest.fixture
def fused(cuda):
    """The module of fused kernels, or a skip where they do not run."""
    from diffhist._evaluation import fused as choice

    module = choice.kernels(cuda.zeros(1, device="cuda").device)
    if module is None:
        pytest.skip("no Triton of late, or a device older than Ampere")
    return module


@pytest.mark.parametrize("content", ["photographs", "one hue"])
@pytest.mark.parametrize("name", TABLES)
def test_cuda_kernels_agree_with_array_code(cuda, fused, monkeypatch, name, content, hues):
    arrays = [hues[which].ravel().astype(np.float32) for which in ("astronaut", "coffee")]
    if content == "one hue":
        arrays = [np.full_like(a, 0.3) for a in arrays]
    calls = []
    for way in ("spread", "gather"):
        plain = getattr(fused, way)
        monkeypatch.setattr(fused, way, lambda *args, plain=plain: calls.append(plain.__name__) or plain(*args))
    results = []
    for dtype in (cuda.float32, cuda.float64):  # the latter by array code
        tensors = [cuda.from_numpy(a).cuda().to(dtype).requires_grad_() for a in arrays]
        out = TABLES[name](*tensors)
        g = cuda.from_numpy(np.random.default_rng(1).standard_normal(tuple(out.shape))).to(out)
        results.append([out.detach(), *cuda.autograd.grad((out * g).sum(), tensors)])
    assert set(calls) == {"spread", "gather"}
    for ours, theirs in zip(*results, strict=True):
        cuda.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("name", TABLES)
def test_cuda_kernels_give_the_same_in_every_run(cuda, fused, name):
    x, y = (cuda.rand(2**16, device="cuda", requires_grad=True) for _ in range(2))
    first, *more = ([out := TABLES[name](x, y), *cuda.autograd.grad((out * out).sum(), (x, y))] for _ in range(4))
    for again in more:
        assert all(cuda.equal(a, b) for a, b in zip(first, again, strict=True))


def test_cuda_kernels_can_be_turned_off(cuda, fused, monkeypatch):
    from diffhist._evaluation import fused as choice

    monkeypatch.setattr(choice, "FUSED", False)
    monkeypatch.setattr(fused, "spread", lambda *_: pytest.fail("used"))
    soft_histogram(cuda.rand(100, device="cuda"))


@every
def test_cuda_does_not_wait_for_the_host(cuda, name):
    fun = LOSSES[name]
    x, y = (cuda.rand(4096, device="cuda", requires_grad=True) for _ in range(2))
    cuda.autograd.grad(fun(x, y).sum(), (x, y))  # whatever is compiled or allocated once
    cuda.cuda.set_sync_debug_mode("error")
    try:
        cuda.autograd.grad(fun(x, y).sum(), (x, y))
    finally:
        cuda.cuda.set_sync_debug_mode("default")


@every
def test_cuda_is_deterministic_when_asked(cuda, name):
    fun = LOSSES[name]
    x, y = (cuda.rand(2**16, device="cuda", requires_grad=True) for _ in range(2))
    cuda.use_deterministic_algorithms(True)
    try:
        first, *more = ([fun(x, y), *cuda.autograd.grad(fun(x, y).sum(), (x, y))] for _ in range(4))
    finally:
        cuda.use_deterministic_algorithms(False)
    for again in more:
        assert all(cuda.equal(a, b) for a, b in zip(first, again, strict=True))


@every
def test_cuda_autocast(cuda, name):
    fun = LOSSES[name]
    x, y = (cuda.rand(4096, device="cuda") for _ in range(2))
    with cuda.autocast("cuda", dtype=cuda.bfloat16):
        got = fun(x, y)
    assert got.dtype == cuda.float32
    assert_allclose(to_numpy(got), to_numpy(fun(x, y)), rtol=1e-5, atol=1e-7)


def test_cuda_and_cpu_do_not_mix(cuda):
    x = cuda.rand(8)
    with pytest.raises((TypeError, ValueError), match=r"(?s)device.*(cpu.*cuda|cuda.*cpu)|cpu.*cuda.*device"):
        joint_histogram(x, x.cuda())
    with pytest.raises((TypeError, ValueError), match=r"(?s)device.*(cpu.*cuda|cuda.*cpu)|cpu.*cuda.*device"):
        soft_histogram(x.cuda(), weights=x)


def test_cuda_nan_and_far_values_stay_in_bounds(cuda):
    x = cuda.tensor([[0.1, 0.2, 0.3], [0.1, float("nan"), 0.3], [1e30, -1e30, 0.5]], device="cuda")
    for boundary in ("open", "circular", "reflect"):
        got = to_numpy(soft_histogram(x, 32, boundary=boundary))
        assert_allclose(np.isnan(got).all(1), [False, True, False])
    cuda.cuda.synchronize()


@every
def test_cupy_agrees_with_numpy(cupy, name, rng):
    fun = LOSSES[name]
    x, y = rng.random((2, 500))
    got = fun(cupy.asarray(x), cupy.asarray(y))
    assert isinstance(got, cupy.ndarray)
    assert_allclose(to_numpy(got), fun(x, y), rtol=1e-11, atol=1e-13)
    g = rng.standard_normal(np.shape(fun(x, y)))
    theirs = gradients(cupy, fun, g, cupy.asarray(x), cupy.asarray(y))
    for ours, other in zip(gradients(np, fun, g, x, y), theirs, strict=True):
        assert_allclose(ours, other, rtol=1e-9, atol=1e-12)

"""What compilers, exporters and tensors without values make of the primitives on torch."""

import array_api_compat
import pytest
from numpy.testing import assert_allclose

from diffhist import joint_histogram, mi_distance, soft_histogram, unbalanced_emd

torch = pytest.importorskip("torch")
from test_torch import HISTOGRAMS, every, images  # noqa: E402 - needs torch


@every
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("grad", [True, False])
def test_compile_as_one_graph(name, grad):
    fun = HISTOGRAMS[name]
    torch.compiler.reset()
    compiled = torch.compile(fun, fullgraph=True)
    for seed in range(2):
        x = images(seed, 15, grad=grad)
        got, want = compiled(x), fun(x)
        assert_allclose(got.detach(), want.detach(), rtol=1e-9, atol=1e-12)
        if grad:
            (got_grad,) = torch.autograd.grad(got.square().sum(), x)
            (want_grad,) = torch.autograd.grad(want.square().sum(), x)
            assert_allclose(got_grad, want_grad, rtol=1e-8, atol=1e-11)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compile_a_tensor_passed_twice_with_weights():
    torch.compiler.reset()

    def fun(x, w):
        return mi_distance(joint_histogram(x, x, 5, weights=w)) + soft_histogram(x, 5, weights=x)[2]

    x, w = images(0, 15, grad=True), images(1, 15)
    got, want = torch.compile(fun, fullgraph=True)(x, w), fun(x, w)
    assert_allclose(got.detach(), want.detach(), rtol=1e-9)
    (got,), (want,) = (torch.autograd.grad(value, x) for value in (got, want))
    assert_allclose(got, want, rtol=1e-8, atol=1e-11)


def test_tensors_without_values():
    """Shapes come out, and nothing without values is kept for those that have some."""
    x = torch.rand(2, 3, 40)
    with torch._subclasses.FakeTensorMode() as mode:
        assert soft_histogram(mode.from_tensor(x), 300, bandwidth=0.1).shape == (2, 3, 300)
    assert torch.isfinite(soft_histogram(x, 300, bandwidth=0.1)).all()
    assert joint_histogram(x.to("meta"), x.to("meta"), 8).shape == (2, 3, 8, 8)


@pytest.mark.skipif(
    array_api_compat.__version__.startswith("1.12."), reason="its clip asks for values, where there may be none"
)
@pytest.mark.parametrize("reg", [2e-3, 1e-3])
def test_tensors_without_values_leave_nothing_behind(reg):
    """Nor do those with values, for them: what is kept, and what is not, is the table of distances."""

    def gradient(x):
        p, q = (soft_histogram(a, 11 if reg == 2e-3 else 13) for a in (x, 1 - x))
        return torch.func.grad(lambda p: unbalanced_emd(p, q, reg=reg))(p)

    x = torch.rand(40)
    for _ in range(2):
        with torch._subclasses.FakeTensorMode() as mode:
            assert gradient(mode.from_tensor(x)).device.type == "cpu"
        assert gradient(x.to("meta")).device.type == "meta"
        assert torch.isfinite(gradient(x)).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamic", [None, True])
def test_compile_takes_changing_shapes(dynamic):
    """Eleven crops, two compilations at most, one graph each."""
    from torch._dynamo.utils import counters

    from diffhist.nn import EMDLoss

    torch.compiler.reset()
    counters.clear()
    loss = EMDLoss(16)
    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")  # its code is not the matter
    for n in range(11):
        x = images(n, 2, 3, 8 + n, 12 + 3 * n, grad=True)
        got, want = compiled(x, 1 - x), loss(x, 1 - x)
        assert_allclose(got.detach(), want.detach(), rtol=1e-9)
        (got,), (want,) = torch.autograd.grad(got, x), torch.autograd.grad(want, x)
        assert_allclose(got, want, rtol=1e-8, atol=1e-12)
    assert counters["stats"]["unique_graphs"] <= 2


TRANSFORMED = {
    "vmap": torch.func.vmap,
    "grad": lambda f: torch.func.grad(lambda x: f(x).square().sum()),
    "jacrev": torch.func.jacrev,
    "hessian": lambda f: torch.func.hessian(lambda x: f(x).square().sum()),
    "jvp": lambda f: lambda x: torch.func.jvp(f, (x,), (x,))[1],
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("transform", TRANSFORMED)
@pytest.mark.parametrize("name", ["soft", "joint banded", "hue loss"])
def test_compile_of_transformed_functions(name, transform):
    torch.compiler.reset()
    fun = TRANSFORMED[transform](HISTOGRAMS[name])
    x = images(0, 3, 7)
    assert_allclose(torch.compile(fun, fullgraph=True, backend="aot_eager")(x), fun(x), rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_export_with_a_dimension_that_changes():
    class Module(torch.nn.Module):
        def forward(self, x):
            return mi_distance(joint_histogram(x, 1 - x, 8))

    x, y = images(0, 3, 7), images(1, 3, 11)
    dynamic = {"x": {1: torch.export.Dim("n", min=2)}}
    program = torch.export.export(Module(), (x,), dynamic_shapes=dynamic, strict=True)
    assert_allclose(program.module()(y), Module()(y), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")  # trace() is on its way out
def test_jit_trace_says_what_to_use():
    with pytest.raises(TypeError, match=r"torch\.export.*torch\.compile"):
        torch.jit.trace(lambda x: soft_histogram(x, 4), torch.rand(9))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_vmap_of_what_is_compiled():
    torch.compiler.reset()
    x = images(0, 3, 9)
    compiled = torch.compile(lambda x: soft_histogram(x, 5), backend="aot_eager")
    assert_allclose(torch.func.vmap(compiled)(x), soft_histogram(x, 5), rtol=1e-12)

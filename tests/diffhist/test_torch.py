"""What torch does with the primitives: its own gradient checks, transforms and autocast."""

import numpy as np
import pytest
from arrays import gradients
from numpy.testing import assert_allclose
from test_autodiff import PRIMITIVES, primitive_inputs

import diffhist
from diffhist import emd, entropy, joint_histogram, mi_distance, soft_histogram, squared_emd, value_and_grad, vjp

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

HISTOGRAMS = {
    "soft": lambda x: soft_histogram(x, 6),
    "soft circular": lambda x: soft_histogram(x, 6, boundary="circular"),
    "soft wide": lambda x: soft_histogram(x, 6, bandwidth=1.0, boundary="reflect"),
    "soft banded": lambda x: soft_histogram(x, 64, boundary="reflect"),
    "joint": lambda x: joint_histogram(x, 1 - x, 6, boundary="circular"),
    "joint banded": lambda x: joint_histogram(x, 1 - x, (40, 48)),
    "mi_distance": lambda x: mi_distance(joint_histogram(x, 1 - x, 6)),
    "hue loss": lambda x: squared_emd(
        soft_histogram(x, 8, boundary="circular"),
        soft_histogram(1 - 0.5 * x, 8, boundary="circular"),
        circular=True,
    ),
    "emd": lambda x: emd(soft_histogram(x, 8), soft_histogram(0.5 * x, 8)),
    "emd 1": lambda x: emd(soft_histogram(x, 8), soft_histogram(0.5 * x, 8), order=1, circular=True),
    "entropy": lambda x: entropy(soft_histogram(x, 8)),
}
every = pytest.mark.parametrize("name", HISTOGRAMS)


def images(seed, *shape, dtype=torch.float64, grad=False):
    x = torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return x.requires_grad_(grad)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_gradcheck_and_gradgradcheck(name, rng):
    fun, inputs = primitive_inputs(name, rng)
    inputs = [torch.from_numpy(a).requires_grad_() for a in inputs]
    assert torch.autograd.gradcheck(fun, inputs)
    assert torch.autograd.gradgradcheck(fun, inputs)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_numpy_agrees(name, rng):
    fun, inputs = primitive_inputs(name, rng)
    g = rng.standard_normal(np.shape(fun(*inputs)))
    tensors = [torch.from_numpy(a).requires_grad_() for a in inputs]
    out = fun(*tensors)
    assert_allclose(out.detach(), fun(*inputs), rtol=1e-12, atol=1e-14)
    theirs = torch.autograd.grad(out, tensors, torch.from_numpy(np.array(g)))
    for ours, other in zip(gradients(np, fun, g, *inputs), theirs, strict=True):
        assert_allclose(ours, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("which", [(True, False), (False, True)])
def test_one_input_needs_a_gradient(which):
    x, y = (images(i, 20, grad=needs) for i, needs in enumerate(which))
    joint_histogram(x, y, 5)[1, 2].backward()
    p, q = (images(i, 7, grad=needs) for i, needs in enumerate(which))
    squared_emd(p, q, circular=True).backward()
    for a, needs in zip((x, y, p, q), which * 2, strict=True):
        assert (a.grad is not None) == needs


def test_no_gradient_is_recorded_unasked():
    x = images(0, 20)
    assert not soft_histogram(x, 5).requires_grad
    with torch.no_grad():
        assert not soft_histogram(x.requires_grad_(), 5).requires_grad
    with torch.inference_mode():
        assert soft_histogram(images(0, 20), 5).shape == (5,)


@every
def test_the_same_tensor_twice(name):
    fun = HISTOGRAMS[name]
    x = images(0, 15, grad=True)
    (both,) = torch.autograd.grad((fun(x) * fun(x)).sum(), x)
    (once,) = torch.autograd.grad((fun(x).square()).sum(), x)
    assert_allclose(both, once, rtol=1e-12)


def test_one_tensor_in_two_places():
    x = images(0, 15, grad=True)
    y = x.detach().clone().requires_grad_()
    cases = [
        (lambda a, b: mi_distance(joint_histogram(a, b, 5)), 1e-12),
        (lambda a, b: soft_histogram(a, 5, weights=b)[2], 1e-12),
        (lambda a, b: squared_emd(a, b * 2), 1e-12),
    ]
    for fun, rtol in cases:
        (got,) = torch.autograd.grad(fun(x, x), x)
        assert_allclose(got, sum(torch.autograd.grad(fun(x, y), (x, y))), rtol=rtol, atol=1e-15)


@every
@pytest.mark.parametrize("randomness", ["plain", "of gradients", "second axis"])
def test_vmap(name, randomness):
    fun = HISTOGRAMS[name]
    x = images(0, 4, 15)
    if randomness == "plain":
        got, want = torch.func.vmap(fun)(x), torch.stack([fun(row) for row in x])
    elif randomness == "second axis":
        got, want = torch.func.vmap(fun, in_dims=1)(x.T.contiguous()), torch.stack([fun(row) for row in x])
    else:
        gradient = torch.func.grad(lambda x: fun(x).square().sum())
        got, want = torch.func.vmap(gradient)(x), torch.stack([gradient(row) for row in x])
    assert_allclose(got, want, rtol=1e-10, atol=1e-13)


def test_vmap_over_one_of_two_arrays():
    x, y = images(0, 4, 15), images(1, 15)
    got = torch.func.vmap(lambda x, y: joint_histogram(x, y, 5), in_dims=(0, None))(x, y)
    assert_allclose(got, joint_histogram(x, y.expand(4, 15).contiguous(), 5), atol=1e-14)
    got = torch.func.vmap(lambda x, w: soft_histogram(x, 5, weights=w), in_dims=(None, 0))(y, x)
    assert_allclose(got, soft_histogram(y.expand(4, 15).contiguous(), 5, weights=x), atol=1e-14)


def test_vmap_keeps_broadcast_axes_apart():
    """A mapped axis is none of the axes by which weights, or one of two histograms, broadcast."""
    x, image, sample = images(0, 3, 3, 4, 5), images(1, 3, 4, 5), images(2, 3, 3, 1, 1)

    def weighted(x, w):
        return soft_histogram(x, 6, axis=(-2, -1), weights=w)

    for w in (image, sample, images(3, 3)):
        want = torch.stack([weighted(*pair) for pair in zip(x, w, strict=True)])
        assert_allclose(torch.func.vmap(weighted)(x, w), want, atol=1e-14)
    p, q = images(4, 3, 3, 6), images(5, 3, 6)
    for fun in (squared_emd, lambda p, q: emd(p, q, order=1, circular=True)):
        want = torch.stack([fun(*pair) for pair in zip(p, q, strict=True)])
        assert_allclose(torch.func.vmap(fun)(p, q), want, rtol=1e-12)


def test_vmap_twice():
    x = images(0, 2, 3, 15)
    for fun in HISTOGRAMS.values():
        got = torch.func.vmap(torch.func.vmap(fun))(x)
        assert_allclose(
            got, torch.stack([torch.stack([fun(row) for row in rows]) for rows in x]), rtol=1e-12, atol=1e-14
        )


@every
def test_func_grad_and_jacrev(name):
    fun = HISTOGRAMS[name]
    x = images(0, 15, grad=True)
    jacobian = torch.func.jacrev(fun)(x.detach())
    want = torch.autograd.functional.jacobian(fun, x)
    assert_allclose(jacobian, want, rtol=1e-10, atol=1e-13)
    gradient = torch.func.grad(lambda x: fun(x).square().sum())(x.detach())
    (want,) = torch.autograd.grad(fun(x).square().sum(), x)
    assert_allclose(gradient, want, rtol=1e-10, atol=1e-13)


@every
def test_hessians_by_every_order_of_modes(name):
    """Forward over reverse and the other two against reverse over reverse."""
    fun = HISTOGRAMS[name]
    x = images(0, 9)

    def number(x):
        return fun(x).square().sum()

    want = torch.func.jacrev(torch.func.jacrev(number))(x)
    for inner in (torch.func.jacrev, torch.func.jacfwd):
        assert_allclose(torch.func.jacfwd(inner(number))(x), want, rtol=1e-9, atol=1e-9 * want.abs().max().item())
    assert_allclose(torch.func.hessian(number)(x), want, rtol=1e-9, atol=1e-9 * want.abs().max().item())
    assert_allclose(
        torch.func.jacrev(torch.func.jacfwd(number))(x), want, rtol=1e-9, atol=1e-9 * want.abs().max().item()
    )


@every
@pytest.mark.filterwarnings("ignore:Attempted to insert")  # torch's own, by `linearize` of anything
def test_forward_mode_of_torch(name):
    """Mapped over, linearized, and with dual numbers."""
    fun = HISTOGRAMS[name]
    x, t = images(0, 3, 9), images(1, 3, 9) - 0.5
    value, want = torch.func.jvp(fun, (x,), (t,))
    assert_allclose(value, fun(x), rtol=1e-12)
    _, rows = torch.func.vmap(lambda x, t: torch.func.jvp(fun, (x,), (t,)))(x, t)
    assert_allclose(rows, want, rtol=1e-9, atol=1e-12)
    assert_allclose(torch.func.linearize(fun, x)[1](t), want, rtol=1e-9, atol=1e-12)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, t)
        assert_allclose(torch.autograd.forward_ad.unpack_dual(fun(dual)).tangent, want, rtol=1e-9, atol=1e-12)


@every
@pytest.mark.slow
def test_vectorized_jacobians(name):
    """torch's older way of mapping, which knows fewer functions."""
    fun, x = HISTOGRAMS[name], images(0, 3, 9)
    jacobian = torch.autograd.functional.jacobian(fun, x)
    for strategy in ("reverse-mode", "forward-mode"):
        found = torch.autograd.functional.jacobian(fun, x, vectorize=True, strategy=strategy)
        assert_allclose(found, jacobian, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: soft_histogram(x, 4, weights=x),
        lambda x: soft_histogram(x[None], 4, axis=(0, 1), weights=x),
        lambda x: diffhist.equalize(x, 4),
        lambda x: diffhist.match_histogram(x, x * x, 4, boundary="circular", weights=x),
    ],
    ids=["weights", "two axes", "equalize", "match_histogram"],
)
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorized_jacobians_of_what_is_weighed_and_matched(fun, strategy):
    x = images(0, 10)
    jacobian = torch.autograd.functional.jacobian(fun, x)
    found = torch.autograd.functional.jacobian(fun, x, vectorize=True, strategy=strategy)
    assert_allclose(found, jacobian, rtol=1e-9, atol=1e-12)


@every
def test_double_backward_through_a_penalty(name):
    """A gradient penalty: the loss of a gradient has a gradient itself."""
    fun = HISTOGRAMS[name]
    x = images(0, 12, grad=True)

    def penalty(x):
        (g,) = torch.autograd.grad(fun(x).square().sum(), x, create_graph=True)
        return g.square().sum()

    (got,) = torch.autograd.grad(penalty(x), x)
    for i in (0, 7):
        step = torch.zeros(12, dtype=torch.float64)
        step[i] = 1e-6
        up, down = (penalty((x + s * step).detach().requires_grad_()).item() for s in (1, -1))
        assert_allclose(got[i], (up - down) / 2e-6, rtol=1e-4, atol=1e-6 * got.abs().max().item())


@every
def test_autocast_computes_in_float32(name):
    """A joint histogram multiplied in bfloat16 is wrong in the third digit, and nobody is told."""
    fun = HISTOGRAMS[name]
    x = images(0, 4, 500, dtype=torch.float32, grad=True)
    want = fun(x)
    (want_grad,) = torch.autograd.grad(want.sum(), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = fun(x)
        (got_grad,) = torch.autograd.grad(got.sum(), x)
    assert got.dtype == torch.float32
    assert_allclose(got.detach(), want.detach(), rtol=1e-6, atol=1e-8)
    assert_allclose(got_grad, want_grad, rtol=1e-5, atol=1e-6 * want_grad.abs().max().item())


@every
def test_forms_of_tensors(name):
    """Non-contiguous, expanded and channels-last tensors, views with an offset."""
    fun = HISTOGRAMS[name]
    x = images(0, 3, 20)
    want = fun(x)
    for form in (x.T.contiguous().T, torch.stack([x, x], -1)[..., 1], torch.cat([x, x])[3:]):
        assert_allclose(fun(form), want, rtol=1e-13, atol=1e-15)
    row = images(1, 1, 20, grad=True)
    spread = fun(row.expand(3, 20))
    assert_allclose(spread[2].detach(), fun(row)[0].detach(), rtol=1e-13)
    (got,) = torch.autograd.grad(spread.sum(), row)
    (want,) = torch.autograd.grad(3 * fun(row).sum(), row)
    assert_allclose(got, want, rtol=1e-10, atol=1e-13)


def test_images_in_channels_last_layout():
    x = images(0, 2, 3, 4, 5)
    last = x.to(memory_format=torch.channels_last)
    want = soft_histogram(x, 6, axis=(-2, -1))
    assert want.shape == (2, 3, 6)
    assert_allclose(soft_histogram(last, 6, axis=(-2, -1)), want, atol=1e-15)


def test_parameters_and_expanded_cotangents():
    """A sum hands back a zero-stride cotangent; a Parameter is a tensor of a subclass."""
    x = torch.nn.Parameter(images(0, 2, 20))
    soft_histogram(x, 5).sum().backward()
    assert x.grad.shape == (2, 20)
    assert isinstance(soft_histogram(x, 5), torch.Tensor)


def test_gradient_accumulates_over_calls():
    x = images(0, 20, grad=True)
    for _ in range(2):
        soft_histogram(x, 5)[2].backward()
    (once,) = torch.autograd.grad(soft_histogram(x, 5)[2], x)
    assert_allclose(x.grad, 2 * once, rtol=1e-13)


def test_value_and_grad_leaves_the_tensor_as_it_was():
    x = images(0, 20)
    value, gradient = value_and_grad(lambda x: entropy(soft_histogram(x, 5)))(x)
    assert not x.requires_grad
    assert x.grad is None
    assert not gradient.requires_grad
    assert not value.requires_grad


def test_vjp_of_a_tensor_that_needs_a_gradient():
    x = images(0, 20, grad=True)
    value, pullback = vjp(soft_histogram, x, bins=5)
    (got,) = pullback(torch.ones(5, dtype=torch.float64))
    (want,) = torch.autograd.grad(soft_histogram(x, 5).sum(), x)
    assert_allclose(got.detach(), want, rtol=1e-12, atol=1e-15)
    assert value.shape == (5,)


def test_a_training_step_with_module_weights():
    """Losses in a graph with layers on both sides."""
    layer = torch.nn.Linear(6, 6)
    hue = torch.sigmoid(layer(torch.rand(8, 6, generator=torch.Generator().manual_seed(0))))
    loss = (
        squared_emd(soft_histogram(hue, 8), torch.full((8,), 1 / 8)).mean()
        + mi_distance(joint_histogram(hue, hue.detach().flip(0), 8)).mean()
    )
    loss.backward()
    assert torch.isfinite(layer.weight.grad).all()
    assert layer.weight.grad.abs().max() > 0


@every
def test_a_result_may_be_changed_in_place(name):
    fun, x = HISTOGRAMS[name], images(0, 15, grad=True)
    (want,) = torch.autograd.grad(fun(x).sum(), x)
    out = fun(x)
    out += 0.25
    (got,) = torch.autograd.grad(out.sum(), x)
    assert_allclose(got, want, rtol=1e-13, atol=1e-15)


def test_inference_mode():
    x = torch.rand(20)
    want = value_and_grad(lambda x: soft_histogram(x, 4).pow(2).sum())(x)
    with torch.inference_mode():
        inside = value_and_grad(lambda x: soft_histogram(x, 4).pow(2).sum())(x.clone())
        made_there = x.clone()
    for found in (inside, value_and_grad(lambda x: soft_histogram(x, 4).pow(2).sum())(made_there)):
        for f, w in zip(found, want, strict=True):
            torch.testing.assert_close(f, w)

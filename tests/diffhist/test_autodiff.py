"""Every rule against finite differences, `vjp` and `value_and_grad` on every library, and the NumPy tape."""

import numpy as np
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy
from cases import BOUNDARIES
from numpy.testing import assert_allclose

import diffhist
from diffhist import (
    conditional_entropy,
    conditional_mutual_information,
    emd,
    entropy,
    joint_histogram,
    jvp,
    mi_distance,
    mutual_information,
    soft_histogram,
    squared_emd,
    value_and_grad,
    vjp,
)

# name: (function of arrays, shapes of the arrays); away from ties, everything here is smooth
PRIMITIVES = {
    **{
        f"soft_histogram {boundary} {bandwidth}": (
            lambda x, w, b=boundary, h=bandwidth: soft_histogram(x, 5, bandwidth=h, boundary=b, weights=w),
            [(2, 6), (2, 6)],
        )
        for boundary in BOUNDARIES
        for bandwidth in (0.02, None, 1.5)
    },
    **{
        f"joint_histogram {boundary} {bandwidth}": (
            lambda x, y, w, b=boundary, h=bandwidth: joint_histogram(x, y, (4, 3), bandwidth=h, boundary=b, weights=w),
            [(2, 5), (2, 5), (2, 5)],
        )
        for boundary in BOUNDARIES
        for bandwidth in (0.02, None, 1.5)
    },
    "soft_histogram of sums": (
        lambda x, w: soft_histogram(x, 5, weights=w, normalize=False, axis=0),
        [(6, 2), (6, 1)],
    ),
    "joint_histogram of sums": (lambda x, y: joint_histogram(x, y, 4, normalize=False), [(6,), (6,)]),
    "joint_histogram of three": (lambda x, y, z: joint_histogram(x, y, z, bins=(3, 2, 4)), [(2, 5), (2, 5), (1, 5)]),
    "squared_emd": (squared_emd, [(2, 6), (2, 6)]),
    "squared_emd circular": (lambda p, q: squared_emd(p, q, circular=True), [(3, 1, 6), (2, 6)]),
    "emd 1": (lambda p, q: emd(p, q, order=1), [(6,), (6,)]),
    "emd 1 circular": (lambda p, q: emd(p, q, order=1, circular=True), [(6,), (6,)]),
    "emd 2": (emd, [(6,), (2, 6)]),
    "emd 2 circular": (lambda p, q: emd(p, q, circular=True), [(6,), (6,)]),
    "entropy": (entropy, [(2, 5)]),
    "entropy of tables": (lambda p: entropy(p, axis=(-2, -1)), [(2, 3, 4)]),
    "mutual_information": (mutual_information, [(2, 3, 4)]),
    "conditional_entropy": (conditional_entropy, [(2, 3, 4)]),
    "conditional_mutual_information": (conditional_mutual_information, [(2, 3, 2, 4)]),
    "mi_distance": (mi_distance, [(2, 3, 4)]),
    "relative MI of images": (lambda x, y: mi_distance(joint_histogram(x, y, 5, boundary="circular")), [(9,), (9,)]),
    "hue loss": (
        lambda x, y: squared_emd(
            soft_histogram(x, 8, boundary="circular"), soft_histogram(y, 8, boundary="circular"), circular=True
        ),
        [(2, 9), (2, 9)],
    ),
}


def primitive_inputs(name, rng):
    """The function, and inputs with values in (0.1, 0.9)."""
    fun, shapes = PRIMITIVES[name]
    return fun, [rng.uniform(0.1, 0.9, shape) for shape in shapes]


@pytest.mark.parametrize("name", PRIMITIVES)
def test_rules_against_finite_differences(xp, name, rng):
    fun, inputs = primitive_inputs(name, rng)
    g = rng.standard_normal(np.shape(fun(*inputs)))
    got = gradients(xp, fun, g, *(from_numpy(xp, a) for a in inputs))
    for i, found in enumerate(got):

        def along(a, i=i):
            return (g * fun(*inputs[:i], a, *inputs[i + 1 :])).sum()

        want = reference.central_differences(along, inputs[i])
        assert_allclose(found, want, rtol=1e-5, atol=1e-7 * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("name", PRIMITIVES)
def test_forward_mode_against_finite_differences(xp, name, rng):
    fun, inputs = primitive_inputs(name, rng)
    directions = [rng.standard_normal(a.shape) for a in inputs]
    value, tangent = jvp(fun, *([from_numpy(xp, a) for a in arrays] for arrays in (inputs, directions)))
    assert_allclose(to_numpy(value), fun(*inputs), rtol=1e-12, atol=1e-14)
    up, down = (fun(*(a + s * t for a, t in zip(inputs, directions, strict=True))) for s in (1e-6, -1e-6))
    want = (up - down) / 2e-6
    assert_allclose(to_numpy(tangent), want, rtol=1e-5, atol=1e-7 * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("name", PRIMITIVES)
def test_one_rule_says_both_directions(xp, name, rng):
    """<g, J t> = <J^T g, t> to rounding, whatever finite differences can tell."""
    fun, inputs = primitive_inputs(name, rng)
    directions = [rng.standard_normal(a.shape) for a in inputs]
    g = rng.standard_normal(np.shape(fun(*inputs)))
    arrays, tangents = ([from_numpy(xp, a) for a in each] for each in (inputs, directions))
    there = (g * to_numpy(jvp(fun, arrays, tangents)[1])).sum()
    back = vjp(fun, *arrays)[1](from_numpy(xp, g))
    assert_allclose(
        there, sum((t * to_numpy(b)).sum() for t, b in zip(directions, back, strict=True)), rtol=1e-10, atol=1e-12
    )


def test_forward_mode_of_some_arrays(rng):
    """An array that stands still has no tangent; weights of 0 keep even a NaN out."""
    x, w, t = rng.random((3, 8))
    x[3], w[3] = np.nan, 0.0
    _, tangent = jvp(lambda x: soft_histogram(x, 5, weights=w), (x,), (t,))
    kept = np.arange(8) != 3
    _, want = jvp(lambda x: soft_histogram(x, 5, weights=w[kept]), (x[kept],), (t[kept],))
    assert_allclose(tangent, want, atol=1e-14)
    _, tangent = jvp(lambda w: soft_histogram(x, 5, weights=w, normalize=False), (w,), (t,))
    _, want = jvp(lambda w: soft_histogram(x[kept], 5, weights=w, normalize=False), (w[kept],), (t[kept],))
    assert_allclose(tangent, want, atol=1e-14)


def test_bad_tangents():
    x = np.full(4, 0.5)
    for tangents, message in [((), "as many"), ((np.ones(3),), "shape"), ((np.ones(4, np.float32),), "dtype")]:
        with pytest.raises(ValueError, match=f"tangents.*{message}"):
            jvp(soft_histogram, (x,), tangents)


# --- vjp ---


def test_vjp_gives_value_and_pullback(xp, rng):
    x, g = from_numpy(xp, rng.random((3, 20))), from_numpy(xp, rng.random((3, 6)))
    value, pullback = vjp(soft_histogram, x, bins=6, boundary="circular")
    assert_allclose(to_numpy(value), to_numpy(soft_histogram(x, 6, boundary="circular")), atol=0)
    cotangents = pullback(g)
    assert isinstance(cotangents, tuple)
    assert len(cotangents) == 1
    want, _ = reference.soft_histogram_vjp(to_numpy(g), to_numpy(x), bins=6, boundary="circular")
    assert_allclose(to_numpy(cotangents[0]), want, atol=1e-12)


@pytest.mark.parametrize("fun", [squared_emd, emd, mi_distance, mutual_information, conditional_entropy, entropy])
def test_vjp_of_every_public_function(xp, fun, rng):
    count = 2 if fun in (squared_emd, emd) else 1
    inputs = [from_numpy(xp, rng.uniform(0.1, 0.9, (2, 4, 4))) for _ in range(count)]
    value, pullback = vjp(fun, *inputs)
    g = rng.random(value.shape)
    got = pullback(from_numpy(xp, g))
    assert isinstance(got, tuple)
    for found, want in zip(got, gradients(xp, fun, g, *inputs), strict=True):
        assert_allclose(to_numpy(found), want, atol=1e-14)


def test_vjp_of_a_joint_histogram(xp, rng):
    x, y, g = rng.random(20), rng.random(20), rng.random((6, 5))
    _, pullback = vjp(joint_histogram, from_numpy(xp, x), from_numpy(xp, y), bins=(6, 5))
    got = pullback(from_numpy(xp, g))
    want = reference.joint_histogram_vjp(g, x, y, bins=(6, 5))[:2]
    for found, wanted in zip(got, want, strict=True):
        assert_allclose(to_numpy(found), wanted, atol=1e-12)


def test_pullback_may_be_called_again(xp, rng):
    x = from_numpy(xp, rng.random(20))
    _, pullback = vjp(soft_histogram, x, bins=6)
    g = from_numpy(xp, rng.random(6))
    (first,), (second,), (double,) = pullback(g), pullback(g), pullback(2 * g)
    assert_allclose(to_numpy(first), to_numpy(second), atol=0)
    assert_allclose(2 * to_numpy(first), to_numpy(double), atol=1e-14)


# --- value_and_grad ---


def loss(x, y):
    p, q = (soft_histogram(a, 8, boundary="circular") for a in (x, y))
    return squared_emd(p, q, circular=True) + 0.5 * mi_distance(joint_histogram(x, y, 8))


def test_argnums(xp, rng):
    x, y = (from_numpy(xp, rng.random(30)) for _ in range(2))
    value, gx = value_and_grad(loss)(x, y)
    assert_allclose(to_numpy(value), to_numpy(loss(x, y)), atol=1e-15)
    same, gy = value_and_grad(loss, argnums=1)(x, y)
    assert_allclose(to_numpy(value), to_numpy(same), atol=1e-15)
    _, both = value_and_grad(loss, argnums=(1, 0))(x, y)
    assert isinstance(both, tuple)
    assert_allclose(to_numpy(both[0]), to_numpy(gy), atol=1e-15)
    assert_allclose(to_numpy(both[1]), to_numpy(gx), atol=1e-15)
    _, single = value_and_grad(loss, argnums=(0,))(x, y)
    assert isinstance(single, tuple)
    assert len(single) == 1
    _, last = value_and_grad(loss, argnums=-1)(x, y)
    assert_allclose(to_numpy(last), to_numpy(gy), atol=1e-15)


def test_results_stay_in_the_library(xp, rng):
    x = from_numpy(xp, rng.random(30), "float32")
    value, gradient = value_and_grad(lambda x: entropy(soft_histogram(x, 8)))(x)
    assert gradient.dtype == xp.float32
    assert type(gradient) is type(x)
    assert value.shape == ()


def test_an_input_used_twice_gets_both_gradients(xp, rng):
    x = rng.random(12)

    def both(x):
        return mi_distance(joint_histogram(x, x, 5))

    _, got = value_and_grad(both)(from_numpy(xp, x))
    assert_allclose(to_numpy(got), reference.central_differences(both, x), atol=1e-7)


def test_an_input_not_used_gets_zeros(xp, rng):
    x, y = (from_numpy(xp, rng.random(12)) for _ in range(2))
    _, (gx, gy) = value_and_grad(lambda x, y: entropy(soft_histogram(x, 5)), argnums=(0, 1))(x, y)
    assert np.abs(to_numpy(gx)).max() > 0
    assert_allclose(to_numpy(gy), np.zeros(12), atol=0)


ARITHMETIC = {
    "sum and difference": lambda p, q: ((p + q) - (q - 0.5)).sum(),
    "product": lambda p, q: (p * q * 3).sum(),
    "quotient": lambda p, q: (p / q / 2).sum(),
    "number first": lambda p, q: (1 - p).sum() + (2 / q).sum() + (3 + p).sum() + (0.5 * q).sum(),
    "negation": lambda p, q: (-p * q).sum(),
    "mean": lambda p, q: (p * q).mean() + p.mean(),
    "scalar with array": lambda p, q: (p * q.sum()).sum() / p.mean(),
    "slices": lambda p, q: (p[:, 1:] * p[:, :-1]).sum() + p[0, None, ..., 2:].mean() * q[1, 0],
    "used often": lambda p, q: (p * p * p / (p + q * q)).sum(),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_of_traced_arrays(xp, name, rng):
    p, q = rng.random((2, 4)) + 0.5, rng.random((2, 1)) + 0.5
    fun = ARITHMETIC[name]
    if "strict" not in xp.__name__:  # its arrays have no methods; a traced array has
        assert_allclose(float(fun(from_numpy(xp, p), from_numpy(xp, q))), fun(p, q), rtol=1e-13)
    value, got = value_and_grad(fun, argnums=(0, 1))(from_numpy(xp, p), from_numpy(xp, q))
    assert_allclose(to_numpy(value), fun(p, q), rtol=1e-13)
    assert_allclose(to_numpy(got[0]), reference.central_differences(lambda p: fun(p, q), p), rtol=1e-6, atol=1e-8)
    assert_allclose(to_numpy(got[1]), reference.central_differences(lambda q: fun(p, q), q), rtol=1e-6, atol=1e-8)


def test_comparisons_are_constant_in_pieces(rng):
    p, q = rng.random((2, 4)) + 0.5, rng.random((2, 1)) + 0.5
    _, got = value_and_grad(lambda p: ((p > 1.1) * q + (p <= 1.1) * p + (q != p) * 0.5 * p).sum())(p)
    assert_allclose(got, (p <= 1.1) + 0.5, rtol=1e-14)


def test_traced_arrays_meet_plain_ones_from_both_sides(rng):
    p, plain = rng.random((2, 4)), rng.random(4) + 0.5
    sides = [
        (lambda p: (plain * p).sum(), lambda p: (p * plain).sum()),
        (lambda p: (plain + p).sum(), lambda p: (p + plain).sum()),
        (lambda p: (plain - p).sum(), lambda p: (-p + plain).sum()),
        (lambda p: (plain / p).sum(), lambda p: (1 / p * plain).sum()),
        (lambda p: (np.float64(2) * p).sum(), lambda p: (p * 2).sum()),
    ]
    for left, right in sides:
        value, got = value_and_grad(left)(p)
        same, want = value_and_grad(right)(p)
        assert_allclose(value, same, rtol=1e-14)
        assert_allclose(got, want, rtol=1e-14)


def test_traced_arrays_know_their_form(rng):
    def look(x):
        assert x.shape == (2, 5)
        assert x.ndim == 2
        assert x.dtype == np.float32
        return x.sum()

    value_and_grad(look)(rng.random((2, 5)).astype(np.float32))


OUTSIDE = {
    "sine": lambda x: np.sin(x).sum(),
    "power": lambda x: (x**2).sum(),
    "index of many": lambda x: x[[0, 0]].sum(),
    "mask": lambda x: x[np.array([True, False])].sum(),
    "truth": lambda x: x.sum() if x[0] > 0.5 else 0.0,
    "number": lambda x: float(x),
    "loop": lambda x: sum(v for v in x),
    "conversion": lambda x: np.asarray(x).sum(),
    "concatenate": lambda x: np.concatenate([x, x]).sum(),
    "matmul": lambda x: (x @ x).sum(),
    "clip": lambda x: np.clip(x, 0, 1).sum(),
    "method": lambda x: x.max(),
    "ordering": lambda x: np.sort(x).sum(),
    "namespace": lambda x: x.__array_namespace__().sum(x),
    "reduction of a ufunc": lambda x: np.add.reduce(x),
    "ufunc with out": lambda x: np.add(x, x, out=np.zeros(2)).sum(),
    "writing": lambda x: x.__setitem__(0, 1.0),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_anything_else_says_what_to_do(name):
    """What the tape cannot follow must not be dropped from the gradient in silence."""
    with pytest.raises(TypeError) as caught:
        value_and_grad(OUTSIDE[name])(np.array([0.25, 0.5]))
    message = str(caught.value)
    assert "value_and_grad" in message or "traced" in message, message
    assert "torch" in message or "vjp" in message or "JAX" in message, message


def test_the_loss_must_be_a_scalar_that_came_from_the_input(xp):
    x = from_numpy(xp, np.full(4, 0.5))
    with pytest.raises((ValueError, TypeError, RuntimeError), match=r"scalar|shape"):
        value_and_grad(lambda x: soft_histogram(x, 4))(x)


def test_integers_have_no_gradient(xp):
    with pytest.raises((TypeError, RuntimeError)):
        value_and_grad(lambda x: x.sum())(xp.asarray(np.arange(3)))
    with pytest.raises((TypeError, RuntimeError)):
        value_and_grad(lambda x: (x > 0.5).sum())(from_numpy(xp, np.full(3, 0.4)))


def test_numpys_own_functions_of_traced_arrays(rng):
    x = rng.random(5) + 0.5
    for fun in (np.exp, np.expm1, np.log, np.sqrt, np.negative, lambda x: np.multiply(2.0, x), lambda x: np.add(x, x)):
        _, got = value_and_grad(lambda x, fun=fun: fun(x).sum())(x)
        assert_allclose(got, reference.central_differences(lambda x, fun=fun: fun(x).sum(), x), rtol=1e-6)


@pytest.mark.parametrize("argnums", [2, (0, 2), "x"])
def test_argnums_out_of_reach(argnums):
    with pytest.raises((ValueError, TypeError, IndexError), match="argnums"):
        value_and_grad(loss, argnums=argnums)(np.full(4, 0.5), np.full(4, 0.5))


def test_weights_are_differentiable_by_keyword(xp, rng):
    x, w = rng.random((2, 12))
    g = rng.standard_normal(5)
    (got,) = gradients(xp, lambda w: soft_histogram(from_numpy(xp, x), 5, weights=w), g, from_numpy(xp, w))
    want = reference.soft_histogram_vjp(g, x, w, bins=5)[1]
    assert_allclose(got, want, atol=1e-12)


def test_gradient_descent_moves_a_histogram(rng):
    """The whole of it: NumPy alone, a few steps, a lower loss."""
    x, y = rng.beta(2, 5, 400), rng.beta(5, 2, 400)
    target = soft_histogram(y, 16, bandwidth=0.05)
    step = value_and_grad(lambda x: diffhist.squared_emd(soft_histogram(x, 16, bandwidth=0.05), target))
    first, gradient = step(x)
    for _ in range(30):
        value, gradient = step(x)
        x = x - 3.0 * gradient
    assert value < 0.5 * first

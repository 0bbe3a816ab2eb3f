"""Derivatives of derivatives by `value_and_grad`, `vjp` and `jvp` inside each other, against differences and torch."""

import numpy as np
import pytest
import reference
from arrays import from_numpy, to_numpy
from cases import BOUNDARIES
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import diffhist
from diffhist import entropy, joint_histogram, jvp, mi_distance, soft_histogram, squared_emd, value_and_grad, vjp
from diffhist._array import namespace

KERNELS = ("logistic", "gaussian", "linear", "cubic")
NORMS = ("joint", "studholme", "min", "geometric", "arithmetic", "max")

# name: (function of arrays, shapes of the arrays); away from ties, everything here is smooth
FUNCTIONS = {
    **{
        f"soft_histogram {boundary}": (
            lambda x, w, b=boundary: soft_histogram(x, 5, boundary=b, weights=w),
            [(2, 6), (2, 6)],
        )
        for boundary in BOUNDARIES
    },
    **{
        f"soft_histogram {kernel}": (lambda x, k=kernel: soft_histogram(x, 5, bandwidth=0.3, kernel=k), [(2, 6)])
        for kernel in KERNELS[1:]
    },
    "soft_histogram of rows": (lambda x, w: soft_histogram(x, 5, weights=w, axis=0, normalize=False), [(6, 2), (6, 1)]),
    "joint_histogram": (lambda x, y, w: joint_histogram(x, y, (4, 3), weights=w), [(2, 5), (1, 5), (2, 5)]),
    "joint_histogram of three": (lambda x, y, z: joint_histogram(x, y, z, bins=(3, 2, 4)), [(2, 5), (2, 5), (1, 5)]),
    "squared_emd": (squared_emd, [(2, 6), (2, 6)]),
    "squared_emd circular": (lambda p, q: squared_emd(p, q, circular=True), [(3, 1, 6), (2, 6)]),
    "emd 1 circular": (lambda p, q: diffhist.emd(p, q, order=1, circular=True), [(6,), (6,)]),
    "emd 2": (diffhist.emd, [(6,), (2, 6)]),
    "entropy": (lambda p: entropy(p, axis=(-2, -1)), [(2, 3, 4)]),
    "mutual_information": (diffhist.mutual_information, [(2, 3, 4)]),
    "conditional_entropy": (diffhist.conditional_entropy, [(2, 3, 4)]),
    "conditional_mutual_information": (diffhist.conditional_mutual_information, [(2, 3, 2, 4)]),
    **{
        f"normalized_mutual_information {norm}": (
            lambda p, n=norm: diffhist.normalized_mutual_information(p, norm=n),
            [(2, 3, 4)],
        )
        for norm in NORMS
    },
    "kl_divergence": (diffhist.kl_divergence, [(2, 5), (2, 5)]),
    "js_divergence": (diffhist.js_divergence, [(2, 5), (2, 5)]),
    "unbalanced_emd": (lambda p, q: diffhist.unbalanced_emd(p, q, reg=0.05, reg_m=0.1), [(2, 5), (5,)]),
    **{
        f"match_histogram {boundary}": (
            lambda x, y, w, b=boundary: diffhist.match_histogram(x, y, 5, boundary=b, bandwidth=0.2, weights=w),
            [(2, 6), (2, 6), (6,)],
        )
        for boundary in BOUNDARIES[1:]
    },
    "equalize": (lambda x: diffhist.equalize(x, 5, bandwidth=0.2, axis=0), [(6, 2)]),
}
every = pytest.mark.parametrize("name", FUNCTIONS)


def case(name, rng):
    """A number made of the function, not linear in it; values in (0.1, 0.9), and directions."""
    fun, shapes = FUNCTIONS[name]
    inputs = [rng.uniform(0.1, 0.9, shape) for shape in shapes]
    return (
        lambda *a: (lambda out: (out * out).sum())(fun(*a)),
        inputs,
        [rng.standard_normal(shape) for shape in shapes],
    )


def gradient(fun):
    """By all of its arguments."""
    return lambda *a: value_and_grad(fun, argnums=tuple(range(len(a))))(*a)[1]


def along(fun, tangents):
    """The derivative in a direction, by each of both modes."""
    return {
        "reverse": lambda *a: sum((g * t).sum() for g, t in zip(gradient(fun)(*a), tangents, strict=True)),
        "forward": lambda *a: jvp(fun, a, tangents)[1],
    }


@every
def test_every_order_of_modes_is_the_slope_of_the_gradient(xp, name, rng):
    fun, inputs, tangents = case(name, rng)
    ends = [gradient(fun)(*(a + s * t for a, t in zip(inputs, tangents, strict=True))) for s in (1e-6, -1e-6)]
    want = [(up - down) / 2e-6 for up, down in zip(*ends, strict=True)]
    arrays, moves = ([from_numpy(xp, a) for a in each] for each in (inputs, tangents))
    found = {mode: gradient(slope)(*arrays) for mode, slope in along(fun, moves).items()}
    found["forward over reverse"] = [
        jvp(lambda *a, n=n: gradient(fun)(*a)[n], arrays, moves)[1] for n in range(len(arrays))
    ]
    for got in found.values():
        for g, w, a in zip(got, want, arrays, strict=True):
            assert type(g) is type(a)
            assert_allclose(to_numpy(g), w, rtol=1e-4, atol=1e-6 * max(1.0, np.abs(w).max()))


@every
def test_torchs_double_backward_is_the_same_to_rounding(torch, name, rng):
    fun, inputs, tangents = case(name, rng)
    tensors, moves = ([torch.asarray(a) for a in each] for each in (inputs, tangents))
    leaves = [t.requires_grad_() for t in tensors]
    first = torch.autograd.grad(fun(*leaves), leaves, create_graph=True)
    slope = sum((g * t).sum() for g, t in zip(first, moves, strict=True))
    want = torch.autograd.grad(slope, leaves, materialize_grads=True)
    for make in along(fun, tangents).values():
        for got, w in zip(gradient(make)(*inputs), want, strict=True):
            assert_allclose(got, w, rtol=1e-8, atol=1e-9 * max(1.0, w.abs().max().item()))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    modes=st.lists(st.sampled_from(["forward", "reverse"]), min_size=1, max_size=3),
    boundary=st.sampled_from(BOUNDARIES),
    kernel=st.sampled_from([k for k in KERNELS if k != "linear"]),
    joint=st.booleans(),
)
def test_any_order_by_any_modes_is_the_difference_of_the_one_below(seed, modes, boundary, kernel, joint):
    rng = np.random.default_rng(seed)
    x, w, t, s = rng.uniform(0.1, 0.9, (4, 5))
    options = {"bins": 4, "bandwidth": 0.2, "boundary": boundary, "kernel": kernel}

    def fun(x, w):
        if joint:
            return mi_distance(joint_histogram(x, 0.5 * x + 0.2, weights=w, **options))
        return entropy(soft_histogram(x, weights=w, **options))

    for mode in modes[:-1]:
        fun = along(fun, (t, s))[mode]
    ends = [fun(x + step * t, w + step * s) for step in (1e-5, -1e-5)]
    got = along(fun, (t, s))[modes[-1]](x, w)
    assert_allclose(got, (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=1e-5 * max(1.0, abs(ends[0])))


STANDARD = {
    "astype": lambda xp, a, b: xp.astype(a, b.dtype),
    "broadcast_to": lambda xp, a, b: xp.broadcast_to(a[:, :1, None], (2, 3, 4, 3)),
    "clip": lambda xp, a, b: xp.clip(a, 0.3, 0.6),
    "concat": lambda xp, a, b: xp.concat([a, b[:, :2, :], a], axis=1),
    "cumulative_sum": lambda xp, a, b: xp.cumulative_sum(a, axis=-1),
    "divide": lambda xp, a, b: a / b[:, 1:2, :],
    "exp": lambda xp, a, b: xp.exp(a),
    "expand_dims": lambda xp, a, b: xp.expand_dims(a, axis=1) * b,
    "expm1": lambda xp, a, b: xp.expm1(a),
    "flip": lambda xp, a, b: xp.flip(a, axis=1) * b,
    "linalg.solve": lambda xp, a, b: xp.linalg.solve(2.0 * xp.eye(3) + b, a),
    "log": lambda xp, a, b: xp.log(a),
    "matmul": lambda xp, a, b: xp.matmul(a[0, ...], b),
    "matrix_transpose": lambda xp, a, b: xp.matrix_transpose(a) * b,
    "multiply": lambda xp, a, b: a * b[0, ...],
    "negative": lambda xp, a, b: -a,
    "part": lambda xp, a, b: a[1, None, 1:, ...] * b[..., 0],
    "permute_dims": lambda xp, a, b: xp.permute_dims(a[..., None] * b[:, None, :, :], (1, 2, 3, 0)),
    "reshape": lambda xp, a, b: xp.reshape(a, (3, 6)),
    "sqrt": lambda xp, a, b: xp.sqrt(a),
    "stack": lambda xp, a, b: xp.stack([a, b], axis=-2),
    "subtract": lambda xp, a, b: a[0, ...] - b,
    "sum": lambda xp, a, b: xp.sum(a, axis=(0, -1)) * xp.sum(b, axis=1, keepdims=True),
    "where": lambda xp, a, b: xp.where(a > b, a * a, b[0, ...]),
}


@pytest.mark.parametrize("name", STANDARD)
def test_what_rules_are_made_of(name, rng):
    a, b = rng.uniform(0.1, 0.9, (2, 2, 3, 3))
    t, s = rng.standard_normal((2, 2, 3, 3))
    shape = np.shape(STANDARD[name](namespace(a), a, b))
    weights = rng.standard_normal(shape)

    def fun(a, b):
        out = STANDARD[name](namespace(a, b), a, b)
        return (out * out * weights).sum()

    def check(below, slopes):
        ends = [below(a + step * t, b + step * s) for step in (1e-6, -1e-6)]
        for slope in slopes:
            assert_allclose(slope(a, b), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-6 * abs(ends[0]))

    first = along(fun, (t, s))
    check(fun, first.values())
    check(first["reverse"], [second for one in first.values() for second in along(one, (t, s)).values()])


def test_inner_and_outer_variables_are_kept_apart(xp, rng):
    """An inner derivative by one variable moves with another one, seen from outside: no perturbation is confused."""
    x, y = (from_numpy(xp, rng.random(4)) for _ in range(2))

    def inner(x):
        return value_and_grad(lambda y: (x * y * y).sum())(y)[1]  # 2 x y

    _, got = value_and_grad(lambda x: (x * inner(x)).sum())(x)
    assert_allclose(to_numpy(got), to_numpy(4 * x * y), rtol=1e-12)
    _, got = jvp(lambda x: x * jvp(lambda y: x + y, (y,), (xp.ones_like(y),))[1], (x,), (xp.ones_like(x),))
    assert_allclose(to_numpy(got), np.ones(4), rtol=1e-12)
    _, got = value_and_grad(lambda x: value_and_grad(lambda y: (x * x).sum() + y.sum())(y)[0])(x)
    assert_allclose(to_numpy(got), to_numpy(2 * x), rtol=1e-12)


def test_mixed_derivatives_of_two_images(xp, rng):
    """By one of two images, then by the other: the cotangent of an array moves where the array does not."""
    x, y, t = rng.random((3, 6))

    def loss(x, y):
        return squared_emd(*(soft_histogram(a, 5, boundary="circular") for a in (x, y)), circular=True)

    def slope(x, t):
        return lambda y: (value_and_grad(loss)(x, y)[1] * t).sum()

    _, got = value_and_grad(slope(from_numpy(xp, x), from_numpy(xp, t)))(from_numpy(xp, y))
    want = reference.central_differences(slope(x, t), y)
    assert_allclose(to_numpy(got), want, rtol=1e-5, atol=1e-7 * np.abs(want).max())


def test_a_pullback_is_a_function_that_has_derivatives(xp, rng):
    """It is linear in its cotangent, and its own transpose is the way forward."""
    x, g, t = rng.random(6), rng.standard_normal(4), rng.standard_normal(6)
    x, g, t = (from_numpy(xp, a) for a in (x, g, t))
    _, pullback = vjp(soft_histogram, x, bins=4)
    _, got = value_and_grad(lambda g: (pullback(g)[0] * t).sum())(g)
    assert_allclose(to_numpy(got), to_numpy(jvp(soft_histogram, (x,), (t,), bins=4)[1]), rtol=1e-12)


@pytest.mark.parametrize("orders", [2, 3, 4])
def test_polynomials_come_to_an_end(orders):
    """Derivatives of x^3 / 6: x, 1, and arrays of zeros ever after."""
    x = np.array([0.5, 2.0])

    def fun(x):
        return (x * x * x).sum() / 6

    for _ in range(orders - 1):
        fun = (lambda below: lambda x: value_and_grad(below)(x)[1].sum())(fun)
    value, got = value_and_grad(fun)(x)
    assert type(got) is np.ndarray
    assert isinstance(value, np.floating)
    assert_allclose(got, {2: x, 3: np.ones(2), 4: np.zeros(2)}[orders])


def test_a_gradient_penalty_on_numpy(rng):
    """Half precision aside, what is computed in float32 stays there, and may be written to."""
    x = rng.random(50).astype(np.float32)

    def penalty(x):
        _, g = value_and_grad(lambda x: entropy(soft_histogram(x, 8, boundary="reflect")))(x)
        return (g * g).sum()

    value, got = value_and_grad(penalty)(x)
    assert value.dtype == got.dtype == np.float32
    assert_allclose(got, value_and_grad(penalty)(x.astype(np.float64))[1], rtol=1e-2, atol=2e-4 * np.abs(got).max())
    got += 1

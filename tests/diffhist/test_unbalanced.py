"""Unbalanced transport against POT, SciPy's minimiser, plain Sinkhorn iterations and closed forms."""

import numpy as np
import ot
import pytest
import reference
from arrays import from_numpy, gradients, to_numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import rel_entr

from diffhist import jvp, unbalanced_emd, value_and_grad, vjp

REGS = [(0.002, 0.01), (0.05, 0.01), (0.02, 0.2)]


def distances(bins, circular):
    apart = np.abs(np.arange(bins)[:, None] - np.arange(bins)) / bins
    return (np.minimum(apart, 1 - apart) if circular else apart) ** 2


def divergence(a, b):
    return (rel_entr(a, b) - a + b).sum()


def objective(plan, p, q, C, reg, reg_m):
    relaxed = divergence(plan.sum(1), p) + divergence(plan.sum(0), q)
    return (plan * C).sum() + reg * divergence(plan, p[:, None] * q) + reg_m * relaxed


def log_sum_exp(a):
    top = a.max(1)
    return top + np.log(np.exp(a - top[:, None]).sum(1))


def potentials(p, q, C, reg, reg_m, steps=4000):
    """Plain Sinkhorn iterations in logarithms."""
    f, g, damping = np.zeros_like(p), np.zeros_like(q), reg_m / (reg_m + reg)
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p), np.log(q)
    for _ in range(steps):
        old = f, g
        f = -damping * reg * log_sum_exp(log_q + (g - C) / reg)
        g = -damping * reg * log_sum_exp(log_p + (f - C.T) / reg)
        if all(np.abs(new - o).max() < 1e-14 for new, o in zip((f, g), old, strict=True)):
            break
    return f, g


def dual(p, q, circular, reg, reg_m):
    C = distances(p.size, circular)
    f, g = potentials(p, q, C, reg, reg_m)
    mass = np.exp((f[:, None] + g - C) / reg)
    relaxed = (p * -np.expm1(-f / reg_m)).sum() + (q * -np.expm1(-g / reg_m)).sum()
    return reg_m * relaxed, reg * (p.sum() * q.sum() - p @ mass @ q)


def histograms():
    """Two rows of masses, many of them 0 and some next to nothing, neither row empty."""
    mass = st.one_of(st.sampled_from([0.0, 0.0, 1e-300, 1e-12, 1.0]), st.floats(0.0, 2.0))
    shape = st.tuples(st.just(2), st.integers(1, 12))
    return shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=mass)).filter(lambda h: h.sum(1).min() > 0.1)


@pytest.mark.parametrize(("reg", "reg_m"), REGS)
@pytest.mark.parametrize("circular", [False, True])
def test_the_plan_of_pot_in_the_formula(xp, circular, reg, reg_m, rng):
    p, q = rng.random((2, 3, 16)) ** 3
    C = distances(16, circular)
    options = {"reg_type": "kl", "numItermax": 20000, "stopThr": 1e-13}
    plans = [ot.unbalanced.sinkhorn_unbalanced(a, b, C, reg, reg_m, **options) for a, b in zip(p, q, strict=True)]
    want = [objective(plan, a, b, C, reg, reg_m) for plan, a, b in zip(plans, p, q, strict=True)]
    got = unbalanced_emd(from_numpy(xp, p), from_numpy(xp, q), circular=circular, reg=reg, reg_m=reg_m)
    assert_allclose(to_numpy(got), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("bins", [1, 2, 3])
def test_no_plan_costs_less(bins, circular, rng):
    """By SciPy, over the logarithms of all cells."""
    p, q = rng.random((2, bins)) + 0.1
    C, reg, reg_m = distances(bins, circular), 0.03, 0.1
    best = minimize(
        lambda x: objective(np.exp(x.reshape(bins, bins)), p, q, C, reg, reg_m),
        np.log(np.outer(p, q)).ravel(),
        method="BFGS",
        options={"gtol": 1e-10},
    )
    got = unbalanced_emd(p, q, circular=circular, reg=reg, reg_m=reg_m)
    assert_allclose(got, best.fun, rtol=1e-4)
    assert got < best.fun + 1e-9


@given(d=st.integers(0, 9), a=st.floats(0.1, 3.0), b=st.floats(0.1, 3.0))
@pytest.mark.parametrize(("reg", "reg_m"), REGS)
def test_two_spikes(reg, reg_m, d, a, b):
    """One cell of a plan: reg log(m / ab) + 2 reg_m log m - reg_m log(ab) + C = 0."""
    p, q = np.zeros((2, 10))
    p[0], q[d] = a, b
    mass = np.exp((-((d / 10) ** 2) + (reg + reg_m) * np.log(a * b)) / (reg + 2 * reg_m))
    want = reg * a * b + reg_m * (a + b) - (reg + 2 * reg_m) * mass
    assert_allclose(unbalanced_emd(p, q, reg=reg, reg_m=reg_m), want, rtol=1e-9, atol=1e-14)


@given(rows=histograms())
@pytest.mark.parametrize("circular", [False, True])
def test_converged_whatever_is_empty(circular, rows):
    p, q = rows
    got = value_and_grad(lambda p, q: unbalanced_emd(p, q, circular=circular), argnums=(0, 1))(p, q)
    assert_allclose(got[0], sum(dual(p, q, circular, 0.002, 0.01)), rtol=1e-9, atol=1e-12)
    C = distances(p.size, circular)
    f, g = potentials(p, q, C, 0.002, 0.01)
    assert_allclose(got[1][0], 0.01 + 0.002 * q.sum() - 0.012 * np.exp(-f / 0.01), rtol=1e-7, atol=1e-9)
    assert_allclose(got[1][1], 0.01 + 0.002 * p.sum() - 0.012 * np.exp(-g / 0.01), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("reg", "reg_m"), REGS)
@pytest.mark.parametrize("circular", [False, True])
def test_for_shares_it_is_a_multiple_of_the_dual_without_the_plans_mass(circular, reg, reg_m, rng):
    p, q = rng.random((2, 20)) ** 4
    p, q = p / p.sum(), q / q.sum()
    relaxed, mass = dual(p, q, circular, reg, reg_m)
    got = unbalanced_emd(p, q, circular=circular, reg=reg, reg_m=reg_m)
    assert_allclose(got, relaxed + mass, rtol=1e-10)
    assert_allclose(got, (1 + reg / (2 * reg_m)) * relaxed, rtol=1e-10)


@given(rows=histograms(), shift=st.integers(0, 30))
def test_symmetric_and_on_the_circle_without_a_cut(rows, shift):
    p, q = rows
    for circular in (False, True):
        there = unbalanced_emd(p, q, circular=circular)
        assert_allclose(unbalanced_emd(q, p, circular=circular), there, rtol=1e-9, atol=1e-12)
        mirrored = unbalanced_emd(p[::-1].copy(), q[::-1].copy(), circular=circular)
        assert_allclose(mirrored, there, rtol=1e-9, atol=1e-12)
    turned = unbalanced_emd(np.roll(p, shift), np.roll(q, shift), circular=True)
    assert_allclose(turned, there, rtol=1e-9, atol=1e-12)


@given(rows=histograms())
def test_between_nothing_and_making_all_anew(rows):
    p, q = rows / rows.sum(1, keepdims=True)
    assert 0 <= unbalanced_emd(p, q, circular=True) <= 0.002 + 2 * 0.01
    assert unbalanced_emd(p, p, circular=True) <= 0.002 * -np.log(1 / p.size) + 1e-12  # the plan diag(p)


def test_many_proportions_hardly_matter_where_emd_forces_them():
    """What it is for: a target with twice the leaves has the same two colours."""
    p, q = np.zeros((2, 64))
    p[[5, 20]], q[[5, 20]] = (0.8, 0.2), (0.4, 0.6)
    far = np.roll(p, 12)
    assert unbalanced_emd(p, q, circular=True) < 0.3 * unbalanced_emd(p, far, circular=True)


# --- gradients ---


@pytest.mark.parametrize(("reg", "reg_m"), REGS)
@pytest.mark.parametrize("circular", [False, True])
def test_gradient_is_that_of_the_dual(xp, circular, reg, reg_m, rng):
    p, q = rng.random((2, 2, 7)) + 0.05
    g = np.array([1.0, -2.0])
    arrays = from_numpy(xp, p), from_numpy(xp, q)
    options = {"circular": circular, "reg": reg, "reg_m": reg_m}
    got = gradients(xp, lambda p, q: unbalanced_emd(p, q, **options), g, *arrays)
    for row in range(2):
        want = reference.central_differences(lambda p: g[row] * sum(dual(p, q[row], **options)), p[row])  # noqa: B023
        assert_allclose(got[0][row], want, atol=1e-8)
        want = reference.central_differences(lambda q: g[row] * sum(dual(p[row], q, **options)), q[row])  # noqa: B023
        assert_allclose(got[1][row], want, atol=1e-8)


@pytest.mark.parametrize("circular", [False, True])
def test_second_and_third_derivatives_on_torch(torch, circular):
    generator = torch.Generator().manual_seed(0)
    p, q = torch.rand(2, 2, 5, dtype=torch.float64, generator=generator) + 0.1

    def loss(p, q):
        return unbalanced_emd(p, q, circular=circular, reg=0.02, reg_m=0.05)

    def slope(p, q):
        return torch.autograd.grad(loss(p, q).square().sum(), (p, q), create_graph=True)

    inputs = p.requires_grad_(), q.requires_grad_()
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(slope, inputs)


def test_second_derivative_by_empty_bins(torch):
    """It is the limit of that by bins with little in them, and finite even where both histograms are empty."""
    p, q = torch.zeros(2, 64, dtype=torch.float64)
    p[3], q[5] = 1.0, 1.0

    def curvature(p):
        p = p.clone().requires_grad_()
        (slope,) = torch.autograd.grad(unbalanced_emd(p, q, circular=True), p, create_graph=True)
        return torch.autograd.grad(slope[0] + slope[4], p)[0]

    empty = curvature(p)
    assert_allclose(empty, curvature(p + 1e-20), rtol=1e-6, atol=1e-12)
    assert empty[4].abs() > 0
    for dtype in (torch.float32, torch.float64):
        p, q = p.to(dtype).requires_grad_(), q.to(dtype).requires_grad_()
        slopes = torch.autograd.grad(unbalanced_emd(p, q), (p, q), create_graph=True)
        for found in torch.autograd.grad(slopes[0].sum() + slopes[1].sum(), (p, q)):
            assert torch.isfinite(found).all()


@pytest.mark.slow
def test_hessian_on_jax(rng):
    jax = pytest.importorskip("jax")
    p, q = rng.random((2, 5)) + 0.1

    def slope(p):
        return gradients(np, lambda p: unbalanced_emd(p, q), 1.0, p)[0]

    got = jax.jit(jax.jacrev(jax.grad(lambda p: unbalanced_emd(p, jax.numpy.asarray(q)))))(jax.numpy.asarray(p))
    for i, row in enumerate(np.asarray(got)):
        assert_allclose(row, reference.central_differences(lambda p: slope(p)[i], p), rtol=1e-5, atol=1e-7)  # noqa: B023


# --- shapes and inputs ---


def test_batch_axes_broadcast(xp, rng):
    p, q = rng.random((3, 1, 6)), rng.random((4, 6))
    got = to_numpy(unbalanced_emd(from_numpy(xp, p), from_numpy(xp, q)))
    assert got.shape == (3, 4)
    assert_allclose(got[2, 1], unbalanced_emd(p[2, 0], q[1]), rtol=1e-12)
    g = rng.standard_normal((3, 4))
    found = gradients(xp, unbalanced_emd, g, from_numpy(xp, p), from_numpy(xp, q))
    each = [[gradients(np, unbalanced_emd, g[i, j], p[i, 0], q[j]) for j in range(4)] for i in range(3)]
    assert_allclose(found[0][:, 0], [sum(each[i][j][0] for j in range(4)) for i in range(3)], atol=1e-12)
    assert_allclose(found[1], [sum(each[i][j][1] for i in range(3)) for j in range(4)], atol=1e-12)
    assert unbalanced_emd(from_numpy(xp, np.ones((0, 6))), from_numpy(xp, q[0])).shape == (0,)


def test_without_mass_it_is_0_with_gradient_0(xp, rng):
    full, part = rng.random((2, 3, 6))
    part[1] = 0.0
    for p, q in ((full, part), (part, full), (part, part + 0)):
        arrays = from_numpy(xp, p), from_numpy(xp, q)
        assert to_numpy(unbalanced_emd(*arrays))[1] == 0.0
        for found in gradients(xp, unbalanced_emd, np.ones(3), *arrays):
            assert_allclose(found[1], 0.0, atol=0)
            assert np.abs(found[[0, 2]]).min() > 0


def test_nan_stays_in_its_row(xp, rng):
    p, q = rng.random((3, 6)), rng.random((3, 6))
    p[1, 2] = np.nan
    got = to_numpy(unbalanced_emd(from_numpy(xp, p), from_numpy(xp, q)))
    assert_allclose(np.isnan(got), [False, True, False])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("circular", [False, True])
def test_less_than_double_precision(xp, circular, dtype, rng):
    if not hasattr(xp, dtype):
        pytest.skip(f"{xp.__name__} has no {dtype}")
    p, q = rng.random((2, 3, 64)) ** 6
    p, q = (from_numpy(xp, h / h.sum(1, keepdims=True), dtype) for h in (p, q))
    got = unbalanced_emd(p, q, circular=circular)
    assert got.dtype == getattr(xp, dtype)
    exact = [to_numpy(h).astype(np.float64) for h in (p, q)]
    eps = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-21}[dtype]
    assert_allclose(to_numpy(got), unbalanced_emd(*exact, circular=circular), rtol=eps)
    found = gradients(xp, lambda p, q: unbalanced_emd(p, q, circular=circular), np.ones(3), p, q)
    want = gradients(np, lambda p, q: unbalanced_emd(p, q, circular=circular), np.ones(3), *exact)
    for ours, theirs in zip(found, want, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=2 * eps * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["reg", "reg_m"])
def test_errors_name_the_argument(name):
    p = np.ones(4)
    for value in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=rf"`{name}` must be positive and finite, got {value}"):
            unbalanced_emd(p, p, **{name: value})
    with pytest.raises(TypeError, match=rf"`{name}` must be a number, got 'much'"):
        unbalanced_emd(p, p, **{name: "much"})
    with pytest.raises(ValueError, match=r"`p` and `q`.*\(4,\) and \(5,\)"):
        unbalanced_emd(p, np.ones(5))


@pytest.mark.parametrize("circular", [False, True])
def test_forward_mode(rng, circular):
    """Of the value, and of its gradient: each against what the way back says."""
    p, q, t, u = rng.random((4, 2, 7)) + 0.1

    def fun(p, q):
        return unbalanced_emd(p, q, circular=circular)

    _, tangent = jvp(fun, (p, q), (t, u))
    back = vjp(fun, p, q)[1](np.ones(2))
    assert_allclose(tangent.sum(), (back[0] * t).sum() + (back[1] * u).sum(), rtol=1e-10)


def test_hessians_by_both_modes(torch, rng):
    p, q = (torch.from_numpy(rng.random(5) + 0.1) for _ in range(2))
    want = torch.func.jacrev(torch.func.jacrev(unbalanced_emd))(p, q)
    found = torch.func.hessian(unbalanced_emd)(p, q)
    assert_allclose(found, want, rtol=1e-8, atol=1e-9 * want.abs().max())

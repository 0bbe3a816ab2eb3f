"""What JAX does with the primitives: jit, grad, vmap, and all of them together."""

import os
import subprocess
import sys

import numpy as np
import pytest
import reference
from arrays import gradients
from cases import BOUNDARIES
from numpy.testing import assert_allclose
from test_autodiff import PRIMITIVES, primitive_inputs

from diffhist import emd, entropy, joint_histogram, mi_distance, soft_histogram, squared_emd

jax = pytest.importorskip("jax")
jnp = jax.numpy


def square_sum(h):
    return (h * h).sum()


LOSSES = {
    "soft": lambda x, w: square_sum(soft_histogram(x, 6, weights=w)),
    "joint": lambda x, w: square_sum(joint_histogram(x, 1 - x, 6, weights=w, boundary="circular")),
    "mi_distance": lambda x, w: mi_distance(joint_histogram(x, 1 - x, 24, weights=w)),
    "hue loss": lambda x, w: squared_emd(
        soft_histogram(x, 40, boundary="circular", weights=w), soft_histogram(1 - x / 2, 40), circular=True
    ),
    "emd": lambda x, w: emd(soft_histogram(x, 8, weights=w), soft_histogram(x / 2, 8), order=1, circular=True),
    "entropy": lambda x, w: entropy(soft_histogram(x, 8, weights=w, boundary="reflect")),
}
every = pytest.mark.parametrize("name", LOSSES)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_numpy_agrees(name, rng):
    fun, inputs = primitive_inputs(name, rng)
    want = fun(*inputs)
    g = rng.standard_normal(np.shape(want))

    @jax.jit
    def value_and_pulled(g, *arrays):
        value, pullback = jax.vjp(fun, *arrays)
        return value, pullback(g)

    value, pulled = value_and_pulled(jnp.asarray(g), *map(jnp.asarray, inputs))
    assert_allclose(value, want, rtol=1e-12, atol=1e-14)
    for ours, theirs in zip(gradients(np, fun, g, *inputs), pulled, strict=True):
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "name", [pytest.param("hue loss", marks=pytest.mark.slow), *sorted(LOSSES.keys() - {"hue loss"})]
)
def test_jit_grad_and_vmap(name, rng):
    loss = LOSSES[name]
    x, w = rng.random((2, 3, 15))
    want = [gradients(np, loss, 1.0, *row) for row in zip(x, w, strict=True)]
    values = [loss(*row) for row in zip(x, w, strict=True)]
    assert_allclose(jax.jit(loss)(jnp.asarray(x[0]), jnp.asarray(w[0])), values[0], rtol=1e-11)
    assert_allclose(jax.vmap(loss)(jnp.asarray(x), jnp.asarray(w)), values, rtol=1e-11)
    together = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1))))(jnp.asarray(x), jnp.asarray(w))
    for i, got in enumerate(together):
        assert_allclose(got, [row[i] for row in want], rtol=1e-9, atol=1e-12)


@every
def test_grad_of_grad(name, rng):
    """Reverse over reverse."""
    loss = LOSSES[name]
    x, w = rng.random(8), rng.random(8)

    @jax.jit
    def penalty(x):
        return (jax.grad(loss)(x, jnp.asarray(w)) ** 2).sum()

    got = jax.jit(jax.grad(penalty))(jnp.asarray(x))
    step = 1e-6 * np.eye(8)[3]
    want = (penalty(jnp.asarray(x + step)) - penalty(jnp.asarray(x - step))) / 2e-6
    assert_allclose(got[3], want, rtol=1e-4, atol=1e-6 * np.abs(got).max())


@every
def test_hessians_by_every_order_of_modes(name, rng):
    """Forward over reverse and the other two against reverse over reverse; linearized, the slope is that of `jvp`."""
    x, w = rng.random((2, 5))

    @jax.jit
    def all_of_them(x, t):
        def loss(x):
            return LOSSES[name](x, jnp.asarray(w))

        two = (
            jax.jacrev(jax.jacrev(loss)),
            jax.jacfwd(jax.jacrev(loss)),
            jax.jacrev(jax.jacfwd(loss)),
            jax.hessian(loss),
        )
        return [h(x) for h in two], jax.jvp(loss, (x,), (t,))[1], jax.linearize(loss, x)[1](t), jax.grad(loss)(x) @ t

    (want, *others), *slopes = all_of_them(jnp.asarray(x), jnp.asarray(w - 0.5))
    for found in others:
        assert_allclose(found, want, rtol=1e-8, atol=1e-9 * np.abs(want).max())
    assert_allclose(slopes[1:], [slopes[0]] * 2, rtol=1e-9, atol=1e-13)


def test_vmap_over_weights_alone(rng):
    x, w = jnp.asarray(rng.random(15)), jnp.asarray(rng.random((4, 15)))
    got = jax.jit(jax.vmap(lambda w: soft_histogram(x, 6, weights=w)))(w)
    assert_allclose(got, soft_histogram(np.broadcast_to(x, (4, 15)), 6, weights=np.asarray(w)), atol=1e-14)


@pytest.fixture
def without_x64():
    """As JAX comes: there is no float64 to add up in."""
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("bandwidth", [None, 1.0])
def test_float32_without_x64(without_x64, bandwidth, rng):
    x = rng.random(200).astype(np.float32)

    def loss(x):
        return mi_distance(joint_histogram(x, x, 32, bandwidth=bandwidth)) + entropy(soft_histogram(x, 64))

    value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(x))
    assert value.dtype == gradient.dtype == jnp.float32
    assert_allclose(value, loss(x.astype(np.float64)), rtol=1e-5)
    (want,) = gradients(np, loss, 1.0, x.astype(np.float64))
    assert_allclose(gradient, want, rtol=0, atol=2e-4 * np.abs(want).max())


@pytest.mark.slow
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_ten_million_equal_pixels_without_x64(without_x64, boundary):
    x = np.full(10**7, 0.3, np.float32)
    want = reference.soft_histogram(x[:1], boundary=boundary)
    got = jax.jit(lambda x: soft_histogram(x, boundary=boundary))(jnp.asarray(x))
    assert_allclose(got, want, rtol=0, atol=1e-6)


def test_errors_come_before_tracing():
    with pytest.raises(ValueError, match="bins"):
        jax.jit(lambda x: soft_histogram(x, 0))(jnp.ones(4))
    with pytest.raises(TypeError, match="int"):
        jax.jit(soft_histogram)(jnp.ones(4, int))


LOOPS = {
    "joint": lambda x: square_sum(joint_histogram(x, 1 - x, 64)),
    "soft": lambda x: square_sum(soft_histogram(x, 64)),
    "dense": lambda x: square_sum(soft_histogram(x, 8, bandwidth=0.5)),
}


@pytest.mark.parametrize("name", LOOPS)
def test_programs_do_not_grow_with_the_data(name):
    def lines(*shape):
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        return jax.jit(jax.value_and_grad(LOOPS[name])).lower(x).as_text().count("\n")

    assert lines(64, 1 << 16) == lines(256, 1 << 20) < 2000


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_memory_does_not_grow_faster_than_the_data(name):
    x = jax.ShapeDtypeStruct((1, 1 << 23), jnp.float32)
    used = jax.jit(jax.value_and_grad(LOOPS[name])).lower(x).compile().memory_analysis().temp_size_in_bytes
    assert used < 10 * 4 * (1 << 23)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("bandwidth", [None, 1.5])
def test_parts_that_do_not_come_out_even(bandwidth, weighted, monkeypatch, rng):
    monkeypatch.setattr("diffhist._evaluation.kernel.CHUNK", 700)
    monkeypatch.setattr("diffhist._evaluation.evaluate.TABLE", 5000)
    x, y, w = rng.random((3, 5, 1013))
    given = {"weights": jnp.asarray(w)} if weighted else {}
    options = {"bins": 5, "boundary": "reflect", "bandwidth": bandwidth}
    w = w if weighted else np.ones_like(w)

    def loss(x, y):
        joint = joint_histogram(x, y, **options, **given)
        return square_sum(joint), joint

    (_, joint), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(jnp.asarray(x), jnp.asarray(y))
    assert_allclose(joint, reference.joint_histogram(x, y, weights=w, **options), atol=1e-12)
    (want,) = gradients(np, lambda x: square_sum(joint_histogram(x, y, weights=w, **options)), 1.0, x)
    assert_allclose(slope, want, rtol=1e-9, atol=1e-14)
    alone = soft_histogram(jnp.asarray(x), **options, **given)
    assert_allclose(alone, reference.soft_histogram(x, weights=w, **options), atol=1e-12)


@pytest.mark.parametrize("dimensions", ["n", "b, n"])
def test_export_with_sizes_that_are_not_known(dimensions, rng):
    export = pytest.importorskip("jax.export")  # that of JAX 0.4.33 needs absl, which does not come with it

    def loss(x):
        return mi_distance(joint_histogram(x, x * x, 6, boundary="circular")).sum() + square_sum(soft_histogram(x, 9))

    shape = export.symbolic_shape(dimensions)
    exported = export.export(jax.jit(jax.grad(loss)))(jax.ShapeDtypeStruct(shape, jnp.float64))
    for sizes in [(3, 1), (1, 5), (2, 9001)]:
        x = rng.random(sizes[-len(shape) :])
        (want,) = gradients(np, loss, 1.0, x)
        assert_allclose(exported.call(jnp.asarray(x)), want, rtol=1e-9, atol=1e-12)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec as P
from diffhist import joint_histogram, mi_distance, soft_histogram, squared_emd
import diffhist._evaluation.kernel as kernel

kernel.CHUNK = 700  # several parts
jax.config.update("jax_enable_x64", True)
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("i",))
rng = np.random.default_rng(0)
x, reference, w = (jnp.asarray(rng.random(s)) for s in ((4, 301), (1, 301), (4, 301)))

def each(x, reference):
    return squared_emd(soft_histogram(x, 6), soft_histogram(reference, 6))

def pairs(x, reference):
    return mi_distance(joint_histogram(x, reference + 0 * x, 6, boundary="circular"))

def weighted(x, w):
    return soft_histogram(x, 6, weights=w)[..., 1]

def whole(x, reference, total=lambda h: jax.lax.psum(h, "i")):
    h = total(soft_histogram(x, 6, axis=(0, 1), normalize=False))
    return squared_emd(h, soft_histogram(reference, 6, axis=(0, 1)))

rows = P("i")
for fun, arrays, specs, out, alone in [
    (each, (x, reference), (rows, P()), rows, each),
    (pairs, (x, reference), (rows, P()), rows, pairs),
    (weighted, (x[:2], w), (P(), rows), rows, lambda x, w: weighted(jnp.concatenate([x, x]), w)),
    (whole, (x, reference), (rows, P()), P(), lambda *a: whole(*a, total=lambda h: h)),
]:
    sharded = jax.shard_map(fun, mesh=mesh, in_specs=specs, out_specs=out)
    want = jax.grad(lambda *a: alone(*a).sum(), argnums=(0, 1))(*arrays)
    found = jax.jit(jax.grad(lambda *a: sharded(*a).sum(), argnums=(0, 1)))(*arrays)
    for f, t in zip(found, want, strict=True):
        np.testing.assert_allclose(f, t, rtol=1e-9, atol=1e-12 * float(abs(t).max()), err_msg=fun.__name__)
    slope = jax.jit(lambda *a: jax.jvp(lambda *a: sharded(*a).sum(), a, a)[1])(*arrays)
    np.testing.assert_allclose(slope, sum((a * t).sum() for a, t in zip(arrays, want)), rtol=1e-9)

curvature = jax.jit(jax.grad(lambda r: (jax.grad(lambda r: jax.shard_map(
    each, mesh=mesh, in_specs=(rows, P()), out_specs=rows)(x, r).sum())(r) ** 2).sum()))(reference)
want = jax.grad(lambda r: (jax.grad(lambda r: each(x, r).sum())(r) ** 2).sum())(reference)
np.testing.assert_allclose(curvature, want, rtol=1e-8, atol=1e-11 * float(abs(want).max()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(jax, "typeof"), reason="shard_map does not check what varies")
def test_shard_map_with_a_replicated_input():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    ran = subprocess.run(
        [sys.executable, "-c", SHARDED], env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr

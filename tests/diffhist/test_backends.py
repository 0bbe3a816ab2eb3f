"""Array libraries that diffhist does not know, added from outside by `register_backend`."""

import sys
from types import SimpleNamespace

import array_api_compat.numpy
import numpy as np
import pytest
from arrays import gradients
from numpy.testing import assert_allclose
from test_autodiff import PRIMITIVES, primitive_inputs

import diffhist
from diffhist import _registry, joint_histogram, register_backend, soft_histogram, value_and_grad, vjp


@pytest.fixture
def registry(monkeypatch):
    """What is registered here is forgotten afterwards."""
    monkeypatch.setattr(_registry, "_BACKENDS", list(_registry._BACKENDS))


# --- HIPS autograd: wrappers around NumPy's arrays, gradients by `primitive` and `defvjp` ---


@pytest.fixture
def autograd(registry):
    autograd = pytest.importorskip("autograd")
    import autograd.numpy as anp
    from array_api_compat import numpy as standard
    from autograd.extend import defvjp_argnums, primitive
    from autograd.numpy.numpy_boxes import ArrayBox

    class Namespace:
        """autograd.numpy under the names of the standard; what has no derivative is NumPy's."""

        concat = staticmethod(anp.concatenate)
        astype = staticmethod(lambda a, dtype, copy=True: a.astype(dtype))
        permute_dims, cumulative_sum = staticmethod(anp.transpose), staticmethod(anp.cumsum)
        flip = staticmethod(lambda a, axis: a[..., ::-1])

        def __getattr__(self, name):
            return getattr(anp, name, None) or getattr(standard, name)

    @primitive
    def evaluate(*arrays, call):
        return call.evaluate(*arrays)

    defvjp_argnums(
        evaluate,
        lambda argnums, out, arrays, options: lambda g: [options["call"].pull(g, out, arrays)[n] for n in argnums],
    )
    space = Namespace()
    register_backend(
        ArrayBox,
        SimpleNamespace(
            namespace=lambda array: space,
            apply=lambda call, *arrays: evaluate(*arrays, call=call),
            vjp=lambda fun, *arrays: autograd.make_vjp(lambda a: fun(*a))(arrays)[::-1],
            inner=lambda array: array._value,
        ),
    )
    return autograd


@pytest.mark.parametrize("name", PRIMITIVES)
def test_autograd_differentiates_every_primitive(autograd, name, rng):
    fun, inputs = primitive_inputs(name, rng)
    g = rng.standard_normal(np.shape(fun(*inputs)))
    argnums = tuple(range(len(inputs)))
    got = autograd.grad(lambda *a: (fun(*a) * g).sum(), argnums)(*inputs)
    for ours, theirs in zip(gradients(np, fun, g, *inputs), got, strict=True):
        assert_allclose(theirs, ours, rtol=1e-12, atol=1e-14)


def test_autograd_differentiates_twice(autograd, rng):
    def square_sum(x):
        h = joint_histogram(x, x * x, 4)
        return (h * h).sum()

    x = rng.uniform(0.1, 0.9, 6)
    hessian = autograd.hessian(square_sum)(x)
    for i, step in enumerate(1e-6 * np.eye(6)):
        up, down = (value_and_grad(square_sum)(x + s)[1] for s in (step, -step))
        assert_allclose(hessian[i], (up - down) / 2e-6, rtol=1e-5, atol=1e-6 * np.abs(hessian).max())


# --- MLX: arrays of its own, evaluated when they are asked for, gradients by `custom_function` ---


@pytest.fixture
def mlx(registry):
    mx = pytest.importorskip("mlx.core")

    class Namespace:
        """mlx.core where it differs from the standard: it knows no devices of arrays."""

        bool = mx.bool_
        arange = staticmethod(lambda *a, dtype=None, device=None: mx.arange(*a, dtype=dtype))
        zeros = staticmethod(lambda shape, dtype=None, device=None: mx.zeros(shape, dtype))
        asarray = staticmethod(lambda a, dtype=None, device=None: mx.array(a, dtype))
        astype = staticmethod(lambda a, dtype, copy=True: a.astype(dtype))
        isdtype = staticmethod(
            lambda dtype, kind: dtype == mx.bool_ if kind == "bool" else mx.issubdtype(dtype, mx.floating)
        )

        def __getattr__(self, name):
            return getattr(mx, name)

    def apply(call, *arrays):
        evaluate = mx.custom_function(lambda *a: call.evaluate(*a))
        evaluate.vjp(lambda a, g, out: tuple(call.pull(g, out, a if isinstance(a, (tuple, list)) else (a,))))
        return evaluate(*arrays)

    space = Namespace()
    register_backend(
        "mlx.core.array",
        SimpleNamespace(
            namespace=lambda array: space,
            apply=apply,
            vjp=lambda fun, *arrays: (
                fun(*arrays),
                lambda g: tuple(mx.vjp(lambda *a: [fun(*a)], list(arrays), [g])[1]),
            ),
        ),
    )
    return mx


@pytest.mark.parametrize("name", PRIMITIVES)
def test_mlx_differentiates_every_primitive(mlx, name, rng):
    fun, inputs = primitive_inputs(name, rng)
    g = rng.standard_normal(np.shape(fun(*inputs)))
    with mlx.stream(mlx.cpu):
        arrays = [mlx.array(a, mlx.float64) for a in inputs]
        value, pullback = vjp(fun, *arrays)
        assert isinstance(value, mlx.array)
        assert_allclose(np.array(value), fun(*inputs), rtol=1e-12, atol=1e-14)
        found = pullback(mlx.array(np.array(g), mlx.float64))
        for ours, theirs in zip(gradients(np, fun, g, *inputs), found, strict=True):
            assert_allclose(np.array(theirs), ours, rtol=1e-10, atol=1e-12)


# --- what registration itself promises ---


class Unknown(SimpleNamespace):
    shape, ndim, dtype = (4,), 1, "float64"


def test_an_array_of_an_unknown_library_says_how():
    for call in (soft_histogram, diffhist.entropy, lambda a: vjp(soft_histogram, a)):
        with pytest.raises(TypeError, match=r"test_backends\.Unknown") as caught:
            call(Unknown())
        assert "diffhist.register_backend" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_backend_is_loaded_by_its_first_array(registry, monkeypatch, tmp_path):
    """A class may be given by a name that nobody has imported yet, and a backend by that of its module."""
    (tmp_path / "late_library.py").write_text("class Array:\n    shape, ndim, dtype = (), 0, 'float64'\n")
    (tmp_path / "late_backend.py").write_text("vjp = lambda fun, *arrays: ('of the backend', fun)\n")
    monkeypatch.syspath_prepend(tmp_path)
    register_backend("late_library.Array", "late_backend")
    soft_histogram(np.ones(3))
    assert not {"late_library", "late_backend"} & set(sys.modules)
    import late_library

    assert vjp(soft_histogram, late_library.Array())[0] == "of the backend"
    for name in ("late_library", "late_backend"):
        monkeypatch.delitem(sys.modules, name)


def test_the_last_registration_counts(registry):
    class Own(np.ndarray):
        pass

    register_backend(Own, SimpleNamespace(vjp=lambda fun, *arrays: ("first", None)))
    assert vjp(soft_histogram, np.ones(3).view(Own))[0] == "first"
    register_backend(Own, SimpleNamespace(vjp=lambda fun, *arrays: ("second", None)))
    assert vjp(soft_histogram, np.ones(3).view(Own))[0] == "second"
    assert vjp(soft_histogram, np.ones(3), bins=2)[0].shape == (2,)
    with pytest.raises(TypeError, match=r"kind.*3"):
        register_backend(3, SimpleNamespace())


def test_a_backend_that_does_not_differentiate(registry):
    class Plain(np.ndarray):
        pass

    register_backend(
        Plain, SimpleNamespace(namespace=lambda a: array_api_compat.numpy, apply=lambda call, *a: call.evaluate(*a))
    )
    x = np.linspace(0.1, 0.9, 5).view(Plain)
    for call in (lambda: vjp(soft_histogram, x), lambda: diffhist.jvp(soft_histogram, (x,), (x,))):
        with pytest.raises(TypeError, match=r"`(jvp|vjp)` needs a backend that has it.*Plain"):
            call()

"""Moving arrays between NumPy and the library under test."""

import importlib

import numpy as np

import diffhist


def from_numpy(xp, a, dtype="float64"):
    """A copy of `a` in the library of `xp`."""
    return xp.asarray(np.array(a), dtype=getattr(xp, dtype))


def to_numpy(a):
    """A result of any library as a NumPy array; bfloat16, which NumPy lacks, as float32."""
    if hasattr(a, "detach"):
        a = a.detach().cpu()
        return (a.float() if str(a.dtype) == "torch.bfloat16" else a).numpy()
    if hasattr(a, "get"):  # CuPy
        return a.get()
    return np.asarray(a, np.float32) if str(a.dtype) == "bfloat16" else np.asarray(a)


def jitted(xp, fun):
    """`fun` as its library is meant to run it: without `jit`, JAX would compile every step of every shape by itself."""
    return importlib.import_module("jax").jit(fun) if xp.__name__ == "jax.numpy" else fun


def value_and_gradients(xp, fun, g, *arrays):
    """fun(*arrays), and the derivatives of sum(g * fun(*arrays)) in every array; all of them as NumPy's."""
    g = xp.asarray(np.array(g), dtype=arrays[0].dtype)
    slopes = diffhist.value_and_grad(lambda *a: (fun(*a) * g).sum(), argnums=tuple(range(len(arrays))))
    value, (_, found) = jitted(xp, lambda *a: (fun(*a), slopes(*a)))(*arrays)
    assert value.dtype == arrays[0].dtype
    for array, gradient in zip(arrays, found, strict=True):
        assert gradient.shape == array.shape
        assert gradient.dtype == array.dtype
    return to_numpy(value), [to_numpy(gradient) for gradient in found]


def gradients(xp, fun, g, *arrays):
    return value_and_gradients(xp, fun, g, *arrays)[1]

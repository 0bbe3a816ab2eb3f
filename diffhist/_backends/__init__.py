"""What a primitive is, and how each array library differentiates one: NumPy's tape, torch, JAX.

No formula of the field lives here, and no library is imported before its first array arrives.
"""

from typing import Any, Protocol, runtime_checkable

from diffhist._registry import register_backend


@runtime_checkable
class Standard(Protocol):
    """An array of any library that follows the array API standard."""

    def __array_namespace__(self) -> Any: ...


for kind in (Standard, "dask.array.Array", "cupy.ndarray", "numpy.generic", "numpy.ndarray"):
    register_backend(kind, "diffhist._backends.numpy")
register_backend("diffhist._backends.tape.Traced", "diffhist._backends.tape")
register_backend("jax.Array", "diffhist._backends.jax")
register_backend("torch.Tensor", "diffhist._backends.torch")

"""The backend of libraries that do not differentiate: NumPy, CuPy, and others of the array API standard.

Primitives work on their arrays as they are; `vjp` and `jvp` hand a function traced arrays.
"""

from typing import Any

import array_api_compat

from diffhist._array import Array
from diffhist._backends.primitive import Call
from diffhist._backends.tape import jvp, vjp

__all__ = ["apply", "jvp", "namespace", "vjp"]


def namespace(array: Array) -> Any:
    return array_api_compat.array_namespace(array)


def apply(call: Call, *arrays: Array) -> Array:
    return call.evaluate(*arrays)

"""The array libraries that diffhist knows: each is found by the type of its arrays, and loaded when the first comes."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

Array = Any
_BACKENDS: list[tuple[Any, Any]] = []  # class of arrays or its dotted name, backend or its module's name; latest first
_LOADED: dict[str, Any] = {}


def register_backend(kind: type | str, backend: Any) -> None:
    """Teach diffhist the arrays of a library, and how that library differentiates.

    NumPy (whose backend serves CuPy and every other library of the array API standard), torch and JAX are registered
    by this function too.

    Parameters
    ----------
    kind : type or str
        The class of the library's arrays, subclasses included, or its dotted name (``"torch.Tensor"``), by which the
        library is not imported. Where several fit, the one registered last is taken.
    backend : object or str
        An object, such as a module, with the functions below, or the dotted name of a module that has them: it is
        imported when the first array arrives.

        ``namespace(array)``
            The functions of the array API standard for such arrays; besides, ``array.at[index].add(values)``
            is used where arrays have it.
        ``apply(call, *arrays)``
            ``call.evaluate(*arrays)``, one array, so that the library differentiates it by
            ``call.pull(cotangent, output, arrays)``: a list of one cotangent for each array. Both are array code: used
            on arrays that are being differentiated, ``call.pull`` gives second derivatives.
        ``vjp(fun, *arrays)``
            ``fun(*arrays)``, and a function from a cotangent to a tuple of one cotangent for each array.
        ``jvp(fun, primals, tangents)``, optional
            ``fun(*primals)`` and its tangent: `diffhist.jvp` needs it.
        ``inner(array)``, optional
            What an array stands for while it is differentiated, if it is a wrapper: such arrays may meet those that
            they stand for.

    Examples
    --------
    >>> import diffhist
    >>> diffhist.register_backend("torch.Tensor", "diffhist._backends.torch")  # as it is registered already
    """
    if not isinstance(kind, (type, str)):
        raise TypeError(f"`kind` must be a class of arrays or its dotted name, got {kind!r}")
    _BACKENDS[:] = [(kind, backend), *(entry for entry in _BACKENDS if entry[0] != kind)]


def backend_of(*arrays: Array) -> Any:
    """The backend of the arrays' library: that of the arrays which stand for others, where such are among them."""
    if len(arrays) == 1 or alike(arrays):
        return _look_up(arrays[0])
    found: list[Any] = []
    for a in arrays:
        backend = _look_up(a)
        if all(backend is not f for f in found):
            found.append(backend)
    outer = [b for b in found if hasattr(b, "inner")]
    if len(found) - len(outer) > 1 or len(outer) > 1:
        raise TypeError(f"expected arrays of one library, got {', '.join(name_of(a) for a in arrays)}")
    return outer[0] if outer else found[0]


def alike(arrays: Sequence[Array]) -> bool:
    """Whether arrays are of one class, as nearly always, so that what is found for one of them holds for all."""
    return all(type(a) is type(arrays[0]) for a in arrays)


def _look_up(array: Array) -> Any:
    for kind, backend in _BACKENDS:
        if isinstance(array, _class(kind)):
            if not isinstance(backend, str):
                return backend
            _load(backend)
            return _LOADED[backend]
    raise TypeError(
        f"expected an array of a library that diffhist knows, got {name_of(array)}: diffhist.register_backend adds one"
    )


def _load(name: str) -> bool:
    if name not in _LOADED:
        _LOADED[name] = importlib.import_module(name)
    return True


_load._dynamo_marked_constant = True  # type: ignore[attr-defined] # torch.compile does it at once, and does not look in


def is_array(value: Any) -> bool:
    """Whether the value is an array of a library that is registered."""
    return any(isinstance(value, _class(kind)) for kind, _ in _BACKENDS)


def innermost(array: Array) -> Array:
    """The array itself under all that stands for it."""
    while hasattr(backend := _look_up(array), "inner"):
        array = backend.inner(array)
    return array


def name_of(array: Any) -> str:
    return f"{type(array).__module__}.{type(array).__qualname__}"


def _class(kind: Any) -> Any:
    """The class of a dotted name, or none at all: a library that nobody imported is not looked for."""
    if not isinstance(kind, str):
        return kind
    module, _, name = kind.rpartition(".")
    return getattr(sys.modules.get(module), name, ())

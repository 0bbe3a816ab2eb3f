"""Functions with their own gradient rules, on every array library.

A primitive is array code plus a rule for its vector-Jacobian product. Each library differentiates it in its own way:
by its backend, one of those beside this file or one that `register_backend` was given.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from diffhist._array import Array, check_arrays, namespace
from diffhist._registry import backend_of

__all__ = ["Call", "differentiable", "value_and_grad", "vjp"]

_PRIMITIVES: dict[str, "differentiable"] = {}


class differentiable:  # noqa: N801 - used as a decorator
    """Make a primitive of ``fun(*arrays, **parameters)``; optional arrays may be None. Add its rule by `defvjp`.

    Inside, arrays are plain: the outermost primitive sees to the differentiation. All leading axes that the
    primitive does not speak of are batch axes, and alike in all of its arrays: this is how it is mapped over.
    """

    def __init__(self, fun: Callable[..., Array]):
        self.fun = fun
        functools.update_wrapper(self, fun)
        self.name = f"{fun.__module__}.{fun.__qualname__}"
        _PRIMITIVES[self.name] = self

    def defvjp(self, rule: Callable[..., tuple[Array | None, ...]]) -> None:
        """``rule(cotangent, output, *arrays, **parameters)`` gives one cotangent for each array (None: zero)."""
        self.rule = rule

    def __call__(self, *arrays: Array | None, **parameters: Any) -> Array:
        call = Call(self.name, tuple([a is not None for a in arrays]), tuple(parameters.items()))
        given = [a for a in arrays if a is not None]
        return backend_of(*given).apply(call, *given)


class Call(NamedTuple):
    """A primitive with its parameters, as a function of the arrays that were given; made of constants alone."""

    name: str
    present: tuple[bool, ...]
    parameters: tuple[tuple[str, Any], ...]

    def _arguments(self, arrays: Sequence[Array]) -> list[Array | None]:
        rest = iter(arrays)
        return [next(rest) if p else None for p in self.present]

    def evaluate(self, *arrays: Array) -> Array:
        return _PRIMITIVES[self.name].fun(*self._arguments(arrays), **dict(self.parameters))

    def pull(
        self, cotangent: Array, output: Array, arrays: Sequence[Array], needed: Sequence[bool] | None = None
    ) -> list[Array | None]:
        """The cotangents of ``arrays``, each in its array's dtype; those not ``needed`` may be None."""
        wanted = self._arguments(needed or (True,) * len(arrays))
        found = _PRIMITIVES[self.name].rule(
            cotangent, output, *self._arguments(arrays), needed=tuple(bool(w) for w in wanted), **dict(self.parameters)
        )
        kept = [f for f, p in zip(found, self.present, strict=True) if p]
        xp = namespace(*arrays)
        return [None if f is None else xp.astype(f, a.dtype) for f, a in zip(kept, arrays, strict=True)]


def vjp(
    fun: Callable[..., Array], *arrays: Array, **parameters: Any
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Value of ``fun(*arrays, **parameters)`` and its pullback.

    Parameters
    ----------
    fun : callable
        A function of this package, or one made of them (see `value_and_grad`).
    *arrays : array
        Floating arrays to differentiate by, all of one library.
    **parameters
        Keyword arguments of ``fun``; they are constants here.

    Returns
    -------
    value : array
        ``fun(*arrays, **parameters)``, detached from any outer differentiation.
    pullback : callable
        Takes a cotangent of the value's shape and returns a tuple: one array for each of ``arrays``, the
        vector-Jacobian product.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> value, pullback = diffhist.vjp(diffhist.squared_emd, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    >>> float(value), pullback(np.array(1.0))
    (1.0, (array([2., 0.]), array([-2., -0.])))
    """
    return backend_of(*arrays).vjp(lambda *a: fun(*a, **parameters), *arrays)


def value_and_grad(fun: Callable[..., Array], argnums: int | tuple[int, ...] = 0) -> Callable[..., tuple[Array, Any]]:
    """Turn ``fun`` into one that returns its value and its gradient.

    With NumPy and CuPy arrays ``fun`` is handed traced arrays, which diffhist's functions, ``+ - * /``, ``sum`` and
    ``mean`` accept; anything else done to them is a TypeError. With torch and JAX arrays their own autodiff is used.

    Parameters
    ----------
    fun : callable
        A function of arrays that returns one number (an array of shape ()).
    argnums : int or tuple of int
        Which positional arguments to differentiate by.

    Returns
    -------
    callable
        ``(*args, **kwargs) -> (value, gradient)``; the gradient is a tuple if ``argnums`` is one.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> goal = np.full(4, 0.25)
    >>> loss = lambda x: diffhist.squared_emd(diffhist.soft_histogram(x, bins=4), goal)
    >>> value, gradient = diffhist.value_and_grad(loss)(np.array([0.1, 0.3, 0.4]))
    >>> gradient.shape
    (3,)
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(isinstance(n, int) for n in numbers):
        raise TypeError(f"`argnums` must be an int or a tuple of ints, got {argnums!r}")

    @functools.wraps(fun)
    def both(*args: Any, **kwargs: Any) -> tuple[Array, Any]:
        if any(not -len(args) <= n < len(args) for n in numbers):
            raise ValueError(f"`argnums` must name positional arguments, of which there are {len(args)}, got {argnums}")
        positions = [n % len(args) for n in numbers]
        check_arrays({f"argument {n}": args[n] for n in positions})

        def of_chosen(*chosen: Any) -> Array:
            full = list(args)
            for n, c in zip(positions, chosen, strict=True):
                full[n] = c
            output = fun(*full, **kwargs)
            if getattr(output, "shape", None) != ():
                got = f"shape {output.shape}" if hasattr(output, "shape") else type(output).__name__
                raise ValueError(f"`fun` must return one number, an array of shape (), got {got}")
            return output

        value, pullback = vjp(of_chosen, *(args[n] for n in positions))
        gradients = pullback(namespace(value).ones_like(value))
        return value, gradients[0] if isinstance(argnums, int) else gradients

    return both

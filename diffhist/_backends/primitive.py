"""Functions with their own gradient rules, on every array library.

A primitive is array code plus a rule for its derivatives, in both directions. Each library differentiates it in its
own way: by its backend, one of those beside this file or one that `register_backend` was given.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from diffhist._array import Array, check_arrays, namespace
from diffhist._registry import backend_of, is_array, name_of

__all__ = ["Call", "differentiable", "jvp", "value_and_grad", "vjp"]

_PRIMITIVES: dict[str, "differentiable"] = {}


class differentiable:  # noqa: N801 - used as a decorator
    """Make a primitive of ``fun(*arrays, **parameters)``; optional arrays may be None. Add its rule by a ``def...``.

    Inside, arrays are plain: the outermost primitive sees to the differentiation. All leading axes that the
    primitive does not speak of are batch axes, and alike in all of its arrays: this is how it is mapped over.

    A rule is array code and calls of primitives. It says both directions: the pull of a cotangent back to the arrays,
    and the push of their tangents forward, which is linear in them. Rules that do without the ``output`` say so by
    ``blind``, and are given None.
    """

    blind = False

    def __init__(self, fun: Callable[..., Array]):
        self.fun = fun
        functools.update_wrapper(self, fun)
        self.name = f"{fun.__module__}.{fun.__qualname__}"
        _PRIMITIVES[self.name] = self

    def defslopes(self, rule: Callable[..., Sequence[Array | None]]) -> None:
        """For functions of (..., K) or (..., K, L) with values (...): ``rule(output, *arrays, **parameters)`` gives
        the slope by each array, of its shape (None: zero)."""

        def pull(cotangent, output, *arrays, needed, **parameters):
            slopes = rule(output, *arrays, **parameters)
            return [None if s is None else _expanded(cotangent, s) * s for s in slopes]

        def push(tangents, output, *arrays, **parameters):
            slopes = rule(output, *arrays, **parameters)
            xp = namespace(output)
            return _total(
                xp.sum(xp.astype(t, s.dtype) * s, axis=tuple(range(len(output.shape) - len(s.shape), 0)))
                for t, s in zip(tangents, slopes, strict=True)
                if not (t is None or s is None)
            )

        self.pull, self.push = pull, push

    def deflinear(self, adjoint: Callable[..., Array]) -> None:
        """For linear functions of one array: ``adjoint(cotangent, array, **parameters)``."""
        self.blind = True
        self.pull = lambda cotangent, output, array, needed, **parameters: (adjoint(cotangent, array, **parameters),)
        self.push = lambda tangents, output, array, **parameters: self(tangents[0], **parameters)

    def defvjp(self, rule: Callable[..., Sequence[Array | None]]) -> None:
        """``rule(cotangent, output, *arrays, needed, **parameters)`` gives one cotangent for each array (None: zero);
        those not ``needed`` may be left out."""
        self.pull = rule

    def defjvp(self, rule: Callable[..., Array | None]) -> None:
        """``rule(tangents, output, *arrays, **parameters)`` gives the tangent of the output (None: zero), where
        tangents that are zero are None."""
        self.push = rule

    def __call__(self, *arrays: Array | None, **parameters: Any) -> Array:
        call = Call(self.name, tuple([a is not None for a in arrays]), tuple(parameters.items()))
        given = [a for a in arrays if a is not None]
        return backend_of(*given).apply(call, *given)


def _expanded(a: Array, like: Array) -> Array:
    """(...) -> (..., 1[, 1]), in the dtype of ``like``."""
    xp = namespace(a)
    return xp.reshape(xp.astype(a, like.dtype), (*a.shape, *(1,) * (len(like.shape) - len(a.shape))))


def _total(terms: Iterable[Array]) -> Array | None:
    return functools.reduce(lambda total, more: total + more, terms) if (terms := list(terms)) else None


class Call(NamedTuple):
    """A primitive with its parameters, as a function of the arrays that were given; made of constants alone."""

    name: str
    present: tuple[bool, ...]
    parameters: tuple[tuple[str, Any], ...]

    def _arguments(self, arrays: Sequence[Array]) -> list[Array | None]:
        rest = iter(arrays)
        return [next(rest) if p else None for p in self.present]

    @property
    def blind(self) -> bool:
        """Whether `pull` and `push` do without the output."""
        return _PRIMITIVES[self.name].blind

    def evaluate(self, *arrays: Array) -> Array:
        return _PRIMITIVES[self.name].fun(*self._arguments(arrays), **dict(self.parameters))

    def pull(
        self, cotangent: Array, output: Array, arrays: Sequence[Array], needed: Sequence[bool] | None = None
    ) -> list[Array | None]:
        """The cotangents of ``arrays``, each in its array's dtype. To who says which are ``needed``, None is zero."""
        wanted = self._arguments(needed or (True,) * len(arrays))
        found = _PRIMITIVES[self.name].pull(
            cotangent,
            output,
            *self._arguments(arrays),
            needed=tuple([bool(w) for w in wanted]),
            **dict(self.parameters),
        )
        kept = [f for f, p in zip(found, self.present, strict=True) if p]
        xp = namespace(*arrays)
        nothing = xp.zeros_like if needed is None else lambda _: None
        return [nothing(a) if f is None else xp.astype(f, a.dtype) for f, a in zip(kept, arrays, strict=True)]

    def push(self, tangents: Sequence[Array | None], output: Array, arrays: Sequence[Array]) -> Array:
        """The tangent of ``output``, in its dtype; tangents of arrays may be None for zero."""
        given = self._arguments(tangents), output, *self._arguments(arrays)
        found, xp = _PRIMITIVES[self.name].push(*given, **dict(self.parameters)), namespace(output)
        return xp.zeros_like(output) if found is None else xp.astype(found, output.dtype)


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
        ``fun(*arrays, **parameters)``. On torch it is detached from a graph, and so is what ``pullback`` gives, but for
        that of a `value_and_grad`, `vjp` or ``torch.func`` around this call.
    pullback : callable
        Takes a cotangent of the value's shape (a number where that is ()) and returns a tuple: one array for each of
        ``arrays``, the vector-Jacobian product.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> value, pullback = diffhist.vjp(diffhist.squared_emd, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    >>> float(value), pullback(np.array(1.0))
    (1.0, (array([2., 0.]), array([-2., -0.])))
    """
    value, pullback = _able(arrays, "vjp")(lambda *a: fun(*a, **parameters), *arrays)

    def checked(cotangent: Array) -> tuple[Array, ...]:
        if isinstance(cotangent, (int, float)) and value.shape == ():
            cotangent = cotangent * namespace(value).ones_like(value)
        if not is_array(cotangent):
            raise TypeError(f"`cotangent` must be an array of shape {tuple(value.shape)}, got {name_of(cotangent)}")
        if tuple(cotangent.shape) != tuple(value.shape):
            raise ValueError(
                f"`cotangent` must have the value's shape {tuple(value.shape)}, got {tuple(cotangent.shape)}"
            )
        return pullback(cotangent)

    return value, checked


def _able(arrays: Sequence[Array], name: str) -> Any:
    """``vjp`` or ``jvp`` of the arrays' backend."""
    backend = backend_of(*arrays)
    if not hasattr(backend, name):
        raise TypeError(f"`{name}` needs a backend that has it, and that of {name_of(arrays[0])} does not")
    return getattr(backend, name)


def jvp(
    fun: Callable[..., Array], primals: Sequence[Array], tangents: Sequence[Array], **parameters: Any
) -> tuple[Array, Array]:
    """Value of ``fun(*primals, **parameters)`` and its directional derivative, in forward mode.

    Parameters
    ----------
    fun : callable
        A function of this package, or one made of them (see `value_and_grad`).
    primals : sequence of array
        Floating arrays to differentiate by, all of one library.
    tangents : sequence of array
        The direction: one array for each of ``primals``, of its shape and dtype.
    **parameters
        Keyword arguments of ``fun``; they are constants here.

    Returns
    -------
    value : array
        ``fun(*primals, **parameters)``.
    tangent : array
        The Jacobian-vector product, of the value's shape: about what one more evaluation costs, whatever the number
        of outputs.

    Examples
    --------
    How a histogram changes as all values move up:

    >>> import numpy as np
    >>> import diffhist
    >>> x = np.array([0.1, 0.3, 0.4])
    >>> value, slope = diffhist.jvp(diffhist.soft_histogram, (x,), (np.ones(3),), bins=2)
    >>> slope.round(2)
    array([-0.08,  0.75])
    """
    if len(primals) != len(tangents):
        raise ValueError(f"`tangents` must be as many as `primals`, {len(primals)}, got {len(tangents)}")
    for n, (p, t) in enumerate(zip(primals, tangents, strict=True)):
        check_arrays({f"primals[{n}]": p, f"tangents[{n}]": t})
        if tuple(p.shape) != tuple(t.shape) or p.dtype != t.dtype:
            raise ValueError(
                f"`tangents[{n}]` must have the shape and dtype of its primal, {tuple(p.shape)} of {p.dtype}, "
                f"got {tuple(t.shape)} of {t.dtype}"
            )
    return _able(primals, "jvp")(lambda *a: fun(*a, **parameters), tuple(primals), tuple(tangents))


def value_and_grad(fun: Callable[..., Array], argnums: int | tuple[int, ...] = 0) -> Callable[..., tuple[Array, Any]]:
    """Turn ``fun`` into one that returns its value and its gradient.

    With NumPy and CuPy arrays ``fun`` is handed traced arrays, which diffhist's functions, ``+ - * /``, comparisons,
    slices, ``sum``, ``mean`` and NumPy's ``exp``, ``expm1``, ``log`` and ``sqrt`` accept; anything else done to them is
    a TypeError. With torch and JAX arrays their own autodiff is used. ``fun`` may itself ask for derivatives by this
    function, `vjp` or `jvp`: these nest to any order, on every library.

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

    The norm of a gradient has a gradient:

    >>> penalty = lambda x: (lambda g: (g * g).sum())(diffhist.value_and_grad(loss)(x)[1])
    >>> diffhist.value_and_grad(penalty)(np.array([0.1, 0.3, 0.4]))[1].round(1)
    array([ 0.3, -0.2, -0.6])
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

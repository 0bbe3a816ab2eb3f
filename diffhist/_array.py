"""What the Array API standard lacks (scatter-add, autodiff-safe logarithms) and the checks on arguments."""

import contextlib
import functools
import operator
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from diffhist._registry import alike, backend_of, innermost, is_array, name_of

Array = Any
_TORCH_HALF = ("float16", "bfloat16")
KEPT = 1 << 26  # bytes of constants
UNKNOWN = 1 << 13  # elements to take at a time where their number is not known yet


def _is(array: Array, library: str, kind: str) -> bool:
    """Whether ``array`` is a ``library.kind``; a library that nobody imported is not looked for."""
    module = sys.modules.get(library)
    return module is not None and isinstance(array, getattr(module, kind, ()))


def is_torch(array: Array) -> bool:
    return _is(array, "torch", "Tensor")


def is_jax(array: Array) -> bool:
    return _is(array, "jax", "Array")


def namespace(*arrays: Array) -> Any:
    """The array-API namespace that all ``arrays`` share; TypeError where they come from two libraries or devices."""
    backend = backend_of(*arrays)
    if len(arrays) == 1 or (alike(arrays) and not hasattr(backend, "inner")):
        return backend.namespace(arrays[0])
    spaces = [backend.namespace(a) for a in arrays if backend_of(a) is backend]
    if any(s is not spaces[0] for s in spaces):
        raise TypeError(f"expected arrays of one library, got {', '.join(name_of(a) for a in arrays)}")
    return spaces[0]


def device(array: Array) -> Any:
    """Where an array is; None where its library does not say."""
    return None if is_jax(array) else getattr(array, "device", None)  # what JAX traces is nowhere


def check_arrays(named: dict[str, Array], weights: Array | None = None, weights_name: str = "weights") -> Any:
    """The namespace of the arrays, after checking that they are floating and live in one place.

    ``weights`` may be boolean as well.
    """
    given = {f"`{name}`": a for name, a in named.items()} | ({} if weights is None else {f"`{weights_name}`": weights})
    for name, a in given.items():
        if not is_array(a):
            raise TypeError(
                f"{name} must be an array of NumPy, torch, JAX, CuPy, ... or of a library added by "
                f"`diffhist.register_backend`, got {name_of(a)}"
            )
        _check_dense(name, a)
    xp = namespace(*given.values())
    plain = {name: innermost(a) for name, a in given.items()}
    for name, a in plain.items():
        if not (
            (xp.isdtype(a.dtype, "real floating") and "float8" not in str(a.dtype))
            or is_half(a)
            or (name == f"`{weights_name}`" and xp.isdtype(a.dtype, "bool"))
        ):
            raise TypeError(f"{name} must be of a floating dtype, got {a.dtype}; convert it first")
    places = {name: str(device(a)) for name, a in plain.items()}
    if len(set(places.values())) > 1:
        raise ValueError(f"arrays must be on one device, got {', '.join(f'{n} on {d}' for n, d in places.items())}")
    return xp


def _check_dense(name: str, array: Array) -> None:
    """Refuse arrays of which some elements are not there: their mask or their layout would be lost in silence."""
    if _is(array, "numpy.ma", "MaskedArray"):
        raise TypeError(
            f"{name} must not be a masked array, whose mask would be lost: give its `numpy.ma.getdata`, and as "
            "`weights` `~numpy.ma.getmaskarray` of it"
        )
    if is_torch(array):
        torch = sys.modules["torch"]
        kind = "nested" if array.is_nested else str(array.layout)
        if type(array).__name__ == "MaskedTensor":
            kind = "masked"
        if kind != str(torch.strided):
            raise TypeError(f"{name} must be a dense tensor, got one that is {kind}; for gaps there are `weights`")


def check_histograms(p: Array, q: Array) -> tuple[Array, Array]:
    """p and q, found to be histograms of the same bins, with the same batch axes."""
    check_arrays({"p": p, "q": q})
    if not p.shape or not q.shape or p.shape[-1] != q.shape[-1] or p.shape[-1] == 0:
        raise ValueError(f"`p` and `q` must have one number of bins on their last axis, got {p.shape} and {q.shape}")
    if any(a != b and 1 not in (a, b) for a, b in zip(p.shape[-2::-1], q.shape[-2::-1], strict=False)):
        raise ValueError(f"`p` and `q` must have batch shapes that broadcast, got {p.shape} and {q.shape}")
    return (p, q) if p.shape == q.shape else (p + 0.0 * q, q + 0.0 * p)


def sample_axes(axis: Any, rank: int) -> tuple[int, ...]:
    """``axis`` checked, as a sorted tuple that counts from the end (so that a batch axis in front changes nothing)."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    try:
        axes = tuple(operator.index(a) for a in axes)
    except TypeError:
        raise TypeError(f"`axis` must be an int or a tuple of ints, got {axis!r}") from None
    if not axes or any(not -rank <= a < rank for a in axes) or len({a % rank for a in axes}) < len(axes):
        raise ValueError(f"`axis` must name different axes of an array of {rank} dimensions, got {axis}")
    return tuple(sorted(a % rank - rank for a in axes))


def is_half(array: Array) -> bool:
    return str(array.dtype).rsplit(".", 1)[-1] in _TORCH_HALF


def compute_dtype(xp: Any, *arrays: Array) -> Any:
    """The dtype to compute in: that of the arrays, but never less than float32."""
    full = [xp.float32 if is_half(a) else a.dtype for a in arrays if a is not None]
    return xp.result_type(*full)


def accumulator_dtype(xp: Any, like: Array) -> Any:
    """float64 where the library and the device have it: a float32 sum of millions of equal terms stagnates."""
    if is_torch(like) and like.device.type == "mps":
        return xp.float32
    return xp.float64


def jax_with_float64() -> contextlib.AbstractContextManager[Any]:
    import jax.experimental

    newer = getattr(jax, "enable_x64", None)
    wide = newer if newer is not None else getattr(jax.experimental, "enable_x64")  # noqa: B009 - gone since JAX 0.8
    return wide(True)


@contextlib.contextmanager
def exact_sums(array: Array) -> Iterator[None]:
    """A context in which sums over pixels can be float64, which JAX by default turns into float32, which stagnates; and
    in which float32 products are float32, and not what an accelerator is fastest at."""
    if not is_jax(array):
        yield
        return
    with jax_with_float64(), sys.modules["jax"].default_matmul_precision("highest"):
        yield


def index_dtype(xp: Any, like: Array) -> Any:
    """torch indexes by int64 alone; JAX has no other integers than int32, unless it is told to."""
    return xp.int32 if is_jax(like) else xp.int64


def working(p: Array, q: Array) -> tuple[Any, Array, Array]:
    """Their namespace, and both in the dtype to compute in."""
    xp = namespace(p, q)
    dtype = compute_dtype(xp, p, q)
    return xp, xp.astype(p, dtype), xp.astype(q, dtype)


def sign(xp: Any, a: Array) -> Array:
    return xp.astype(a > 0, a.dtype) - xp.astype(a < 0, a.dtype)  # xp.sign masks NaN by shape in torch: no vmap


def log_or_zero(xp: Any, p: Array) -> Array:
    """log p, and 0 where p is 0: the factor that makes p log p and its chain rule come out right there."""
    return xp.log(xp.where(p == 0, xp.ones_like(p), p))


def divide_or_zero(xp: Any, a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0."""
    empty = b == 0
    quotient = a / xp.where(empty, xp.ones_like(b), b)
    return xp.where(empty, xp.zeros_like(quotient), quotient)


def broadcast_to(xp: Any, a: Array, shape: tuple[int, ...]) -> Array:
    return a.expand(shape) if is_torch(a) else xp.broadcast_to(a, shape)  # which `vectorize=True` does not know


def running_sum(xp: Any, a: Array) -> Array:
    """Cumulative sum along the last axis."""
    if not is_torch(a):
        return xp.cumulative_sum(a, axis=-1)
    if a.is_cuda and sys.modules["torch"].are_deterministic_algorithms_enabled():
        return doubling_sum(xp, a)  # torch then refuses to take its own
    return a.cumsum(-1)  # cumulative_sum() warns under torch.compile


def doubling_sum(xp: Any, a: Array) -> Array:
    """Cumulative sum along the last axis, by adding the array to itself at a distance of 1, 2, 4, ..."""
    step = 1
    while step < a.shape[-1]:
        a = xp.concat([a[..., :step], a[..., step:] + a[..., :-step]], axis=-1)
        step *= 2
    return a


def scatter_add(xp: Any, table: Array, index: Array, values: Array, offset: int = 0) -> Array:
    """Add ``values`` (B, n) to row b of ``table`` (B, size) at ``index + offset``; writes in place where it can."""
    if is_torch(table):
        if table.device.type == "cpu":  # row by row: in parallel, and contiguous memory stays in cache
            (table[:, offset:] if offset else table).scatter_add_(1, index, values)
        else:  # one dimension: the form for which CUDA has a deterministic algorithm
            rows = xp.arange(table.shape[0], device=table.device)[:, None] * table.shape[1]
            table.view(-1)[offset:].scatter_add_(0, (index + rows).reshape(-1), values.reshape(-1))
        return table
    if is_jax(table):
        return table.at[xp.arange(table.shape[0], dtype=index.dtype)[:, None], index + offset].add(values)
    if hasattr(getattr(xp, "add", None), "at"):  # NumPy and CuPy
        for row, i, v in zip(table, index, values, strict=True):
            xp.add.at(row[offset:], i, v)
        return table
    return xp.stack(
        [_sorted_sums(xp, r, i + offset, v) for r, i, v in zip(*map(_rows, (table, index, values)), strict=True)]
    )


def _rows(array: Array) -> list[Array]:
    return [array[i, ...] for i in range(array.shape[0])]


def _sorted_sums(xp: Any, row: Array, index: Array, values: Array) -> Array:
    """Scatter-add with the standard's functions alone: sort, and add up each run of one index by itself (a difference
    of running sums would lose what is small beside what comes before)."""
    order = xp.argsort(index)
    index, total = xp.take(index, order), xp.take(values, order)
    step = 1
    while step < index.shape[0]:
        same = index[step:] == index[:-step]
        more = xp.where(same, total[:-step], xp.zeros_like(total[:-step]))
        total = xp.concat([total[:step], total[step:] + more])
        step *= 2
    bins = xp.arange(row.shape[0])
    first, after = (xp.searchsorted(index, bins, side=side) for side in ("left", "right"))
    sums = xp.take(total, xp.clip(after - 1, 0, None))
    return row + xp.where(after > first, sums, xp.zeros_like(sums))


def take(xp: Any, table: Array, index: Array, offset: int = 0) -> Array:
    """``table[b, index[b] + offset]`` for ``table`` (B, size) and ``index`` (B, n)."""
    if is_torch(table):
        table = table[:, offset:] if offset else table  # for `vectorize=True`, which knows no slice that is the whole
        if table.shape[0] == 1 and index.shape[1] % 2 == 0:  # rows go to threads: one table, read from two sides
            return table.expand(2, -1).gather(1, index.view(2, -1)).view(1, -1)
        return table.gather(1, index)
    if is_jax(table):
        return xp.take_along_axis(table, index + offset, axis=1)
    if not table.shape[0]:
        return xp.astype(index, table.dtype)
    return xp.stack([xp.take(row[offset:], i) for row, i in zip(_rows(table), _rows(index), strict=True)])


def search(xp: Any, tables: Array, values: Array) -> Array:
    """How many entries of the ascending row b of ``tables`` (B, size) are at most each of ``values`` (B, n)."""
    if is_torch(tables):
        return sys.modules["torch"].searchsorted(tables.contiguous(), values.contiguous(), right=True)
    if is_jax(tables):
        import jax

        return jax.vmap(functools.partial(xp.searchsorted, side="right"))(tables, values)
    if not values.shape[0]:
        return xp.astype(values, index_dtype(xp, values))
    return xp.stack([xp.searchsorted(t, v, side="right") for t, v in zip(_rows(tables), _rows(values), strict=True)])


def repeat(step: Callable[..., tuple[Array, ...]], state: tuple[Array, ...], times: int) -> tuple[Array, ...]:
    """``state = step(*state)``, so many times; one loop in a program that JAX makes of it."""
    if is_jax(state[0]):
        import jax

        return jax.lax.fori_loop(0, times, lambda _, each: step(*each), state)
    for _ in range(times):
        state = step(*state)
    return state


def in_parts(
    step: Callable[..., tuple[Any, tuple[Array, ...]]], state: Any, arrays: Sequence[Any], size: int, axis: int
) -> tuple[Any, tuple[Array, ...]]:
    """Walk through ``arrays`` by parts of at most ``size`` along ``axis``: ``state, outputs = step(state, *parts)``;
    the last state, and each of the outputs put together.

    For JAX this is one loop in the program, whatever the number of parts, even an unknown one. They are alike, so that
    the last is filled up with zeros; in place of an array that is None come then ones and zeros.
    """
    total = arrays[0].shape[axis]
    if isinstance(total, int) and total <= size:
        return step(state, *arrays)
    if is_jax(arrays[0]):
        return _scanned(step, state, arrays, size, axis)
    before, found = (slice(None),) * axis, []
    for start in range(0, total, size):
        part = (*before, slice(start, min(total, start + size)), ...)
        state, outputs = step(state, *(None if a is None else a[part] for a in arrays))
        found.append(outputs)
    xp = namespace(arrays[0])
    return state, tuple([xp.concat(list(each), axis=axis) for each in zip(*found, strict=True)])


def _scanned(step: Any, state: Any, arrays: Sequence[Any], size: int, axis: int) -> tuple[Any, tuple[Array, ...]]:
    import jax

    xp, total = jax.numpy, arrays[0].shape[axis]
    size = -(-total // -(-total // size)) if isinstance(total, int) else min(size, UNKNOWN)
    number = (total - 1) // size + 1
    fill = number * size - total

    def filled(a: Any) -> Any:
        if isinstance(fill, int) and fill == 0:
            return a
        a = xp.ones_like(arrays[0]) if a is None else a
        return xp.pad(a, [(0, fill if n == axis else 0) for n in range(a.ndim)])

    def one(state: Any, n: Any) -> Any:
        cut = [None if a is None else jax.lax.dynamic_slice_in_dim(a, n * size, size, axis=axis) for a in whole]
        return step(state, *cut)

    whole = [filled(a) for a in arrays]
    state, found = jax.lax.scan(one, state, xp.arange(number))
    found = [xp.moveaxis(f, 0, axis) for f in found]
    found = [xp.reshape(f, (*f.shape[:axis], number * size, *f.shape[axis + 2 :])) for f in found]
    return state, tuple([jax.lax.slice_in_dim(f, 0, total, axis=axis) for f in found])


def constant(xp: Any, make: Callable[..., np.ndarray], arguments: tuple[Any, ...], dtype: Any, like: Array) -> Array:
    """``make(*arguments)`` beside the array ``like``, made once: a copy to a GPU would wait for it. What was used last
    is kept, up to `KEPT` bytes."""
    if is_jax(like) or (is_torch(like) and type(like).__module__.startswith("torch._subclasses")):
        # while a library traces, JAX or torch with fake tensors, whatever it makes belongs to that trace
        return xp.asarray(make(*arguments), dtype=dtype, device=device(like))
    key = (xp, make, arguments, dtype, device(like))
    with _lock:
        found, size = _kept.pop(key, (None, 0))
    if found is None:
        made = make(*arguments)
        found, size = xp.asarray(made, dtype=dtype, device=device(like)), made.nbytes
    with _lock:
        _kept[key] = found, size
        total = sum(size for _, size in _kept.values())
        while total > KEPT:
            _, (_, size) = _kept.popitem(last=False)
            total -= size
    return found


_kept: OrderedDict[Any, tuple[Array, int]] = OrderedDict()
_lock = threading.Lock()

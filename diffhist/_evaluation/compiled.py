"""Taps added to tables, and tables seen at pixels, on a CPU by way of Numba: what takes most of the time in `evaluate`.

All that the compiled loops know of a kernel or a spline is polynomials: the taps that `locate` gives a pixel by where
in its cell it is, fitted in pieces until they agree to rounding. A pixel then costs two rows of polynomials, and a
vector of the table for each tap of the first axis. Sums are float64, as in array code; pixels are met row by row of the
table, which keeps what they meet in cache.
"""

import functools
import itertools
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import array_api_compat.numpy
import numpy as np

from diffhist._array import Array, is_torch
from diffhist._evaluation.band import Band
from diffhist._evaluation.kernel import Axis
from diffhist._evaluation.spline import Spline

COMPILED = True  # False turns the kernels off, as NUMBA_DISABLE_JIT does
LEAST = 1 << 12  # pixels: for fewer, loading Numba takes longer than it can save
PART = 1 << 13  # pixels that are worth a thread
LANES = (4, 8, 16, 32)  # widths of the rows; kernels of more taps are left to array code
MOST_PIECES = 512  # that a cell is cut into
PLANES = {32: 4, 64: 9}  # coefficients of a polynomial, by bits of the dtype
ROUNDING = {32: 2e-7, 64: 2e-14}  # of the largest tap


class Plan(NamedTuple):
    """How pixels meet a table: the arguments that both kernels end with."""

    size: int
    stride: int
    across: Any  # `compiled_kernels.Line` of the first axis
    along: Any  # and of the last
    of_x: np.ndarray | None  # polynomials (pieces, planes, lanes); None where there is but one axis
    of_y: np.ndarray
    planes: tuple[int, ...]
    lanes: tuple[int, ...]


def serves(x: Array) -> bool:
    """Whether pixels are for Numba: many, on a CPU, of NumPy or torch."""
    here = x.device.type == "cpu" if is_torch(x) else isinstance(x, np.ndarray)
    return COMPILED and here and math.prod(x.shape) >= LEAST and _works()


def width(ways: Sequence[Any]) -> int:
    """Elements of the rows that pixels are spread in; 0 where there are none so wide."""
    if len(ways) > 2 or any(w.axis.edges for w in ways):
        return 0
    return next((n for n in LANES if n >= max(w.taps for w in ways)), 0)


def plan(ways: Sequence[Any], orders: Sequence[int], x: Array, dtype: Any) -> Plan | None:
    """How these pixels are evaluated here; None where they are left to array code."""
    if not (serves(x) and width(ways)):
        return None
    return _plan(tuple(ways), tuple(orders), ways[0].xp.finfo(dtype).bits)


@functools.cache
def _works() -> bool:
    """Whether Numba is installed, wanted, and compiles what it should."""
    try:
        import numba

        if getattr(numba.config, "DISABLE_JIT"):  # noqa: B009 - unknown to type checkers
            return False
        _check()
    except ImportError:
        return False
    except Exception as error:  # a compiler that these kernels do not get along with
        warnings.warn(f"diffhist uses array code, what Numba compiles for it fails here: {error}", stacklevel=2)
        return False
    return True


def _check() -> None:
    """Compile the kernels for float32, and hold them against each other: adjoints, that lose no mass."""
    x, h = np.linspace(0.0, 1.0, 50, dtype=np.float32)[None], np.linspace(0.0, 1.0, 100, dtype=np.float32)
    bands = [Band(array_api_compat.numpy, Axis(10, 0.0, 0.1, 0.05, "reflect"), np.float32)] * 2
    both = _plan(tuple(bands), (0, 0), 32)
    assert both is not None
    table, h = spread(both, (x, x**2), None, np.float32, bands), h.reshape(1, 10, 10)
    seen = gather(both, seen_by(both, h, np.float32, bands), (x, x**2), np.float32)
    np.testing.assert_allclose([table.sum(), (table * h).sum()], [50.0, seen.sum()], rtol=1e-5)


def _kernels() -> Any:
    from diffhist._evaluation import compiled_kernels

    return compiled_kernels


@functools.lru_cache(maxsize=64)
def _plan(ways: tuple[Any, ...], orders: tuple[int, ...], bits: int) -> Plan | None:
    lanes = width(ways)
    lines: list[Any] = [_kernels().Line(0.0, 0.0, 1.0, 0.0, 0, 0, 1, 1, 1.0, 0.0, 1.0)]  # one row, for one axis
    polynomials: list[Any] = [None]
    for way, o in zip(ways, orders, strict=True):
        axis, M = way.axis, getattr(way, "fineness", 1)
        settings, plain = vars(way) | {"xp": array_api_compat.numpy}, axis._replace(low=0.0, step=1.0)
        if isinstance(way, Spline):  # one fit for all widths: taps are the same in cells of any size
            plain = Axis(64, 0.0, 1.0, 1.0, "open")
            settings = vars(Spline(array_api_compat.numpy, plain, np.float32, plane=way.degree == 4, last=True))
        both = (0, 1) if o <= 1 else (o,)  # a step asks for these two, and a width may be asked for once
        found = _fits(way.__class__, tuple((settings | {"axis": plain}).items()), both, lanes, bits)
        if found is None:
            return None
        first, least, coefficients = found[o]
        if isinstance(way, Spline):
            first = way.origin * M
        boundary = ("open", "circular", "reflect").index(axis.boundary)
        scale = axis.step**-o if isinstance(way, Band) else 1.0
        cells, margin, turn = float(axis.bins * M), (way.reach + 0.5) * M, -1.0 if o % 2 else 1.0
        numbers = axis.low, M / axis.step, cells, margin, boundary, first, way.taps, len(coefficients)
        lines.append(_kernels().Line(*numbers, scale, least, turn))
        polynomials.append(coefficients)
    size = math.prod(w.size for w in ways)
    constants = (0,) * PLANES[bits], (0,) * lanes
    return Plan(size, ways[-1].size, lines[-2], lines[-1], polynomials[-2], polynomials[-1], *constants)


@functools.lru_cache(maxsize=64)
def _fits(kind: Any, settings: Any, orders: Sequence[int], lanes: int, bits: int) -> dict[int, Any] | None:
    """What `locate` gives in the range's first cell, for each order: the first index, the least that taps may be, and
    the taps as polynomials (pieces, planes, lanes); None where none fit."""
    way, planes = object.__new__(kind), PLANES[bits]
    vars(way).update(settings)
    M = getattr(way, "fineness", 1)
    nodes = 0.5 - 0.5 * np.cos(np.pi * (np.arange(planes) + 0.5) / planes)
    points = np.concatenate([nodes, 0.5 * (nodes[1:] + nodes[:-1])])
    powers = np.vander(points, planes)
    pieces, before = 8, math.inf
    while pieces * M * way.axis.width < 6 * len(orders):  # fewer hardly ever do
        pieces *= 2
    while pieces <= MOST_PIECES:
        t = (np.arange(pieces) + points[:, None]) / pieces
        first, taps = way.locate(t.reshape(1, -1) / M, orders)
        each = np.asarray([taps[o] for o in orders]).reshape(-1, *t.shape).swapaxes(0, 1)  # point, order and tap, piece
        coefficients = np.linalg.solve(powers[:planes], each[:planes].reshape(planes, -1))
        errors = powers[planes:] @ coefficients - each[planes:].reshape(planes - 1, -1)
        each, errors = (a.reshape(-1, len(orders), way.taps * pieces) for a in (each, errors))
        error = (np.abs(errors).max((0, 2)) / np.abs(each).max((0, 2))).max()
        if error <= ROUNDING[bits]:
            polynomials = np.zeros((len(orders), pieces, planes, lanes))
            polynomials[..., : way.taps] = coefficients.reshape(planes, len(orders), way.taps, -1).transpose(1, 3, 0, 2)
            # a mass is not below 0, of which there is no logarithm
            least = np.where((each >= 0).all((0, 2)), 0.0, -math.inf)
            return {o: (int(first[0, 0]), float(least[n]), polynomials[n]) for n, o in enumerate(orders)}
        if error > before / 4:
            return None  # a kink; what is smooth comes out 16 times better
        pieces, before = 2 * pieces, error
    return None


def spread(
    plan: Plan, pixels: Sequence[Array], weights: Array | None, dtype: Any, bands: Sequence[Band] | None = None
) -> np.ndarray:
    """Tables (B, size) of float64, of pixels (B, N); with ``bands``, their bins (B, Kx[, Ky]), by `Band.collect`."""
    B, N = pixels[0].shape
    threads = _threads(pixels[0])
    parts = max(1, min(threads // B, N // PART))
    each = plan.size + len(plan.lanes)  # so that no thread writes, be it zeros, where another one adds
    tables = np.zeros(B * parts * each)
    (x, y), w = _pair(pixels, dtype), None if weights is None else plain(weights, dtype)
    own = plan._replace(size=each)
    _shared(threads, B * parts, lambda *some: _kernels().spread(tables, x, y, w, *own, parts, *some))
    made = tables.reshape(B, parts, each)
    if bands:
        bins = np.zeros((B, *([1] if len(bands) == 1 else []), *(way.axis.bins for way in bands)), y.dtype)
        _kernels().fold(made, bins, *_bins_of(bands))
        return bins[:, 0] if len(bands) == 1 else bins
    made = made[..., : plan.size]
    return made[:, 0] if parts == 1 else made.sum(1)


def seen_by(plan: Plan, table: Array, dtype: Any, bands: Sequence[Band] | None = None) -> np.ndarray:
    """Tables (B, size), or by `Band.expand` those of bins (B, Kx[, Ky]), as `gather` takes them: one after the other,
    and zeros."""
    h = plain(table, dtype)
    if not bands:
        return np.concatenate([h.ravel(), np.zeros(len(plan.lanes), h.dtype)])
    tables = np.zeros(len(h) * plan.size + len(plan.lanes), h.dtype)
    _kernels().unfold(h.reshape(len(h), -1, h.shape[-1]), tables, *_bins_of(bands))
    return tables


def _bins_of(bands: Sequence[Band]) -> tuple[np.ndarray, np.ndarray, int]:
    """The bins that the rows and the columns of a table are of, and how many columns on each side come again."""
    rows, columns = [np.zeros(1, np.int64), *(_bins(w.axis.bins, w.pad, w.axis.boundary) for w in bands)][-2:]
    return rows, columns, bands[-1].pad


@functools.lru_cache(maxsize=64)
def _bins(K: int, pad: int, boundary: str) -> np.ndarray:
    """Of each bin with ``pad`` more on both sides, the one that it is by the boundary rule, or -1."""
    k = np.arange(-pad, K + pad)
    if boundary == "open":
        return np.where((k >= 0) & (k < K), k, -1)
    return k % K if boundary == "circular" else np.minimum(k % (2 * K), (-1 - k) % (2 * K))


def gather(plan: Plan, tables: np.ndarray, pixels: Sequence[Array], dtype: Any) -> np.ndarray:
    """Tables, as `seen_by` gives them, seen at pixels (B, N)."""
    x, y = _pair(pixels, dtype)
    seen = np.empty(y.shape, tables.dtype)
    of = {name: c.astype(tables.dtype) for name in ("of_x", "of_y") if (c := getattr(plan, name)) is not None}
    own = plan._replace(**of)
    _shared(_threads(pixels[0]), y.size, lambda *some: _kernels().gather(tables, seen, x, y, *own, *some))
    return seen


def plain(a: Array, dtype: Any) -> np.ndarray:
    """Of NumPy, contiguous, and writable, for which Numba would else compile once more."""
    a = a.detach().to(dtype).numpy() if is_torch(a) else a.astype(np.dtype(dtype).newbyteorder("="), copy=False)
    return np.require(a, requirements=["C", "W"])


def _pair(pixels: Sequence[Array], dtype: Any) -> tuple[Any, np.ndarray]:
    """The first coordinate, None where there is but one, and the last."""
    *lead, last = (plain(c, dtype) for c in pixels)
    return (lead[0] if lead else None), last


def _threads(x: Array) -> int:
    return sys.modules["torch"].get_num_threads() if is_torch(x) else sys.modules["numba"].config.NUMBA_NUM_THREADS


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of its parent are not there after a fork."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="diffhist")


def _shared(threads: int, jobs: int, run: Callable[[int, int], None]) -> None:
    """``run(start, stop)`` for all jobs, by several threads: Numba's own are not for several callers, nor for forks."""
    number = max(1, min(threads, jobs))
    cuts = [jobs * n // number for n in range(number + 1)]
    others = [_pool(os.getpid()).submit(run, *part) for part in itertools.pairwise(cuts[1:])]
    run(*cuts[:2])
    for other in others:
        other.result()

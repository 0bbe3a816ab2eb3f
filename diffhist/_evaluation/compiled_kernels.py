"""What Numba compiles: a pixel's taps, added to a table or multiplied by it.

LLVM does not make vector code of loops of 15, so that the three innermost ones are written as vectors: ``lanes``, a
tuple whose length alone counts, says how wide. They read and write ``lanes`` elements where a kernel has fewer taps,
with weight 0: arrays are longer by so many.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

OPEN, CIRCULAR, REFLECT = 0, 1, 2
_intrinsic: Any = intrinsic  # to type checkers, what it makes takes one argument more


class Line(NamedTuple):
    """How the pixels of one coordinate meet its row of a table."""

    low: float
    per_x: float  # cells in a unit of x
    cells: float  # in the range
    margin: float  # cells beyond it, after which nothing is met
    boundary: int
    first: int  # index of the first tap of a pixel in cell 0
    taps: int
    pieces: int  # of a cell, each with polynomials of its own
    scale: float  # of the taps
    least: float  # that a tap may be
    turn: float  # -1 where a mirror changes their sign


def _jit(fun: Callable[..., Any]) -> Any:
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(fun)
    except RuntimeError:  # nowhere to keep it: an installation and a home that cannot be written
        return numba.njit(nogil=True, error_model="numpy")(fun)


def _vector(context: Any, builder: Any, kind: Any, array: Any, at: Any, width: int) -> tuple[Any, int]:
    """Where the vector lies that starts at an element of an array, and its alignment in bytes."""
    start = builder.gep(context.make_array(kind)(context, builder, array).data, [at])
    vector = ir.VectorType(context.get_data_type(kind.dtype), width)
    return builder.bitcast(start, vector.as_pointer()), kind.dtype.bitwidth // 8


def _filled(builder: Any, scalar: Any, width: int) -> Any:
    none = ir.Constant(ir.VectorType(scalar.type, width), ir.Undefined)
    one = builder.insert_element(none, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))


def _plus_product(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(a, builder.fmul(b, c, flags=["contract"]), flags=["contract"])


@_intrinsic
def _polynomials(typingctx, out, coefficients, at, t, least, planes, lanes):
    """out[j] = sum_d coefficients[at + d lanes + j] t^(planes - 1 - d), but at least ``least``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total: Any = None
        power = _filled(builder, args[3], len(lanes))
        for d in range(len(planes)):
            start = builder.add(args[2], args[2].type(d * len(lanes)))
            where, align = _vector(context, builder, coefficients, args[1], start, len(lanes))
            c = builder.load(where, align=align)
            total = c if total is None else _plus_product(builder, c, total, power)
        where, align = _vector(context, builder, out, args[0], args[2].type(0), len(lanes))
        floor = _filled(builder, args[4], len(lanes))
        total = builder.select(builder.fcmp_ordered("<", total, floor), floor, total)  # NaN stays
        builder.store(total, where, align=align)
        return context.get_dummy_value()

    return types.void(out, coefficients, types.intp, out.dtype, out.dtype, planes, lanes), codegen


@contextmanager
def _each_row(context: Any, builder: Any, kinds: Any, args: Any, width: int) -> Iterator[Any]:
    """A loop over the rows of a table that a pixel meets: where each lies, its alignment, lead[i], and last."""
    table, at, stride, lead, rows, last = args[:6]
    where, align = _vector(context, builder, kinds[5], last, at.type(0), width)
    row = builder.load(where, align=align)
    leads = context.make_array(kinds[3])(context, builder, lead).data
    with cgutils.for_range(builder, rows) as loop:
        start = builder.add(at, builder.mul(loop.index, stride))
        where, align = _vector(context, builder, kinds[0], table, start, width)
        yield where, align, _filled(builder, builder.load(builder.gep(leads, [loop.index])), width), row


@_intrinsic
def _add(typingctx, table, at, stride, lead, rows, last, lanes):
    """table[at + i stride + j] += lead[i] last[j], for the first ``rows`` of i."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        with _each_row(context, builder, signature.args, args, len(lanes)) as (where, align, scale, row):
            builder.store(_plus_product(builder, builder.load(where, align=align), scale, row), where, align=align)
        return context.get_dummy_value()

    return types.void(table, types.intp, types.intp, lead, types.intp, last, lanes), codegen


@_intrinsic
def _seen(typingctx, table, at, stride, lead, rows, last, lanes):
    """sum_ij table[at + i stride + j] lead[i] last[j], for the first ``rows`` of i."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        single = context.get_data_type(table.dtype)
        total: Any = cgutils.alloca_once_value(
            builder, ir.Constant(ir.VectorType(single, len(lanes)), [0.0] * len(lanes))
        )
        with _each_row(context, builder, signature.args, args, len(lanes)) as (where, align, scale, row):
            more = _plus_product(builder, builder.load(total), builder.load(where, align=align), scale)
            builder.store(more, total)
        each = builder.fmul(builder.load(total), row)
        name = f"llvm.vector.reduce.fadd.v{len(lanes)}f{table.dtype.bitwidth}"
        add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(single, [single, each.type]), name)
        return builder.call(add, [single(0.0), each], fastmath=["reassoc"])

    return table.dtype(table, types.intp, types.intp, lead, types.intp, last, lanes), codegen


@_jit
def _cell(x, line):
    """The cell that x is in, where in it (0 to 1, or NaN), and the sign of its direction: -1 in a mirror."""
    u, sign = (x - line.low) * line.per_x, 1.0
    if line.boundary == OPEN:
        if u < -line.margin:
            u = -line.margin
        elif u > line.cells + line.margin:
            u = line.cells + line.margin
    else:
        period = line.cells if line.boundary == CIRCULAR else 2.0 * line.cells
        u -= period * np.floor(u / period)
        if u > line.cells and line.boundary == REFLECT:
            u, sign = period - u, -1.0
    if not np.isfinite(u):
        return 0, np.nan, sign
    cell = np.floor(u)
    if line.boundary != OPEN:
        cell = min(max(cell, 0.0), line.cells - 1.0)
    return int(cell), min(max(u - cell, 0.0), 1.0), sign


@_jit
def _meet(taps, x, line, coefficients, planes, lanes):
    """Writes x's taps, and returns the index of the first and what all are to be multiplied by."""
    cell, t, sign = _cell(float(x), line)
    piece, t = 0 if np.isnan(t) else min(int(t * line.pieces), line.pieces - 1), t * line.pieces
    start = piece * len(planes) * len(lanes)
    _polynomials(taps, coefficients, start, taps.dtype.type(t - piece), taps.dtype.type(line.least), planes, lanes)
    return line.first + cell, line.scale if sign > 0.0 else line.scale * line.turn


@_jit
def _by_cell(x, line):
    """The order of the pixels by their cell: so met, the table stays in cache."""
    low = -int(line.margin) - 1
    where, ends = np.empty(x.size, np.int32), np.zeros(int(line.cells) - 2 * low + 2, np.int64)
    for i in range(x.size):
        where[i] = _cell(float(x[i]), line)[0] - low
        ends[where[i] + 1] += 1
    for k in range(1, ends.size):
        ends[k] += ends[k - 1]
    order = np.empty(x.size, np.int64)
    for i in range(x.size):
        order[ends[where[i]]] = i
        ends[where[i]] += 1
    return order


@_jit
def spread(tables, x, y, weights, size, stride, across, along, of_x, of_y, planes, lanes, parts, start, stop):
    """Adds pixels (B, N), each sample in so many parts, to tables of ``size``, one for each part, from start to stop.

    Of one coordinate, x is None.
    """
    N = y.shape[1]
    lead, last = np.ones(len(lanes), tables.dtype), np.zeros(len(lanes), tables.dtype)
    for job in range(start, stop):
        b, part = job // parts, job % parts
        begin, end = N * part // parts, N * (part + 1) // parts
        if x is not None:
            order = _by_cell(x[b, begin:end], across)
        for n in range(end - begin):
            if x is None:
                i, row, scale = begin + n, 0, 1.0
                lead[0] = 1.0
            else:
                i = begin + order[n]
                row, scale = _meet(lead, x[b, i], across, of_x, planes, lanes)
            column, turned = _meet(last, y[b, i], along, of_y, planes, lanes)
            scale *= turned
            if weights is not None:
                scale *= weights[b, i]
            for k in range(across.taps):
                lead[k] *= scale
            _add(tables, job * size + row * stride + column, stride, lead, across.taps, last, lanes)


@_jit
def gather(h, seen, x, y, size, stride, across, along, of_x, of_y, planes, lanes, start, stop):
    """Tables of ``size``, one for each sample, as pixels (B, N) see them, from pixel start to stop of all."""
    N = y.shape[1]
    lead, last = np.ones(len(lanes), h.dtype), np.zeros(len(lanes), h.dtype)
    for b in range(start // N, (stop + N - 1) // N):
        for i in range(max(start - b * N, 0), min(stop - b * N, N)):
            row, scale = 0, 1.0
            if x is not None:
                row, scale = _meet(lead, x[b, i], across, of_x, planes, lanes)
            column, turned = _meet(last, y[b, i], along, of_y, planes, lanes)
            total = _seen(h, b * size + row * stride + column, stride, lead, across.taps, last, lanes)
            seen[b, i] = total * (scale * turned)

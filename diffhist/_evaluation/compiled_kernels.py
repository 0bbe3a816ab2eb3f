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
BLOCK = 512  # pixels that are located at once
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


class Places(NamedTuple):
    """Where a block of pixels meets the table along one axis."""

    first: np.ndarray  # index of the first tap
    piece: np.ndarray  # index of the first coefficient
    t: np.ndarray  # where in that piece: 0 to 1, or NaN
    scale: np.ndarray  # of the taps


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
def _polynomials(typingctx, out, coefficients, at, t, least, scale, planes, lanes):
    """out[j] = scale sum_d coefficients[at + d lanes + j] t^(planes - 1 - d), of a sum of at least ``least``."""

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
        builder.store(builder.fmul(total, _filled(builder, args[5], len(lanes))), where, align=align)
        return context.get_dummy_value()

    return types.void(out, coefficients, types.intp, out.dtype, out.dtype, out.dtype, planes, lanes), codegen


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
def _places(kind):
    return Places(np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, kind), np.empty(BLOCK, kind))


@_jit
def _locate(places, x, line, piece):
    """Fills in the places of pixels; ``piece`` is the number of its coefficients. All is chosen, and nothing skipped:
    of branches, LLVM makes no vector code."""
    low, high, last = -line.margin, line.cells + line.margin, line.cells - 1.0
    period = line.cells if line.boundary == CIRCULAR else 2.0 * line.cells
    for i in range(x.size):
        u, turn = (float(x[i]) - line.low) * line.per_x, 1.0
        if line.boundary == OPEN:
            u = low if u < low else u
            u = high if u > high else u
            cell = np.floor(u)
        else:
            u -= period * np.floor(u / period)
            mirrored = u > line.cells and line.boundary == REFLECT
            turn = line.turn if mirrored else 1.0
            u = period - u if mirrored else u
            cell = np.floor(u)
            cell = 0.0 if cell < 0.0 else cell
            cell = last if cell > last else cell
        t = u - cell
        t = 0.0 if t < 0.0 else t
        t = (1.0 if t > 1.0 else t) * line.pieces
        number = np.floor(t)
        number = line.pieces - 1.0 if number > line.pieces - 1.0 else number
        known = t == t
        places.first[i] = line.first + np.int32(cell if known else 0.0)
        places.piece[i] = piece * np.int32(number if known else 0.0)
        places.t[i] = t - number
        places.scale[i] = line.scale * turn


@_jit
def _by_cell(places, x, line):
    """The order of pixels by their cell: so met, the table stays in cache."""
    low = line.first - int(line.margin) - 1
    where, ends = np.empty(x.size, np.int32), np.zeros(int(line.cells + 2.0 * line.margin) + 5, np.int32)
    for start in range(0, x.size, BLOCK):
        stop = min(start + BLOCK, x.size)
        _locate(places, x[start:stop], line, 0)
        for i in range(start, stop):
            where[i] = places.first[i - start] - low
            ends[where[i] + 1] += 1
    for k in range(1, ends.size):
        ends[k] += ends[k - 1]
    order = np.empty(x.size, np.int32)
    for i in range(x.size):
        order[ends[where[i]]] = i
        ends[where[i]] += 1
    return order


@_jit
def spread(tables, x, y, weights, size, stride, across, along, of_x, of_y, planes, lanes, parts, start, stop):
    """Adds pixels (B, N), each sample in so many parts, to tables of ``size``, one for each part, from start to stop.

    Of one coordinate, x is None. One NaN, or infinity, makes the table NaN.
    """
    N, kind, piece = y.shape[1], tables.dtype.type, len(planes) * len(lanes)
    lead, last = np.ones(len(lanes), tables.dtype), np.zeros(len(lanes), tables.dtype)
    rows, columns = _places(tables.dtype), _places(tables.dtype)
    some = np.empty(BLOCK, y.dtype)
    for job in range(start, stop):
        b, part = job // parts, job % parts
        begin, end, origin, lost = N * part // parts, N * (part + 1) // parts, job * size, 0.0
        if x is not None:
            order = _by_cell(rows, x[b, begin:end], across)
        for block in range(begin, end, BLOCK):
            n = min(BLOCK, end - block)
            if x is None:
                _locate(columns, y[b, block : block + n], along, piece)
            else:
                for i in range(n):
                    some[i] = x[b, begin + order[block - begin + i]]
                _locate(rows, some[:n], across, piece)
                for i in range(n):
                    some[i] = y[b, begin + order[block - begin + i]]
                _locate(columns, some[:n], along, piece)
            for i in range(n):
                scale, at, pixel = columns.scale[i], origin + columns.first[i], block + i
                if x is not None:
                    _polynomials(lead, of_x, rows.piece[i], rows.t[i], kind(across.least), kind(1.0), planes, lanes)
                    at, scale, pixel = at + rows.first[i] * stride, scale * rows.scale[i], begin + order[pixel - begin]
                    lost += 0.0 * rows.t[i]
                if weights is not None:
                    scale *= weights[b, pixel]
                _polynomials(last, of_y, columns.piece[i], columns.t[i], kind(along.least), scale, planes, lanes)
                _add(tables, at, stride, lead, across.taps, last, lanes)
                lost += 0.0 * columns.t[i] * scale
        if lost != 0.0:
            tables[origin : origin + size] = np.nan


@_jit
def gather(h, seen, x, y, size, stride, across, along, of_x, of_y, planes, lanes, start, stop):
    """Tables of ``size``, one for each sample, as pixels (B, N) see them, from pixel start to stop of all."""
    N, kind, piece = y.shape[1], h.dtype.type, len(planes) * len(lanes)
    lead, last = np.ones(len(lanes), h.dtype), np.zeros(len(lanes), h.dtype)
    rows, columns = _places(h.dtype), _places(h.dtype)
    for b in range(start // N, (stop + N - 1) // N):
        end = min(stop - b * N, N)
        for block in range(max(start - b * N, 0), end, BLOCK):
            n = min(BLOCK, end - block)
            _locate(columns, y[b, block : block + n], along, piece)
            if x is not None:
                _locate(rows, x[b, block : block + n], across, piece)
            for i in range(n):
                scale, at = columns.scale[i], b * size + columns.first[i]
                if x is not None:
                    _polynomials(lead, of_x, rows.piece[i], rows.t[i], kind(across.least), kind(1.0), planes, lanes)
                    at, scale = at + rows.first[i] * stride, scale * rows.scale[i]
                _polynomials(last, of_y, columns.piece[i], columns.t[i], kind(along.least), scale, planes, lanes)
                seen[b, block + i] = _seen(h, at, stride, lead, across.taps, last, lanes)


@_jit
def fold(tables, bins, rows, columns, pad):
    """Adds the cells of tables (B, parts, size) to the bins (B, Kx, Ky) that they are of: that of row r and column c to
    rows[r] and columns[c], where neither is below 0. The inner columns are bins one by one, ``pad`` on each side not.
    """
    inner = bins.shape[2]
    for b in range(bins.shape[0]):
        for r in range(rows.size):
            cells = tables[b, 0, r * columns.size : (r + 1) * columns.size]
            for part in range(1, tables.shape[1]):
                for c in range(columns.size):
                    cells[c] += tables[b, part, r * columns.size + c]
            if rows[r] >= 0:
                row = bins[b, rows[r]]
                for k in range(inner):
                    row[k] += cells[pad + k]
                for n in range(2 * pad):
                    c = n if n < pad else inner + n
                    if columns[c] >= 0:
                        row[columns[c]] += cells[c]


@_jit
def unfold(bins, tables, rows, columns, pad):
    """The adjoint of `fold`: bins (B, Kx, Ky) -> tables, one after the other."""
    inner, start = bins.shape[2], 0
    for b in range(bins.shape[0]):
        for r in range(rows.size):
            cells = tables[start : start + columns.size]
            start += columns.size
            if rows[r] < 0:
                cells[:] = 0.0
                continue
            row = bins[b, rows[r]]
            for k in range(inner):
                cells[pad + k] = row[k]
            for n in range(2 * pad):
                c = n if n < pad else inner + n
                cells[c] = row[columns[c]] if columns[c] >= 0 else 0.0

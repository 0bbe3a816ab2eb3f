"""The Triton kernels that `_triton` launches.

Arguments of an axis: its `low` end and bins `per` unit, 1 / W (`sharp`) and exp(-1 / W) (`tail`) for W in bins, and its
`bins`, `reach` and `pad`. A window is 2 TAPS bins: a tile and the next. Without a second axis y is None and TAPS_Y 1.
"""

import triton
import triton.language as tl


@triton.jit
def place(x, low, per_bin, bins, BOUNDARY: tl.constexpr):
    """x in bins, brought into the range as the boundary says, and the sign of the derivative: -1 in a mirror."""
    u = (x.to(tl.float32) - low) * per_bin
    sign = tl.full(u.shape, 1.0, tl.float32)
    if BOUNDARY == 1:
        u = u - bins * tl.floor(u * (1.0 / bins))
    if BOUNDARY == 2:
        u = u - 2 * bins * tl.floor(u * (0.5 / bins))
        sign = tl.where(u > bins, -1.0, 1.0)
        u = tl.where(u > bins, 2 * bins - u, u)
    if BOUNDARY != 0:  # rounding may leave u just outside; comparisons let NaN through
        u = tl.where(u < 0, 0.0, tl.where(u > bins, bins * 1.0, u))
    return u, sign


@triton.jit
def bin_of(u, bins, reach, BOUNDARY: tl.constexpr):
    """The bin that u is in, where NaN is in the first one; under an open boundary, not further out than it is seen."""
    if BOUNDARY == 0:
        least = -reach - 1.0
        most = bins + reach * 1.0
    else:
        least = reach * 0.0
        most = bins - 1.0
    cell = tl.floor(u)
    cell = tl.where(cell > least, cell, least)
    return tl.where(cell < most, cell, most)


@triton.jit
def mass(c, sharp, tail, ORDER: tl.constexpr):
    """Mass in a bin of a kernel at c bins from its middle, or its derivative; sharp = 1 / W, tail = exp(-1 / W).

    sigmoid(c + 1/2) - sigmoid(c - 1/2), in units of W, by one exponential and one division.
    """
    z = (tl.abs(c) - 0.5) * sharp
    z = tl.where(z > 40.0, 40.0, tl.where(z < -40.0, -40.0, z))
    e = tl.exp(z)
    r = 1.0 / ((1.0 + e) * (e + tail))
    mass = tl.where(z >= 40.0, 0.0, (1.0 - tail) * e * r)
    if ORDER > 0:
        mass = tl.where(z <= -40.0, 0.0, mass)
        slope = (e * e - tail) * r
        if ORDER == 1:
            mass = tl.where(c > 0, -slope, slope) * mass
        else:
            far = (e + tail) * r
            near = tail * (1.0 + e) * r
            mass = mass * (slope * slope - far * (1.0 - far) - near * (1.0 - near))
    return mass


@triton.jit
def turned(w, sign, ORDER: tl.constexpr):
    return w * sign if ORDER % 2 == 1 else w


@triton.jit
def compensated(sums, lost, more):
    """sums + more by Kahan's rule: many equal terms neither stagnate nor round in one direction."""
    more = more - lost
    total = sums + more
    return total, (total - sums) - more


@triton.jit
def locate(keys, x, y, pixels, N, low_x, per_x, sharp_x, tail_x, bins_x, reach_x, pad_x,
            low_y, per_y, sharp_y, tail_y, bins_y, reach_y, pad_y, per_row, count_y,
            TAPS_X: tl.constexpr, TAPS_Y: tl.constexpr, BOUNDARY_X: tl.constexpr, BOUNDARY_Y: tl.constexpr,
            BLOCK: tl.constexpr):  # fmt: skip
    """The tile, over all rows, in which each pixel's bins begin."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = i < pixels
    u, _ = place(tl.load(x + i, there, 0.0), low_x, per_x, bins_x, BOUNDARY_X)
    tile = (bin_of(u, bins_x, reach_x, BOUNDARY_X).to(tl.int32) + (pad_x - reach_x)) // TAPS_X
    if y is not None:
        v, _ = place(tl.load(y + i, there, 0.0), low_y, per_y, bins_y, BOUNDARY_Y)
        below = (bin_of(v, bins_y, reach_y, BOUNDARY_Y).to(tl.int32) + (pad_y - reach_y)) // TAPS_Y
        tile = tile * count_y + below
    tl.store(keys + i, (i // N * per_row + tile).to(keys.dtype.element_ty), there)


@triton.jit
def spread(partial, order, owner, starts, first, x, y, w, low_x, per_x, sharp_x, tail_x, bins_x, reach_x, pad_x,
            low_y, per_y, sharp_y, tail_y, bins_y, reach_y, pad_y, total, per_row, count_y, chunk,
            TAPS_X: tl.constexpr, TAPS_Y: tl.constexpr, BOUNDARY_X: tl.constexpr, BOUNDARY_Y: tl.constexpr,
            BLOCK: tl.constexpr, ORDER_X: tl.constexpr, ORDER_Y: tl.constexpr):  # fmt: skip
    """The table of one program's pixels, in the window of their tile."""
    table = tl.program_id(0).to(tl.int64)
    tile = tl.load(owner + table)
    if tile < total:  # otherwise there are fewer tables than there might have been
        begin = tl.load(starts + tile) + (table - tl.load(first + tile)) * chunk
        end = tl.minimum(begin + chunk, tl.load(starts + tile + 1))
        within = (tile % per_row).to(tl.int32)
        k = tl.arange(0, 2 * TAPS_X)
        left = within // count_y * TAPS_X - pad_x
        if y is not None:
            m = tl.arange(0, 2 * TAPS_Y)
            below = within % count_y * TAPS_Y - pad_y
            sums = tl.zeros((2 * TAPS_X, 2 * TAPS_Y), tl.float32)
        else:
            sums = tl.zeros((2 * TAPS_X,), tl.float32)
        lost = sums
        for start in range(begin, end, BLOCK):
            n = start + tl.arange(0, BLOCK)
            there = n < end
            i = tl.load(order + n, there, 0)
            u, sign = place(tl.load(x + i, there, 0.0), low_x, per_x, bins_x, BOUNDARY_X)
            weight = turned(tl.where(there, 1.0, 0.0), sign, ORDER_X)
            if w is not None:
                weight = weight * tl.load(w + i, there, 0.0).to(tl.float32)
            if y is not None:
                v, sign = place(tl.load(y + i, there, 0.0), low_y, per_y, bins_y, BOUNDARY_Y)
                weight = turned(weight, sign, ORDER_Y)
                c = (u - left)[None, :] - k[:, None] - 0.5
                d = (v - below)[:, None] - m[None, :] - 0.5
                of_x = mass(c, sharp_x, tail_x, ORDER_X) * weight[None, :]
                of_y = mass(d, sharp_y, tail_y, ORDER_Y)
                sums, lost = compensated(sums, lost, tl.dot(of_x, of_y, input_precision="tf32x3"))
            else:
                c = (u - left)[:, None] - k[None, :] - 0.5
                of_x = mass(c, sharp_x, tail_x, ORDER_X) * weight[:, None]
                sums, lost = compensated(sums, lost, tl.sum(of_x, 0))
        if y is not None:
            cells = k[:, None] * (2 * TAPS_Y) + m[None, :]
            tl.store(partial + table * (4 * TAPS_X * TAPS_Y) + cells, sums)
        else:
            tl.store(partial + table * (2 * TAPS_X) + k, sums)


@triton.jit
def combine(out, partial, first, count_x, count_y, tall_y,
             TAPS_X: tl.constexpr, TAPS_Y: tl.constexpr, PARTS_Y: tl.constexpr):  # fmt: skip
    """A tile of the result: the sum of all windows that reach it, those of its own pixels and of the tiles before."""
    pid = tl.program_id(0)
    tile_y = pid % tall_y
    tile_x = pid // tall_y % (count_x + 1)
    row = pid.to(tl.int64) // tall_y // (count_x + 1)
    k = tl.arange(0, TAPS_X)[:, None]
    m = tl.arange(0, TAPS_Y)[None, :]
    sums = tl.zeros((TAPS_X, TAPS_Y), tl.float64)
    for part_x in tl.static_range(2):
        for part_y in tl.static_range(PARTS_Y):
            of_x = tile_x - part_x
            of_y = tile_y - part_y
            there = (of_x >= 0) & (of_x < count_x) & (of_y >= 0) & (of_y < count_y)
            tile = (row * count_x + of_x) * count_y + of_y
            begin = tl.load(first + tile, there, 0)
            end = tl.load(first + tile + 1, there, 0)
            cells = (part_x * TAPS_X + k) * (PARTS_Y * TAPS_Y) + part_y * TAPS_Y + m
            for table in range(begin, end):
                sums += tl.load(partial + table * (2 * PARTS_Y * TAPS_X * TAPS_Y) + cells).to(tl.float64)
    line = (row * (count_x + 1) + tile_x) * TAPS_X + k
    tl.store(out + (line * tall_y + tile_y) * TAPS_Y + m, sums.to(tl.float32))


@triton.jit
def gather(seen, h, x, y, pixels, N, scale, low_x, per_x, sharp_x, tail_x, bins_x, reach_x, pad_x,
            low_y, per_y, sharp_y, tail_y, bins_y, reach_y, pad_y, size_x, size_y,
            TAPS_X: tl.constexpr, TAPS_Y: tl.constexpr, BOUNDARY_X: tl.constexpr, BOUNDARY_Y: tl.constexpr,
            BLOCK: tl.constexpr, ORDER_X: tl.constexpr, ORDER_Y: tl.constexpr):  # fmt: skip
    """The padded histogram, seen through the kernel at each pixel."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = i < pixels
    u, sign = place(tl.load(x + i, there, 0.0), low_x, per_x, bins_x, BOUNDARY_X)
    cell = bin_of(u, bins_x, reach_x, BOUNDARY_X)
    left = i // N * size_x + (cell.to(tl.int32) + (pad_x - reach_x))
    k = tl.arange(0, TAPS_X)[None, :]
    of_x = mass((u - cell)[:, None] + (reach_x - 0.5) - k, sharp_x, tail_x, ORDER_X)
    inside = there[:, None] & (k <= 2 * reach_x)
    if y is not None:
        v, sign_y = place(tl.load(y + i, there, 0.0), low_y, per_y, bins_y, BOUNDARY_Y)
        cell = bin_of(v, bins_y, reach_y, BOUNDARY_Y)
        m = tl.arange(0, TAPS_Y)[None, :]
        of_y = mass((v - cell)[:, None] + (reach_y - 0.5) - m, sharp_y, tail_y, ORDER_Y)
        line = (left[:, None] + k) * size_y + (cell.to(tl.int32) + (pad_y - reach_y))[:, None]
        inside = inside[:, :, None] & (m <= 2 * reach_y)[:, None, :]
        values = tl.load(h + (line[:, :, None] + m[:, None, :]), inside, 0.0)
        total = tl.sum(tl.sum(values * of_x[:, :, None], 1) * of_y, 1)
        total = turned(total, sign_y, ORDER_Y)
    else:
        total = tl.sum(tl.load(h + (left[:, None] + k), inside, 0.0) * of_x, 1)
    tl.store(seen + i, turned(total, sign, ORDER_X) * scale, there)

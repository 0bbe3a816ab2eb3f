"""Pixels onto histograms on CUDA without a scatter-add, and histograms seen at pixels: the fused way of `evaluate`.

Real hue piles up on a few bins, where scatter-adds wait for each other. Here pixels are sorted by tile of bins (a radix
sort, whose time does not depend on its keys), and a program takes up to `chunk` pixels of one tile. It makes their
masses in the tile's window of bins as it goes, multiplies them in the tensor cores, and writes a table of the window;
the tables of a tile and of its neighbours are then added up. No two programs write to one place, so results are the
same in every run. A picture of one hue makes as many programs as its pixels fill, noise about one a tile: never more
than pixels / chunk + tiles. Gathering has no conflicts and needs no sort: a pixel reads the bins in its reach.

An estimate by counting, no measurement: with windows of 32 x 32 bins (the default bandwidth), a pixel costs 64 masses
(an exponential and a division each) and 3 x 1024 multiply-adds in TF32 forward; 225 reads from cache and, since threads
share no masses, about 270 of them backward. Beyond the inputs and the result, memory holds some 30 bytes a pixel for
the sort and 4 times the table.
"""

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import array_api_compat.torch as xp
import torch
import triton

from diffhist._evaluation import triton_kernels as kernels
from diffhist._evaluation.kernel import Axis, depth, fold, unfold

MOST_TAPS = {1: 512, 2: 32}  # by number of axes; a wider kernel is left to array code
PARTIAL = 1 << 26  # elements of the windows' tables that are alive at once
PIXELS = 1 << 24  # sorted at a time
BOUNDARIES = {"open": 0, "circular": 1, "reflect": 2}


class Tiles(NamedTuple):
    """One coordinate's bins and their padding, cut into tiles; a window is a tile and the next one."""

    axis: Axis
    reach: int
    pad: int
    taps: int  # bins of a tile, which holds all that a pixel meets: a power of two
    size: int  # bins, padding included
    number: int  # of tiles that pixels start in

    @classmethod
    def of(cls, axis: Axis) -> "Tiles":
        reach = axis.reach(depth(xp, torch.float32))
        pad = 2 * reach + 1 if axis.boundary == "open" else reach
        taps = max(16, triton.next_power_of_2(2 * reach + 1))
        size = axis.bins + 2 * pad
        return cls(axis, reach, pad, taps, size, triton.cdiv(size - 2 * reach, taps))

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What the kernels are told of an axis."""
        low, step, width = self.axis[1:4]
        return low, 1.0 / step, min(1.0 / width, 1e30), math.exp(-1.0 / width), self.axis.bins, self.reach, self.pad


def covers(x: torch.Tensor, axes: Sequence[Axis], orders: Sequence[Sequence[int]], dtype: Any) -> bool:
    """Whether this is computed here: float32, up to second derivatives, through a logistic kernel not too wide."""
    return (
        dtype == torch.float32
        and len(axes) in MOST_TAPS
        and all(a.kernel == "logistic" and not a.edges for a in axes)
        and x.numel() > 0
        and all(o <= 2 for order in orders for o in order)
        and all(Tiles.of(a).taps <= MOST_TAPS[len(axes)] for a in axes)
    )


def spread(
    coordinates: Sequence[torch.Tensor],
    weights: torch.Tensor | None,
    axes: Sequence[Axis],
    orders: Sequence[Sequence[int]],
) -> torch.Tensor:
    """`evaluate.spread` in float32: (B, N), (B, orders, N) -> (B, Kx[, Ky])."""
    each = (_spread(coordinates, None if weights is None else weights[:, n], axes, o) for n, o in enumerate(orders))
    return functools.reduce(torch.add, each)


def _spread(
    coordinates: Sequence[torch.Tensor], weights: torch.Tensor | None, axes: Sequence[Axis], orders: Sequence[int]
) -> torch.Tensor:
    B, N = coordinates[0].shape
    tiles = [Tiles.of(a) for a in axes]
    window = math.prod(2 * t.taps for t in tiles)
    chunk = _chunk(N)
    rows = max(1, PARTIAL // (window * (N // chunk + math.prod(t.number for t in tiles))))
    done = []
    with _device(coordinates[0]):
        for part in _slices(B, rows):
            table: Any = None
            for pixels in _slices(N, max(1, PIXELS // (part.stop - part.start))):
                columns = [c[part, pixels].contiguous() for c in coordinates]
                w = None if weights is None else weights[part, pixels].contiguous()
                more = _windows(columns, w, tiles, orders, chunk)
                table = more if table is None else table + more
            done.append(_folded(table, tiles))
    h = done[0] if len(done) == 1 else torch.cat(done)
    h = h * _scale(axes, orders) if any(orders) else h
    total = h.sum(tuple(range(1, h.ndim)), keepdim=True, dtype=torch.float64)
    return h + (0.0 * total).float()  # one NaN makes the sample NaN


def _chunk(N: int) -> int:
    """Pixels of one program: the square root balances the programs of a tile and the tables that are then added up."""
    return max(256, triton.next_power_of_2(8 * math.isqrt(N)))


def _slices(total: int, step: int) -> Iterator[slice]:
    for start in range(0, max(1, total), step):
        yield slice(start, min(total, start + step))


def _device(like: torch.Tensor) -> Any:
    """Triton launches on the current device."""
    return torch.cuda.device(like.device) if like.is_cuda else contextlib.nullcontext()


def _scale(axes: Sequence[Axis], orders: Sequence[int]) -> float:
    """From derivatives by the kernel's own coordinate to derivatives by x."""
    return math.prod((a.width * a.step) ** -o for a, o in zip(axes, orders, strict=True))


def _folded(table: torch.Tensor, tiles: Sequence[Tiles]) -> torch.Tensor:
    table = table[:, : tiles[0].size]
    if len(tiles) == 1:
        return fold(xp, table, tiles[0].axis, tiles[0].pad)
    table = fold(xp, table[:, :, : tiles[1].size], tiles[1].axis, tiles[1].pad)
    return fold(xp, table.mT, tiles[0].axis, tiles[0].pad).mT


def _windows(
    columns: Sequence[torch.Tensor], weights: torch.Tensor | None, tiles: Sequence[Tiles], orders: Any, chunk: int
) -> torch.Tensor:
    """Sums over pixels in padded bins, in whole tiles: (B, N) -> (B, Sx[, Sy])."""
    x, y, a, b, kinds = _pair(columns, tiles)
    B, N = x.shape
    where, ints = x.device, {"device": x.device, "dtype": torch.int64}
    per_row, along_y = math.prod(t.number for t in tiles), 1 if y is None else b.number
    total = B * per_row
    keys = torch.empty(B * N, device=where, dtype=torch.int16 if total < 1 << 15 else torch.int32)
    kernels.locate[(triton.cdiv(B * N, 512),)](
        keys, x, y, B * N, N, *a.numbers, *b.numbers, per_row, along_y, **kinds, BLOCK=512
    )
    keys, order = keys.sort(stable=True)
    # tile t of all rows has the pixels order[starts[t]:starts[t + 1]] and makes the tables first[t] to first[t + 1]
    starts = torch.searchsorted(keys, torch.arange(total + 1, device=where, dtype=keys.dtype))
    first = torch.zeros(total + 1, **ints)
    torch.cumsum((starts.diff() + (chunk - 1)) // chunk, 0, out=first[1:])
    programs = min(B * N, B * N // chunk + total)  # at most
    owner = torch.searchsorted(first[1:], torch.arange(programs, **ints), right=True)
    window = [2 * t.taps for t in tiles]
    partial = torch.empty((programs, *window), device=where, dtype=torch.float32)
    if y is None:
        block, warps = max(4, 4096 // window[0]), 4
    else:  # by the registers that the compiler asks for
        block, warps = (32, 2) if math.prod(window) <= 1024 else (16, 4)
    kernels.spread[(programs,)](
        partial, order, owner, starts, first, x, y, weights, *a.numbers, *b.numbers, total, per_row, along_y, chunk,
        **kinds, BLOCK=block, ORDER_X=orders[0], ORDER_Y=orders[-1], num_warps=warps,
    )  # fmt: skip
    tall = [t.number + 1 for t in tiles]
    shape = [B, *(n * t.taps for n, t in zip(tall, tiles, strict=True))]
    table = torch.empty(shape, device=where, dtype=torch.float32)
    taps = {"TAPS_X": kinds["TAPS_X"], "TAPS_Y": kinds["TAPS_Y"]}
    parts, tall_y = (1, 1) if y is None else (2, tall[1])
    kernels.combine[(B * math.prod(tall),)](table, partial, first, a.number, along_y, tall_y, **taps, PARTS_Y=parts)
    return table


def _pair(columns: Sequence[torch.Tensor], tiles: Sequence[Tiles]) -> tuple[Any, ...]:
    """Both coordinates, of which the second may be None, with their tiles, and what kernels are compiled for."""
    a, b = tiles[0], tiles[-1]
    x, y = columns if len(columns) == 2 else (columns[0], None)
    kinds = {"TAPS_X": a.taps, "TAPS_Y": 1 if y is None else b.taps}
    kinds |= {"BOUNDARY_X": BOUNDARIES[a.axis.boundary], "BOUNDARY_Y": BOUNDARIES[b.axis.boundary]}
    return x, y, a, b, kinds


def gather(
    h: torch.Tensor, coordinates: Sequence[torch.Tensor], axes: Sequence[Axis], orders: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """`evaluate.gather` in float32: (B, Kx[, Ky]) -> (B, N) for each entry of ``orders``."""
    tiles = [Tiles.of(a) for a in axes]
    h = h.float()
    if len(tiles) == 2:
        h = unfold(xp, h.mT, tiles[0].axis, tiles[0].pad).mT
    h = unfold(xp, h, tiles[-1].axis, tiles[-1].pad).contiguous()
    x, y, a, b, kinds = _pair([c.contiguous() for c in coordinates], tiles)
    block = max(1, 2048 // (kinds["TAPS_X"] * kinds["TAPS_Y"]))
    results = []
    with _device(x):
        for order in orders:
            seen = torch.empty(x.shape, device=x.device, dtype=torch.float32)
            kernels.gather[(triton.cdiv(x.numel(), block),)](
                seen, h, x, y, x.numel(), x.shape[1], _scale(axes, order), *a.numbers, *b.numbers, a.size, b.size,
                **kinds, BLOCK=block, ORDER_X=order[0], ORDER_Y=order[-1],
            )  # fmt: skip
            results.append(seen)
    return results

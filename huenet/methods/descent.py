"""Colour transfer by gradient descent on the pair itself: diffhist, and no network. Any array library, in batches.

What moves is a bilateral grid of displacements of hue: cells over the picture, and in each a value for every hue. Such
a field varies slowly over the picture and over hue, and follows the picture's edges [1]_.

.. [1] J. Chen, S. Paris, F. Durand, "Real-time edge-aware image processing with the bilateral grid", SIGGRAPH 2007.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device

from diffhist import joint_histogram, mi_distance, soft_histogram, squared_emd, vjp
from huenet.color import chroma, hsv_to_rgb, presence, rgb_to_hsv
from huenet.methods.grid import join, unrolled
from huenet.methods.sample import Sample
from huenet.methods.smoothness import links, smoothness_gradient
from huenet.methods.transport import apply_displacement, hue_transport

__all__ = ["GRID", "descend", "find", "optimize"]

Array = Any
GRID = (8, 8, 32)  # rows, columns, hues
TRANSPORT_BINS = 256
SHARP = 0.05  # bandwidth in bins: the histograms are smoothed over many bins next, and few taps a pixel are fast
PICTURE = (-2, -1)
DAMP = 0.01
RATE = 0.04  # turns, of the first step
SIDE = 64  # longer side of the copies that `find` goes down on


def find(source: Sample, target: Sample, /) -> Array:
    """Descent on copies of a pair with a longer side of 64: what `descend` finds, for pictures of any size.

    Returns
    -------
    array, (B, rows, columns, 256)
        A grid of displacements of hue in turns, for `huenet.methods.turn.Turn`.
    """
    xp = array_namespace(source.rgb)
    hsv = []
    for sample in (source, target):
        height, width = sample.rgb.shape[1:3]
        shrink = min(1.0, SIDE / max(height, width))
        small = sample.resized(max(1, round(height * shrink)), max(1, round(width * shrink)))
        hsv.append(xp.moveaxis(small.hsv(), -1, 1))
    moves, grid = descend(*hsv)
    return join(unrolled(moves, source.hue_histogram()), grid)


def optimize(
    source: Array,
    target: Array,
    /,
    *,
    emd: float = 20.0,
    mi: float = 5.0,
    smooth: float = 400.0,
    prior: float = 32.0,
    steps: int = 60,
    side: int = 64,
    bins: int = 64,
) -> Array:
    """The source's hue, moved by descent of the paper's unsupervised losses on the pair itself: no training.

    Parameters
    ----------
    source, target : array, (..., 3, H, W)
        HSV in [0, 1]; the two may differ in height and width.
    emd, mi, smooth, prior, steps, side, bins
        As for `descend`.

    Returns
    -------
    array, (..., H, W)
        Hue in [0, 1); the source's own where either picture has no chroma, and of pixels without.
    """
    xp = array_namespace(source, target)
    batch, hue = source.shape[:-3], source[..., 0, :, :]
    source, target = (xp.reshape(a, (-1, *a.shape[-3:])) for a in (source, target))
    moves, grid = descend(source, target, emd=emd, mi=mi, smooth=smooth, prior=prior, steps=steps, side=side, bins=bins)
    flat = source[:, 0, ...]
    field = _Field(flat, xp, grid.shape[1:])
    turn = _shortest(apply_displacement(flat, moves) - flat, xp) + field.read(grid)
    return (hue + xp.reshape(turn * presence(source), (*batch, *hue.shape[-2:]))) % 1.0


def descend(
    source: Array,
    target: Array,
    /,
    *,
    emd: float = 20.0,
    mi: float = 5.0,
    smooth: float = 400.0,
    prior: float = 32.0,
    steps: int = 60,
    side: int = 64,
    bins: int = 64,
    shape: tuple[int, int, int] = GRID,
) -> tuple[Array, Array]:
    """Displacement of hue that brings a picture near a target's hues, in two parts: by hue, and by place and hue.

    Minimises ``emd`` times the circular squared EMD (Eq. 14) between the hues of result and target, plus ``mi`` times
    the mutual information distance (Eq. 17) between the hues of result and source, plus ``smooth`` times the mean step
    of the displacement (`huenet.methods.smoothness`); the histograms are weighted by chroma.

    Parameters
    ----------
    source, target : array, (B, 3, H, W)
        HSV in [0, 1].
    emd, mi, smooth : float
        Weights of the terms.
    prior : float
        The start is optimal transport of hue, smoothed over this many of 256 bins.
    steps : int
        Steps of Adam.
    side : int
        The pictures are averaged down to this many pixels a side, where they have more.
    bins : int
        Bins of the hue circle.
    shape : (int, int, int)
        Rows, columns and hues of the grid.

    Returns
    -------
    moves : array, (B, 256)
        The start: displacement in turns at the centres of 256 bins of the source's hue.
    grid : array, (B, rows, columns, K)
        What descent adds, in turns, to be interpolated linearly.
    """
    xp = array_namespace(source, target)
    sharp: dict[str, Any] = {"boundary": "circular", "bandwidth": SHARP / TRANSPORT_BINS, "axis": PICTURE}
    own, wanted = (soft_histogram(p[:, 0, ...], TRANSPORT_BINS, weights=chroma(p), **sharp) for p in (source, target))
    moves = hue_transport(own, wanted, smooth=prior)
    source, target = (_shrunk(p, side, xp) for p in (source, target))
    hue, weights, moving = source[:, 0, ...], chroma(source), presence(source)
    options: dict[str, Any] = {"bins": bins, "boundary": "circular", "axis": PICTURE}
    goal = soft_histogram(target[:, 0, ...], weights=chroma(target), **options)
    start = _shortest(apply_displacement(hue, moves) - hue, xp)
    pairs, field = links(source), _Field(hue, xp, shape, blur=True)
    one = xp.ones(hue.shape[0], dtype=hue.dtype, device=device(hue))

    def gradient(turn: Array) -> Array:
        hist, to_hue = vjp(soft_histogram, hue + turn, weights=weights, **options)
        _, to_hist = vjp(squared_emd, hist, goal, circular=True)
        total = to_hue(to_hist(emd * one)[0])[0]
        if mi:
            joint, to_hue = vjp(joint_histogram, hue + turn, hue, weights=weights, **options)
            _, to_joint = vjp(mi_distance, joint)
            total = total + to_hue(to_joint(mi * one)[0])[0]
        return total + smooth * smoothness_gradient(turn, pairs)

    known = (xp.sum(own, axis=-1) > 0) & (xp.sum(wanted, axis=-1) > 0)
    grid = xp.zeros((hue.shape[0], *shape), dtype=hue.dtype, device=device(hue))
    mean, square = grid, grid
    for step in range(1, steps + 1):
        slope = field.splat(moving * gradient((start + field.read(grid)) * moving))
        mean = 0.8 * mean + 0.2 * slope
        square = 0.99 * square + 0.01 * slope**2
        scale = xp.sqrt(square / (1 - 0.99**step))
        # without the second term, cells that hardly any colour touches would move as fast as the rest
        least = DAMP * xp.max(scale, axis=(-3, -2, -1), keepdims=True) + 1e-12
        grid = grid - RATE * (1 - (step - 1) / steps) * (mean / (1 - 0.8**step)) / (scale + least)
    grid = _settled(field.blurred(grid), field.blurred(field.splat(weights)), xp)
    return moves, xp.where(known[:, None, None, None], grid, xp.zeros_like(grid))


class _Field:
    """Reading a grid at every pixel's place and hue, and the transpose, as products: rows, columns, hues.

    With `blur`, of the grid averaged over neighbouring cells and hues by binomial weights: what a cell learns its
    neighbours follow, also at hues that the picture shows too seldom to tell.
    """

    def __init__(self, hue: Array, xp: Any, shape: tuple[int, int, int] = GRID, *, blur: bool = False) -> None:
        self.xp = xp
        rows, columns, K = shape
        height, width = hue.shape[-2:]
        row, column = _tents(height, rows, hue, xp), _tents(width, columns, hue, xp)
        near = hue[..., None] * K - 0.5 - _count(K, hue, xp)
        near = xp.clip(1 - xp.abs(near - K * xp.round(near / K)), 0, None)
        circle = _binomial(K, hue, xp, wrap=True)
        self.blurs = [_binomial(rows, hue, xp), _binomial(columns, hue, xp), circle @ circle]
        if blur:
            row, column, near = row @ self.blurs[0], column @ self.blurs[1], near @ self.blurs[2]
        self.row, self.column, self.near = row, column, near

    def read(self, grid: Array) -> Array:
        """(B, rows, columns, K) to (B, H, W)."""
        xp = self.xp
        up = xp.tensordot(self.row, grid, axes=([1], [1]))  # H, B, columns, K
        up = xp.tensordot(self.column, up, axes=([1], [2]))  # W, H, B, K
        return xp.sum(xp.permute_dims(up, (2, 1, 0, 3)) * self.near, axis=-1)

    def splat(self, values: Array) -> Array:
        """(B, H, W) to (B, rows, columns, K): the transpose of `read`."""
        xp = self.xp
        down = xp.tensordot(self.row, values[..., None] * self.near, axes=([0], [1]))  # rows, B, W, K
        down = xp.tensordot(self.column, down, axes=([0], [2]))  # columns, rows, B, K
        return xp.permute_dims(down, (2, 1, 0, 3))

    def blurred(self, grid: Array) -> Array:
        """The grid whose linear interpolation is what `read` with `blur` makes of this one."""
        xp = self.xp
        rows, columns, circle = self.blurs
        grid = xp.moveaxis(xp.tensordot(rows, grid, axes=([1], [1])), 0, 1)
        grid = xp.moveaxis(xp.tensordot(columns, grid, axes=([1], [2])), 0, 2)
        return grid @ circle


def _settled(grid: Array, mass: Array, xp: Any) -> Array:
    """The grid (B, rows, columns, K) without what little a hue's displacement differs from its mean over the picture.

    Up to 0.04 turns nobody sees two colours, but mutual information sees two; from 0.08 on all is kept.
    """
    total = xp.sum(mass, axis=(1, 2), keepdims=True)
    mean = xp.sum(mass * grid, axis=(1, 2), keepdims=True) / xp.where(total > 0, total, xp.ones_like(total))
    apart = grid - mean
    kept = xp.clip((xp.abs(apart) - 0.04) / 0.04, 0, 1)
    return mean + apart * kept * kept * (3 - 2 * kept)


def _count(size: int, like: Array, xp: Any) -> Array:
    """0, 1, 2, ...: made where `like` is, since a copy to a GPU would wait for it."""
    return xp.arange(size, dtype=like.dtype, device=device(like))


def _tents(size: int, cells: int, like: Array, xp: Any) -> Array:
    """Weights (size, cells) of linear interpolation between cells' centres; constant beyond the outermost."""
    position = xp.clip((_count(size, like, xp) + 0.5) * (cells / size) - 0.5, 0, cells - 1)
    return xp.clip(1 - xp.abs(position[:, None] - _count(cells, like, xp)), 0, None)


def _binomial(size: int, like: Array, xp: Any, *, wrap: bool = False) -> Array:
    """The symmetric matrix of weights 1/4, 1/2, 1/4; what passes an end stays there, or wraps."""
    k = _count(size, like, xp)
    apart = xp.abs(k[:, None] - k)
    apart = xp.minimum(apart, size - apart) if wrap else apart
    matrix = xp.clip(0.5 - 0.25 * apart, 0, None)
    return matrix if wrap else xp.where(apart == 0, matrix + (1 - xp.sum(matrix, axis=1)), matrix)


def _shrunk(hsv: Array, side: int, xp: Any) -> Array:
    """HSV averaged, as RGB, to at most `side` pixels a side."""
    height, width = hsv.shape[-2:]
    if max(height, width) <= side:
        return hsv
    rows, columns = (_averages(n, min(n, side), hsv, xp) for n in (height, width))
    return rgb_to_hsv(xp.clip(rows @ hsv_to_rgb(hsv) @ xp.matrix_transpose(columns), 0, 1))


def _averages(size: int, fewer: int, like: Array, xp: Any) -> Array:
    """Weights (fewer, size) that average `size` pixels over `fewer` equal parts."""
    edges = _count(fewer + 1, like, xp)[:, None] * (size / fewer)
    pixel = _count(size, like, xp)
    overlap = xp.minimum(edges[1:, :], pixel + 1) - xp.maximum(edges[:-1, :], pixel)
    return xp.clip(overlap, 0, None) * (fewer / size)


def _shortest(turns: Array, xp: Any) -> Array:
    """The same rotation by at most half a turn."""
    return turns - xp.round(turns)

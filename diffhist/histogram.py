"""Soft histograms, one- and two-dimensional, and their gradient rules (Eq. 4 and 23)."""

import builtins
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

from diffhist._array import (
    Array,
    check_arrays,
    compute_dtype,
    namespace,
    sample_axes,
)
from diffhist._evaluation import KERNELS, Axis
from diffhist._registry import is_array, name_of
from diffhist._steps import arrange, relative, share, spread

__all__ = ["joint_histogram", "soft_histogram"]

BOUNDARIES = ("open", "circular", "reflect")


def soft_histogram(
    x: Array,
    /,
    bins: int | Sequence[float] | Array = 256,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    bandwidth: float | None = None,
    kernel: str = "logistic",
    boundary: str = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
    normalize: bool = True,
) -> Array:
    r"""Differentiable histogram: each value spreads over the bins as a kernel, by default the paper's.

    .. math:: P(k) = \frac{1}{\sum_i w_i} \sum_i w_i \left[S\left(\frac{x_i - e_k}{W}\right)
              - S\left(\frac{x_i - e_{k+1}}{W}\right)\right], \qquad e_k = lo + k L, \quad L = (hi - lo) / K

    with S the kernel's distribution function: the logistic one, :math:`\sigma`, in Eq. 4.

    Parameters
    ----------
    x : array, shape (..., N)
        Values, of a floating dtype. float16 and bfloat16 are computed in float32, and the result cast back: for a
        loss, convert to float32 first (as `diffhist.nn` does), since shares of many bins underflow in them.
    bins : int, or sequence of float
        Number K of bins of equal length L; or, as in `numpy.histogram`, their K + 1 edges, which increase. They are
        constants, and L their mean distance.
    range : (float, float)
        The range (lo, hi) that the bins divide; with edges, their own.
    bandwidth : float, optional
        Width W of the kernel, in the units of ``x``; by default what the table below has. As W goes to 0 the result
        becomes that of `numpy.histogram`, in shares.
    kernel : {"logistic", "gaussian", "linear", "cubic"}
        What a value is spread by.
    boundary : {"open", "circular", "reflect"}
        What becomes of mass beyond the range: it is lost (Eq. 4 as printed: half of it for a value on the border);
        it comes in at the other end (for hue); it comes back (as from a mirror).
    weights : array, optional
        Weights, or a boolean mask, that broadcast to ``x``; differentiable. A value of weight 0 does not count, even
        if it is NaN. A total weight of 0 gives zeros, with gradient 0.
    axis : int or tuple of int
        The axes that make one sample; the others are batch axes.
    normalize : bool
        Divide by the total weight (or by N). Otherwise the result is sums, which add over chunks of data; for float16
        and bfloat16 input they are float32.

    Returns
    -------
    array, shape (..., K)
        Masses: the share of the sample in each bin; neither counts nor densities. They sum to 1, or under
        ``boundary="open"`` to less. A NaN in a sample (or, unless the boundary is open, an infinity) makes it NaN.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    Notes
    -----
    The kernels, and what W is:

    =============  ==========================================================  =========  =========================
    kernel         density, of z = (x - e) / W                                 default W  its standard deviation
    =============  ==========================================================  =========  =========================
    ``logistic``   :math:`\sigma(z) (1 - \sigma(z))`                            L / 2.5    :math:`\pi W / \sqrt 3`
    ``gaussian``   :math:`\exp(-z^2 / 2) / \sqrt{2 \pi}`                        L / 2      W
    ``linear``     1 for :math:`|z| < 1/2`                                     L          :math:`W / \sqrt{12}`
    ``cubic``      the quadratic B-spline, of knots W apart; 0 from 3/2 on     L          W / 2
    =============  ==========================================================  =========  =========================

    The last two are named by what a bin sees at W = L, as in histograms by Parzen windows: its mass is the linear or
    the cubic B-spline of (x - its middle) / L, exactly. Of ``"linear"`` the gradient is constant in pieces, on whose
    borders it is the mean of both sides, and the second derivative is 0.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 4-7 (arXiv:1912.06044). Thévenaz, Unser: Optimization of mutual
    information for multiresolution image registration, 2000 (the B-splines).

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> hue = np.array([0.125, 0.125, 0.625, 0.125])
    >>> diffhist.soft_histogram(hue, bins=4, boundary="circular").round(3)
    array([0.427, 0.202, 0.17 , 0.202])
    >>> diffhist.soft_histogram(hue, bins=4, boundary="circular", kernel="linear").round(3)
    array([0.75, 0.  , 0.25, 0.  ])
    >>> diffhist.soft_histogram(hue, bins=[0.0, 0.5, 0.6, 1.0], bandwidth=1e-3).round(3)
    array([0.75, 0.  , 0.25])
    """
    grid = _axis("", bins, range, bandwidth, kernel, boundary)
    return _histogram((x,), (grid,), weights, axis, normalize)


def joint_histogram(
    x: Array,
    y: Array,
    /,
    *more: Any,
    bins: int | tuple[Any, ...] | Array = 256,
    range: tuple[Any, ...] = (0.0, 1.0),
    bandwidth: float | tuple[float | None, ...] | None = None,
    kernel: str | tuple[str, ...] = "logistic",
    boundary: str | tuple[str, ...] = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
    normalize: bool = True,
) -> Array:
    r"""Differentiable joint histogram of two variables or more.

    .. math:: J(k, l, \dots) = \frac{1}{\sum_i w_i} \sum_i w_i\, \Pi_k(x_i)\, \Pi_l(y_i) \cdots

    with the kernel masses :math:`\Pi_k` of Eq. 6, as in `soft_histogram`.

    Parameters
    ----------
    x, y, *more : array, shape (..., N)
        Values of the variables, pixel by pixel; they broadcast to one shape. After them, ``bins`` and ``range`` may
        stand without their names.
    bins, range, bandwidth, kernel, boundary
        As in `soft_histogram`; each may be a tuple, with one for each variable. So edges for all of them are an array,
        and no list.
    weights, axis, normalize
        As in `soft_histogram`.

    Returns
    -------
    array, shape (..., Kx, Ky, ...)
        Masses; ``x`` runs along the first of these axes. Under circular and reflecting boundaries the sums over an axis
        are the histograms of the other variables. Time and memory grow with the number of pixels times that of the
        cells which a pixel meets, and with the table.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    References
    ----------
    Avi-Aharon, Arbelle, Riklin Raviv: Hue-Net, Eq. 19-24 (arXiv:1912.06044).

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> x, y = np.array([0.25, 0.75]), np.array([0.75, 0.25])
    >>> diffhist.joint_histogram(x, y, bins=2).round(2)
    array([[0.11, 0.17],
           [0.17, 0.11]])

    A histogram of colours:

    >>> red, green, blue = np.random.default_rng(0).random((3, 500))
    >>> table = diffhist.joint_histogram(red, green, blue, bins=32, kernel="linear", boundary="reflect")
    >>> table.shape, round(float(table.sum()), 6)
    ((32, 32, 32), 1.0)
    """
    others = [a for a in more if is_array(a) and a.shape]
    images, unnamed = (x, y, *others), more[len(others) :]
    if len(unnamed) > 2 or any(a is not b for a, b in zip(more, others, strict=False)):
        raise TypeError(f"expected arrays, then `bins` and `range`, got {', '.join(name_of(a) for a in (x, y, *more))}")
    named = {"bins": not (isinstance(bins, int) and bins == 256), "range": range != (0.0, 1.0)}
    if twice := [name for (name, given), _ in zip(named.items(), unnamed, strict=False) if given]:
        raise TypeError(f"`{twice[0]}` must be given once, got it with its name and without")
    bins = unnamed[0] if unnamed else bins
    range = unnamed[1] if unnamed[1:] else range
    nested = isinstance(range, (tuple, list)) and any(isinstance(r, (tuple, list)) for r in range)
    options: dict[str, Any] = {"bins": bins, "range": range if nested else (range,) * len(images)}
    options |= {"bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
    each = zip(*(_for_each(name, value, len(images)) for name, value in options.items()), strict=True)
    grids = tuple([_axis(f" (of {_name(n)})", *one) for n, one in enumerate(each)])
    return _histogram(images, grids, weights, axis, normalize)


def _for_each(name: str, value: Any, variables: int) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        return (value,) * variables
    if len(value) != variables:
        raise ValueError(f"`{name}` must be one value or one for each of {variables} variables, got {value!r}")
    return tuple(value)


def _axis(of: str, bins: Any, range: Any, bandwidth: Any, kernel: Any, boundary: Any) -> Axis:
    """Check one coordinate's options and put them in units of bins."""
    edges: tuple[float, ...] = ()
    try:
        bins = operator.index(bins)
    except TypeError:
        edges = _edges(of, bins)
        bins = len(edges) - 1
    if bins < 1:
        raise ValueError(f"`bins`{of} must be at least 1, got {bins}")
    try:
        low, high = (float(edge) for edge in range)
    except (TypeError, ValueError):
        raise TypeError(f"`range`{of} must be two numbers (lo, hi), got {range!r}") from None
    if edges:
        if (low, high) not in ((0.0, 1.0), (edges[0], edges[-1])):
            raise ValueError(f"`range`{of} must be left out where `bins` are edges, got ({low}, {high})")
        low, high = edges[0], edges[-1]
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"`range`{of} must be finite with lo < hi, got ({low}, {high})")
    for name, given, known in (("boundary", boundary, BOUNDARIES), ("kernel", kernel, tuple(KERNELS))):
        if given not in known:
            raise ValueError(f"`{name}`{of} must be one of {', '.join(known)}, got {given!r}")
    if not high - low < math.inf:
        raise ValueError(f"`range`{of} must have a finite length, got ({low}, {high})")
    step = (high - low) / bins
    try:
        width = _default_width(kernel) if bandwidth is None else float(bandwidth) / step
    except (TypeError, ValueError):
        raise TypeError(f"`bandwidth`{of} must be a number or None, got {bandwidth!r}") from None
    if not 0 < width < math.inf:  # torch.compile may have made a symbol of it
        raise ValueError(f"`bandwidth`{of} must be positive and finite, got {bandwidth}")
    if boundary != "open" and KERNELS[kernel].nodes:  # at twice the period, one wound round it is flat to 1e-16
        width = min(width, (2.0 if boundary == "circular" else 4.0) * bins)
    places = tuple([(e - low) / step for e in edges])
    even = all(abs(place - k) <= 1e-12 * bins for k, place in enumerate(places))  # to rounding
    return Axis(bins, low, step, width, boundary, kernel, () if even else (0.0, *places[1:-1], float(bins)))


def _default_width(kernel: str) -> float:
    return KERNELS[kernel].width


_default_width._dynamo_marked_constant = True  # type: ignore[attr-defined] # torch.compile would make a symbol of it


def _edges(of: str, bins: Any) -> tuple[float, ...]:
    try:
        edges = () if isinstance(bins, str) else tuple([float(edge) for edge in bins])
    except (TypeError, ValueError):
        edges = ()
    if not edges:
        raise TypeError(f"`bins`{of} must be an integer or increasing edges, got {bins!r}")
    if not all(map(math.isfinite, edges)) or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ValueError(f"`bins`{of} must be an integer or finite edges that increase, got {bins!r}")
    return edges


def _histogram(images: tuple[Array, ...], grids: tuple[Axis, ...], weights: Any, axis: Any, normalize: bool) -> Array:
    *pixels, w = samples(*images, weights, axis=axis, names=(*map(_name, builtins.range(len(images))), "weights"))
    _check_resolution(pixels, grids)
    w = relative(w) if normalize and w is not None else w
    sums = spread(*pixels, w, axes=grids, orders=((0,) * len(grids),))
    if not normalize:
        return sums
    dtype = namespace(*images).result_type(*(i.dtype for i in images))
    if w is None and sums.dtype == dtype:
        return sums * (1.0 / pixels[0].shape[-1])  # `share` without the cost of a primitive
    return share(sums, w, rank=len(grids), count=pixels[0].shape[-1], dtype=dtype)


def _check_resolution(pixels: Sequence[Array], grids: Sequence[Axis]) -> None:
    xp = namespace(*pixels)
    for n, (x, grid) in enumerate(zip(pixels, grids, strict=True)):
        kind, farthest = xp.finfo(compute_dtype(xp, x)), max(abs(grid.low), abs(grid.low + grid.bins * grid.step))
        finest, most = max(float(kind.eps) * farthest, float(kind.smallest_normal)), float(kind.max)
        least = grid.step * min([b - a for a, b in zip(grid.edges, grid.edges[1:], strict=False)] or [1.0])
        if least < finest:
            raise ValueError(
                f"`bins` of `{_name(n)}` must not be narrower than its values' own resolution, about "
                f"{finest:.1g} in this `range`, got {least:.1g}; subtract an offset, or use float64"
            )
        if max(farthest, grid.bins * grid.step) > most:
            raise ValueError(f"`range` of `{_name(n)}` must be of numbers of its dtype, up to {most:.1g}, and so long")


def _name(n: int) -> str:
    return "xyz"[n] if n < 3 else f"variable {n}"


def samples(*arrays: Any, axis: Any, names: tuple[str, ...] = ("x", "weights")) -> list[Any]:
    """Images and, last, their weights (or None), checked and broadcast, with their sample axes as one: (..., N)."""
    *images, weights = arrays
    named = dict(zip(names, images, strict=False))
    xp = check_arrays(named, weights, names[-1])
    pixels = _broadcast_shape(named)
    if weights is not None:
        own = (1,) * (len(pixels) - len(weights.shape)) + tuple(weights.shape)
        if len(own) != len(pixels) or any(w not in (1, n) for w, n in zip(own, pixels, strict=True)):
            raise ValueError(
                f"`{names[-1]}` must broadcast to the shape {pixels} of the values, got {tuple(weights.shape)}"
            )
    axes = sample_axes(axis, len(pixels))
    if 0 in [pixels[a] for a in axes]:
        raise ValueError(
            f"`{names[0]}` must hold at least one value in each sample, got shape {pixels} with `axis` {axis}"
        )
    if weights is not None and xp.isdtype(weights.dtype, "bool"):
        weights = xp.astype(weights, compute_dtype(xp, *images))
    return [None if a is None else joined(a, pixels, axes) for a in (*images, weights)]


def _broadcast_shape(named: dict[str, Array]) -> tuple[int, ...]:
    shapes = [tuple(a.shape) for a in named.values()]
    if all(s == shapes[0] for s in shapes):
        return shapes[0]
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(s)) + s for s in shapes), strict=True)
    sizes = [[n for n in column if n != 1] or [1] for column in columns]
    if any(n != column[0] for column in sizes for n in column):
        given = " and ".join(map(str, shapes))
        raise ValueError(f"`{'`, `'.join(named)}` must have shapes that broadcast to one, got {given}")
    return tuple([column[0] for column in sizes])


def joined(a: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Broadcast to ``shape`` and bring the sample axes together at the end: (..., N)."""
    if tuple(a.shape) == shape and axes == (-1,):
        return a
    return arrange(a, rank=len(a.shape), shape=shape, axes=axes)

"""What relative mutual information can reach with soft bins, and what chance alone gives."""

import builtins
from typing import Any

import numpy as np

from diffhist._array import Array, device, index_dtype, namespace
from diffhist._steps import relative
from diffhist.histogram import joint_histogram, samples
from diffhist.information import normalized_mutual_information

__all__ = ["mi_ceiling", "mi_floor"]


def mi_ceiling(
    x: Array,
    /,
    bins: int | Array = 256,
    range: tuple[float, float] = (0.0, 1.0),
    *,
    bandwidth: float | None = None,
    kernel: str = "logistic",
    boundary: str = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
) -> Array:
    """I / H of an image with itself: about the most that soft bins let any image reach beside it.

    Parameters
    ----------
    x : array, shape (..., N)
    bins, range, bandwidth, kernel, boundary, weights, axis
        As in `joint_histogram`.

    Returns
    -------
    array, shape (...)
        1 in the limit of hard bins; about 0.57 for uniform values at the default bandwidth.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> round(float(diffhist.mi_ceiling(np.linspace(0, 1, 4096), boundary="circular")), 2)
    0.57
    """
    options: dict[str, Any] = {"bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
    table = joint_histogram(x, x, bins=bins, range=range, weights=weights, axis=axis, **options)
    return normalized_mutual_information(table)


def mi_floor(
    x: Array,
    y: Array,
    /,
    bins: int | tuple[Any, Any] | Array = 256,
    range: tuple[Any, Any] = (0.0, 1.0),
    *,
    bandwidth: float | tuple[float | None, float | None] | None = None,
    kernel: str | tuple[str, str] = "logistic",
    boundary: str | tuple[str, str] = "open",
    weights: Array | None = None,
    axis: int | tuple[int, ...] = -1,
    draws: int = 8,
    seed: int = 0,
) -> Array:
    """I / H of one image with the other one's pixels shuffled: what chance alone gives, averaged over draws.

    Parameters
    ----------
    x, y : array, shape (..., N)
    bins, range, bandwidth, kernel, boundary, axis
        As in `joint_histogram`.
    weights : array, optional
        As in `joint_histogram`; they are shuffled along with y and multiplied by those of x, so that both marginals
        stay weighted as they were.
    draws : int
        Number of shuffles.
    seed : int
        Of the shuffles: the same seed gives the same shuffles on every array library.

    Returns
    -------
    array, shape (...)
        Above 0: few pixels over many cells look dependent. About 0.03 for 128 x 128 pixels at the defaults.

    Examples
    --------
    >>> import numpy as np
    >>> import diffhist
    >>> x, y = np.random.default_rng(0).random((2, 128 * 128))
    >>> round(float(diffhist.mi_floor(x, y, draws=2)), 2)
    0.03
    """
    if not isinstance(draws, int) or draws < 1:
        raise ValueError(f"`draws` must be an integer of at least 1, got {draws!r}")
    x, y, weights = samples(x, y, weights, axis=axis, names=("x", "y", "weights"))
    weights = None if weights is None else relative(weights)  # for their products
    options: dict[str, Any] = {"bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
    xp, rng = namespace(x), np.random.default_rng(seed)
    total: Any = 0.0
    for _ in builtins.range(draws):
        order = xp.asarray(rng.permutation(x.shape[-1]), dtype=index_dtype(xp, x), device=device(x))
        both = None if weights is None else weights * xp.take(weights, order, axis=-1)
        shuffled = xp.take(y, order, axis=-1)
        table = joint_histogram(x, shuffled, bins=bins, range=range, weights=both, **options)
        total = total + normalized_mutual_information(table)
    return total * (1.0 / draws)

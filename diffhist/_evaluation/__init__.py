"""Spreading pixels onto histograms and gathering histograms at pixels: the kernel, and the ways to evaluate it.

Nothing here knows of gradients: derivatives by a coordinate are kernels of a higher order.
"""

from collections.abc import Sequence
from typing import Any

from diffhist._array import Array, is_torch
from diffhist._evaluation import evaluate
from diffhist._evaluation.kernel import Axis
from diffhist._evaluation.kernels import KERNELS

__all__ = ["KERNELS", "Axis", "gather", "spread"]


def spread(
    xp: Any,
    coordinates: Sequence[Array],
    weights: Array | None,
    axes: Sequence[Axis],
    orders: Sequence[Sequence[int]],
    dtype: Any,
) -> Array:
    """sum_o sum_i w_oi prod_j pi_k^(o_j)(x_ji) over orders o and the pixels of each row: (B, N) -> (B, Kx[, Ky, ...]).

    The weights are (B, orders, N); None are ones.
    """
    if is_torch(coordinates[0]):
        from diffhist._evaluation import operators

        return operators.spread(coordinates, weights, axes, orders, dtype)
    return evaluate.spread(xp, coordinates, weights, axes, orders, dtype)


def gather(
    xp: Any, h: Array, coordinates: Sequence[Array], axes: Sequence[Axis], orders: Sequence[Sequence[int]], dtype: Any
) -> list[Array]:
    """sum_k h_k prod_j pi_k^(order_j)(x_ji) at each pixel: (B, Kx[, Ky, ...]) -> (B, N) for each of ``orders``."""
    if is_torch(coordinates[0]):
        from diffhist._evaluation import operators

        return operators.gather(h, coordinates, axes, orders, dtype)
    return evaluate.gather(xp, h, coordinates, axes, orders, dtype)

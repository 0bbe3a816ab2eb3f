"""Colour transfer by gradient descent on one pair: diffhist and NumPy, no network."""

from __future__ import annotations

from typing import Any

import numpy as np

import diffhist
from huenet.baselines import apply_displacement, hue_transport
from huenet.color import chroma, hsv_to_rgb
from huenet.grid import read_grid, splat_grid

__all__ = ["optimize"]

DAMP = 0.03
EDGE = 0.1  # an RGB step between neighbours at which the source itself allows hue to part


def optimize(
    source: np.ndarray,
    target: np.ndarray,
    /,
    *,
    emd: float = 100.0,
    mi: float = 25.0,
    smoothness: float = 3000.0,
    steps: int = 80,
    bins: int = 64,
) -> np.ndarray:
    """Gradient descent of the paper's unsupervised losses on the pair itself: no network, no training.

    Minimises ``emd`` times the circular squared EMD (Eq. 14) between the hues of result and target, plus ``mi`` times
    the mutual information distance (Eq. 17) between the hues of result and source, plus ``smoothness`` times the mean
    step of the displacement between like neighbours, all weighted by chroma. What Adam moves is a bilateral grid of
    displacements, which starts from the smoothed transport.

    Parameters
    ----------
    source, target : ndarray, (3, H, W)
        HSV in [0, 1]; the time grows with the number of pixels, and a side of 64 shows most of what there is to gain.
    emd, mi, smoothness : float
        Weights of the terms; the first two are the paper's lambda and gamma.
    steps : int
        Gradient steps.
    bins : int
        Bins of the hue circle.

    Returns
    -------
    ndarray, (H, W)
        Hue in [0, 1).
    """
    hue, weights = source[0], chroma(source)
    options: dict[str, Any] = {"bins": bins, "boundary": "circular", "axis": (-2, -1)}
    own = diffhist.soft_histogram(hue, weights=weights, **options)
    goal = diffhist.soft_histogram(target[0], weights=chroma(target), **options)
    if not own.any() or not goal.any():
        return hue % 1.0
    start = apply_displacement(hue, hue_transport(own, goal, smooth=bins / 32))
    likeness = _likeness(source)

    def loss(result: Any) -> Any:
        result_hist = diffhist.soft_histogram(result, weights=weights, **options)
        joint = diffhist.joint_histogram(result, hue, weights=weights, **options)
        return emd * diffhist.squared_emd(result_hist, goal, circular=True) + mi * diffhist.mi_distance(joint)

    grid = np.zeros((8, 8, 32))
    mean, square = np.zeros_like(grid), np.zeros_like(grid)
    for step in range(1, steps + 1):
        result = start + read_grid(grid, hue)
        _, gradient = diffhist.value_and_grad(loss)(result)
        gradient = gradient + smoothness * _step_gradient(result - hue, likeness)
        gradient = splat_grid(gradient, hue, grid.shape)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        rate = 0.02 * (1 - step / (steps + 1))
        scale = np.sqrt(square / (1 - 0.99**step))
        # without the second term, cells that hardly any colour touches would move as fast as the rest
        grid -= rate * (mean / (1 - 0.9**step)) / (scale + DAMP * scale.max() + 1e-12)
    return (start + read_grid(grid, hue)) % 1.0


def _likeness(hsv: np.ndarray) -> list[np.ndarray]:
    """Weights of the steps to the pixel above and to the left: chroma, and small across the source's edges."""
    rgb, weight = hsv_to_rgb(hsv), chroma(hsv)
    likeness = []
    for axis in (0, 1):
        edge = np.exp(-np.sum(np.diff(rgb, axis=axis + 1) ** 2, axis=0) / EDGE**2)
        ends = np.minimum(np.delete(weight, 0, axis), np.delete(weight, -1, axis))
        likeness.append(ends * edge)
    total = sum(w.sum() for w in likeness) or 1.0
    return [w / total for w in likeness]


def _step_gradient(displacement: np.ndarray, likeness: list[np.ndarray]) -> np.ndarray:
    """Gradient of the weighted mean size of the displacement's steps, in turns, rounded off below 1e-3."""
    gradient = np.zeros_like(displacement)
    for axis, weight in enumerate(likeness):
        step = np.diff(displacement, axis=axis)
        step = step - np.round(step)
        slope = weight * step / np.sqrt(step**2 + 1e-6)
        gradient -= np.diff(slope, axis=axis, prepend=0, append=0)
    return gradient

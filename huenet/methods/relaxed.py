"""Transport of hue that does not insist on the target's shares of its colours. Any array library, in batches.

Where four fifths of the target are lawn, exact transport turns four fifths of the flower green. Here a marginal may
differ, at a price, so that a flower can stay a flower.
"""

import math
from typing import Any

from array_api_compat import array_namespace, device

from huenet.methods.sample import Sample
from huenet.methods.transport import smoothed_map

__all__ = ["find", "palette_plan", "relaxed_transport"]

Array = Any
REG = 0.003  # squared turns: near hues are blurred over 0.04 turns; with less, single precision loses the far ones


def find(source: Sample, target: Sample, /, *, reg_m: float = 0.1, smooth: float = 8.0) -> Array:
    """One map of hues for the whole picture, which need not bring the target's colours in the target's shares.

    Parameters
    ----------
    source, target : Sample
        As many pictures of each.
    reg_m : float
        What a difference of shares costs, in squared turns. Less lets them differ more and moves hues less far; with
        1 the shares are the target's, nearly.
    smooth : float
        Smoothing over hue, in 256ths of the hue circle. More is more coherent, less is closer to the target's colours.

    Returns
    -------
    array, (B, 1, 1, 256)
        A grid of displacements of hue in turns, for `huenet.methods.turn.Turn`.

    Raises
    ------
    ValueError
        `reg_m` is not above 0 and at most 1, or `smooth` is not from 0 to 256.
    """
    if not 0 < reg_m <= 1:
        raise ValueError(f"reg_m must be above 0 and at most 1, got {reg_m}")
    move = relaxed_transport(source.hue_histogram(), target.hue_histogram(), reg_m=reg_m)
    return smoothed_map(source, move, smooth)


def relaxed_transport(source_hist: Array, target_hist: Array, /, *, reg_m: float = 0.1) -> Array:
    """Displacement of each hue to the mean of where `palette_plan` takes it, on the circle.

    The plan's blur pulls near hues together, whatever the target: what the plan from the source to itself does is taken
    off, as in Sinkhorn divergences [1]_. Equal histograms move nothing.

    Parameters
    ----------
    source_hist, target_hist : array, (..., K)
        Masses of K equal bins of hue, which sum to 1; without mass the displacement is 0.
    reg_m : float
        As for `palette_plan`.

    Returns
    -------
    array, (..., K)
        In turns, in [-0.5, 0.5].

    References
    ----------
    .. [1] J. Feydy, T. Séjourné, F.-X. Vialard, S. Amari, A. Trouvé, G. Peyré, "Interpolating between optimal transport
       and MMD using Sinkhorn divergences", 2019.

    Examples
    --------
    A flower, red, before a lawn; the target's flower, yellow, takes twice the room. The lawn stays, nearly:

    >>> import numpy as np
    >>> bins = np.eye(12)
    >>> source, target = 0.2 * bins[0] + 0.8 * bins[4], 0.4 * bins[2] + 0.6 * bins[4]
    >>> moved = 12 * relaxed_transport(source, target, reg_m=0.02)
    >>> moved[[0, 4]].round(1)
    array([ 2. , -0.1])
    """
    xp = array_namespace(source_hist, target_hist)
    K = source_hist.shape[-1]
    angle = 2 * math.pi / K * xp.arange(K, dtype=source_hist.dtype, device=device(source_hist))
    # a step brings errors down by (1 + reg / reg_m)^-2 at least: to a hundredth of a hundredth
    steps = math.ceil(4.6 * reg_m / REG) + 1

    def mean(goal: Array) -> Array:
        plan = palette_plan(source_hist, goal, reg=REG, reg_m=reg_m, steps=steps)
        return xp.atan2(plan @ xp.sin(angle), plan @ xp.cos(angle))

    turn = (mean(target_hist) - mean(source_hist)) / (2 * math.pi)
    masses = xp.sum(source_hist, axis=-1, keepdims=True) * xp.sum(target_hist, axis=-1, keepdims=True)
    return xp.where(masses > 0, turn - xp.round(turn), xp.zeros_like(turn))


def palette_plan(
    source_hist: Array, target_hist: Array, /, *, reg: float = 0.002, reg_m: float = 0.01, steps: int = 100
) -> Array:
    """Where each hue of a palette goes, by transport that does not insist on the target's shares.

    The plan P of least <P, C> + reg KL(P | p q^T) + reg_m (KL(P 1 | p) + KL(P^T 1 | q)), C the squared circular
    distance in turns [1]_, as shares of each of the source's hues. A hue that the target has too stays; with a large
    `reg_m` the target's shares count as well.

    Parameters
    ----------
    source_hist, target_hist : array, (..., K)
        Masses of K equal bins of hue, which sum to 1.
    reg, reg_m : float
        Weights of the two penalties, in squared turns.
    steps : int
        Of Sinkhorn's iteration.

    Returns
    -------
    array, (..., K, K)
        Shares of the target's hues, in the last axis, for each of the source's: they sum to 1.

    References
    ----------
    .. [1] L. Chizat, G. Peyre, B. Schmitzer, F.-X. Vialard, "Scaling algorithms for unbalanced optimal transport
       problems", Mathematics of Computation, 2018.
    """
    xp = array_namespace(source_hist, target_hist)
    K = source_hist.shape[-1]
    k = xp.arange(K, dtype=source_hist.dtype, device=device(source_hist)) / K
    apart = k[:, None] - k
    apart = apart - xp.round(apart)
    cost = apart**2 / reg
    kernel, damping = xp.exp(-cost), reg_m / (reg_m + reg)

    def soft_minimum(a: Array) -> Array:
        top = xp.max(a, axis=-1, keepdims=True)
        return -top - xp.log(xp.exp(a - top) @ kernel)

    p, q = xp.log(source_hist + 1e-6), xp.log(target_hist + 1e-6)
    g = xp.zeros_like(q)
    for _ in range(steps):
        f = damping * soft_minimum(q + g)
        g = damping * soft_minimum(p + f)
    plan = (q + g)[..., None, :] - cost
    plan = xp.exp(plan - xp.max(plan, axis=-1, keepdims=True))
    return plan / xp.sum(plan, axis=-1, keepdims=True)

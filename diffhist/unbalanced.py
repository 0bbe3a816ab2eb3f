"""Transport between histograms whose proportions may differ: entropic, with marginals relaxed by KL divergences."""

import math
from typing import Any

import numpy as np

from diffhist._array import (
    Array,
    accumulator_dtype,
    check_histograms,
    constant,
    device,
    exact_sums,
    repeat,
    working,
)
from diffhist._backends.primitive import differentiable

__all__ = ["unbalanced_emd"]


def unbalanced_emd(p: Array, q: Array, /, *, circular: bool = False, reg: float = 0.002, reg_m: float = 0.01) -> Array:
    r"""Entropic transport with relaxed marginals: how far p is from q where proportions may differ.

    .. math:: \min_{P \ge 0}\ \langle P, C\rangle + \epsilon\, \mathrm{KL}(P \,|\, p q^\top)
              + \tau\, \mathrm{KL}(P 1 \,|\, p) + \tau\, \mathrm{KL}(P^\top 1 \,|\, q), \qquad
              \mathrm{KL}(a \,|\, b) = \sum a \log\frac ab - a + b

    with C the squared distance of bin centres in units of the range.

    Parameters
    ----------
    p, q : array, shape (..., K)
        Histograms: non-negative masses; their batch axes broadcast. They are not divided by their sums: a difference
        of total mass costs as well. Divide first if shapes alone are to count.
    circular : bool
        Whether the last bin is next to the first one, as for hue: C takes the shorter way round.
    reg : float
        :math:`\epsilon > 0`, the weight of the plan's entropy: the plan is blurred by about its root, in units of the
        range.
    reg_m : float
        :math:`\tau > 0`, the weight of the marginals: mass is rather made and unmade than moved much further than its
        root, in units of the range.

    Returns
    -------
    array, shape (...)
        At least 0 for shares, and above it for equals: blur costs. If one of the two has no mass it is 0, with
        gradient 0.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as above: the message names it.

    Notes
    -----
    With f, g the dual potentials and P the best plan, the value is
    :math:`\tau \sum_i p_i (1 - e^{-f_i/\tau}) + \tau \sum_j q_j (1 - e^{-g_j/\tau})
    + \epsilon (\sum p \sum q - \sum P)`. For shares both parts are multiples of :math:`1 - \sum P`, and the whole is
    :math:`1 + \epsilon / 2 \tau` times the part without :math:`\epsilon (\dots)`, which some report. Potentials are
    found by over-relaxed Sinkhorn iterations, as many as the parameters ask for; the gradient is the envelope
    theorem's, :math:`\tau + \epsilon \sum q - (\tau + \epsilon) e^{-f/\tau}` by p, and the second derivative comes of
    the potentials' implicit equation. A negative mass counts as none.

    References
    ----------
    Chizat, Peyré, Schmitzer, Vialard: Scaling algorithms for unbalanced optimal transport problems, 2018; relaxation:
    Thibault, Chizat, Dossal, Papadakis: Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport, 2021;
    shift: Séjourné, Vialard, Peyré: Faster unbalanced optimal transport, translation invariant Sinkhorn, 2022.
    The parameters have the names that POT gives them.

    Examples
    --------
    A bin of the way is gone for the most part; what would have to go further is unmade and made anew, so that distance
    has an end:

    >>> import numpy as np
    >>> import diffhist
    >>> hues = np.eye(10)[[0, 1, 2, 5]]
    >>> diffhist.unbalanced_emd(hues[0], hues, circular=True).round(3)
    array([0.   , 0.008, 0.018, 0.022])
    """
    reg, reg_m = (_positive(name, value) for name, value in (("reg", reg), ("reg_m", reg_m)))
    p, q = check_histograms(p, q)
    problem = {"circular": bool(circular), "reg": reg, "reg_m": reg_m}
    return _cost(_potentials(p, q, **problem), p, q, **problem)


def _positive(name: str, value: Any) -> float:
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number, got {value!r}") from None
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"`{name}` must be positive and finite, got {value}")
    return value


@differentiable
def _cost(potentials: Array, p: Array, q: Array, /, *, circular: bool, reg: float, reg_m: float) -> Array:
    """The value of the dual at its maximum, where the potentials' own slope is 0: the envelope theorem."""
    xp, a, b = working(p, q)
    unmade = [xp.sum(h * s, axis=-1) for h, s in zip((a, b), _unmade(xp, potentials), strict=True)]
    p_mass, q_mass = xp.sum(a, axis=-1), xp.sum(b, axis=-1)
    value = reg * (p_mass * q_mass - 0.5 * (p_mass + q_mass)) + (reg_m + 0.5 * reg) * (unmade[0] + unmade[1])
    alive = (p_mass != 0) & (q_mass != 0)
    return xp.astype(xp.where(alive, value, xp.zeros_like(value)), xp.result_type(p, q))


@_cost.defslopes
def _(out, potentials, p, q, /, *, circular, reg, reg_m):
    xp, p, q = working(p, q)
    potentials = _implicit(potentials, p, q, circular=circular, reg=reg, reg_m=reg_m)
    p_mass, q_mass = (xp.sum(h, axis=-1, keepdims=True) for h in (p, q))
    alive = (p_mass != 0) & (q_mass != 0)
    slopes = (
        reg * (other - 1.0) + (reg_m + reg) * s
        for other, s in zip((q_mass, p_mass), _unmade(xp, potentials), strict=True)
    )
    return [None, *(xp.where(alive, s, xp.zeros_like(s)) for s in slopes)]


def _unmade(xp: Any, potentials: Array) -> tuple[Array, Array]:
    """The share of each bin's mass that the plan leaves out (below 0: that it adds), for p and for q."""
    return -xp.expm1(-potentials[..., 0, :]), -xp.expm1(-potentials[..., 1, :])


@differentiable
def _potentials(p: Array, q: Array, /, *, circular: bool, reg: float, reg_m: float) -> Array:
    """Dual potentials over reg_m, also of bins without mass: (..., K), (..., K) -> (..., 2, K)."""
    xp, p, q = working(p, q)
    with exact_sums(p):
        exact = accumulator_dtype(xp, p)
        alive = (xp.sum(p, axis=-1, keepdims=True) != 0) & (xp.sum(q, axis=-1, keepdims=True) != 0)
        logs = [_log(xp, xp.astype(xp.where(alive, h, xp.ones_like(h)), exact)) for h in (p, q)]
        soft_minimum = _SoftMinimum(xp, p.shape[-1], circular, reg, logs[0])
        damping, overshoot, limit, times = _schedule(reg, reg_m)

        def relaxed(old: Array, new: Array) -> Array:
            return new + overshoot * xp.clip(new - old, -limit, limit)

        def step(f: Array, g: Array) -> tuple[Array, Array]:  # in units of reg
            f = relaxed(f, damping * soft_minimum(logs[1] + g))
            kept = [_log_sum(xp, h - a * (reg / reg_m)) for h, a in zip(logs, (f, g), strict=True)]
            shift = (0.5 * reg_m / reg) * (kept[0] - kept[1])  # the best one that leaves the plan as it is
            return f + shift, relaxed(g - shift, damping * soft_minimum(logs[0] + (f + shift)))

        f, g = repeat(step, (xp.zeros_like(logs[0]), xp.zeros_like(logs[1])), times)
        f = damping * soft_minimum(logs[1] + g)
        found = xp.stack([f, damping * soft_minimum(logs[0] + f)], axis=-2) * (reg / reg_m)
        found = xp.where(alive[..., None, :], found, xp.zeros_like(found))
        return xp.astype(found, p.dtype)


@_potentials.defvjp
def _(g, out, p, q, /, *, circular, reg, reg_m, needed):
    return None, None  # the value is blind to them; its slope is not, and asks `_implicit`


@_potentials.defjvp
def _(tangents, out, p, q, /, *, circular, reg, reg_m):
    return None


@differentiable
def _implicit(potentials: Array, p: Array, q: Array, /, *, circular: bool, reg: float, reg_m: float) -> Array:
    """The potentials as they are, as a function of p and q by the equations that they solve."""
    return potentials + 0.0


@_implicit.defvjp
def _(g, out, potentials, p, q, /, *, circular, reg, reg_m, needed):
    xp, p, q = working(p, q)
    alive, damping, rates, from_p, from_q, system = _linearized(xp, out, p, q, circular, reg, reg_m)
    g = xp.where(alive, xp.astype(g, p.dtype), xp.zeros_like(out))
    by_f, by_g = (xp.expand_dims(g[..., n, :], axis=-1) for n in (0, 1))
    by_f = xp.linalg.solve(system, by_f - damping * xp.matmul(from_p, by_g))
    by_g = by_g - damping * xp.matmul(from_q, by_f)
    pulled = xp.matmul(rates[0], by_g), xp.matmul(xp.matrix_transpose(rates[1]), by_f)
    return None, *(-damping * (reg / reg_m) * h[..., 0] for h in pulled)


@_implicit.defjvp
def _(tangents, out, potentials, p, q, /, *, circular, reg, reg_m):
    xp, p, q = working(p, q)
    alive, damping, rates, from_p, from_q, system = _linearized(xp, out, p, q, circular, reg, reg_m)
    moved = (
        xp.expand_dims(xp.zeros_like(h) if t is None else xp.astype(t, h.dtype), axis=-1)
        for h, t in zip((p, q), tangents[1:], strict=True)
    )
    ways = xp.matrix_transpose(rates[0]), rates[1]
    g, f = (-damping * (reg / reg_m) * xp.matmul(way, t) for way, t in zip(ways, moved, strict=True))
    f = xp.linalg.solve(xp.matrix_transpose(system), f - damping * xp.matmul(xp.matrix_transpose(from_q), g))
    g = g - damping * xp.matmul(xp.matrix_transpose(from_p), f)
    found = xp.stack([f[..., 0], g[..., 0]], axis=-2)
    return xp.where(alive, found, xp.zeros_like(found))


def _linearized(
    xp: Any, out: Array, p: Array, q: Array, circular: bool, reg: float, reg_m: float
) -> tuple[Array, float, tuple[Array, Array], Array, Array, Array]:
    """Around a solution: whether there is mass, how much of a step is kept, how the potentials f and g follow the
    masses p and q (each up to a factor), how each g follows f and each f follows g (adjoint), and both in turn."""
    alive = (xp.sum(p, axis=-1, keepdims=True) != 0) & (xp.sum(q, axis=-1, keepdims=True) != 0)
    C = constant(xp, _distances, (p.shape[-1], circular), p.dtype, p)
    damping = reg_m / (reg_m + reg)
    F, G = xp.expand_dims(out[..., 0, :], axis=-1), xp.expand_dims(out[..., 1, :], axis=-2)
    plan = (F + G) * (reg_m / reg) - C * (1.0 / reg)  # its logarithm, per mass
    by_row, by_column = (xp.exp(xp.clip(plan + h, None, 80.0)) for h in (F, G))  # between empty bins it may overflow
    from_p = xp.expand_dims(p, axis=-1) * by_column
    from_q = xp.matrix_transpose(xp.expand_dims(q, axis=-2) * by_row)
    system = xp.eye(p.shape[-1], dtype=p.dtype, device=device(p)) - damping**2 * xp.matmul(from_p, from_q)
    return xp.expand_dims(alive, axis=-2), damping, (by_column, by_row), from_p, from_q, system


def _log(xp: Any, p: Array) -> Array:
    """log p, and -inf where there is none."""
    empty = p <= 0
    return xp.where(empty, xp.full_like(p, -math.inf), xp.log(xp.where(empty, xp.ones_like(p), p)))


def _log_sum(xp: Any, a: Array) -> Array:
    """log sum exp(a) over the last axis, which is kept."""
    top = xp.max(a, axis=-1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(a - top), axis=-1, keepdims=True))


def _distances(bins: int, circular: bool) -> np.ndarray:
    """Squared distances of bin centres in units of the range: (K, K)."""
    centres = np.arange(bins) / bins
    apart = centres[:, None] - centres
    return (apart - np.round(apart) if circular else apart) ** 2


def _kernel(bins: int, circular: bool, reg: float) -> np.ndarray:
    return np.exp(_distances(bins, circular) / -reg)


class _SoftMinimum:
    """-log sum_j exp(a_j - C_ij / reg) for ``a`` (..., K), by a product where no cell of exp(-C / reg) is lost."""

    def __init__(self, xp: Any, bins: int, circular: bool, reg: float, like: Array):
        self.xp = xp
        deepest = (0.25 if circular else 1.0) / reg
        self.product = deepest < -0.9 * math.log(xp.finfo(like.dtype).smallest_normal)
        make, arguments = (_kernel, (bins, circular, reg)) if self.product else (_distances, (bins, circular))
        self.table = constant(xp, make, arguments, like.dtype, like)
        if not self.product:
            self.table = self.table * (-1.0 / reg)

    def __call__(self, a: Array) -> Array:
        xp = self.xp
        if self.product:  # what is largest in a row of the sum is at least exp(-C / reg), whatever the others are
            top = xp.max(a, axis=-1, keepdims=True)
            return -top - xp.log(xp.matmul(xp.exp(a - top), self.table))
        return -_log_sum(xp, a[..., None, :] + self.table)[..., 0]


def _schedule(reg: float, reg_m: float) -> tuple[float, float, float, int]:
    """How potentials follow each other, how much further steps go, up to where they may, and how many there are.

    A step without relaxation brings errors down by damping^2 at least (in the largest norm), and the best relaxation of
    two blocks that follow each other turns this into the overshoot (Young's formula). It is limited so that the dual
    never falls: for errors far above reg it is steeper on one side of its maximum than on the other.
    The common shift of both potentials, the slowest error of all, is mended at each step (Séjourné et al. 2022).
    """
    damping = reg_m / (reg_m + reg)
    root = math.sqrt(1.0 - damping**2)
    overshoot = (1.0 - root) / (1.0 + root)
    limit = 3.0 * (1.0 - overshoot) / (1.0 - overshoot + overshoot**2) * min(1.0, reg_m / reg)
    return damping, overshoot, limit, math.ceil(12 + 1.3 * math.log(1e-10) / math.log(overshoot))

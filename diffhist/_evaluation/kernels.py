"""The kernels that a value is spread by: what share of it lies above an edge, and the derivatives of that share.

A kernel is its distribution function S(z), with z = (x - e) / W the distance of a value from an edge in bandwidths. A
bin's mass is the difference of S at its two edges, whatever S is: so mass is kept, and W -> 0 is the hard histogram.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from diffhist._array import Array, sign

__all__ = ["KERNELS", "Kernel", "logistic_slopes"]


class Kernel(NamedTuple):
    """One kernel. ``width`` is the bandwidth by default, in bins."""

    width: float
    support: Callable[[float], float]  # in bandwidths: where it has fallen by exp(-nepers)
    above: Callable[[Any, Array, Iterable[int]], dict[int, Array]]  # the derivatives of S at z by z, of each order
    nodes: float = 0.0  # that `Spline` takes for it, beside those of the logistic one; 0 where it ends, and has kinks


def _logistic(xp: Any, z: Array, orders: Iterable[int]) -> dict[int, Array]:
    return logistic_slopes(xp.tanh(z * 0.5) * 0.5 + 0.5, orders)


def logistic_slopes(s: Array, orders: Iterable[int]) -> dict[int, Array]:
    """The derivatives by z of s = sigmoid(z), which are polynomials in s."""
    found = {}
    for order in set(orders):
        value = s
        if order:
            value = _polynomial(s, (*reversed(_sigmoid_polynomial(order)), 0.0))
        found[order] = value
    return found


def _sigmoid_polynomial(order: int) -> list[float]:
    """Coefficients of s, s^2, ... in the ``order``-th derivative of s = sigmoid(z), by (s^n)' = n (s^n - s^(n+1))."""
    coefficients = [1.0]
    for _ in range(order):
        longer = [0.0] * (len(coefficients) + 1)
        for n, c in enumerate(coefficients, start=1):
            longer[n - 1] += n * c
            longer[n] -= n * c
        coefficients = longer
    return coefficients


# The standard has no erf. Of a normal distribution's tail, divided by exp(-z^2 / 2): Hart et al., Computer
# Approximations (1968), no. 5666. Its terms are all positive, and it goes over into 1 / (z sqrt(2 pi)): one formula for
# all z, with an error of 2e-16 in float64 and 1.3e-7 in float32.
_HART = (
    (
        3.52624965998911e-02, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871,
        221.213596169931, 220.206867912376,
    ),
    (
        8.83883476483184e-02, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674,
        637.333633378831, 793.826512519948, 440.413735824752,
    ),
)  # fmt: skip


def _gaussian(xp: Any, z: Array, orders: Iterable[int]) -> dict[int, Array]:
    z = xp.clip(z, -40.0, 40.0)
    bell = xp.exp(z * z * -0.5)
    found = {}
    for order in set(orders):
        if order == 0:
            a = xp.abs(z)
            over, under = (_polynomial(a, c) for c in _HART)
            tail = bell * over / under
            found[0] = xp.where(z > 0, 1.0 - tail, tail)
        else:  # Hermite polynomials: He_(n+1) = z He_n - n He_(n-1), each with the sign (-1)^n
            before, hermite = 0.0, bell * (1.0 / math.sqrt(2.0 * math.pi))
            for n in range(order - 1):
                before, hermite = hermite, -z * hermite - n * before
            found[order] = hermite
    return found


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    value: Any = 0.0
    for c in coefficients[:-1]:
        value = (value + c) * x
    return value + coefficients[-1]


def _box_splines(degree: int, *knots: tuple[float, float]) -> Callable[[Any, Array, Iterable[int]], dict[int, Array]]:
    """S of the B-spline of a degree less: its tail is the sum of weight (knot - |z|)^degree / degree! over ``knots``,
    (place, weight), that are beyond |z|."""

    def above(xp: Any, z: Array, orders: Iterable[int]) -> dict[int, Array]:
        a = xp.abs(z)
        side = sign(xp, z)
        found = {}
        for order in set(orders):
            power = degree - order
            if power > 0:
                tail = sum(w / math.factorial(power) * xp.clip(c - a, 0.0, c) ** power for c, w in knots)
            elif power == 0:  # on a knot, the mean of both sides
                tail = sum(0.5 * w * (1.0 + sign(xp, c - a)) for c, w in knots)
            else:
                tail = 0.0
            if order == 0:
                tail = 0.5 + side * (0.5 - tail)
            elif order % 2 == 0:
                tail = -side * tail
            found[order] = tail + 0.0 * z  # NaN stays NaN
        return found

    return above


KERNELS = {
    "logistic": Kernel(0.4, lambda nepers: nepers, _logistic, nodes=1.0),
    "gaussian": Kernel(0.5, lambda nepers: math.sqrt(2.0 * nepers), _gaussian, nodes=1.4),
    "linear": Kernel(1.0, lambda nepers: 0.5, _box_splines(1, (0.5, 1.0))),
    "cubic": Kernel(1.0, lambda nepers: 1.5, _box_splines(3, (1.5, 1.0), (0.5, -3.0))),
}

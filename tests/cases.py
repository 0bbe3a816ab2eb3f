"""Inputs that both histograms are tried on, and how far rounding may take the results."""

import numpy as np
import pytest
from hypothesis import strategies as st

BOUNDARIES = ("open", "circular", "reflect")
strides = pytest.mark.parametrize("stride", [8, pytest.param(2, marks=pytest.mark.slow)])
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def rounding(x, dtype, bins=256, range=(0.0, 1.0), bandwidth=None, **_):
    """What rounding of positions costs far from zero or under a very sharp kernel, per unit of largest bin."""
    lo, hi = range
    if (lo, hi) == (0.0, 1.0) and bins & (bins - 1) == 0 and np.min(x) >= 0 and np.max(x) <= 1:
        return 0.0  # positions in bins are exact
    width = bandwidth or (hi - lo) / bins / 2.5
    farthest = max(abs(lo), abs(hi), np.abs(x).max())
    return EPS[dtype] * (farthest + (hi - lo)) / width


def sum_to(a, shape):
    """The adjoint of broadcasting from `shape`."""
    a = a.sum(tuple(range(a.ndim - len(shape))))
    return a.sum(tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


@st.composite
def samples(draw, boundary=None, max_bins=40):
    """Pixels anywhere, edges included; the range may be far from [0, 1], the kernel sharp or very wide."""
    bins = draw(st.integers(1, max_bins))
    lo, hi = draw(st.sampled_from([(0.0, 1.0), (100.0, 100.5), (-1e3, 1e3), (-3.0, -2.5), (0.0, 1e-3)]))
    relative = draw(st.one_of(st.none(), st.sampled_from([1e-6, 0.4, 10.0]), st.floats(0.01, 10.0)))
    place = st.one_of(
        st.floats(-0.1, 1.1),
        st.integers(0, bins).map(lambda k: k / bins),
        st.sampled_from([-1e4, -1.5, 2.5, 1e4]),
    )
    places = np.array(draw(st.lists(place, min_size=1, max_size=12)))
    options = {
        "bins": bins,
        "range": (lo, hi),
        "bandwidth": None if relative is None else relative * (hi - lo) / bins,
        "boundary": boundary or draw(st.sampled_from(BOUNDARIES)),
    }
    return lo + (hi - lo) * places, options


def contents(hues, rng, stride):
    """float32 samples: noise, photographs' hues, constants, and a hue channel with a pile at exactly 0."""
    photographs = {name: hue.ravel()[::stride] for name, hue in hues.items()}
    chelsea = photographs["chelsea"]
    samples = {
        "noise": rng.random(chelsea.size),
        **photographs,
        **{f"constant {value}": np.full(300, value) for value in (0.0, 0.25, 0.9, 1.0)},
        "pile at 0": np.where(rng.random(chelsea.size) < 0.6, 0.0, chelsea),
    }
    return {name: sample.astype(np.float32) for name, sample in samples.items()}

"""Bad input to the histograms: a ValueError or TypeError that names the argument, what was expected and what came."""

import numpy as np
import pytest
from arrays import from_numpy, to_numpy
from numpy.testing import assert_allclose

import diffhist
from diffhist import emd, joint_histogram, soft_histogram, squared_emd


def soft(x, **options):
    return soft_histogram(x, **options)


def joint(x, **options):
    return joint_histogram(x, x, **options)


both = pytest.mark.parametrize("histogram", [soft, joint], ids=["soft", "joint"])

BAD_OPTIONS = [
    ({"bins": 0}, ValueError, r"bins.*at least 1.*0"),
    ({"bins": -3}, ValueError, r"bins.*-3"),
    ({"bins": 2.5}, TypeError, r"bins.*2\.5"),
    ({"bins": "8"}, TypeError, r"bins.*8"),
    ({"range": (1.0, 1.0)}, ValueError, r"range.*1\.0"),
    ({"range": (1.0, 0.0)}, ValueError, r"range.*1\.0"),
    ({"range": (0.0, np.inf)}, ValueError, r"range.*inf"),
    ({"range": (np.nan, 1.0)}, ValueError, r"range.*nan"),
    ({"range": (0.0, 0.5, 1.0)}, (ValueError, TypeError), r"range"),
    ({"range": 1.0}, (ValueError, TypeError), r"range.*1\.0"),
    ({"bandwidth": 0.0}, ValueError, r"bandwidth.*0\.0"),
    ({"bandwidth": -1.0}, ValueError, r"bandwidth.*-1\.0"),
    ({"bandwidth": np.nan}, ValueError, r"bandwidth.*nan"),
    ({"bandwidth": np.inf}, ValueError, r"bandwidth.*inf"),
    ({"boundary": "wrap"}, ValueError, r"boundary.*open.*circular.*reflect.*wrap"),
    ({"boundary": None}, (ValueError, TypeError), r"boundary.*None"),
    ({"axis": 1}, ValueError, r"axis.*1"),
    ({"axis": -2}, ValueError, r"axis.*-2"),
    ({"axis": (0, 0)}, ValueError, r"axis.*0"),
    ({"axis": (0, -1)}, ValueError, r"axis"),
    ({"axis": ()}, ValueError, r"axis"),
    ({"axis": 0.5}, TypeError, r"axis.*0\.5"),
]


@both
@pytest.mark.parametrize(
    ("options", "error", "message"), BAD_OPTIONS, ids=lambda v: str(v) if isinstance(v, dict) else ""
)
def test_options(histogram, options, error, message):
    with pytest.raises(error, match="(?s)" + message):
        histogram(np.full(4, 0.5), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": (4, 0)}, r"bins.*0"),
        ({"bins": (4, 4, 4)}, r"bins"),
        ({"range": ((0.0, 1.0), (1.0, 0.0))}, r"range.*1\.0"),
        ({"bandwidth": (0.1, -0.1)}, r"bandwidth.*-0\.1"),
        ({"boundary": ("open", "wrap")}, r"boundary.*wrap"),
    ],
)
def test_options_in_pairs(options, message):
    with pytest.raises((ValueError, TypeError), match="(?s)" + message):
        joint_histogram(np.full(4, 0.5), np.full(4, 0.5), **options)


@both
def test_an_empty_sample(xp, histogram):
    for shape in ((0,), (3, 0)):
        with pytest.raises(ValueError, match=r"(?s)\bx\b.*empty|empty.*\bx\b|\bx\b.*at least"):
            histogram(from_numpy(xp, np.ones(shape)))


@both
def test_a_scalar_has_no_axis(xp, histogram):
    with pytest.raises(ValueError, match=r"axis|\bx\b"):
        histogram(from_numpy(xp, np.array(0.5)))


@both
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_are_not_pixels(xp, histogram, dtype):
    with pytest.raises(TypeError, match=r"(?s)\bx\b.*float.*" + dtype):
        histogram(xp.asarray(np.zeros(4, dtype)))


@both
def test_complex_numbers_are_not_pixels(histogram):
    with pytest.raises(TypeError, match=r"(?s)\bx\b.*complex"):
        histogram(np.zeros(4, complex))


@both
@pytest.mark.parametrize("x", [[0.1, 0.2], 0.5, None, "0.5"], ids=str)
def test_things_that_are_no_arrays(histogram, x):
    with pytest.raises(TypeError):
        histogram(x)


@both
def test_weights(xp, histogram):
    x = from_numpy(xp, np.full((3, 4), 0.5))
    for shape in ((3,), (2, 4), (2, 3, 4)):
        with pytest.raises(ValueError, match=r"(?s)weights.*" + str(shape[0])):
            histogram(x, weights=from_numpy(xp, np.ones(shape)))
    with pytest.raises(TypeError, match=r"(?s)weights.*int"):
        histogram(x, weights=xp.asarray(np.ones((3, 4), int)))
    with pytest.raises(TypeError, match="weights"):
        histogram(x, weights=[1.0, 2.0, 3.0, 4.0])


def test_x_and_y_of_different_shapes(xp):
    for shape in ((3,), (3, 1, 2), (4, 2), (0,)):
        with pytest.raises(ValueError, match=r"(?s)\by\b.*" + str(shape[0])):
            joint_histogram(from_numpy(xp, np.full(4, 0.5)), from_numpy(xp, np.full(shape, 0.5)))
    with pytest.raises(TypeError, match=r"(?s)\by\b.*int"):
        joint_histogram(from_numpy(xp, np.full(4, 0.5)), xp.asarray(np.ones(4, int)))


def test_two_libraries_at_once(torch):
    ours, theirs = np.full(4, 0.5), torch.full((4,), 0.5, dtype=torch.float64)
    for call in (
        lambda: joint_histogram(ours, theirs),
        lambda: joint_histogram(theirs, ours),
        lambda: soft_histogram(ours, weights=theirs),
        lambda: soft_histogram(theirs, weights=ours),
        lambda: squared_emd(ours, theirs),
        lambda: emd(theirs, ours),
    ):
        with pytest.raises((TypeError, ValueError), match=r"(?s)numpy.*torch|torch.*numpy"):
            call()


def test_two_devices_at_once(torch):
    here, there = torch.full((4,), 0.5), torch.full((4,), 0.5, device="meta")
    for call in (
        lambda: joint_histogram(here, there),
        lambda: soft_histogram(here, weights=there),
        lambda: squared_emd(here, there),
        lambda: emd(there, here),
    ):
        with pytest.raises((TypeError, ValueError), match=r"(?s)device.*(cpu.*meta|meta.*cpu)|cpu.*meta.*device"):
            call()


def test_options_are_keywords_and_arrays_are_not():
    x = np.full(4, 0.5)
    with pytest.raises(TypeError):
        soft_histogram(x=x)
    with pytest.raises(TypeError):
        soft_histogram(x, 8, (0.0, 1.0), 0.1)
    with pytest.raises(TypeError):
        joint_histogram(x, x, 8, (0.0, 1.0), 0.1)
    with pytest.raises(TypeError):
        squared_emd(x, x, True)


@pytest.mark.filterwarnings("ignore")  # of torch, about prototypes
def test_arrays_with_gaps_are_refused():
    """Their mask would be lost in silence."""
    x = np.ma.masked_greater(np.linspace(0.0, 1.0, 9), 0.5)
    with pytest.raises(TypeError, match=r"`x` must not be a masked array.*getmaskarray"):
        soft_histogram(x, 4)
    with pytest.raises(TypeError, match="`weights` must not be a masked array"):
        soft_histogram(np.asarray(x), 4, weights=x)
    torch = pytest.importorskip("torch")
    t = torch.rand(4, 4)
    for bad, kind in [(t.to_sparse(), "sparse"), (t.to_sparse_csr(), "sparse"), (t.to_mkldnn(), "mkldnn")]:
        with pytest.raises(TypeError, match=f"`x` must be a dense tensor.*{kind}"):
            soft_histogram(bad, 4)
    with pytest.raises(TypeError, match="dtype"):
        soft_histogram(t.to(torch.float8_e4m3fn), 4)


@pytest.mark.filterwarnings("ignore")  # of torch, about prototypes
def test_nested_and_masked_tensors_are_refused():
    torch = pytest.importorskip("torch")
    from torch.masked import masked_tensor

    t = torch.rand(4)
    for bad, kind in [(torch.nested.nested_tensor([t, t[:2]]), "nested"), (masked_tensor(t, t > 0.5), "masked")]:
        with pytest.raises(TypeError, match=f"`x` must be a dense tensor.*{kind}"):
            soft_histogram(bad, 4)


def test_bins_that_values_cannot_tell_apart():
    with pytest.raises(ValueError, match=r"`bins` of `x`.*resolution.*float64"):
        soft_histogram(np.full(4, 1000, np.float32), 4, (1000, 1000.0001))
    assert soft_histogram(np.full(4, 1000.0), 4, (1000, 1000.0001)).sum() > 0.4
    with pytest.raises(ValueError, match=r"`bins` of `x`.*resolution, about 0.0001.*got 1e-05"):
        soft_histogram(np.full(4, 1000, np.float32), [1000, 1000.00001, 1003])
    with pytest.raises(ValueError, match=r"`bins` of `x`.*resolution, about 1e-38.*got 1e-39"):
        soft_histogram(np.zeros(4, np.float32), 4, (0.0, 4e-39))
    assert soft_histogram(np.zeros(4, np.float32), 4, (0.0, 1e-36)).sum() > 0.4
    with pytest.raises(ValueError, match=r"`range` of `x`.*up to 3e\+38, and so long"):
        soft_histogram(np.zeros(4, np.float32), 4, (-3e38, 3e38))
    with pytest.raises(ValueError, match="`range` must have a finite length"):
        soft_histogram(np.zeros(4), 4, (-1e308, 1e308))


def test_cotangents_are_checked(xp):
    x = from_numpy(xp, np.linspace(0.1, 0.9, 6))
    value, pullback = diffhist.vjp(lambda x: diffhist.entropy(soft_histogram(x, 4)), x)
    assert_allclose(to_numpy(pullback(2.0)[0]), 2 * to_numpy(pullback(xp.ones_like(value))[0]))
    with pytest.raises(ValueError, match=r"`cotangent` must have the value's shape \(\), got \(3,\)"):
        pullback(from_numpy(xp, np.ones(3)))
    _, pullback = diffhist.vjp(lambda x: soft_histogram(x, 4), x)
    with pytest.raises(TypeError, match=r"`cotangent` must be an array of shape \(4,\), got builtins.float"):
        pullback(1.0)


def test_the_tape_says_what_it_cannot():
    x = np.linspace(0.1, 0.9, 6)

    def loss(x):
        return diffhist.entropy(soft_histogram(x, 4))

    with pytest.raises(TypeError, match="torch or JAX"):
        diffhist.value_and_grad(lambda x: diffhist.value_and_grad(loss)(x)[1].max())(x)
    value, _ = diffhist.value_and_grad(lambda x: loss(x) * (2.0 if hasattr(x, "T") else 1.0))(x)
    assert value == loss(x)

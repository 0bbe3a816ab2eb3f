"""Entropies and mutual information against SciPy, scikit-learn and Eq. 16 to 18 written out."""

import numpy as np
import pytest
import reference
import scipy.stats
from arrays import from_numpy, gradients, to_numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

import diffhist
from diffhist import (
    conditional_entropy,
    entropy,
    joint_histogram,
    mi_ceiling,
    mi_distance,
    mi_floor,
    mutual_information,
    normalized_mutual_information,
)

NORMS = ("joint", "studholme", "min", "geometric", "arithmetic", "max")
TABLE_FUNCTIONS = {
    mutual_information: reference.mutual_information,
    mi_distance: reference.mi_distance,
    conditional_entropy: lambda pxy: reference.entropy(pxy) - reference.entropy(pxy.sum(0)),
}


def tables():
    """Tables with many empty cells, of any total."""
    mass = st.one_of(st.just(0.0), st.floats(1e-6, 3.0))
    return hnp.arrays(np.float64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=mass)


def test_entropy_against_scipy(xp, rng):
    p = rng.random((3, 10)) * (rng.random((3, 10)) < 0.7)
    assert_allclose(to_numpy(entropy(from_numpy(xp, p))), scipy.stats.entropy(p, axis=-1), rtol=1e-12)
    assert_allclose(to_numpy(entropy(from_numpy(xp, p), axis=0)), scipy.stats.entropy(p, axis=0), rtol=1e-12)
    want = scipy.stats.entropy(p, axis=None)
    assert_allclose(to_numpy(entropy(from_numpy(xp, p), axis=(-2, -1))), want, rtol=1e-12)


def test_entropy_of_known_shapes(xp):
    assert_allclose(to_numpy(entropy(from_numpy(xp, np.ones(8)))), np.log(8), rtol=1e-13)
    assert to_numpy(entropy(from_numpy(xp, np.eye(8)[3]))) == 0.0
    assert to_numpy(entropy(from_numpy(xp, np.zeros(8)))) == 0.0


@pytest.mark.parametrize("fun", TABLE_FUNCTIONS, ids=lambda f: f.__name__)
def test_tables_against_equations(xp, fun, rng):
    pxy = rng.random((2, 3, 6, 6)) * (rng.random((2, 3, 6, 6)) < 0.5)
    got = to_numpy(fun(from_numpy(xp, pxy)))
    assert got.shape == (2, 3)
    for i in np.ndindex(2, 3):
        assert_allclose(got[i], TABLE_FUNCTIONS[fun](pxy[i]), rtol=0, atol=1e-13)


@given(pxy=tables().filter(lambda pxy: pxy.sum() > 0))
def test_bounds_and_identities(pxy):
    information, joint = float(mutual_information(pxy)), float(entropy(pxy, axis=(-2, -1)))
    of_x, of_y = float(entropy(pxy.sum(1))), float(entropy(pxy.sum(0)))
    assert -1e-12 <= information <= min(of_x, of_y) + 1e-12
    assert_allclose(information, of_x + of_y - joint, atol=1e-12)
    assert_allclose(conditional_entropy(pxy), joint - of_y, atol=1e-12)
    assert_allclose(conditional_entropy(pxy), of_x - information, atol=1e-12)
    assert -1e-12 <= mi_distance(pxy) <= 1 + 1e-12
    if joint > 1e-3:
        assert_allclose(mi_distance(pxy), 1 - information / joint, atol=1e-9)
    assert_allclose(mi_distance(3.7 * pxy), mi_distance(pxy), atol=1e-9)
    assert_allclose(mi_distance(pxy.T), mi_distance(pxy), atol=1e-9)


def labels(counts):
    """Two labellings of as many things as there are counts in a table."""
    cells = np.repeat(np.arange(counts.size), counts.ravel())
    return np.unravel_index(cells, counts.shape)


@given(counts=hnp.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 5)))
@pytest.mark.parametrize("norm", ["min", "geometric", "arithmetic", "max"])
def test_normalized_as_scikit_learn_does(norm, counts):
    """Also where one labelling, or both, or the table are trivial."""
    want = normalized_mutual_info_score(*labels(counts), average_method=norm)
    got = normalized_mutual_information(counts.astype(np.float64), norm=norm)
    assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@given(pxy=tables().filter(lambda pxy: pxy.sum() > 0))
def test_normalized_by_the_joint_entropy(pxy):
    assert_allclose(normalized_mutual_information(pxy), 1 - mi_distance(pxy), atol=1e-15)
    joint = float(entropy(pxy, axis=(-2, -1)))
    if joint > 1e-3:
        want = float(entropy(pxy.sum(0)) + entropy(pxy.sum(1))) / joint
        assert_allclose(normalized_mutual_information(pxy, norm="studholme"), want, rtol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_gradient_of_norms(xp, norm, rng):
    pxy = rng.random((3, 4, 3)) + 0.05
    g = np.array([1.0, -2.0, 0.5])
    got = gradients(xp, lambda pxy: normalized_mutual_information(pxy, norm=norm), g, from_numpy(xp, pxy))[0]
    means = {"min": np.minimum, "max": np.maximum, "geometric": lambda a, b: np.sqrt(a * b)}

    def formula(table):
        x, y, joint = (reference.entropy(t) for t in (table.sum(1), table.sum(0), table))
        mean = means.get(norm, lambda a, b: (a + b) / 2)(x, y) if norm not in ("joint", "studholme") else joint
        return (x + y - joint) / mean

    for row in range(3):
        want = reference.central_differences(lambda t: g[row] * formula(t), pxy[row])  # noqa: B023
        assert_allclose(got[row], want, atol=1e-8)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("content", ["no mass", "one cell", "one row", "one column"])
def test_normalized_without_information(torch, norm, content):
    pxy = torch.zeros(3, 3, dtype=torch.float64)
    if content != "no mass":
        pxy[1 if content in ("one cell", "one row") else slice(None), 2 if content != "one row" else slice(None)] = 0.3
    pxy.requires_grad_()
    value = normalized_mutual_information(pxy, norm=norm)
    assert value == (content in ("no mass", "one cell")) + (norm == "studholme")
    (slope,) = torch.autograd.grad(value, pxy, create_graph=True)
    assert torch.isfinite(slope).all()
    if content in ("no mass", "one cell"):
        assert (slope == 0).all()
    assert torch.isfinite(torch.autograd.grad(slope.sum(), pxy)[0]).all()


@pytest.mark.parametrize("norm", NORMS)
def test_second_derivative_of_norms(torch, norm, rng):
    pxy = torch.tensor(rng.random((2, 3, 4)) + 0.05, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda pxy: normalized_mutual_information(pxy, norm=norm), pxy)


def test_norm_is_one_of_six():
    with pytest.raises(ValueError, match=r"`norm` must be one of joint, studholme.*, got 'mean'"):
        normalized_mutual_information(np.ones((2, 2)), norm="mean")


@given(pxy=tables().filter(lambda pxy: pxy.sum() > 0))
def test_gradients_are_finite_and_blind_to_scale(pxy):
    for fun in (mutual_information, mi_distance, conditional_entropy):
        (got,) = gradients(np, fun, 1.0, pxy)
        assert np.isfinite(got).all()
        # the value does not change along pxy itself
        assert abs((got * pxy).sum()) <= 1e-9 * max(1.0, np.abs(got).max())


def test_hard_limit_is_sklearns_mutual_information(xp, rng):
    """Pixels at bin centres under a sharp kernel are labels."""
    labels = rng.integers(0, 6, 400)
    others = np.where(rng.random(400) < 0.6, labels, rng.integers(0, 6, 400))
    x, y = (from_numpy(xp, (a + 0.5) / 6) for a in (labels, others))
    table = joint_histogram(x, y, 6, bandwidth=1e-4)
    want = mutual_info_score(labels, others)
    assert_allclose(to_numpy(mutual_information(table)), want, rtol=1e-12)
    _, labels_of_both = np.unique(labels * 6 + others, return_counts=True)
    assert_allclose(to_numpy(mi_distance(table)), 1 - want / scipy.stats.entropy(labels_of_both), rtol=1e-12)


@pytest.mark.parametrize("fun", TABLE_FUNCTIONS, ids=lambda f: f.__name__)
def test_gradient_of_tables(xp, fun, rng):
    pxy = rng.random((4, 5)) + 0.05
    (got,) = gradients(xp, fun, 1.0, from_numpy(xp, pxy))
    assert_allclose(got, reference.central_differences(TABLE_FUNCTIONS[fun], pxy), atol=1e-8)


def test_gradient_of_entropy(xp, rng):
    p = rng.random((3, 5)) + 0.05
    g = np.array([1.0, -2.0, 0.5])
    (got,) = gradients(xp, entropy, g, from_numpy(xp, p))
    for row in range(3):
        want = reference.central_differences(lambda p: g[row] * reference.entropy(p), p[row])  # noqa: B023
        assert_allclose(got[row], want, atol=1e-8)
    (got,) = gradients(xp, lambda p: entropy(p, axis=(-2, -1)), 1.0, from_numpy(xp, p))
    assert_allclose(got, reference.central_differences(reference.entropy, p), atol=1e-8)


# --- where there is nothing to know ---


@pytest.mark.parametrize("fun", [mutual_information, mi_distance, conditional_entropy])
@pytest.mark.parametrize("content", ["no mass", "one cell"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_information(xp, fun, content, dtype):
    pxy = np.zeros((2, 4, 4))
    if content == "one cell":
        pxy[:, 1, 2] = 0.7
    pxy = from_numpy(xp, pxy, dtype)
    assert_allclose(to_numpy(fun(pxy)), 0.0, atol=0)
    (got,) = gradients(xp, fun, np.ones(2), pxy)
    assert np.isfinite(got).all()
    if fun is mi_distance or content == "no mass":
        assert_allclose(got, 0.0, atol=0)


def test_one_empty_table_does_not_spoil_the_batch(xp, rng):
    pxy = rng.random((3, 4, 4))
    pxy[1] = 0.0
    got = to_numpy(mi_distance(from_numpy(xp, pxy)))
    assert_allclose(got, [reference.mi_distance(pxy[0]), 0.0, reference.mi_distance(pxy[2])], atol=1e-13)
    (gradient,) = gradients(xp, mi_distance, np.ones(3), from_numpy(xp, pxy))
    assert_allclose(gradient[1], 0.0, atol=0)
    assert_allclose(gradient[2], reference.mi_distance_gradient(pxy[2]), atol=1e-12)


@pytest.mark.parametrize("bandwidth", [1e-4, None])
def test_constant_images_with_sharp_and_default_kernels(xp, bandwidth):
    x = from_numpy(xp, np.full(20, 0.4375), "float32")  # the middle of a bin of 8
    got = gradients(xp, lambda x, y: mi_distance(joint_histogram(x, y, 8, bandwidth=bandwidth)), 1.0, x, x + 0)
    assert all(np.isfinite(g).all() for g in got)
    if bandwidth:
        assert to_numpy(mi_distance(joint_histogram(x, x, 8, bandwidth=bandwidth))) == 0.0
        assert_allclose(got, 0.0, atol=0)
    else:  # independent kernels of one pixel share no information
        assert_allclose(to_numpy(mi_distance(joint_histogram(x, x, 8))), 1.0, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.97])
def test_mass_lost_at_a_border_is_no_information(value):
    """Without division by the table's own sum a constant image at 0 would score 0.1 above chance."""
    x = np.full(50, value)
    assert_allclose(mi_distance(joint_histogram(x, x)), 1.0, atol=1e-9)


def test_nan_stays_in_its_table(xp, rng):
    pxy = rng.random((3, 4, 4))
    pxy[1, 2, 3] = np.nan
    for fun in (mutual_information, mi_distance, conditional_entropy):
        assert_allclose(np.isnan(to_numpy(fun(from_numpy(xp, pxy)))), [False, True, False])


# --- what soft bins do to relative MI ---


def test_ceiling_and_floor_of_uniform_images(rng):
    """The figures of the documentation: D(I, I) of about 0.43, and I / H of about 0.03 for independent images."""
    x, y = rng.random((2, 128 * 128))
    ceiling, floor = mi_ceiling(x), mi_floor(x, y, draws=2, seed=0)
    assert_allclose(ceiling, 1 - 0.43, atol=0.02)
    assert_allclose(floor, 0.03, atol=0.01)
    assert_allclose(ceiling, 1 - reference.mi_distance(reference.joint_histogram(x, x)), atol=1e-12)


def test_floor_and_ceiling_take_the_options_of_joint_histogram(rng):
    x, y, w = rng.random((3, 2, 6, 50))
    options = {"bins": 5, "range": (-1.0, 2.0), "bandwidth": 0.3, "boundary": "reflect", "weights": w, "axis": (1, 2)}
    got = mi_ceiling(x, **options)
    assert got.shape == (2,)
    assert_allclose(got, 1 - mi_distance(joint_histogram(x, x, **options)), atol=1e-14)
    floor = mi_floor(x, y, draws=3, seed=1, **options)
    assert floor.shape == (2,)
    assert (floor < got).all()


def test_floor_depends_on_the_seed_alone(xp, rng):
    x = rng.random(200)
    y = from_numpy(xp, x)
    first = mi_floor(y, y, 8, draws=3, seed=5)
    assert_allclose(to_numpy(first), to_numpy(mi_floor(y, y, 8, draws=3, seed=5)), atol=0)
    assert_allclose(to_numpy(first), mi_floor(x, x, 8, draws=3, seed=5), atol=1e-12)
    assert to_numpy(first) != to_numpy(mi_floor(y, y, 8, draws=3, seed=6))
    assert to_numpy(first) < to_numpy(mi_ceiling(y, 8)) / 2


@pytest.mark.parametrize("scale", [1e-25, 1e30])
def test_floor_does_not_depend_on_the_scale_of_weights(scale, rng):
    """Though products of two of them are more, or less, than float32 can say."""
    x, y, w = rng.random((3, 100), np.float32)
    got, want = (mi_floor(x, y, 6, weights=w * np.float32(s), draws=2) for s in (scale, 1.0))
    assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize("draws", [0, -1])
def test_floor_needs_a_draw(draws):
    with pytest.raises(ValueError, match=f"(?s)draws.*{draws}"):
        mi_floor(np.ones(4), np.ones(4), draws=draws, seed=0)


def test_errors_name_the_argument(xp):
    for fun in (mutual_information, mi_distance, conditional_entropy):
        with pytest.raises(ValueError, match="pxy"):
            fun(from_numpy(xp, np.ones(4)))
        with pytest.raises(TypeError, match="int"):
            fun(xp.asarray([[1, 2], [3, 4]]))
        with pytest.raises(ValueError, match="pxy"):
            fun(from_numpy(xp, np.ones((0, 4))))
    with pytest.raises(TypeError, match="int"):
        entropy(xp.asarray([1, 2]))
    with pytest.raises(ValueError, match="axis"):
        entropy(from_numpy(xp, np.ones(4)), axis=1)
    with pytest.raises(ValueError, match="axis"):
        entropy(from_numpy(xp, np.ones((2, 2))), axis=(0, 0))
    with pytest.raises(TypeError):
        diffhist.entropy([0.5, 0.5])

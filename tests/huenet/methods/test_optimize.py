"""Descent on a pair: what it must reach, and the linear maps that it is made of."""

import numpy as np
import pytest

from diffhist import soft_histogram
from huenet.color import chroma, hsv_to_rgb, rgb_to_hsv
from huenet.methods import grid
from huenet.methods.descent import _averages, _Field, _settled, _shrunk, descend, optimize
from huenet.methods.transport import apply_displacement, hue_transport
from huenet.metrics import hue_emd, hue_histogram, incoherence, relative_mi


def circle(turns):
    return np.abs(turns - np.round(turns))


def columns(hue):
    """HSV (3, N, N) of N hues, one a column."""
    hue = np.broadcast_to(hue, 2 * hue.shape)
    return np.stack([hue, np.full_like(hue, 0.8), np.full_like(hue, 0.7)])


def pair(size=20):
    """Two pictures, each of two hues with an edge between them."""
    x = np.linspace(0, 1, size)
    return (
        columns(np.where(x < 0.6, 0.1 + 0.05 * x, 0.4 + 0.05 * x)),
        columns(np.where(x < 0.3, 0.6 + 0.05 * x, 0.9 + 0.05 * x)),
    )


@pytest.fixture(scope="module")
def photographs():
    """Sources and targets, HSV (6, 3, 64, 64): crops of scikit-image's photographs, in pairs."""
    data = pytest.importorskip("skimage.data")
    crops = (
        data.coffee()[100:356:4, 200:456:4],
        data.chelsea()[20:276:4, 100:356:4],
        data.astronaut()[:256:4, 128:384:4],
    )
    hsv = np.stack([rgb_to_hsv(np.moveaxis(crop, -1, 0) / 255) for crop in crops])
    return hsv[[0, 0, 1, 1, 2, 2]], hsv[[1, 2, 0, 2, 0, 1]]


def test_descent_goes_past_the_smoothed_transport_it_starts_from():
    source, target = pair()
    start, result = optimize(source, target, steps=0), optimize(source, target, steps=40)
    before, first, last = (hue_emd(hue, target[0], bins=64, hard=False) for hue in (source[0], start, result))
    assert last < 0.9 * first < before
    assert relative_mi(result, source[0], bins=64) > 0.3
    steps = circle(np.diff(result - source[0], axis=1))
    assert steps[:, :11].max() < 0.02  # within one side nothing parts


def test_without_steps_it_is_the_smoothed_transport(photographs):
    source, target = photographs
    options = {"boundary": "circular", "bandwidth": 0.05 / 256, "axis": (-2, -1)}
    sharp = [soft_histogram(p[:, 0], 256, weights=chroma(p), **options) for p in (source, target)]
    hard = [hue_histogram(p[:, 0], chroma(p)) for p in (source, target)]
    found = optimize(source, target, steps=0, prior=20.0)
    for hists, close in ((sharp, 1e-9), (hard, 2e-3)):
        wanted = apply_displacement(source[:, 0], hue_transport(*hists, smooth=20.0))
        assert circle(found - wanted)[chroma(source) > 0.06].max() < close


def test_on_photographs_it_is_closer_than_its_start_and_no_rougher_than_the_source(photographs):
    source, target = photographs
    weights = chroma(source), chroma(target)
    start, result = (optimize(source, target, mi=0.0, steps=steps, side=32) for steps in (0, 30))
    first, last = (hue_emd(hue, target[:, 0], *weights).mean() for hue in (start, result))
    assert last < 0.9 * first
    rough = [incoherence(hue, weights[0]).mean() for hue in (source[:, 0], result)]
    assert rough[1] < rough[0]


def test_the_mi_term_alone_raises_mutual_information(photographs):
    source, target = photographs
    told = []
    for steps in (0, 20):
        hue = optimize(source, target, emd=0.0, mi=5.0, smooth=0.0, steps=steps, side=32)
        told.append(relative_mi(hue, source[:, 0], chroma(source), bins=64, hard=False))
    assert (told[1] > told[0]).all()
    assert np.mean(told[1]) > np.mean(told[0]) + 0.02


def test_descent_without_colour_changes_nothing():
    source, target = pair()
    grey = source * np.array([1, 0, 1])[:, None, None]
    np.testing.assert_array_equal(optimize(grey, target), grey[0])
    np.testing.assert_array_equal(optimize(source, grey), source[0])


def test_batches_equal_their_rows_and_torch_equals_numpy(torch, photographs):
    source, target = photographs
    together = optimize(source, target, steps=10, side=32)
    for i in range(0, 6, 2):
        assert circle(together[i] - optimize(source[i], target[i], steps=10, side=32)).max() < 1e-8
    other = optimize(torch.from_numpy(source), torch.from_numpy(target), steps=10, side=32)
    assert circle(other.numpy() - together).max() < 1e-8


def test_it_needs_nothing_but_the_array_standard(rng):
    strict = pytest.importorskip("array_api_strict")
    source, target = rng.random((2, 3, 24, 40)), rng.random((2, 3, 30, 20))
    found = optimize(strict.asarray(source), strict.asarray(target), steps=5)
    assert circle(np.asarray(found) - optimize(source, target, steps=5)).max() < 1e-9


def test_the_target_may_have_another_size(photographs):
    source, target = (p[0] for p in photographs)
    whole = optimize(source, target, steps=10)
    doubled = optimize(source, np.repeat(np.repeat(target, 2, axis=1), 2, axis=2), steps=10)
    assert circle(whole - doubled).max() < 1e-6


def test_a_field_reads_and_splats_like_grid_and_blurs_like_itself():
    rng = np.random.default_rng(0)
    shape, hue, values = (3, 5, 8), rng.random((2, 12, 20)), rng.random((2, 12, 20))
    cells = rng.random((2, *shape))
    plain, smooth = (_Field(hue, np, shape, blur=blur) for blur in (False, True))
    for i in range(2):
        np.testing.assert_allclose(plain.read(cells)[i], grid.read_grid(cells[i], hue[i]), atol=1e-12)
        np.testing.assert_allclose(plain.splat(values)[i], grid.splat_grid(values[i], hue[i], shape), atol=1e-12)
    np.testing.assert_allclose(smooth.read(cells), plain.read(smooth.blurred(cells)), atol=1e-12)
    for field in (plain, smooth):
        assert (field.read(cells) * values).sum() == pytest.approx((cells * field.splat(values)).sum(), rel=1e-12)
    assert smooth.blurred(np.ones((1, *shape))) == pytest.approx(1)
    dot = np.zeros((1, *shape))
    dot[0, 0, 2, 0] = 1.0  # at an end of the rows, and of the circle
    spread = smooth.blurred(dot)[0]
    np.testing.assert_allclose(spread[:, 2, 0] / spread[:, 2, 0].sum(), [0.75, 0.25, 0])
    np.testing.assert_allclose(spread[0, :, 0] / spread[0, :, 0].sum(), [0, 0.25, 0.5, 0.25, 0])
    np.testing.assert_allclose(spread[0, 2] / spread[0, 2].sum(), np.array([6, 4, 1, 0, 0, 0, 1, 4]) / 16)


def test_descent_leaves_cells_without_colour_where_they_were():
    source, target = (np.array(p) for p in pair(32))
    source[1, :8, :8] = 0
    _, cells = descend(
        source[None], target[None], emd=5.0, mi=0.0, smooth=600.0, prior=32.0, steps=20, side=32, bins=64
    )
    far = (np.arange(32) + 0.5) / 32 - 0.75  # nothing in the source is near this hue
    assert np.abs(cells[..., np.abs(far) < 0.1]).max() < 1e-9
    assert np.abs(cells).max() > 0.01


@pytest.mark.parametrize(("size", "fewer"), [(12, 4), (10, 4), (7, 7), (5, 1)])
def test_averages_keep_the_mean_and_are_blocks_where_they_divide(size, fewer):
    matrix, x = _averages(size, fewer, np.zeros(1), np), np.random.default_rng(0).random(size)
    assert (matrix @ x).mean() == pytest.approx(x.mean())
    np.testing.assert_allclose(matrix.sum(1), 1)
    if size % fewer == 0:
        np.testing.assert_allclose(matrix @ x, x.reshape(fewer, -1).mean(1))


def test_shrinking_averages_colours_and_not_hues():
    red, yellow = (np.array([h, 1.0, 1.0])[:, None, None] * np.ones((3, 64, 32)) for h in (0.98, 0.02))
    stripes = np.stack([red, yellow], axis=-1).reshape(1, 3, 64, 64)
    small = _shrunk(stripes, 32, np)
    assert small.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(hsv_to_rgb(small), hsv_to_rgb(stripes).reshape(1, 3, 32, 2, 32, 2).mean((3, 5)))
    assert _shrunk(stripes, 64, np) is stripes


def test_what_differs_little_over_the_picture_is_settled_on_its_mean():
    mass = np.zeros((1, 2, 2, 3))
    mass[..., :2] = np.array([[1.0, 2.0], [3.0, 4.0]])[None, :, :, None]
    cells = np.zeros((1, 2, 2, 3))
    cells[..., 0] = 0.1 + np.array([[0.02, -0.02], [0.03, -0.0175]])  # their mean by mass is 0.1
    cells[..., 1] = [[0.3, 0.0], [0.0, 0.0]]  # 0.03, and 0.27 more in one cell
    found = _settled(cells, mass, np)
    np.testing.assert_allclose(found[..., 0], 0.1)
    np.testing.assert_allclose(found[..., 1], [[[0.3, 0.03], [0.03, 0.03]]])
    np.testing.assert_array_equal(found[..., 2], 0)
    assert 0 < _settled(cells / 4.5, mass, np)[0, 0, 0, 1] < 0.3 / 4.5  # between, in part

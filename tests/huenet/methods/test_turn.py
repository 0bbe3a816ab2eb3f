"""A displacement of hue made into pictures: curves of saturation and light, and what must not leap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huenet.color import chroma, luminance, rgb_to_hsv
from huenet.methods.sample import Sample, pooled
from huenet.methods.turn import NODES, STEEPEST, Turn, curve

PLAIN = np.zeros((1, 1, 1, 256))


def pictures(rng, size=40, low=0.0, high=1.0):
    return Sample(rng.uniform(low, high, (1, size, size, 3)), np.ones((1, size, size)))


def test_a_curve_is_the_map_of_quantiles():
    """Beside the closed form: from uniform on 0.2..0.4 to uniform on 0.3..0.8, 0.3 + 2.5 (x - 0.2)."""
    values = [np.linspace(low, high, 4096).reshape(1, 64, 64) for low, high in ((0.2, 0.4), (0.3, 0.8))]
    found = curve(values, [np.ones((1, 64, 64))] * 2, 1.0)[0]
    x = np.linspace(0, 1, NODES + 1)
    inside = (x > 0.24) & (x < 0.36)  # the displacement is averaged over near values
    np.testing.assert_allclose(found[inside], 0.3 + 2.5 * (x[inside] - 0.2), atol=0.02)
    half = curve(values, [np.ones((1, 64, 64))] * 2, 0.5)[0]
    np.testing.assert_allclose(half[inside], (x + found)[inside] / 2, atol=0.02)


@given(st.integers(0, 10**6), st.floats(0, 2), st.booleans())
def test_a_curve_rises_from_0_no_steeper_than_it_may(seed, share, white):
    rng = np.random.default_rng(seed)
    values = [rng.beta(*rng.uniform(0.1, 5, 2), (1, 9, 9)) for _ in range(2)]
    found = curve(values, [rng.random((1, 9, 9)) for _ in range(2)], share, white=white)[0]
    assert found[0] == 0
    assert found[-1] == 1 or not white
    steps = np.diff(found) * NODES
    assert steps.min() >= 0
    assert steps.max() <= STEEPEST + 1e-6
    same = curve([values[0]] * 2, [np.ones((1, 9, 9))] * 2, share, white=white)[0]
    np.testing.assert_allclose(same, np.linspace(0, 1, NODES + 1), atol=1e-4)


def test_near_white_takes_no_colour_from_its_noise(rng):
    """Petals whose hue is noise of up to 5 steps of 8 bits stay white, beside leaves that become as bright as pink."""
    rgb = np.tile(np.array([0.3, 0.4, 0.3]), (1, 32, 32, 1))
    rgb[:, :16] = 0.95 - rng.uniform(0, 0.019, (1, 16, 32, 3))
    target = Sample(np.tile(np.array([1.0, 0.2, 0.7]), (1, 32, 32, 1)), np.ones((1, 32, 32)))
    change = Turn(PLAIN + 0.3, Sample(rgb, np.ones((1, 32, 32))), target, saturation=1.0)
    before, after = (chroma(rgb_to_hsv(x, axis=-1), axis=-1) for x in (rgb, change(rgb)))
    assert (after[:, :16] < before[:, :16] + 1 / 255).all()
    assert (after[:, 16:] > 2 * before[:, 16:]).all()


def test_a_curve_without_mass_changes_nothing():
    values = [np.full((1, 4, 4), 0.3), np.full((1, 4, 4), 0.9)]
    for weights in ([0, 1], [1, 0]):
        found = curve(values, [np.full((1, 4, 4), float(w)) for w in weights], 1.0)
        np.testing.assert_allclose(found[0], np.linspace(0, 1, NODES + 1), atol=1e-12)


@pytest.mark.parametrize("keep", ["light", "value"])
def test_saturation_and_light_go_to_the_targets(rng, keep):
    """Means and deviations of chroma, and of what is kept, from pictures of the middle range: to within a tenth."""
    source, target = pictures(rng, low=0.4, high=0.6), pictures(rng, low=0.2, high=0.7)

    def measured(rgb):
        light = np.sqrt(luminance(rgb, axis=-1)) if keep == "light" else rgb.max(axis=-1)
        return {"saturation": chroma(rgb_to_hsv(rgb, axis=-1), axis=-1), "light": light}

    for name in ("saturation", "light"):
        change = Turn(PLAIN, source, target, keep=keep, **{name: 1.0})
        before, after, goal = (measured(rgb)[name] for rgb in (source.rgb, change(source.rgb), target.rgb))
        assert abs(after.mean() - goal.mean()) < 0.3 * abs(before.mean() - goal.mean()) + 0.01
        other = "light" if name == "saturation" else "saturation"
        np.testing.assert_allclose(measured(change(source.rgb))[other], measured(source.rgb)[other], atol=0.1)


def test_what_is_grey_stays_grey(rng):
    grey = np.linspace(0, 1, 64)[None, None, :, None] * np.ones(3)
    change = Turn(PLAIN + 0.3, pictures(rng), pictures(rng), saturation=1.0)
    np.testing.assert_allclose(change(grey), grey, atol=1e-5)


def test_a_map_that_winds_around_the_circle_leaves_no_line():
    """All hues to one: the displacement leaps by a whole turn somewhere, the picture nowhere."""
    hue = (np.arange(256) + 0.5) / 256
    source = Sample(np.ones((1, 2, 2, 3)), np.ones((1, 2, 2)))
    turn = (0.1 - hue)[None, None, None]
    wheel = np.stack([np.linspace(0, 1, 5000), np.ones(5000), np.ones(5000)], -1)[None, None]
    from huenet.color import hsv_to_rgb

    after = rgb_to_hsv(Turn(turn, source, source, keep="value")(hsv_to_rgb(wheel, axis=-1)), axis=-1)
    np.testing.assert_allclose(after[..., 0], 0.1, atol=1e-6)


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_batches_of_other_libraries_come_out_alike(rng, library):
    xp = pytest.importorskip(library)
    rgb, target, grid = rng.random((3, 8, 9, 3)), rng.random((3, 5, 5, 3)), rng.uniform(-0.5, 0.5, (3, 2, 2, 16))

    def made(convert, some):
        samples = [Sample(convert(p[some]), convert(np.ones(p.shape[:3])[some])) for p in (rgb, target)]
        options = {"saturation": 0.7, "light": 0.4, "strength": 0.8}
        return np.asarray(Turn(convert(grid[some]), *samples, **options)(samples[0].rgb))

    together = made(xp.asarray, slice(None))
    for i in range(3):
        np.testing.assert_allclose(together[i : i + 1], made(np.asarray, slice(i, i + 1)), atol=1e-6)


def test_pooled_samples_have_the_palettes_of_all_by_their_shares(rng):
    """Three pictures of one hue each, of any sizes: the histogram's masses are the shares, times the chroma."""
    from huenet.color import hsv_to_rgb

    hues, shares, sizes = (0.1, 0.4, 0.8), (1.0, 2.0, 5.0), ((30, 40), (7, 90), (256, 128))
    samples = [
        Sample(hsv_to_rgb(np.full((1, *size, 3), [hue, 0.5, 0.8]), axis=-1), np.ones((1, *size)))
        for hue, size in zip(hues, sizes, strict=True)
    ]
    samples[1].rgb[:, :3], samples[1].weights[:, :3] = [0, 0, 1], 0  # hidden: does not count, and does not bleed
    hist = pooled(samples, shares).hue_histogram()[0]
    np.testing.assert_allclose([hist[int(hue * 256)] for hue in hues], np.array(shares) / 8, atol=1e-3)
    assert pooled(samples[:1]) is samples[0]

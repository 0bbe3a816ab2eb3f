"""RGB to and from HSV against the standard library's colorsys, with every library, and its gradients."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from huenet.color import chroma, hcy_to_rgb, hsv_to_rgb, rgb_to_hsv, turn_hue

# Eighths tie often: two equal channels, grey, black and white all come up.
CHANNEL = st.one_of(st.integers(0, 8).map(lambda i: i / 8), st.floats(0, 1))
PIXELS = arrays(np.float64, (6, 3), elements=CHANNEL)


@given(PIXELS)
def test_rgb_to_hsv_is_colorsys(rgb):
    expected = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in rgb.tolist()])
    found = rgb_to_hsv(rgb, axis=-1)
    turns = found[:, 0] - expected[:, 0]
    np.testing.assert_allclose(turns - np.round(turns), 0, atol=1e-9)
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=1e-9)
    assert ((found[:, 0] >= 0) & (found[:, 0] < 1)).all()


@given(arrays(np.float64, (6, 3), elements=st.floats(0, 1)))
def test_hsv_to_rgb_is_colorsys(hsv):
    expected = np.array([colorsys.hsv_to_rgb(*pixel) for pixel in hsv.tolist()])
    np.testing.assert_allclose(hsv_to_rgb(hsv, axis=-1), expected, atol=1e-9)


@given(PIXELS)
def test_round_trip_and_chroma(rgb):
    hsv = rgb_to_hsv(rgb, axis=-1)
    np.testing.assert_allclose(hsv_to_rgb(hsv, axis=-1), rgb, atol=1e-9)
    np.testing.assert_allclose(chroma(hsv, axis=-1), rgb.max(-1) - rgb.min(-1), atol=1e-12)


def test_hue_wraps():
    hsv = np.array([0.2, 0.7, 0.9])
    for turns in (-2, 1, 5):
        np.testing.assert_allclose(
            hsv_to_rgb(hsv + np.array([turns, 0, 0]), axis=-1), hsv_to_rgb(hsv, axis=-1), atol=1e-9
        )


def test_every_library_and_axis_agree(xp):
    rgb = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    rgb[0, :, 0] = 0.25
    hsv = rgb_to_hsv(xp.asarray(rgb))
    assert hsv.dtype == xp.float32
    np.testing.assert_allclose(np.asarray(hsv), rgb_to_hsv(rgb), atol=1e-6)
    np.testing.assert_allclose(np.asarray(hsv_to_rgb(hsv)), rgb, atol=1e-6)
    last = rgb_to_hsv(xp.asarray(np.moveaxis(rgb, 1, -1).copy()), axis=-1)
    np.testing.assert_allclose(np.moveaxis(np.asarray(last), -1, 1), np.asarray(hsv), atol=1e-7)


def test_a_hue_just_below_red_stays_below_one():
    rgb = np.array([1.0, 0.5, 0.5 + 1e-8], np.float32)
    rgb[2] = np.nextafter(rgb[1], np.float32(1))
    assert 0 <= rgb_to_hsv(rgb, axis=-1)[0] < 1


@pytest.mark.parametrize("convert", [rgb_to_hsv, hsv_to_rgb])
def test_gradients_match_finite_differences(torch, convert):
    image = torch.rand((2, 3, 3, 3), dtype=torch.float64, generator=torch.manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(convert, image, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_grey_has_hue_0_and_gradient_0(torch, grey):
    rgb = torch.full((3, 2, 2), grey, requires_grad=True)
    hue, saturation, _ = rgb_to_hsv(rgb)
    (hue.sum() + saturation.sum()).backward()
    assert (hue == 0).all()
    assert (rgb.grad == 0).all()


@pytest.mark.parametrize("convert", [rgb_to_hsv, hsv_to_rgb, chroma])
def test_bad_input_is_named(convert):
    with pytest.raises(ValueError, match=r"3 channels along axis -3, got shape \(4, 8, 8\)"):
        convert(np.zeros((4, 8, 8)))
    with pytest.raises(TypeError, match="real floating-point dtype with values in \\[0, 1\\], got uint8"):
        convert(np.zeros((3, 8, 8), np.uint8))


def luminance(rgb):
    return rgb**2 @ np.array([0.2126, 0.7152, 0.0722])


@given(PIXELS, arrays(np.float64, 6, elements=st.floats(-2, 2)))
def test_turned_hue_keeps_the_light_and_turns_exactly(rgb, turn):
    hsv = rgb_to_hsv(rgb, axis=-1)
    turned = turn_hue(hsv, turn, axis=-1)
    np.testing.assert_allclose(luminance(turned), luminance(rgb), atol=1e-6)
    assert turned.min() >= 0
    assert turned.max() <= 1
    after = rgb_to_hsv(turned, axis=-1)
    error = (after[:, 0] - hsv[:, 0] - turn)[chroma(after, axis=-1) > 0.01]
    np.testing.assert_allclose(error - np.round(error), 0, atol=1e-3)
    # chroma stays where the light allows it, and else is the most that it allows
    before, left = chroma(hsv, axis=-1), chroma(after, axis=-1)
    at_the_end = (turned.min(-1) < 1e-5) | (turned.max(-1) > 1 - 1e-5)
    assert (left <= before + 1e-5).all()
    np.testing.assert_allclose(left[~at_the_end], before[~at_the_end], atol=1e-5)


@given(PIXELS)
def test_a_hue_that_does_not_turn_is_the_picture(rgb):
    np.testing.assert_allclose(turn_hue(rgb_to_hsv(rgb, axis=-1), 0.0, axis=-1), rgb, atol=1e-5)


def test_turned_hue_changes_lightness_a_twentieth_of_what_turning_at_the_same_value_does():
    rgb2lab = pytest.importorskip("skimage.color").rgb2lab
    rng = np.random.default_rng(0)
    hsv = rng.random((1, 4096, 3))
    turn = rng.random((1, 4096))
    before = rgb2lab(hsv_to_rgb(hsv, axis=-1))[..., 0]
    kept = np.abs(rgb2lab(turn_hue(hsv, turn, axis=-1))[..., 0] - before).mean()
    lost = np.abs(rgb2lab(hsv_to_rgb(hsv + np.stack([turn, 0 * turn, 0 * turn], -1), axis=-1))[..., 0] - before).mean()
    assert kept < 0.05 * lost


def test_turned_hue_has_finite_gradients_everywhere():
    torch = pytest.importorskip("torch")
    corners = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * 3), -1).reshape(-1, 3)
    hsv = torch.tensor(np.concatenate([corners, np.random.default_rng(0).random((40, 3))]), requires_grad=True)
    turn = torch.linspace(-1, 1, len(hsv), dtype=torch.float64, requires_grad=True)
    turn_hue(hsv, turn, axis=-1).sum().backward()
    assert hsv.grad.isfinite().all()
    assert turn.grad.isfinite().all()
    inner = hsv.detach()[27:].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: turn_hue(inner, t, axis=-1), (turn.detach()[27:].requires_grad_(),))


def test_a_colour_of_given_hue_chroma_and_luminance():
    """Grey, a pure colour, and what no colour can have: as much chroma as the luminance leaves room for."""
    hcy = np.array([[0.3, 0.0, 0.25], [1 / 3, 1.0, 0.7152], [0.0, 0.3, 0.2], [2 / 3, 1.0, 1.0], [2 / 3, 1.0, 0.0]])
    rgb = hcy_to_rgb(hcy, axis=-1)
    np.testing.assert_allclose(rgb[[0, 1, 3, 4]], [[0.5] * 3, [0, 1, 0], [1] * 3, [0] * 3], atol=1e-4)
    np.testing.assert_allclose(luminance(rgb), hcy[:, 2], atol=1e-6)
    np.testing.assert_allclose(chroma(rgb_to_hsv(rgb[2:3], axis=-1), axis=-1), 0.3, atol=1e-6)

"""Recolouring arrays and images: what must change, what must stay, and what is said when it cannot be done."""

import time
import tracemalloc
import warnings

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

from PIL import Image, ImageCms
from scenes import GREEN, GREY, RED, distance, hsv_of, plain, scene

from huenet.color import chroma, rgb_to_hsv
from huenet.transfer.given import TransferError
from huenet.transfer.methods import METHODS
from huenet.transfer.pixel_map import apply_map, small_copy
from huenet.transfer.recoloring import recolor

FREE_METHODS = [method for method in METHODS if method != "huenet"]


# The result


@pytest.mark.parametrize("method", FREE_METHODS)
def test_the_result_has_the_targets_colours(method):
    source, target = scene(0), scene(1, 40, 40)
    before, after = distance(target, source), distance(target, recolor(source, target, method=method))
    assert after < (0.8 if method == "reinhard" else 0.6) * before


@pytest.mark.parametrize("method", ["optimize", "transport", "relaxed"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_hue_changes_where_value_is_kept(method, dtype):
    source = scene(0, dtype=dtype)
    before, after = hsv_of(source), hsv_of(recolor(source, scene(1), method=method, keep="value"))
    np.testing.assert_allclose(after[1:], before[1:], atol=2.01 / np.iinfo(dtype).max)


@pytest.mark.parametrize("method", FREE_METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_0_and_a_black_mask_change_nothing(method, dtype):
    source, target = scene(0, dtype=dtype), scene(1)
    np.testing.assert_array_equal(recolor(source, target, method=method, strength=0), source)
    half = np.zeros(source.shape[:2], bool)
    half[:, 32:] = True
    masked = recolor(source, target, method=method, mask=half)
    np.testing.assert_array_equal(masked[:, :32], source[:, :32])
    assert (masked[:, 32:] != source[:, 32:]).any()


@pytest.mark.parametrize("method", FREE_METHODS)
def test_a_picture_recoloured_after_itself_stays(method):
    source = scene(0)
    assert np.abs(recolor(source, source, method=method).astype(int) - source).max() <= 2


def test_at_its_own_size_a_picture_gets_what_the_network_gives():
    from huenet.model.inference import load_generator, output_hue

    generator, config = load_generator()
    source, target = (scene(seed, config.size, config.size) / 255 for seed in (0, 1))
    after = hsv_of(np.rint(recolor(source, target, method="huenet") * 65535).astype(np.uint16))
    pair = [np.moveaxis(rgb_to_hsv(p, axis=-1), -1, 0) for p in (source, target)]
    wanted = output_hue(generator, *pair)
    off = np.abs(after[0] - wanted - np.round(after[0] - wanted))[chroma(pair[0]) > 0.06]
    assert off.mean() < 1e-3
    assert np.quantile(off, 0.99) < 0.01


@pytest.mark.parametrize("method", ["optimize", "transport", "relaxed"])
def test_light_stays(method):
    """Luminance for a gamma of 2, beside CIE's lightness for sRGB's own curve: within two steps of a hundred."""
    rgb2lab = pytest.importorskip("skimage.color").rgb2lab
    source = scene(0)
    before, light, value = (
        rgb2lab(picture)[..., 0]
        for picture in (source, *(recolor(source, scene(1), method=method, keep=keep) for keep in ("light", "value")))
    )
    assert np.abs(light - before).mean() < min(0.5, np.abs(value - before).mean() / 4)
    assert np.abs(light - before).max() < 2


@pytest.mark.parametrize("method", ["optimize", "transport", "relaxed"])
def test_strength_scales_the_turn_of_hue_and_leaves_its_chroma(method):
    source, target = scene(0) / 255, scene(1)
    before, half, whole, more = (
        rgb_to_hsv(recolor(source, target, method=method, keep="value", strength=strength), axis=-1)
        for strength in (0, 0.5, 1, 1.5)
    )
    for part in (half, whole, more):
        np.testing.assert_allclose(part[..., 1:], before[..., 1:], atol=1e-6)
    turn = (half - before)[..., 0] - np.round((half - before)[..., 0])
    assert np.abs(turn).max() < 0.5 / 2 + 1e-6
    for part, share in ((whole, 2), (more, 3)):
        apart = part[..., 0] - before[..., 0] - share * turn
        np.testing.assert_allclose(apart - np.round(apart), 0, atol=1e-3)  # between hues, directions are averaged


def test_half_way_from_orange_to_blue_reinhard_is_as_colourful():
    orange, blue = plain((200, 120, 40)) / 255, plain((60, 110, 200)) / 255
    spread = [np.ptp(recolor(orange, blue, method="reinhard", strength=s), axis=-1).mean() for s in (0, 0.5, 1)]
    assert spread[1] > 0.7 * min(spread[0], spread[2]) > 0.3


def test_the_kind_of_the_source_is_kept():
    target = scene(1)
    for source in (scene(0), scene(0, dtype=np.uint16), scene(0) / 255, (scene(0) / 255).astype(np.float32)):
        before = source.copy()
        result = recolor(source, target)
        assert result.dtype == source.dtype
        assert result.shape == source.shape
        np.testing.assert_array_equal(source, before)  # the caller's own is left alone
    image = Image.fromarray(scene(0))
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = recolor(image, Image.fromarray(target))
    assert result.info["icc_profile"] == image.info["icc_profile"]
    np.testing.assert_array_equal(np.asarray(result), recolor(scene(0), target))


def test_images_of_other_modes_come_as_rgb_that_says_the_same():
    target = scene(1)
    image = Image.fromarray(scene(0))
    palette = image.quantize(16)
    palette.info["transparency"] = 3
    result = recolor(palette, target, method="transport")
    assert (result.mode, "transparency" in result.info) == ("RGBA", False)
    np.testing.assert_array_equal(np.asarray(result)[..., 3], np.where(np.asarray(palette) == 3, 0, 255))
    for mode, space in (("CMYK", b"CMYK"), ("L", b"GRAY")):
        other = image.convert(mode)
        other.info["icc_profile"] = bytes(16) + space + bytes(108)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of grey
            result = recolor(other, target, method="transport", strength=0)
        assert (result.mode, "icc_profile" in result.info) == ("RGB", False)
        np.testing.assert_array_equal(np.asarray(result), np.asarray(other.convert("RGB")))


def test_the_bytes_of_a_picture_may_come_in_either_order():
    source, target = scene(0, dtype=np.uint16), scene(1, dtype=np.uint16)
    wanted = recolor(source, target, method="transport")
    found = recolor(source.astype(">u2"), target.astype(">u2"), method="transport")
    np.testing.assert_array_equal(found, wanted)


def test_the_working_copy_averages_what_counts():
    picture = np.zeros((700, 1100, 4), np.uint8) + np.uint8([*GREEN, 255])
    picture[::2, ::3] = [*RED, 0]
    copy = small_copy(picture)
    assert max(copy.rgb.shape) == 367
    np.testing.assert_allclose(copy.rgb[0], plain(GREEN, *copy.rgb.shape[1:3]) / 255, atol=1e-6)
    masked = small_copy(picture[..., :3], (picture[..., 3] // 2).astype(np.uint8))
    np.testing.assert_allclose(masked.rgb, copy.rgb, atol=1e-6)
    np.testing.assert_allclose(masked.weights, copy.weights * 127 / 255, atol=1e-6)


def test_dithering_is_seeded_and_leaves_no_bands():
    ramp = np.linspace(0.2, 0.22, 512, dtype=np.float32)
    source = np.zeros((256, 512, 3), np.float32) + np.array([0.5, 0, 0.1], np.float32)
    source[..., 1] = ramp  # less than six steps of 8 bits over the width
    as_bytes = np.rint(source * 255).astype(np.uint8)
    one, same, other = (recolor(as_bytes, scene(1), strength=0.7, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    exact = recolor(as_bytes / 255, scene(1), strength=0.7)
    np.testing.assert_allclose(one.mean(axis=0) / 255, exact.mean(axis=0), atol=0.2 / 255)


def test_tiles_leave_no_seam(monkeypatch):
    """A rotation that varies over the picture reads the same in tiles of ten rows and whole."""
    source, target = scene(0) / 255, scene(1)
    monkeypatch.setattr(
        "huenet.methods.descent.optimize", lambda hsv, _: hsv[0] + np.linspace(0, 0.4, hsv.shape[1])[:, None]
    )
    mask = np.linspace(0.1, 1, source.shape[0])[:, None] * np.ones(source.shape[1])
    whole = recolor(source, target, method="optimize", mask=mask)
    for tile in (640, 50):  # ten rows; less than one
        monkeypatch.setattr("huenet.transfer.pixel_map.TILE", tile)
        np.testing.assert_allclose(recolor(source, target, method="optimize", mask=mask), whole, atol=1e-6)


def test_after_a_tile_that_fails_no_more_are_begun(monkeypatch):
    monkeypatch.setattr("huenet.transfer.pixel_map.TILE", 64)
    begun = []

    def change(rgb, row, column):
        begun.append(row)
        time.sleep(0.01)
        return np.nan * rgb

    with pytest.raises(FloatingPointError):
        apply_map(np.zeros((200, 64, 3), np.uint8), change)
    assert len(begun) < 100


def test_tiles_of_reinhard_share_one_mean(monkeypatch):
    source, target = scene(0) / 255, scene(1)
    whole = recolor(source, target, method="reinhard")
    monkeypatch.setattr("huenet.transfer.pixel_map.TILE", 640)
    np.testing.assert_allclose(recolor(source, target, method="reinhard"), whole, atol=1e-6)


def test_what_is_nearly_grey_has_no_say():
    """Half of the source in a faint green, of 4 steps of 8 bits: noise beside a strong red."""
    source = plain(RED)
    source[::2] = (100, 104, 100)
    target = plain(GREEN)
    target[:, ::2] = (40, 40, 200)
    whole, red = (recolor(picture / 255, target, method="transport", smooth=0) for picture in (source, source[1::2]))
    np.testing.assert_allclose(whole[1::2], red, atol=1e-6)


def test_a_strip_takes_no_more_memory_than_a_square():
    """Whether it lies or stands: a million pixels in one row, far more than a tile has."""
    source = np.zeros((1, 1_000_000, 3), np.uint8) + np.uint8(RED)
    source[:, ::2] = GREEN
    peaks = []
    for strip in (source, source.swapaxes(0, 1), source.reshape(1000, 1000, 3)):
        tracemalloc.start()
        recolor(strip, scene(1), method="transport")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 1.2 * peaks[2]


# Odd pictures


@pytest.mark.parametrize("method", FREE_METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (3, 2)])
def test_pictures_of_any_shape(method, shape):
    source = scene(0)[: shape[0]] if shape[1] == 700 else scene(0)[: shape[0], : shape[1]]
    assert recolor(source, scene(1), method=method).shape == source.shape
    assert recolor(scene(1), source, method=method).shape == scene(1).shape


@pytest.mark.parametrize("method", ["optimize", "transport", "relaxed"])
def test_grey_stays_and_says_so(method):
    with pytest.warns(UserWarning, match="the source has no colour"):
        np.testing.assert_array_equal(recolor(plain(GREY), scene(1), method=method), plain(GREY))
    with pytest.warns(UserWarning, match="the target has no colour"):
        np.testing.assert_array_equal(recolor(scene(0), plain(GREY), method=method), scene(0))
    mixed = scene(0)
    mixed[:10] = GREY
    np.testing.assert_array_equal(recolor(mixed, scene(1), method=method)[:10], mixed[:10])


@pytest.mark.parametrize("method", ["reinhard", "transport"])
def test_a_picture_of_which_nothing_counts_says_so(method):
    hidden = np.dstack([scene(0), np.zeros((48, 64), np.uint8)])
    with pytest.warns(UserWarning, match="the source has no colour"):
        np.testing.assert_array_equal(recolor(hidden, scene(1), method=method), hidden)
    with pytest.warns(UserWarning, match="the target has no colour"):
        np.testing.assert_array_equal(recolor(scene(1), hidden, method=method), scene(1))


def test_reinhard_of_one_colour_is_finite():
    assert recolor(plain(GREY), plain(RED), method="reinhard").shape == plain(GREY).shape
    np.testing.assert_allclose(recolor(plain(GREEN), plain(RED), method="reinhard"), plain(RED), atol=1)


@pytest.mark.parametrize("method", ["optimize", "transport", "relaxed"])
def test_a_target_of_one_hue_gives_a_picture_of_that_hue(method):
    hue, s, v = hsv_of(recolor(scene(0), plain(GREEN), method=method))
    apart = np.abs(hue - 1 / 3)
    assert np.average(apart, weights=s * v) < 0.03
    assert apart.max() < {"optimize": 0.2, "transport": 0.025, "relaxed": 0.05}[method]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": np.full((4, 4, 3), np.nan)}, r"source must lie in \[0, 1\], got values from nan"),
        ({"target": np.full((4, 4, 3), 255.0)}, r"target must lie in \[0, 1\], got values from 255"),
        (
            {"source": np.zeros((4, 4), np.uint8)},
            r"source must have the shape .* got \(4, 4\)",
        ),
        ({"source": np.zeros((0, 4, 3), np.uint8)}, "source must have the shape"),
        ({"source": np.zeros((4, 4, 3), np.int64)}, "source must be uint8, uint16 or float, got int64"),
        (
            {"source": Image.new("I;16", (4, 4))},
            "source is a PIL image of mode I;16, not of 8 bits; give it as an array",
        ),
        ({"target": Image.new("F", (4, 4))}, "target is a PIL image of mode F"),
        ({"mask": Image.new("I", (64, 48))}, "mask is a PIL image of mode I"),
        ({"mask": np.ones((4, 5))}, "the mask has 5 x 4 pixels and the source 64 x 48"),
        ({"mask": np.full((48, 64), 2.0)}, r"mask must lie in \[0, 1\]"),
        ({"method": "magic"}, "method must be one of huenet, optimize, transport, relaxed, reinhard, got 'magic'"),
        ({"method": "transport", "run": "x"}, "--run is for method huenet, got transport"),
        ({"run": "x"}, "x has no model.safetensors"),
        ({"strength": 2.5}, "strength must be from 0 to 2, got 2.5"),
        ({"strength": float("nan")}, "strength must be from 0 to 2, got nan"),
        ({"method": "transport", "smooth": -1}, "smooth must be from 0 to 256, got -1"),
        ({"method": "relaxed", "reg_m": 0}, "reg_m must be above 0 and at most 1, got 0"),
        ({"method": "transport", "reg_m": 0.1}, "--reg-m is for method relaxed, got transport"),
        ({"smooth": 4}, "--smooth is for method transport and relaxed, got huenet; leave one of them out"),
        (
            {"method": "reinhard", "light": 0.5},
            "--light is for method huenet and optimize and transport and relaxed, got reinhard",
        ),
        ({"method": "transport", "keep": "hue"}, "keep must be one of light, value, got 'hue'"),
        ({"method": "transport", "saturation": 1.5}, "saturation must be from 0 to 1, got 1.5"),
        ({"method": "transport", "light": float("nan")}, "light must be from 0 to 1, got nan"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"source": scene(0), "target": scene(1), **change}
    with pytest.raises(TransferError, match=message):
        recolor(arguments.pop("source"), arguments.pop("target"), **arguments)

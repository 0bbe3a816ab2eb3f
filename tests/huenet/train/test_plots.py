"""The pictures of a run show what they say they show."""

import numpy as np
import pytest

from huenet.config import from_preset
from huenet.train import plots


def flat(hue, saturation=0.8, value=0.9):
    return np.broadcast_to(np.array([hue, saturation, value])[:, None, None], (3, 8, 8))


def panel_colours(axis):
    return axis.images[0].get_array()[4, 4]


def test_a_row_shows_the_pictures_their_hues_and_the_distance():
    hues = (0.0, 1 / 3, 2 / 3)
    figure = plots.sample_grid(*(np.stack([flat(hue)] * 2) for hue in hues), "a title")
    axes = np.array(figure.axes).reshape(2, 7)
    for row in axes:
        for axis, full in zip(row[3:6], np.eye(3), strict=True):  # red, green, blue: hue alone, at full saturation
            np.testing.assert_allclose(panel_colours(axis), full, atol=1e-6)
        for axis, full in zip(row[:3], np.eye(3), strict=True):
            np.testing.assert_allclose(panel_colours(axis), 0.9 * (0.2 + 0.8 * full), atol=1e-6)
        assert row[6].texts[0].get_text().startswith("EMD ")
    assert [axis.get_title() for axis in axes[0]] == list(plots.COLUMNS)
    pixels = plots.pixels(figure)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert pixels.std() > 10


def test_the_distance_is_from_the_target():
    figure = plots.sample_grid(*(flat(hue)[None] for hue in (0.0, 0.5, 0.5)))
    before, after = figure.axes[6].texts[0].get_text().removeprefix("EMD ").split(" to ")
    assert float(before) > 0.2
    assert float(after) == 0


def test_curves_weigh_terms_and_take_the_later_of_two_lines():
    config = from_preset("paper", lambda_emd=10.0, gamma_mi=2.0)
    records = [
        {"step": 2, "emd": 0.5, "mi": 1.0},
        {"step": 1, "emd": 0.3},
        {"step": 2, "emd": 0.7},
        {"step": 0, "val/emd_output": 0.1},
    ]
    drawn = plots.panels(records, config)
    assert drawn["generator's terms (weighted)"] == {"emd": [(1, pytest.approx(3)), (2, 7.0)], "mi": [(2, 2.0)]}
    assert drawn["validation: circular EMD to the target"] == {"emd_output": [(0, 0.1)]}
    figure = plots.curves(records, config)
    assert len(figure.axes) == 2
    for axis in figure.axes:
        low, high = axis.get_ylim()
        assert low == 0
        assert high > max(max(line.get_ydata()) for line in axis.lines)

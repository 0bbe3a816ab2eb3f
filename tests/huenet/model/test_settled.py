"""The setting of the dial at which something happens: networks whose results are known in advance."""

import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huenet.config import from_preset
from huenet.metrics import palette_distance
from huenet.model.inference import LEFT, NEAR, load_generator, settled
from huenet.model.palette import SIDE


def picture(*hues):
    """(B, 3, 64, 64), each of one hue, of full saturation, at half of the light."""
    hsv = torch.full((len(hues), 3, SIDE, SIDE), 0.5)
    hsv[:, 0], hsv[:, 1] = torch.tensor(hues)[:, None, None], 1.0
    return hsv


def network(reach):
    """Turns every hue by closeness times `reach`, in turns."""

    def turned(source, target, closeness):
        return (source[:, 0] + (closeness * torch.as_tensor(reach))[:, None, None]) % 1

    turned.config = from_preset("default")
    return turned


def distance(source, target, turn):
    moved = source.clone()
    moved[:, 0] = (moved[:, 0] + torch.as_tensor(turn)) % 1
    return palette_distance(moved, target).item()


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.floats(0.05, 0.15), st.floats(0, 1))
def test_the_palette_distance_falls_by_as_much_as_was_set(hue, apart, asked):
    source, target = picture(hue % 1), picture((hue + apart) % 1)
    [found] = settled(network(apart), source, target, asked).tolist()
    before, first, last = (distance(source, target, c * apart) for c in (0, asked, found))
    goal = max(LEFT * before, NEAR)
    if first <= goal:
        assert found == pytest.approx(asked, abs=1e-6)
    else:
        assert asked < found <= 1
        assert last == pytest.approx(goal, rel=0.1)  # a line between settings is not the curve


@pytest.mark.parametrize("reach", [-0.1, 0.0, 0.01])
def test_where_no_setting_brings_it_near_it_stays_as_asked(reach):
    assert settled(network(reach), picture(0.1), picture(0.3), 0.25).tolist() == [0.25]


def test_each_pair_has_its_own():
    source, target = picture(0.1, 0.1, 0.1, 0.1), picture(0.2, 0.1, 0.2, 0.4)
    most = []

    def turned(source, target, closeness):
        most.append(len(source))
        wanted = (target[:, 0, 0, 0] - 0.1).round(decimals=3)
        return (source[:, 0] + (closeness * wanted * (wanted < 0.2))[:, None, None]) % 1

    turned.config = from_preset("default")
    together = settled(turned, source, target, 0.1)
    assert max(most) == 4  # no more memory than the pairs themselves take
    alone = torch.cat([settled(turned, source[i : i + 1], target[i : i + 1], 0.1) for i in range(4)])
    torch.testing.assert_close(together, alone)
    assert together[0] == together[2] > 0.1
    assert together[1].item() == together[3].item() == pytest.approx(0.1)


def test_a_network_without_a_dial_is_not_asked_twice():
    asked = types.SimpleNamespace(config=from_preset("paper"))  # no call would work
    assert settled(asked, picture(0.1), picture(0.3), 0.6).tolist() == [pytest.approx(0.6)]


def test_of_grey_pictures_and_numbers_that_are_none():
    grey = torch.zeros(1, 3, SIDE, SIDE)
    generator, _ = load_generator()
    assert settled(generator, grey, picture(0.3), 0.3).tolist() == [pytest.approx(0.3)]
    assert settled(generator, picture(0.3), grey, 0.3).tolist() == [pytest.approx(0.3)]
    assert settled(network(float("nan")), picture(0.1), picture(0.3), 0.3).tolist() == [pytest.approx(0.3)]

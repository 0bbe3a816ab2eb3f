"""The size of the displacement's steps: brute force over pairs, known pictures, and torch's own gradient."""

import numpy as np
import pytest

from huenet.color import chroma, hue_point
from huenet.methods.smoothness import links, smoothness, smoothness_gradient


def random_hsv(rng, *shape):
    return rng.random((*shape[:-2], 3, *shape[-2:]))


def brute_force(turn, source):
    """Over all pairs of pixels in a row or column, 1, H/32 and H/8 apart."""
    height, width = turn.shape
    weight, point = chroma(source), hue_point(source)
    sums = []
    for dy, dx in ((1, 0), (0, 1)):
        for step in (1, max(1, height // 32), height // 8):
            total = weights = 0.0
            for y in range(height - dy * step):
                for x in range(width - dx * step):
                    a, b = (y, x), (y + dy * step, x + dx * step)
                    w = min(weight[a], weight[b])
                    apart = ((point[:, a[0], a[1]] - point[:, b[0], b[1]]) ** 2).sum()
                    chord = 2 * np.sin(np.pi * abs(turn[b] - turn[a]))
                    total += w * np.exp(-4 * apart) * (np.hypot(chord, 1e-3) - 1e-3)
                    weights += w
            sums.append(total / weights)
    return np.mean(sums) / (2 * np.pi)


def test_it_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    source, turn = random_hsv(rng, 2, 32, 32), rng.random((2, 32, 32))
    found = smoothness(turn, links(source))
    assert found == pytest.approx([brute_force(t, s) for t, s in zip(turn, source, strict=True)], rel=1e-9)


def test_any_one_rotation_is_smooth_and_whole_turns_are_none():
    rng = np.random.default_rng(1)
    source = random_hsv(rng, 16, 16)
    assert smoothness(np.full((16, 16), 0.3), links(source)) == 0
    assert smoothness(rng.integers(-2, 3, (16, 16)).astype(float), links(source)) == pytest.approx(0, abs=1e-12)


def test_a_drift_over_a_petal_costs_as_much_as_it_goes_far():
    """Between neighbours a drift over 64 pixels is as small as its steps; 8 pixels apart it is not."""
    source = np.array([0.1, 0.8, 0.8])[:, None, None] * np.ones((3, 64, 64))
    drift, speckle = np.linspace(0, 0.2, 64) * np.ones((64, 1)), np.zeros((64, 64))
    speckle[:, ::2] = 0.2 / 63  # the same step between neighbours
    assert smoothness(drift, links(source)) > 2 * smoothness(speckle, links(source))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 9, 16)])
def test_gradient_is_torchs_own(torch, shape):
    rng = np.random.default_rng(2)
    source, turn = random_hsv(rng, *shape), rng.random(shape)
    tensor = torch.from_numpy(turn).requires_grad_()
    smoothness(tensor, links(torch.from_numpy(source))).sum().backward()
    np.testing.assert_allclose(smoothness_gradient(turn, links(source)), tensor.grad.numpy(), atol=1e-12)


def test_a_grey_picture_has_no_pairs():
    source = random_hsv(np.random.default_rng(3), 8, 8)
    source[1] = 0
    turn = np.random.default_rng(4).random((8, 8))
    assert smoothness(turn, links(source)) == 0
    assert not smoothness_gradient(turn, links(source)).any()

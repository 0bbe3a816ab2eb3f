"""The bilateral grid: a field over place and hue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("torch")
pytest.importorskip("skimage")


from huenet.methods.grid import centres, displacements, join, read_grid, rotation_grid, splat_grid, unrolled


def test_splat_is_the_transpose_of_read(rng):
    grid, values, hue = rng.random((3, 5, 16)), rng.random((20, 30)), rng.random((20, 30))
    assert (read_grid(grid, hue) * values).sum() == pytest.approx((splat_grid(values, hue, grid.shape) * grid).sum())


def test_a_grid_reads_the_same_in_parts(rng):
    grid, hue = rng.random((4, 3, 8)), rng.random((40, 20))
    whole = read_grid(grid, hue)
    parts = [read_grid(grid, hue[i : i + 7], row=centres(40, i, i + 7)) for i in range(0, 40, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    parts = [read_grid(grid, hue[:, i : i + 7], column=centres(20, i, i + 7)) for i in range(0, 20, 7)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_grid_is_a_circle_in_hue():
    grid = np.arange(8.0)[None, None]
    np.testing.assert_allclose(read_grid(grid, np.array([[0.0, 1.0, 0.5 / 8, 1 - 0.25 / 8]])), [[3.5, 3.5, 0, 5.25]])


def test_a_grid_holds_a_field_that_follows_place_and_hue(rng):
    hue = 0.1 + 0.5 * (np.arange(128) > 63) + 0.02 * rng.random((128, 128))
    field = np.where(hue < 0.3, 0.2, -0.3) + 0.1 * np.linspace(0, 1, 128)[:, None]
    grid = rotation_grid(field, hue, np.ones_like(hue), (16, 16, 64))
    error = np.angle(read_grid(grid, hue) * np.exp(-2j * np.pi * field)) / (2 * np.pi)
    assert np.abs(error).max() < 0.01
    # hues that the picture does not have take the rotation of their neighbours
    assert np.abs(np.angle(grid)).min() / (2 * np.pi) > 0.1


def test_cells_lie_at_their_centres(rng):
    grid = rng.random((4, 3, 8))
    hue = np.full((4, 3), 2.5 / 8)
    np.testing.assert_allclose(read_grid(grid, hue), grid[..., 2])
    between = read_grid(grid, hue[:2], row=np.array([0.25, 1.0]))
    np.testing.assert_allclose(between, [grid[:2, :, 2].mean(axis=0), grid[3, :, 2]])


def test_joined_grids_turn_by_the_sum(rng):
    smooth = 0.3 * np.sin(2 * np.pi * (centres(256) + rng.random()))
    grid = 0.2 * rng.random((3, 4, 1)) * np.cos(2 * np.pi * (centres(32) + rng.random()))
    hue = rng.random((20, 30))
    wanted = read_grid(smooth[None, None], hue) + read_grid(grid, hue)
    # linear between 256 hues, where 32 are not
    np.testing.assert_allclose(read_grid(join(smooth, grid), hue), wanted, atol=5e-4)


@given(
    arrays(np.float64, (2, 12), elements=st.floats(-0.5, 0.5)), arrays(np.float64, (2, 12), elements=st.floats(0, 1))
)
def test_unrolled_displacements_are_the_same_rotations_without_leaps(turns, weights):
    path = unrolled(turns, weights)
    np.testing.assert_allclose((path - turns) - np.round(path - turns), 0, atol=1e-12)
    for row, mass in zip(path, weights, strict=True):
        cut = np.argmin(mass)
        steps = np.diff(np.roll(row, -cut))
        assert np.abs(steps).max() <= 0.5 + 1e-9
        if mass.sum() > 0:
            assert abs(np.average(row, weights=mass)) <= 0.5 + 1e-9


def test_displacements_are_the_angles_of_a_grid(rng):
    turns = 0.7 + 0.2 * rng.random((2, 3, 4, 16))
    found = displacements((0.5 + rng.random(turns.shape)) * np.exp(2j * np.pi * turns))
    np.testing.assert_allclose(found, turns - 1, atol=1e-12)


def test_half_of_a_transport_across_the_half_turn_does_not_tear():
    """Displacements around half a turn, told as 0.48 here and as -0.48 there: their halves must be near each other."""
    turns = np.array([0.46, 0.48, -0.5, -0.48, -0.46, -0.48, 0.5, 0.48])
    half = unrolled(turns, np.ones(8)) / 2
    assert np.ptp(half) < 0.05


@pytest.mark.parametrize("name", ["torch", "array_api_strict"])
def test_a_grid_is_read_alike_on_every_library_and_in_batches(rng, name):
    xp = pytest.importorskip(name)
    grid, hue = rng.random((3, 4, 5, 8)), rng.random((3, 20, 30))
    found = np.asarray(read_grid(xp.asarray(grid), xp.asarray(hue)))
    for i in range(3):
        np.testing.assert_allclose(found[i], read_grid(grid[i], hue[i]), atol=1e-12)


def turns(grid):
    return np.angle(grid) / (2 * np.pi)


def test_hues_without_pixels_take_the_nearest_rotation_round_the_circle():
    hue = np.array([[0.3, 0.95]])  # 0.05 is nearer to 0.95, across red
    grid = rotation_grid(np.array([[0.2, -0.2]]), hue, np.ones_like(hue), (1, 1, 64))
    np.testing.assert_allclose(turns(read_grid(grid, np.array([[0.05, 0.2]]))), [[-0.2, 0.2]], atol=0.02)


def test_what_is_far_from_all_pixels_takes_the_whole_pictures_rotation():
    grid = rotation_grid(np.array([[0.2]]), np.array([[0.5]]), np.ones((1, 1)), (2, 2, 256))
    np.testing.assert_allclose(turns(grid), 0.2, atol=1e-9)

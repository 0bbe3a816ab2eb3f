"""The order in which pairs are drawn: every picture once an epoch, resumable, the same for any number of processes."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huenet.data.pairs import PairSampler


def take(sampler: PairSampler, count: int) -> np.ndarray:
    """`count` batches in a row, as (4, count * batch_size): source, target and the two flips."""
    return np.concatenate([np.stack(next(sampler)) for _ in range(count)], axis=1)


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 2**32))
def test_every_image_is_a_source_and_a_target_once_an_epoch(n, batch_size, seed):
    stream = take(PairSampler(n, batch_size, seed), -(-3 * n // batch_size))
    for epoch in range(3):
        source, target = stream[:2, epoch * n : (epoch + 1) * n]
        assert sorted(source) == sorted(target) == list(range(n))
        if n > 1:
            assert (source != target).all()


def test_types():
    batch = next(PairSampler(5, 3, 0))
    assert batch.source.dtype == batch.target.dtype == np.int64
    assert batch.flip_source.dtype == batch.flip_target.dtype == bool
    assert all(array.shape == (3,) for array in batch)
    assert iter(sampler := PairSampler(5, 3, 0)) is sampler


def test_pairs_are_new_each_epoch_and_uniform():
    n, epochs = 6, 4000
    source, target = take(PairSampler(n, n, 0), epochs)[:2]
    pairs = [frozenset(zip(source[i : i + n], target[i : i + n], strict=True)) for i in range(0, n * epochs, n)]
    assert len(set(pairs[:50])) > 40
    counts = Counter(zip(source, target, strict=True))
    assert len(counts) == n * (n - 1)
    expected = epochs / (n - 1)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())
    firsts = Counter(source[::n])
    assert all(abs(count - epochs / n) < 5 * (epochs / n) ** 0.5 for count in firsts.values())


def test_sources_and_targets_of_a_batch_are_different_images():
    sampler = PairSampler(1000, 10, 0)
    batches = [next(sampler) for _ in range(500)]
    assert np.mean([len(np.intersect1d(batch.source, batch.target)) for batch in batches]) < 0.5


def test_flips_are_fair_and_independent():
    flips = take(PairSampler(100, 100, 0), 100)[2:4]
    combinations = Counter(zip(*flips, strict=True))
    assert len(combinations) == 4
    assert all(abs(count - 2500) < 250 for count in combinations.values())


def test_closeness_is_any_from_0_to_1():
    closeness = take(PairSampler(100, 100, 0), 100)[4]
    assert (closeness.min(), closeness.max()) == (0, 1)
    assert np.histogram(closeness, 4, (0, 1))[0] == pytest.approx(2500, rel=0.1)


def test_seed_decides():
    assert (take(PairSampler(50, 8, 1), 9) == take(PairSampler(50, 8, 1), 9)).all()
    assert (take(PairSampler(50, 8, 1), 9) != take(PairSampler(50, 8, 2), 9)).any()


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_what_one_sees(n, world):
    one = PairSampler(n, 4 * world, seed=5)
    ranks = [PairSampler(n, 4, seed=5, rank=rank, world=world) for rank in range(world)]
    for _ in range(20):
        together = np.concatenate([np.stack(next(rank)) for rank in ranks], axis=1)
        np.testing.assert_array_equal(together, np.stack(next(one)))
    assert all(rank.state_dict() == one.state_dict() for rank in ranks)


@given(n=st.integers(1, 30), batch_size=st.integers(1, 40), done=st.integers(0, 10))
def test_resume_is_exact(n, batch_size, done):
    straight = PairSampler(n, batch_size, 3)
    for _ in range(done):
        next(straight)
    resumed = PairSampler(n, batch_size, 3)
    resumed.load_state_dict(json.loads(json.dumps(straight.state_dict())))
    assert resumed.epoch == straight.epoch == done * batch_size // n
    np.testing.assert_array_equal(take(resumed, 5), take(straight, 5))


def test_resume_with_another_number_of_processes():
    one = PairSampler(30, 8, 3)
    take(one, 5)
    two = PairSampler(30, 4, 3, rank=1, world=2)
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(np.stack(next(two)), np.stack(next(one))[:, 4:])


def test_resume_with_other_data_is_refused():
    state = PairSampler(30, 8, 3).state_dict()
    with pytest.raises(ValueError, match="`n` of the saved sampler must be 31, got 30"):
        PairSampler(31, 8, 3).load_state_dict(state)
    with pytest.raises(ValueError, match="`seed` of the saved sampler must be 4, got 3"):
        PairSampler(30, 8, 4).load_state_dict(state)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0, 1, 0), "`n` must be at least 1, got 0"),
        ((1, 0, 0), "`batch_size` must be at least 1, got 0"),
        ((1, 1, -1), "`seed` must be at least 0, got -1"),
        ((1, 1, 0, 0, 0), "`world` must be at least 1, got 0"),
        ((1, 1, 0, 2, 2), r"`rank` must be from 0 to 1 \(`world` is 2\), got 2"),
        ((1, 1, 0, -1, 2), r"`rank` must be from 0 to 1 \(`world` is 2\), got -1"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        PairSampler(*arguments)

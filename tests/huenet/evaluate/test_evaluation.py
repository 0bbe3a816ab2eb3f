"""The folder of an evaluation: its pairs, and rows that several processes write."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch

from huenet.evaluate.folder import EvaluationError, Folder, draw_pairs, read_rows
from huenet.evaluate.measures import FIGURES, TITLES

torch.set_num_threads(1)


def test_pairs_are_distinct_fair_and_fixed():
    names = [f"{i}.png" for i in range(10)]
    pairs = draw_pairs(names, 20)
    assert len(set(pairs)) == 20
    assert all(source != target for source, target in pairs)
    assert pairs == draw_pairs(names, 20)
    assert pairs != draw_pairs(names, 20, seed=1)
    assert sorted(source for source, _ in pairs[:10]) == sorted(target for _, target in pairs[:10]) == names
    assert set(draw_pairs(names[:4], 200)) == {(a, b) for a in names[:4] for b in names[:4] if a != b}


def test_the_first_of_two_rows_for_a_pair_counts(tmp_path):
    place = Folder(tmp_path / "e", [("a", "b")], {})
    place.append(0, {"huenet": {"emd_hard": 0.5}})
    place.append(0, {"huenet": {"emd_hard": 0.25}})
    assert place.rows() == {0: {"huenet": {"emd_hard": 0.5}}}


def test_rows_appended_at_once_are_all_whole(tmp_path):
    pairs = [("a", "b")] * 400
    places = [Folder(tmp_path / "e", pairs, {}) for _ in range(4)]
    figures_ = {name: dict.fromkeys(FIGURES, 1 / 3) for name in TITLES}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: places[number % 4].append(number, figures_), range(400)))
    assert sorted(read_rows(tmp_path / "e")) == list(range(400))


def test_what_another_process_is_about_to_write_is_not_in_the_way(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / ".settings.json.1234abcd.part").write_text("{")
    assert Folder(tmp_path / "e", [("a", "b")], {}).rows() == {}


def test_pairs_of_other_names_for_the_same_pictures_are_another_evaluation(tmp_path):
    Folder(tmp_path / "e", [("a", "b")], {"model": "x"})
    with pytest.raises(EvaluationError, match="pairs"):
        Folder(tmp_path / "e", [("b", "a")], {"model": "x"})

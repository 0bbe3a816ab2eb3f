"""Files that appear whole or not at all."""

import os
import threading

import pytest

from huenet.images.read import atomic_open


def write_half(path) -> None:
    with atomic_open(path, "w") as file:
        file.write("half of the n")
        file.flush()
        assert path.read_text() == "old"
        raise RuntimeError


def test_atomic_open_replaces_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_open(path, "w") as file:
        file.write("old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "old"
    with atomic_open(path, "w") as file:
        file.write("new")
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.txt"]


def test_atomic_open_permissions_are_those_of_open(tmp_path):
    (tmp_path / "plain").write_text("")
    with atomic_open(tmp_path / "atomic", "w"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_atomic_open_from_many_threads(tmp_path):
    def write(i: int) -> None:
        with atomic_open(tmp_path / "a.txt", "w") as file:
            file.write(f"{i}" * 10_000)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (tmp_path / "a.txt").read_text()
    assert len(content) == 10_000
    assert len(set(content)) == 1
    assert os.listdir(tmp_path) == ["a.txt"]

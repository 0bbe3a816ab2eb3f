"""A run that has ended, and copies of it."""

import shutil

import pytest


@pytest.fixture(scope="session")
def ended(folder, tmp_path_factory):
    """A run of two steps, to be copied."""
    from training import run

    out = tmp_path_factory.mktemp("ended") / "run"
    assert run(folder, out, "--steps", 2) == 0
    return out


@pytest.fixture
def out(ended, tmp_path):
    return shutil.copytree(ended, tmp_path / "run")

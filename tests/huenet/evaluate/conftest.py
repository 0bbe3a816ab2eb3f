"""A run, and an evaluation of it."""

import shutil
from pathlib import Path

import pytest
from commands import status


@pytest.fixture(scope="module")
def few_steps():
    """Of descent, which takes most of the time that a pair is measured for."""
    from huenet.methods import descent

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(descent.descend.__kwdefaults__, "steps", 5)
        yield


@pytest.fixture
def run(tmp_path):
    from runs import make_run

    return make_run(tmp_path / "run")


@pytest.fixture(scope="module")
def finished(folder, few_steps, tmp_path_factory):
    """A run and its evaluation of four pairs, made once."""
    from runs import make_run

    from huenet.evaluate import main

    run = make_run(tmp_path_factory.mktemp("finished") / "run")
    assert status(main, run, "--data", folder, "--pairs", 4, "--workers", 1) == 0
    return run


@pytest.fixture
def done(finished, run):
    return Path(shutil.copytree(finished / "evaluation", run / "evaluation"))

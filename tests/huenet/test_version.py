"""One place says the version, and everything that tells it agrees."""

import importlib.metadata
import re
from pathlib import Path

import pytest

import diffhist
import huenet
from huenet.__main__ import main

ROOT = Path(__file__).parents[2]


def test_the_packages_agree():
    assert re.fullmatch(r"\d+\.\d+\.\d+", diffhist.__version__)
    assert huenet.__version__ == diffhist.__version__


def test_the_command_tells_it(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"huenet {diffhist.__version__}\n"


def test_the_project_file_takes_it_from_there():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^dynamic = \["version"\]$', text, re.MULTILINE)
    assert 'path = "diffhist/__init__.py"' in text
    assert not re.search(r"^version = ", text, re.MULTILINE)
    assert f"## {diffhist.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_is_installed_says_the_same():
    try:
        installed = importlib.metadata.version("diffhist")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("diffhist is not installed, only on the path")
    assert installed == diffhist.__version__

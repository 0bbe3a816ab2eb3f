"""What the documentation shows is what happens: docstrings' examples, and the Python blocks of README and the site."""

import doctest
import importlib
import pkgutil
import re
import sys
import warnings
from pathlib import Path

import pytest

import diffhist
import huenet

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PEERS = {"SimpleITK", "array_api_strict", "dask", "kornia", "monai", "ot"}  # without them a block is skipped
MODULES = sorted(
    info.name
    for package in (diffhist, huenet)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not info.ispkg
    and ">>>" in Path(package.__path__[0], *info.name.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")
)


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


BLOCKS = [
    pytest.param(page, n, id=f"{page.relative_to(ROOT)}, block {n + 1}")
    for page in PAGES
    for n in range(len(blocks(page)))
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    if name.startswith("huenet.") or name == "diffhist.nn":
        pytest.importorskip("torch")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_docstrings_are_found():
    assert {"diffhist.histogram", "diffhist.nn", "diffhist.transport", "huenet.color"} <= set(MODULES)


@pytest.mark.parametrize(("page", "n"), BLOCKS)
def test_blocks(page, n, tmp_path, monkeypatch):
    """Each block by itself, in an empty folder; one with prompts must give what it shows.

    Where the page's first block has no prompts, those after it may use its names.
    """
    monkeypatch.chdir(tmp_path)
    first, block = blocks(page)[0], blocks(page)[n]
    names = {"__name__": "__main__"}
    try:
        if n and ">>>" not in first:
            run(first, page, names)
        run(block, page, names)
    except ModuleNotFoundError as error:
        if not peers(block):
            raise
        pytest.skip(f"{error.name} is not installed")


def peers(block):
    return PEERS & set(re.findall(r"(?:import|from) (\w+)", block))


def run(block, page, names):
    with warnings.catch_warnings():
        if peers(block):
            warnings.simplefilter("ignore")  # they warn of themselves when they are imported
            for name in peers(block):
                importlib.import_module(name)
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, page.name, str(page), 0)
            assert doctest.DocTestRunner().run(test).failed == 0
        else:
            exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_places_are_there(page, monkeypatch):
    """What the site points to in the repository: files, functions, lines and tests."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs" / "_ext"), *sys.path])
    place = importlib.import_module("sources").place
    for target in re.findall(r"\{(?:code|held)\}`(.*?)`", page.read_text(encoding="utf-8")):
        place(target)

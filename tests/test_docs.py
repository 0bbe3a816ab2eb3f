"""What the documentation shows is what happens: docstrings' examples, and the README's Python blocks."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import diffhist
import huenet

README = Path(__file__).parents[1] / "README.md"
MODULES = sorted(
    info.name
    for package in (diffhist, huenet)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not info.ispkg
    and ">>>" in Path(package.__path__[0], *info.name.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")
)
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    if name.startswith("huenet.") or name == "diffhist.nn":
        pytest.importorskip("torch")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_docstrings_are_found():
    assert {"diffhist.histogram", "diffhist.nn", "diffhist.transport", "huenet.color"} <= set(MODULES)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_readme(block, tmp_path, monkeypatch):
    """Each block by itself, in an empty folder; one with prompts must give what it shows."""
    monkeypatch.chdir(tmp_path)
    if ">>>" in block:
        test = doctest.DocTestParser().get_doctest(block, {}, "README.md", str(README), 0)
        assert doctest.DocTestRunner().run(test).failed == 0
    else:
        exec(compile(block, str(README), "exec"), {"__name__": "__main__"})

"""CONTRIBUTING.md: the map is what the rooms say of themselves, and the recipes work as they stand."""

import ast
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from reference import central_differences

import diffhist
from diffhist import _registry

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def rooms():
    """Each folder of code, and what its ``__init__`` says lives there."""
    for package in ("huenet", "diffhist"):
        for init in sorted((ROOT / package).glob("*/__init__.py")):
            text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
            assert text, f"{init} says nothing"
            yield f"{package}/{init.parent.name}", " ".join(text.split())


def test_the_map_is_what_the_rooms_say():
    table = re.search(r"<!-- rooms:.*?-->\n(.*?)<!-- end of rooms -->", TEXT, re.DOTALL)
    listed = dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", table[1], re.MULTILINE))
    assert listed == dict(rooms())


def block(first):
    """The code block that begins with that line."""
    blocks = [
        textwrap.dedent(code) for code in re.findall(r"^ *```python\n(.*?)^ *```", TEXT, re.DOTALL | re.MULTILINE)
    ]
    (found,) = [code for code in blocks if code.startswith(first)]
    return found


def test_the_recipe_for_a_primitive():
    space = {}
    exec(block("from diffhist._array"), space)
    rng = np.random.default_rng(0)
    p, q = rng.random((2, 6)), rng.random((2, 6))
    value, pullback = diffhist.vjp(space["_chi_squared"], p, q)
    np.testing.assert_allclose(value, ((p - q) ** 2 / (p + q)).sum(-1))
    for n, got in enumerate(pullback(np.ones(2))):

        def along(a, n=n):
            return space["_chi_squared"](*(a if i == n else b for i, b in enumerate((p, q)))).sum()

        np.testing.assert_allclose(got, central_differences(along, (p, q)[n]), rtol=1e-5)


def test_the_recipe_for_a_library(monkeypatch):
    autograd = pytest.importorskip("autograd")
    monkeypatch.setattr(_registry, "_BACKENDS", list(_registry._BACKENDS))
    exec(block("import autograd"), {})
    x, goal = np.random.default_rng(0).random(50), np.full(8, 1 / 8)

    def loss(x):
        return diffhist.squared_emd(diffhist.soft_histogram(x, 8), goal)

    np.testing.assert_allclose(autograd.grad(loss)(x), diffhist.value_and_grad(loss)(x)[1], rtol=1e-12)


def test_the_recipe_for_a_method(monkeypatch):
    pytest.importorskip("torch")
    from huenet.methods.turn import Turn
    from huenet.transfer.methods import METHODS, Method
    from huenet.transfer.recoloring import recolor

    space = {}
    exec(block('"""Optimal transport'), space)
    monkeypatch.setitem(METHODS, "exact", Method(space["find"], Turn, "transport to the letter; instant"))
    red, blue = (np.broadcast_to(np.uint8(rgb), (8, 8, 3)) for rgb in ((200, 40, 40), (40, 40, 200)))
    turned = recolor(red, blue, method="exact", keep="value")
    assert np.abs(turned.astype(int) - blue).max() <= 4  # to a whole bin of hue

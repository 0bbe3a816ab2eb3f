"""Imports run one way: from the commands down to the colours, from the losses down to the arrays, and never back up."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import diffhist

ROOT = Path(diffhist.__file__).parent.parent
# rooms and files that stand in none, from the top down; what is on one level may import each other, but not in a circle
LEVELS = {
    "huenet": [
        {"__init__", "__main__"},
        {"report", "map", "app"},
        {"train", "transfer", "evaluate"},
        {"model", "data"},
        {"methods", "images", "config", "metrics", "realism"},
        {"color", "_parser", "_extra", "_memory", "_notes", "_signals"},
    ],
    "diffhist": [
        {"__init__"},
        {"nn"},
        {"*"},  # the public nouns of the field
        {"_evaluation", "_backends"},
        {"_array"},
        {"_registry"},
    ],
}


def modules(package):
    """Name of each module of a package -> its file."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)] = path
    return found


def imports(path, known):
    """The modules among ``known`` that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            found |= {name} - {""}
    return found


def graph(package):
    known = modules(package)
    return {name: imports(path, known) - {name} for name, path in known.items()}


def level(module):
    package, room = module.split(".")[:2]
    levels = LEVELS[package]
    named = [n for n, rooms in enumerate(levels) if room in rooms]
    return named[0] if named else next((n for n, rooms in enumerate(levels) if "*" in rooms), None)


def circle(edges):
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return None


def complaints(edges):
    """What is wrong with imports, as lines."""
    found = [f"{name} stands in no room of the plan" for name in edges if level(name) is None]
    found += [
        f"{name} imports {other}, which is above it"
        for name, others in edges.items()
        for other in others
        if level(name) is not None and level(other) is not None and level(other) < level(name)
    ]
    rooms: dict[str, set[str]] = {}
    for name, others in edges.items():
        own = ".".join(name.split(".")[:2])
        rooms.setdefault(own, set()).update({".".join(o.split(".")[:2]) for o in others} - {own})
    return found + [f"in a circle: {c}" for c in (circle(edges), circle(rooms)) if c]


@pytest.mark.parametrize("package", LEVELS)
def test_imports_run_one_way(package):
    edges = graph(package)
    assert len(edges) > 10
    assert complaints(edges) == []


def test_what_is_wrong_is_noticed():
    down = {
        "huenet.train.loop": {"huenet.model.losses"},
        "huenet.model.losses": {"huenet.color"},
        "huenet.color": set(),
    }
    assert complaints(down) == []
    assert "above" in complaints(down | {"huenet.color": {"huenet.images.read"}})[0]
    round_and_round = {"huenet.model.losses": {"huenet.data.pairs"}, "huenet.data.pairs": {"huenet.model.networks"}}
    assert "circle" in complaints(down | round_and_round)[0]
    assert "no room" in complaints(down | {"huenet.attic": set()})[0]


def test_diffhist_imports_nothing_of_huenet():
    for path in modules("diffhist").values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        names += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        assert not [n for n in names if n.split(".")[0] == "huenet"], path


def test_every_room_says_what_lives_there():
    for package in LEVELS:
        for path in (ROOT / package).rglob("__init__.py"):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert text, f"{path} says nothing"

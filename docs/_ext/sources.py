"""Roles that point into the repository, with the line looked up: what has moved is followed, what is gone is a warning.

``{code}`diffhist/transport.py: squared_emd` `` is the place of a function, class or method (``Class.method``);
``{code}`diffhist/transport.py: squared_emd: E * E` `` that of the line in it that holds this text.
``{held}`tests/diffhist/test_transport.py: test_name` `` is a test.
"""

import ast
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def place(target: str) -> tuple[str, int]:
    """The file and line of ``path: name[: text]``; a LookupError that says what is not there."""
    path, name, *text = (part.strip() for part in target.split(":", 2))
    if not (ROOT / path).is_file():
        raise LookupError(f"there is no file {path}")
    source = (ROOT / path).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(source)
    for part in name.split("."):
        named = [n for n in ast.iter_child_nodes(node) if getattr(n, "name", None) == part]
        if not named:
            raise LookupError(f"{path} has no {name}")
        node = named[0]
    first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
    if not text:
        return path, first
    lines = source.splitlines()[first - 1 : last]
    found = [first + n for n, line in enumerate(lines) if text[0] in line]
    if not found:
        raise LookupError(f"{name} in {path} has no line with {text[0]!r}")
    return path, found[0]


def _role(name, rawtext, text, lineno, inliner, options=None, content=None):
    from docutils import nodes  # here, for the tests look places up without it

    try:
        path, line = place(text)
    except LookupError as error:
        message = inliner.reporter.warning(str(error), line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    _, named, *_ = (part.strip() for part in text.split(":", 2))
    shown = f"{path}:{line}" if name == "code" else path
    return [nodes.literal("", named), nodes.Text(" "), nodes.inline("", shown, classes=["place"])], []


def arguments(gallery_conf, script_vars):
    """An example's command line in the gallery: the picture that it writes goes where nobody looks for it."""
    return [str(Path(tempfile.mkdtemp(), f"{Path(script_vars['src_file']).stem}.png"))]


def setup(app):
    app.add_role("code", _role, override=True)
    app.add_role("held", _role)
    return {"parallel_read_safe": True}

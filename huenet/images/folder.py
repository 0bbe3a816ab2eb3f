"""The pictures of a folder, searched to the bottom; and what else lies there, so that nothing is passed over unsaid."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from huenet.images.read import MACHINE, SUFFIXES

__all__ = ["pictures_below"]


def pictures_below(
    folder: Path, without: Callable[[Path, Sequence[str]], str | None] = lambda *_: None
) -> tuple[list[str], dict[str, str]]:
    """The names of the pictures below a folder, and why everything else there is left out.

    Links to folders are followed, but none is searched twice, so that links in a circle end.

    Parameters
    ----------
    folder : path
    without : callable, optional
        Called with a folder below it, and the names of the files there; a reason leaves it out with all below.

    Returns
    -------
    names : list of str
        POSIX paths below `folder` of the files that are pictures by their suffix, folder by folder.
    left_out : dict
        Files, and whole folders, by the same kind of name, to the reason.

    Raises
    ------
    OSError
        The machine lacks open files or a disk that works: what would be found says nothing of the folder.
    """
    names: list[str] = []
    left_out: dict[str, str] = {}
    searched: dict[str, str] = {}

    def note(error: OSError) -> None:
        if error.errno in MACHINE:
            raise error
        left_out[_name(error.filename)] = error.strerror or "cannot be opened"

    def _name(path: str | os.PathLike[str]) -> str:
        return Path(path).relative_to(folder).as_posix()

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=note):
        name, real = _name(parent), os.path.realpath(parent)
        reason = f"searched already, as {searched[real]}" if real in searched else None
        if reason is None and name != ".":
            reason = without(Path(parent), files)
        searched.setdefault(real, name if name != "." else "the folder itself")
        if reason:
            left_out[name] = reason
            folders.clear()
            continue
        left_out |= {_name(Path(parent, hidden)): "hidden" for hidden in [*folders, *files] if hidden.startswith(".")}
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(name for name in files if not name.startswith(".")):
            path = Path(parent, file)
            if path.suffix.lower() in SUFFIXES:
                names.append(_name(path))
            else:
                left_out[_name(path)] = "not a picture, by its name"
    return names, left_out

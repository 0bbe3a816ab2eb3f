"""Which picture goes where: the files that ``huenet transfer`` reads and writes, and in what pairs.

Everything about the paths that can be known to go wrong is a `JobError` before a single file is written.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huenet.images.picture import OUTPUTS
from huenet.images.read import SUFFIXES

__all__ = ["Job", "JobError", "plan"]


class JobError(ValueError):
    """Paths that do not go together; the message is one line that says what to do."""


@dataclass(frozen=True)
class Job:
    """One picture to recolour after another, and where the result goes."""

    source: Path
    target: Path
    out: Path


def plan(source: Path, target: Path, out: Path, *, mask: Path | None = None, force: bool = False) -> list[Job]:
    """The jobs of one command line; `source`, `target` or both may be folders, searched to the bottom.

    The results of a folder keep their places below `out`, and their names: what cannot be written as it was read
    becomes a PNG. Results of earlier runs, in a folder `out` below the one that is read, are not read again.

    Parameters
    ----------
    source, target : path
        A picture, or a folder of pictures; two folders are paired in order of name.
    out : path
        A file, or a folder where either of the two is one.
    mask : path, optional
        A picture that goes with `source`, which must be a file then.
    force : bool
        Allow files that exist.

    Raises
    ------
    JobError
        Something is missing, has another number of pictures, would be lost, or cannot be written.
    """
    sources, targets = _files(source, out), _files(target, out)
    if mask and source.is_dir():
        raise JobError("--mask is for one SOURCE file, not for a folder")
    if source.is_dir() and target.is_dir() and len(sources) != len(targets):
        raise JobError(
            f"{source} has {len(sources)} pictures and {target} {len(targets)}: they are paired in order of name, so "
            "give as many, or one TARGET for all"
        )
    folder = source.is_dir() or target.is_dir()
    if folder and out.is_file():
        raise JobError(f"{out} is a file; for a folder of pictures -o must name a folder")
    if folder or out.is_dir():
        base = source if source.is_dir() else target if target.is_dir() else source.parent
        names = [path.relative_to(base) for path in (sources if source.is_dir() or not folder else targets)]
        outs = [out / (name if name.suffix.lower() in OUTPUTS else name.with_suffix(".png")) for name in names]
    else:
        outs = [out]
    count = len(outs)
    sources, targets = sources * (count // len(sources)), targets * (count // len(targets))
    _check_outputs(outs, [*sources, *targets, *([mask] if mask else [])], force)
    return [Job(*job) for job in zip(sources, targets, outs, strict=True)]


def _files(path: Path, out: Path) -> list[Path]:
    """The pictures of a folder by name, without results of earlier runs; or the one file."""
    if not path.exists():
        raise JobError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    base, results = path.resolve(), out.resolve()
    earlier = base in results.parents
    found = sorted(
        p
        for p in path.rglob("*")
        if p.suffix.lower() in SUFFIXES
        and p.is_file()
        and not (earlier and results in (base / p.relative_to(path)).parents)
    )
    if not found:
        raise JobError(f"{path}: no pictures in this folder")
    return found


def _check_outputs(outs: Sequence[Path], inputs: Sequence[Path], force: bool) -> None:
    read = {path.resolve() for path in inputs}
    for out in outs:
        if out.suffix.lower() not in OUTPUTS:
            raise JobError(f"{out}: the name must end in one of {', '.join(OUTPUTS)}")
        if out.resolve() in read:
            raise JobError(f"{out} is one of the pictures read; name another -o, so that nothing is lost")
        if out.is_dir():
            raise JobError(f"{out} is a folder; name a file")
        if out.parent.exists() and not out.parent.is_dir():
            raise JobError(f"{out.parent} is a file, not a folder that could hold {out.name}")
    if len(set(outs)) < len(outs):
        twice = next(out for out in outs if outs.count(out) > 1)
        raise JobError(f"{twice} would be written more than once; give the sources different names")
    existing = [out for out in outs if out.exists()]
    if existing and not force:
        rest = len(existing) - 1
        raise JobError(f"{existing[0]} {f'and {rest} more exist' if rest else 'exists'}; --force replaces")

"""Which picture goes where: the files that ``huenet transfer`` reads and writes, and in what pairs.

Everything about the paths that can be known to go wrong is a `JobError` before a single file is written.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huenet.images.folder import pictures_below
from huenet.images.picture import OUTPUTS

__all__ = ["Job", "JobError", "Plan", "plan"]


class JobError(ValueError):
    """Paths that do not go together; the message is one line that says what to do."""


@dataclass(frozen=True)
class Job:
    """One picture to recolour after another, and where the result goes."""

    source: Path
    target: Path
    out: Path


@dataclass(frozen=True)
class Plan:
    """What is to be done: the jobs; what lies in the folders and is none of them, with the reason; what is done."""

    jobs: list[Job]
    left_out: dict[str, str]
    existing: list[Path]


def plan(
    sources: Sequence[Path],
    target: Path,
    out: str | Path,
    *,
    mask: Path | None = None,
    force: bool = False,
    skip_existing: bool = False,
) -> Plan:
    """The jobs of one command line; sources and target may be folders, searched to the bottom.

    The results of a folder keep their places below `out`, and their names: what cannot be written as it was read
    becomes a PNG. Of several sources, folders keep their own names there too. Results of earlier runs, in a folder
    `out` below one that is read, are not read again.

    Parameters
    ----------
    sources : sequence of paths
        Pictures, and folders of pictures.
    target : path
        A picture, or a folder with one for each source, in order of name.
    out : str or path
        A file; or a folder where it is one, or its name ends in a slash, or there is more to write than one file.
    mask : path, optional
        A picture that goes with the source, which must be one file then.
    force : bool
        Allow files that exist.
    skip_existing : bool
        Leave out the jobs whose files exist.

    Raises
    ------
    JobError
        Something is missing, has another number of pictures, would be lost, or cannot be written.
    """
    if force and skip_existing:
        raise JobError("--force replaces what exists and --skip-existing keeps it; give one of them")
    into_folder, out = str(out).endswith(("/", os.sep)), Path(out)
    left_out: dict[str, str] = {}
    found = [(path, name) for source in sources for path, name in _files(source, out, len(sources) > 1, left_out)]
    targets = _files(target, out, False, left_out)
    folders = any(source.is_dir() for source in sources)
    if mask and (folders or len(sources) > 1):
        raise JobError("--mask is for one SOURCE file, not for a folder, or several")
    several = folders or len(sources) > 1
    if several and target.is_dir() and len(found) != len(targets):
        told = sources[0] if len(sources) == 1 else "SOURCE"
        raise JobError(
            f"{told} has {len(found)} pictures and {target} {len(targets)}: they are paired in order of name, so "
            "give as many, or one TARGET for all"
        )
    if (several or target.is_dir()) and out.is_file():
        raise JobError(f"{out} is a file; for a folder of pictures -o must name a folder")
    if (several or target.is_dir()) and not (into_folder or out.is_dir()) and out.suffix.lower() in OUTPUTS:
        raise JobError(f"{out} names a picture, and a folder is to be written; end it in / if it is one")
    if several or target.is_dir() or into_folder or out.is_dir():
        names = [name for _, name in (found if several or not target.is_dir() else targets)]
        outs = [out / (name if name.suffix.lower() in OUTPUTS else name.with_suffix(".png")) for name in names]
    else:
        outs = [out]
    read, goals = [path for path, _ in found], [path for path, _ in targets]
    read, goals = read * (len(outs) // len(read)), goals * (len(outs) // len(goals))
    _check_outputs(outs, [*read, *goals, *([mask] if mask else [])], force or skip_existing)
    jobs = [Job(*job) for job in zip(read, goals, outs, strict=True)]
    existing = [job.out for job in jobs if skip_existing and job.out.exists()]
    return Plan([job for job in jobs if job.out not in existing], left_out, existing)


def _files(path: Path, out: Path, named: bool, left_out: dict[str, str]) -> list[tuple[Path, Path]]:
    """The pictures of a folder, without results of earlier runs, or the one file; and their names below `out`."""
    if not path.exists():
        raise JobError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [(path, Path(path.name))]
    results = out.resolve()
    earlier = path.resolve() in results.parents
    try:
        names, others = pictures_below(
            path, lambda below, _: "results of earlier runs" if earlier and below.resolve() == results else None
        )
    except OSError as error:
        raise JobError(f"{error.filename}: {error.strerror}: trouble of this machine, not of the folder") from error
    if not names:
        raise JobError(f"{path}: no pictures in this folder")
    left_out |= {str(path / name): reason for name, reason in others.items()}
    return [(path / name, Path(path.name, name) if named else Path(name)) for name in sorted(names, key=Path)]


def _check_outputs(outs: Sequence[Path], inputs: Sequence[Path], existing_allowed: bool) -> None:
    read = {path.resolve() for path in inputs}
    for out in outs:
        if out.suffix.lower() not in OUTPUTS:
            raise JobError(f"{out}: the name must end in one of {', '.join(OUTPUTS)}, or in / for a folder")
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
    if existing and not existing_allowed:
        rest = len(existing) - 1
        raise JobError(
            f"{existing[0]} {f'and {rest} more exist' if rest else 'exists'}; --force replaces"
            f"{', --skip-existing goes on' if len(outs) > 1 else ''}"
        )

"""The run folder: made new and never written over, found again, and never used by two at once."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: two trainings in one folder are then on their own
    fcntl = None  # type: ignore[assignment]

from huenet.config import Config, ConfigError
from huenet.model import checkpoint
from huenet.model.checkpoint import CHECKPOINT, CheckpointError
from huenet.train.processes import Processes

__all__ = [
    "RUNS",
    "check_out",
    "check_pictures",
    "check_writable",
    "opened_folder",
    "resumed_config",
    "saved_device",
    "saved_run",
]

RUNS = Path("runs")
# what a run cannot change on its way; with another batch, epochs would not be what was counted so far
FIXED = ("preset", "seed", "size", "circle", "features", "width", "norm", "batch_size")


def saved_run(resume: str, out: str | None) -> Path | None:
    """The run folder that --resume means; None for a fresh start.

    Raises
    ------
    ConfigError
        A folder was named that holds no checkpoint, or another one beside it.
    """
    if resume == "no":
        return None
    if resume != "auto":
        if out and Path(out) != Path(resume):
            raise ConfigError(f"--resume {resume} goes on in that folder; leave out --out {out}")
        if not (Path(resume) / CHECKPOINT).is_file():
            raise ConfigError(f"--resume {resume} has no {CHECKPOINT}; name a run folder, or auto, or no")
        return Path(resume)
    found = [Path(out) / CHECKPOINT] if out else list(RUNS.glob(f"*/{CHECKPOINT}"))
    found = [path for path in found if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def resumed_config(folder: Path, changes: dict[str, Any]) -> Config:
    """The configuration of a run, with `changes`.

    Raises
    ------
    ConfigError
        It is not there, or is none; or a change does not fit what the run has learned so far.
    """
    config = _saved_config(folder)
    for name in FIXED:
        had = getattr(config, name)
        if changes.get(name, had) != had:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(
                f"{flag} of the run in {folder} is {had} and must stay so, got {changes[name]}; "
                "leave it out, or start a new run with another --out"
            )
    return dataclasses.replace(config, **changes)


def saved_device(given: dict[str, Any]) -> str:
    """The device of a command line: where it names none, that of the run that it goes on with."""
    try:
        resume = None if "device" in given else saved_run(given.get("resume", "no"), given.get("out"))
        return _saved_config(resume).device if resume else given.get("device", "auto")
    except ConfigError:  # told where all processes agree on it
        return "auto"


def check_out(config: Config) -> None:
    """Refuse a folder for a new run that has something in it: before the data are read, which can take long.

    Raises
    ------
    ConfigError
    """
    folder = Path(config.out) if config.out else None
    if folder is None or not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ConfigError(f"--out {folder} is not a folder; name another one")
    if any(folder.iterdir()) and not _only_begun(folder):
        advice = f"go on with --resume {folder}" if (folder / CHECKPOINT).is_file() else "empty it"
        raise ConfigError(f"--out {folder} is not empty; name another folder, or {advice}")


def check_writable(folder: Path) -> None:
    """Refuse a folder where nothing can be written: before the data are read, which can take long.

    Raises
    ------
    ConfigError
    """
    place = folder
    while not os.path.lexists(place):
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise ConfigError(f"cannot write {folder} ({error.strerror}); choose another --out") from error


def check_pictures(folder: Path, record: dict[str, Any]) -> None:
    """Refuse to go on with a run on other pictures: its split, and its place in them, would mean nothing.

    Raises
    ------
    ConfigError
    """
    try:
        began = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        old, new = ([*images["train"], None, *images["validation"]] for images in (began, record))
    except (OSError, ValueError, KeyError):
        return  # the names are not known; State.load compares their number
    if old != new:
        changed = sorted(name for name in set(old) ^ set(new) if name)
        which = f" ({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''})"
        if not changed:
            held_out = (len(images["validation"]) for images in (began, record))
            which = " (the same ones, of which {} and {} for validation)".format(*held_out)
        raise ConfigError(
            f"--data {record['data']} has not the pictures that the run in {folder} began with: {len(old) - 1} then, "
            f"{len(new) - 1} now{which}; bring them back, or start a new run with another --out"
        )


@contextmanager
def opened_folder(config: Config, record: dict[str, Any], resume: Path | None, processes: Processes) -> Iterator[Path]:
    """The folder of a new run, or of one to go on with; with its configuration and what was read from the data set.

    No other training gets in while this one is there.

    Raises
    ------
    ConfigError
        The folder has something in it, or a training is running there.
    CheckpointError
        It cannot be written to.
    """
    lock = None

    def enter() -> Path:
        nonlocal lock
        folder = resume or Path(config.out or _free(RUNS / f"{config.preset}-{datetime.now():%Y%m%d-%H%M%S}"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
            if not resume:
                check_out(config)
            (folder / "samples").mkdir(exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot write {folder} ({error.strerror}); choose another --out") from error
        checkpoint.write_text(folder / "config.json", config.to_json())
        checkpoint.write_text(folder / "data.json", json.dumps(record, indent=1))
        return folder

    try:
        yield processes.agree(enter)
    finally:
        if lock is not None:
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor of the folder, locked until it is closed or the process ends, however that comes about."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigError(f"a training is running in {folder}; wait for it, or name another --out") from error
    except OSError:  # a file system without locks
        pass
    return descriptor


def _saved_config(folder: Path) -> Config:
    try:
        return Config.from_json((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder / 'config.json'} is not a readable configuration ({error})") from error


def _only_begun(folder: Path) -> bool:
    """Whether a run was killed here before it had saved anything."""
    left = {p.name for p in folder.iterdir() if not p.name.endswith(".tmp") and ".tfevents." not in p.name}
    if "config.json" in left:
        try:
            _saved_config(folder)
        except ConfigError:
            return False
        left -= {"config.json", "data.json"}
    return left <= {"samples"} and not any((folder / "samples").glob("*"))


def _free(path: Path) -> Path:
    """`path`, or with a number behind it the first that nobody has."""
    candidates = [path, *(path.with_name(f"{path.name}-{i}") for i in range(2, 1000))]
    return next(candidate for candidate in candidates if not candidate.exists())

"""The folder of an evaluation: its pairs, the pictures they need, and a row of figures for each pair done.

    pairs.csv       source and target of each pair, by name below the data folder
    settings.json   what the figures depend on; another evaluation needs another folder
    rows.jsonl      one line a pair, appended as it is done; a line cut short by a kill is done again
    seen/           what the judge of realism saw in each pair's results, where it was asked

Whatever several processes append to one folder, a pair counts once.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huenet.config import Config
from huenet.data import loading as data
from huenet.data.pairs import PairSampler
from huenet.images.read import atomic_open

__all__ = ["EvaluationError", "Folder", "Pictures", "draw_pairs", "read_pairs", "read_pictures", "read_rows", "write"]

Pair = tuple[str, str]


class EvaluationError(RuntimeError):
    """An evaluation that cannot be made; the message is one line that says what to do."""


@dataclass(frozen=True)
class Pictures:
    """Pictures by name, uint8 (3, S, S), RGB; `fresh` are the names that no training has seen."""

    images: Mapping[str, np.ndarray]
    fresh: Sequence[str]
    origin: str
    skipped: Mapping[str, str]  # files that could not be read, with the reason

    def check(self, pairs: Sequence[Pair]) -> None:
        """Raise `EvaluationError` where the pairs name a picture that is not there."""
        unknown = sorted({name for pair in pairs for name in pair} - self.images.keys())
        if unknown:
            count = f"{len(unknown)} picture{'s' if len(unknown) > 1 else ''} of the pairs"
            why = f" could not be read: {self.skipped[unknown[0]]}" if unknown[0] in self.skipped else ""
            raise EvaluationError(
                f"{self.origin} lacks {count}, such as {unknown[0]!r}{why}; its names are like {min(self.images)!r}"
            )


def read_pictures(folder: str | None, config: Config, records: Sequence[Mapping[str, Any]]) -> Pictures:
    """The pictures to evaluate on.

    Parameters
    ----------
    folder : str or None
        A folder of photographs or the name of a data set; None takes what the run held out of its own.
    config : Config
        Of the run: its size, and where its pictures come from.
    records : sequence of mappings
        ``data.json`` of the runs under evaluation. Where `folder` is one that they were trained on (the same path, or
        all of their names are in it), the names that they trained on are not `fresh`.

    Raises
    ------
    DataError
        The folder is missing or has too few readable pictures.
    """
    if folder is None:
        images = data.load(config.data, config.size, config.seed)
        names = images.record["validation"]
        if len(names) != len(images.validation):  # crops of few photographs
            names = [f"{names[i % len(names)]}#{i:02}" for i in range(len(images.validation))]
        trained = {name for record in records for name in record["train"]}  # a run may have split them in another way
        by_name = {n: image for n, image in zip(names, images.validation, strict=True) if n not in trained}
        return Pictures(by_name, sorted(by_name), config.data or "scikit-image", images.record["skipped"])
    images = data.load(folder, config.size)
    by_name = {
        **dict(zip(images.record["validation"], images.validation, strict=True)),
        **dict(zip(images.record["train"], images.train, strict=True)),
    }
    seen: set[str] = set()
    for record in records:
        known = {*record["train"], *record["validation"]}
        same = record["data"] and Path(record["data"]).resolve() == Path(images.record["data"]).resolve()
        if same or known <= by_name.keys():
            seen.update(record["train"])
    return Pictures(by_name, sorted(by_name.keys() - seen), images.record["data"], images.record["skipped"])


def draw_pairs(names: Sequence[str], count: int, seed: int = 0) -> list[Pair]:
    """Distinct random pairs, each name as often a source and a target as the others; all pairs if there are fewer."""
    if len(names) < 2:
        raise EvaluationError(f"{len(names)} pictures that the run was not trained on; at least 2 are needed")
    sampler = PairSampler(len(names), len(names), seed)
    pairs: dict[Pair, None] = {}
    while len(pairs) < min(count, len(names) * (len(names) - 1)):
        batch = next(sampler)
        pairs |= dict.fromkeys((names[s], names[t]) for s, t in zip(batch.source, batch.target, strict=True))
    return list(pairs)[:count]


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a CSV file with the columns source and target.

    Raises
    ------
    EvaluationError
        There is no such file, or it has no pairs, or a line without one of the two names.
    """
    pairs = []
    try:
        # utf-8-sig, because spreadsheets begin a file with a mark
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = csv.DictReader(file, restval="")
            for row in lines:
                pairs.append((row["source"], row["target"]))
                if not all(pairs[-1]):
                    raise EvaluationError(f"{path}, line {lines.line_num}: source and target are needed, comma between")
    except (OSError, KeyError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "a header `source,target` is needed"
        raise EvaluationError(f"{path} is not a list of pairs: {reason}") from error
    if not pairs:
        raise EvaluationError(f"{path} has no pairs below a header `source,target`")
    return pairs


def read_rows(folder: Path) -> dict[int, dict[str, Any]]:
    """Figures by the number of the pair; lines that are not whole are left out."""
    rows: dict[int, dict[str, Any]] = {}
    path = folder / "rows.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
            rows.setdefault(row["pair"], row["figures"])
        except (ValueError, KeyError, TypeError):
            continue
    return rows


class Folder:
    """An evaluation on disk; made, or found and gone on with.

    Parameters
    ----------
    path : Path
        Made where it is missing.
    pairs : sequence of (source, target)
    settings : mapping
        JSON-able; what the figures depend on beside the names of the pairs.

    Raises
    ------
    EvaluationError
        The folder holds another evaluation, or something else.
    """

    def __init__(self, path: Path, pairs: Sequence[Pair], settings: Mapping[str, Any]) -> None:
        self.path, self.pairs = path, pairs
        self.rows_path = path / "rows.jsonl"
        try:
            path.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in path.iterdir() if not entry.name.endswith(".part")}  # of another process
        except OSError as error:
            raise EvaluationError(f"cannot write {path} ({error.strerror}); choose another --out") from error
        if (path / "settings.json").exists():
            self._check(settings)
        elif names - {"pairs.csv"}:
            foreign = min(names - {"pairs.csv"})
            raise EvaluationError(f"{path} holds {foreign} but no evaluation; choose another --out")
        elif "pairs.csv" in names and read_pairs(path / "pairs.csv") != list(pairs):
            raise EvaluationError(f"{path / 'pairs.csv'} has other pairs; leave out --pairs, or choose another --out")
        else:
            if "pairs.csv" not in names:
                write(path / "pairs.csv", _csv(pairs))
            write(path / "settings.json", json.dumps(settings, indent=1))

    def rows(self) -> dict[int, dict[str, Any]]:
        """The rows done so far; see `read_rows`."""
        return read_rows(self.path)

    def seen(self, number: int) -> np.ndarray | None:
        """What the judge of realism saw in a pair's results, (methods, F); None where it has not looked."""
        try:
            return np.load(self._seen(number))
        except (OSError, ValueError, EOFError):
            return None

    def append(self, number: int, figures: Mapping[str, Any], seen: np.ndarray | None = None) -> None:
        """Add a row, in one write; a line that a kill left open is closed first."""
        if seen is not None:
            self._seen(number).parent.mkdir(exist_ok=True)
            file = io.BytesIO()
            np.save(file, seen.astype(np.float16))  # half of the space, for less than a tenth of a unit of KID
            _write_bytes(self._seen(number), file.getvalue())
        line = json.dumps({"pair": number, "figures": figures}) + "\n"
        try:
            descriptor = os.open(self.rows_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                end = os.lseek(descriptor, 0, os.SEEK_END)
                os.lseek(descriptor, max(end - 1, 0), os.SEEK_SET)
                gap = "\n" if os.read(descriptor, 1) not in (b"", b"\n") else ""
                text = (gap + line).encode()
                if os.write(descriptor, text) < len(text):
                    raise OSError(28, "No space left on device")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise EvaluationError(f"cannot write {self.rows_path} ({error.strerror}); free some space") from error

    def _seen(self, number: int) -> Path:
        return self.path / "seen" / f"{number:06}.npy"

    def _check(self, settings: Mapping[str, Any]) -> None:
        try:
            found = json.loads((self.path / "settings.json").read_text(encoding="utf-8"))
            different = [name for name in settings | found if found.get(name) != settings.get(name)]
        except (OSError, ValueError, AttributeError) as error:
            raise EvaluationError(f"{self.path / 'settings.json'} cannot be read; choose another --out") from error
        if not different and read_pairs(self.path / "pairs.csv") != list(self.pairs):
            different = ["pairs"]
        if different:
            raise EvaluationError(
                f"{self.path} holds an evaluation of other {' and '.join(different)}; choose another --out, or move it"
            )


def write(path: Path, text: str) -> None:
    """Write a whole file or none, whoever else writes it too."""
    _write_bytes(path, text.encode("utf-8", "surrogateescape"))


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        with atomic_open(path) as file:
            file.write(content)
    except OSError as error:
        raise EvaluationError(f"cannot write {path} ({error.strerror}); free some space") from error


def _csv(pairs: Sequence[Pair]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("source", "target"), *pairs])
    return text.getvalue()

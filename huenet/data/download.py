"""Data sets by name: downloaded once, checked, unpacked safely, and kept in a folder.

The folder is ``$HUENET_CACHE``, or ``~/.cache/huenet``; a data set is one sub-folder of it, which appears whole or not
at all. A transfer that was cut goes on where it stopped when the same command is run again.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import gzip
import hashlib
import http.client
import itertools
import os
import shutil
import ssl
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

try:
    import fcntl
except ImportError:  # Windows: two downloads of one data set at the same time are then on their own
    fcntl = None  # type: ignore[assignment]

__all__ = ["DATASETS", "Archive", "DataError", "cache_dir", "fetch"]

CHUNK = 1 << 20
ATTEMPTS, PAUSE = 5, 2.0  # tries at a transfer that keeps being cut, and seconds between them
TIMEOUT = 30.0  # seconds without a byte
MOST_FILES = 100_000


class DataError(ValueError):
    """A data set that cannot be used; the message is one line that says what to do."""


class Archive(NamedTuple):
    """A tar file at an address.

    `md5` is of the whole file, or of its first `md5_bytes`. Neither the file nor, twice over, what it unpacks to may be
    larger than `most_bytes`: photographs hardly compress, so anything larger is not what it says.
    """

    url: str
    md5: str
    most_bytes: int
    md5_bytes: int | None = None


# For each name, the places to try in turn; each place is one or more archives that make up the whole.
DATASETS: dict[str, tuple[tuple[Archive, ...], ...]] = {
    "flowers102": (
        (
            Archive(
                "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
                "52808999861908f626f3c1f4e79d11fa",
                400_000_000,
            ),
        ),
    ),
    "cars": (
        # The authors' own address has answered 404 since 2023; should it come back, it is the one to use.
        (
            Archive(
                "https://ai.stanford.edu/~jkrause/car196/cars_train.tgz",
                "065e5b463ae28d29e77c1b4b166cfe61",
                1_100_000_000,
            ),
            Archive(
                "https://ai.stanford.edu/~jkrause/car196/cars_test.tgz",
                "4ce7ebf6a94d07f1952d94dd34c4d501",
                1_100_000_000,
            ),
        ),
        # fast.ai's copy in the AWS open data programme. The sum that fast.ai publishes is of the first MiB; past that,
        # gzip's own check has to do.
        (
            Archive(
                "https://s3.amazonaws.com/fast-ai-imageclas/stanford-cars.tgz",
                "9045d6673c9ced0889f41816f6bf2f9f",
                1_957_803_273,
                md5_bytes=1 << 20,
            ),
        ),
    ),
}


class _PlaceError(DataError):
    """The archive cannot be had from this place, or is not what it should be: another may have it."""


def cache_dir() -> Path:
    """Return the folder that data sets are kept in: ``$HUENET_CACHE``, or ``~/.cache/huenet``."""
    return Path(os.environ.get("HUENET_CACHE") or Path.home() / ".cache" / "huenet")


def fetch(name: str, *, progress: bool = True) -> Path:
    """Return the folder of a named data set, after downloading it if it is not there.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    progress : bool
        Show a progress bar while downloading.

    Returns
    -------
    Path
        ``cache_dir() / name``.

    Raises
    ------
    DataError
        The name is unknown, or at every place the download failed, did not match its checksum, or would not unpack
        safely. What arrived of a cut transfer is kept, so that the next call goes on from there.
    """
    if name not in DATASETS:
        raise DataError(f"no data set is named {name!r}; pass one of {', '.join(sorted(DATASETS))}, or a folder")
    folder = cache_dir() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.parent / f".{name}.lock"):
            if not folder.is_dir():  # another process may have finished while this one waited
                _install_first(name, folder, progress)
    except OSError as error:
        raise DataError(f"{name}: {error.filename or folder}: {error.strerror or error}") from error
    return folder


def _install_first(name: str, folder: Path, progress: bool) -> None:
    """Install from the first place that has what it should, and leave nothing else of any place."""
    failures = []
    for place in DATASETS[name]:
        try:
            _install(place, folder, progress)
            break
        except _PlaceError as error:
            failures.append(str(error))
    else:
        what_to_do = "run the same command again to go on, or find a copy, unpack it and pass its folder with --data"
        raise DataError(f"{name}: {'; '.join(failures)}; {what_to_do}")
    for archive in itertools.chain(*DATASETS[name]):
        file = folder.parent / archive.url.rsplit("/", 1)[-1]
        for left_over in (file, Path(f"{file}.part"), Path(f"{file}.anew")):
            left_over.unlink(missing_ok=True)


def _install(archives: tuple[Archive, ...], folder: Path, progress: bool) -> None:
    prefix = f".{folder.name}-"
    for left_over in folder.parent.glob(f"{prefix}*"):  # of a process that was killed; nobody else holds the lock
        shutil.rmtree(left_over)
    files = [_download(archive, folder.parent, progress) for archive in archives]
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as temporary:
        whole = Path(temporary, "whole")
        whole.mkdir()
        for archive, file in zip(archives, files, strict=True):
            try:
                _unpack(file, whole, 2 * archive.most_bytes)
            except _PlaceError:
                file.unlink()
                raise
        os.rename(whole, folder)


def _download(archive: Archive, folder: Path, progress: bool) -> Path:
    """Download to ``NAME.part``, going on from what is there, and rename it to ``NAME`` once the checksum is right."""
    file = folder / archive.url.rsplit("/", 1)[-1]
    part = Path(f"{file}.part")
    if file.exists() and _md5(archive, file) == archive.md5:
        return file
    attempt = 1
    while True:
        before = _size(part)  # never less than at the attempt before
        try:
            whole = _transfer(archive, part, progress)
            break
        # SSLError: what a cut connection often is under HTTPS
        except (http.client.HTTPException, urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError) as error:
            code = getattr(error, "code", None)
            attempt = 1 if _size(part) > before else attempt + 1
            if attempt > ATTEMPTS or (code and code < 500):
                why = f"answers {code}" if code else getattr(error, "reason", None) or error
                raise _PlaceError(f"{archive.url}: {why} ({_size(part)} bytes are there)") from error
            time.sleep(PAUSE)
    if (md5 := _md5(archive, whole)) != archive.md5:
        whole.unlink()
        why = f"the checksum is {md5}, {archive.md5} was expected; the file is damaged or another one and was deleted"
        raise _PlaceError(f"{archive.url}: {why}")
    os.replace(whole, file)
    return file


def _transfer(archive: Archive, part: Path, progress: bool) -> Path:
    """Ask for what is missing of `part` and append it; return the file that is complete now.

    A server that cannot do that sends all of it anew, or a page that asks to log in. That becomes a file of its own,
    and `part` only if it is cut and yet longer than what was there.
    """
    have = _size(part)
    headers = {"User-Agent": "huenet", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(archive.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing: `part` is whole, or wrong, as its checksum will tell
            return part
        raise
    arrived = have if response.headers.get("Content-Range", "").startswith(f"bytes {have}-") else 0
    target = part if arrived == have else part.with_suffix(".anew")
    total = None if response.length is None else arrived + response.length
    bar = tqdm(total=total, initial=arrived, unit="B", unit_scale=True, desc=part.stem, disable=not progress)
    try:
        with response, open(target, "ab" if arrived else "wb") as out, bar:
            while chunk := response.read(CHUNK):
                arrived += len(chunk)
                if arrived > archive.most_bytes:
                    out.truncate(0)
                    raise _PlaceError(f"{archive.url} sends more than the {archive.most_bytes} bytes expected")
                out.write(chunk)
                bar.update(len(chunk))
        if total is not None and arrived < total:
            raise ConnectionError(f"cut after {arrived} of {total} bytes")
    except BaseException:
        if _size(target) > have:
            os.replace(target, part)
        part.with_suffix(".anew").unlink(missing_ok=True)
        raise
    return target


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _md5(archive: Archive, file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    left = archive.md5_bytes or _size(file)
    with open(file, "rb") as content:
        while left > 0 and (chunk := content.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _unpack(file: Path, folder: Path, most_bytes: int) -> None:
    """Write the regular files of a tar archive below `folder`; refuse it for anything that could reach outside."""
    count = size = 0
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
                    raise _PlaceError(f"{file}: {member.name!r} would be written outside the folder: not unpacked")
                if member.isdir():
                    continue
                if not member.isreg():
                    raise _PlaceError(f"{file}: {member.name!r} is a link or a device: not unpacked")
                count, size = count + 1, size + member.size
                if count > MOST_FILES or size > most_bytes:
                    raise _PlaceError(f"{file}: more than {MOST_FILES} files or {most_bytes} bytes: not unpacked")
                _write(archive, member, folder / path)
            while archive.fileobj and archive.fileobj.read(CHUNK):  # gzip's checksum comes after the end of the tar
                pass
    # the last two: one name twice, or both a file and a folder
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, FileExistsError, NotADirectoryError) as error:
        why = str(error).partition("\n")[0]
        raise _PlaceError(f"{file}: damaged archive ({why}), deleted") from error


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    assert content is not None
    with content, open(path, "xb") as out:
        shutil.copyfileobj(content, out, CHUNK)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Photographs in memory: folders, splits, and scikit-image's own photographs.

Conventions: a set of images is one uint8 array, shape (N, 3, S, S), RGB. A split depends on the seed and the names
alone: the same folder gives the same split on every machine, and one more file, or one damaged, moves next to nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from huenet.color import hsv_to_rgb, rgb_to_hsv
from huenet.data.download import DATASETS, DataError, fetch
from huenet.data.pairs import PairBatch, PairSampler
from huenet.images.folder import pictures_below
from huenet.images.read import SUFFIXES, ImageError, read_image, read_square

__all__ = ["DataError", "Images", "PairBatch", "PairSampler", "load", "photographs", "printable", "remarks"]

# The colour photographs of scikit-image's wheel. Left out: the Hubble field (black), the grey ones and the drawings.
# Validation has a warm and a cold scene, so that its pairs ask for a real change of hue: circular EMD 0.27 on average.
# What is left for training, the two views of the motorcycle (one scene) included, is orange, red and brown: its crops
# have their hues turned by a random angle. Validation keeps the colours that the camera saw.
TRAINING = ("chelsea.png", "coffee.png", "ihc.png", "motorcycle_left.png", "motorcycle_right.png", "retina.jpg")
VALIDATION = ("astronaut.png", "rocket.jpg")
TRAINING_CROPS, VALIDATION_CROPS = 768, 64
# a folder with these is one of our runs, and its pictures are not photographs
RUN_FILES = {"checkpoint.safetensors", "config.json", "data.json"}
GREY = 5  # of 255, between the channels of a pixel: a hue that is noise
LEAST_CROP_CHROMA = 0.12  # mean of S * V: a crop of black border or white wall has no hue to learn from

# Bytes of decoded images, and the share of this machine's memory, of which each process that torchrun started has its
# part; more go to a temporary file, whose hot part the system caches.
MOST_IN_MEMORY, MOST_OF_MEMORY = 4 << 30, 0.25
VALIDATION_SHARE, LEAST_VALIDATION = 0.1, 2  # the paper divides 8189 flowers into 7370 and 819


@dataclass(frozen=True)
class Images:
    """What `load` returns.

    Attributes
    ----------
    train, validation : ndarray
        uint8, shape (N, 3, S, S), RGB.
    record : dict
        JSON-able: where the images come from, the names on each side of the split in the order of the arrays, and all
        that was skipped in the folder with its reason. The crops of scikit-image's photographs have their names.
    """

    train: np.ndarray
    validation: np.ndarray
    record: dict[str, Any]


def photographs() -> dict[str, np.ndarray]:
    """Return the colour photographs that come inside scikit-image's wheel, without a download.

    Returns
    -------
    dict
        File name to uint8 array, shape (H, W, 3).
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DataError('scikit-image is not installed: pip install "diffhist[huenet]", or pass --data FOLDER')
    folder = Path(spec.origin).parent / "data"
    try:
        return {name: _read(read_image, folder / name) for name in sorted(TRAINING + VALIDATION)}
    except ImageError as error:
        raise DataError(f"scikit-image lacks a photograph ({error}): reinstall it, or pass --data FOLDER") from error


def load(
    data: str | os.PathLike[str] | None, size: int, seed: int = 0, *, workers: int | None = None, progress: bool = True
) -> Images:
    """Decode a data set once, at one size, and split it into training and validation.

    Parameters
    ----------
    data : str, path or None
        A folder, searched at any depth for image files; or the name of a data set in `huenet.data.download.DATASETS`,
        which is downloaded once (write ``./cars`` for a folder of that name). None takes random crops of
        `photographs()`, and holds out whole photographs for validation.
    size : int
        Side of the images in pixels: the shorter side is resized to it (Lanczos), the centre is kept.
    seed : int
        Seed of the split (and of the crops).
    workers : int, optional
        Decoding threads; by default one for each core, up to 16.
    progress : bool
        Show a progress bar while decoding, on a terminal.

    Returns
    -------
    Images
        A tenth of a folder's images, at least 2, is for validation.

    Raises
    ------
    DataError
        The folder is missing or has fewer than 4 readable images, or a download failed. Single bad files are skipped
        and listed in `record`; good ones that this machine could not read, for want of memory, say, are not: skipped,
        they would change the split.
    """
    if data is None:
        return _load_photographs(size, seed)
    folder = fetch(data, progress=progress) if isinstance(data, str) and data in DATASETS else Path(data)
    names, skipped = _image_names(folder)
    names.sort(key=lambda name: _rank(seed, name))
    images, unreadable = _decode([folder / name for name in names], size, workers, progress)
    skipped = {names[i]: reason for i, reason in unreadable.items()} | skipped
    names = [name for i, name in enumerate(names) if i not in unreadable]
    if len(names) < 2 * LEAST_VALIDATION:
        raise DataError(_too_few(folder, len(names), skipped))
    held_out = max(round(VALIDATION_SHARE * len(names)), LEAST_VALIDATION)
    record = {
        "data": os.fspath(folder),
        "size": size,
        "seed": seed,
        "validation": names[:held_out],
        "train": names[held_out:],
        "skipped": dict(sorted(skipped.items())),
    }
    return Images(train=images[held_out:], validation=images[:held_out], record=record)


def remarks(images: Images) -> list[str]:
    """What is odd about a folder's pictures as material to learn hue from, one line each.

    Raises
    ------
    DataError
        None has colour.
    """
    if images.record["data"] is None:
        return []
    arrays = [*images.validation, *images.train]
    names = [printable(name) for name in (*images.record["validation"], *images.record["train"])]
    folder = printable(images.record["data"])
    grey = sum(np.ptp(image, axis=0).max() <= GREY for image in arrays)
    if grey == len(arrays):
        raise DataError(f"--data {folder}: none of its {grey} pictures has colour to learn from")
    told = [f"{grey} of {len(arrays)} pictures have no colour"] if grey else []
    first: dict[bytes, str] = {}
    copies = [
        (name, original)
        for name, image in zip(names, arrays, strict=True)
        if (original := first.setdefault(hashlib.sha256(np.ascontiguousarray(image).data).digest(), name)) != name
    ]
    if copies:
        told.append(
            f"{len(copies)} of {len(arrays)} pictures are the same as others, such as {copies[0][0]} and {copies[0][1]}"
        )
    return told


def printable(name: str | os.PathLike[str]) -> str:
    """Return a file's name as every terminal takes it: bytes that are no text become escapes."""
    return os.fspath(name).encode(errors="backslashreplace").decode()


def _load_photographs(size: int, seed: int) -> Images:
    whole = {name: Image.fromarray(image) for name, image in photographs().items()}
    rng = np.random.default_rng(seed)

    def crops(names: Sequence[str], count: int) -> np.ndarray:
        return np.stack([_crop(whole[names[i % len(names)]], size, rng) for i in range(count)])

    split = {"validation": list(VALIDATION), "train": list(TRAINING), "skipped": {}}
    record = {"data": None, "size": size, "seed": seed, **split}
    return Images(_turn_hues(crops(TRAINING, TRAINING_CROPS), rng), crops(VALIDATION, VALIDATION_CROPS), record)


def _turn_hues(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for image in images:
        hsv = rgb_to_hsv(image / np.float32(255))
        hsv[0] = (hsv[0] + np.float32(rng.random())) % 1
        image[...] = np.rint(hsv_to_rgb(hsv) * 255)
    return images


def _crop(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a random square with some colour in it, of a quarter to all of the shorter side, as (3, size, size)."""
    width, height = image.size
    while True:
        side = rng.uniform(0.25, 1.0) * min(width, height)
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        box = (left, top, left + side, top + side)
        small = image.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
        crop = np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))
        if np.ptp(crop, axis=0).mean() >= 255 * LEAST_CROP_CHROMA:
            return crop


def _image_names(folder: Path) -> tuple[list[str], dict[str, str]]:
    """List the image files below `folder` by relative POSIX name, and what else is there; run folders are left out."""
    if not os.path.exists(folder):
        raise DataError(
            f"--data {printable(folder)}: no such folder; pass a folder of images, or {' or '.join(sorted(DATASETS))}"
        )
    if not os.path.isdir(folder):
        raise DataError(f"--data {printable(folder)}: not a folder; pass the folder that holds the images")
    try:
        return pictures_below(folder, lambda _, files: "a run of huenet.train" if RUN_FILES.issubset(files) else None)
    except OSError as error:
        raise _trouble(error.filename, error) from error


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()


def _decode(paths: list[Path], size: int, workers: int | None, progress: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Read every path as (3, size, size); return what could be read, packed, and the others' numbers and reasons."""
    images = _allocate((len(paths), 3, size, size))
    unreadable: dict[int, str] = {}
    # Threads are enough: Pillow decodes and resizes without the GIL. Each may hold one image of `MAX_PIXELS`.
    pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 16))
    try:
        results = tqdm(
            pool.map(lambda path: _try(read_square, path, size), paths),
            total=len(paths),
            desc="reading images",
            unit="img",
            disable=None if progress else True,  # None: not into a log, where an error is to be the one line
        )
        for i, result in enumerate(results):
            if isinstance(result, ImageError):
                unreadable[i] = result.reason
            else:
                images[i - len(unreadable)] = result.transpose(2, 0, 1)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    return images[: len(paths) - len(unreadable)], unreadable


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    """Return a uint8 array in memory, or over a temporary file that vanishes with it where memory is not the place."""
    if math.prod(shape) <= min(MOST_IN_MEMORY, MOST_OF_MEMORY * _memory()):
        with contextlib.suppress(MemoryError):  # a container may be given less than the machine has
            return np.empty(shape, np.uint8)
    # Reserved now: a disk that fills up under a memory map is a bus error, not an exception.
    reserve = getattr(os, "posix_fallocate", lambda file, _, length: os.truncate(file, length))
    with tempfile.TemporaryFile(prefix="huenet-") as file:
        try:
            reserve(file.fileno(), 0, math.prod(shape))
        except OSError as error:
            need = f"{math.prod(shape) / 2**30:.1f} GiB in {tempfile.gettempdir()}"
            raise DataError(f"the images need {need} ({error.strerror}): set TMPDIR, or a smaller --size") from error
        return np.memmap(file, np.uint8, shape=shape)


def _memory() -> float:
    """Bytes of this machine's memory for each process on it."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows
        return math.inf
    return memory / int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _try(read: Callable, *arguments: Any) -> Any:
    try:
        return _read(read, *arguments)
    except ImageError as error:
        return error


def _read(read: Callable, path: Path, *arguments: Any) -> np.ndarray:
    try:
        return read(path, *arguments)
    except (MemoryError, OSError, ImportError) as error:
        raise _trouble(path, error) from error


def _trouble(path: str | os.PathLike[str], error: Exception) -> DataError:
    why = "out of memory" if isinstance(error, MemoryError) else getattr(error, "strerror", None) or error
    what_to_do = "see to it, or pass fewer --workers, and run again"
    return DataError(f"{printable(path)}: {why}: trouble of this machine, not of the file; {what_to_do}")


def _too_few(folder: Path, found: int, skipped: dict[str, str]) -> str:
    least = 2 * LEAST_VALIDATION
    text = f"--data {printable(folder)}: {found} readable images found, at least {least} are needed"
    if skipped:
        name, reason = next(iter(skipped.items()))
        return f"{text}; {len(skipped)} left out ({printable(name)}: {reason}, ...)"
    return f"{text}; put {', '.join(sorted(SUFFIXES))} files there"

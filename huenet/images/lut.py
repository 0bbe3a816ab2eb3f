"""Colour maps as files: .cube, which video and grading programs read, and HaldCLUT pictures, which photo editors read.

A table is (N, N, N, 3), float, RGB in [0, 1] at equal steps of red, green and blue. Anything wrong with a file is an
`ImageError` whose message is one line.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from pathlib import Path

import numpy as np

from huenet.images.picture import Picture, read_picture, write_picture
from huenet.images.read import ImageError, atomic_open

__all__ = ["HALD", "SUFFIXES", "read_lut", "write_lut"]

SUFFIXES = (".cube", ".png")
HALD = {N * N: N for N in range(2, 17)}  # entries along a side of the table, to the level of the HaldCLUT that has them
LARGEST = 256


def write_lut(path: str | Path, table: np.ndarray, *, title: str = "") -> None:
    """Write a table in the format of the path's suffix; it appears whole or not at all.

    Parameters
    ----------
    path : path
        .cube, as text; or .png, a HaldCLUT of 16 bits, for which N must be a square number: 36, 49, 64, ...
    table : ndarray, (N, N, N, 3)
    title : str
        What a .cube says of itself.

    Raises
    ------
    ImageError
        The table does not fit the format, or the file cannot be written.
    """
    rows = np.ascontiguousarray(table.transpose(2, 1, 0, 3)).reshape(-1, 3)  # red runs fastest, in both formats
    if Path(path).suffix.lower() == ".png":
        if len(table) not in HALD:
            raise ImageError(path, f"a HaldCLUT has a square number of steps a side, such as 64, got {len(table)}")
        side = HALD[len(table)] ** 3
        write_picture(path, Picture(np.rint(rows.reshape(side, side, 3) * 65535).astype(np.uint16)))
        return
    head = [f'TITLE "{" ".join(title.split()).replace(chr(34), chr(39))}"', f"LUT_3D_SIZE {len(table)}"]
    text = "\n".join(
        [*head, "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1", *(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in rows.tolist())]
    )
    try:
        with atomic_open(path, "w") as file:
            file.write(text + "\n")
    except OSError as error:
        raise ImageError(path, f"cannot be written: {error.strerror or error}") from error


def read_lut(path: str | Path) -> np.ndarray:
    """Read a .cube file of a 3-D table over [0, 1], or a HaldCLUT picture of any level from 2 to 16.

    Returns
    -------
    ndarray, (N, N, N, 3)
        float32.

    Raises
    ------
    ImageError
        The file is missing, or no such table.
    """
    if Path(path).suffix.lower() == ".cube":
        return _read_cube(Path(path))
    pixels = read_picture(path).pixels[..., :3]
    side = next((N for N, level in HALD.items() if pixels.shape[:2] == (level**3, level**3)), None)
    if side is None:
        height, width = pixels.shape[:2]
        raise ImageError(path, f"no HaldCLUT: {width} x {height} pixels; 512 x 512 and other cubes are")
    table = pixels.reshape(side, side, side, 3).astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return table.transpose(2, 1, 0, 3)


def _read_cube(path: Path) -> np.ndarray:
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise ImageError(path, (error.strerror or str(error)).lower()) from None
    size, rows = 0, []
    try:
        for line in lines:
            words = line.split()
            if not words or words[0].startswith("#") or words[0] == "TITLE":
                continue
            if words[0] == "LUT_3D_SIZE":
                size = int(words[1])
            elif words[0] in ("DOMAIN_MIN", "DOMAIN_MAX", "LUT_3D_INPUT_RANGE"):
                wanted = {"DOMAIN_MIN": [0.0] * 3, "DOMAIN_MAX": [1.0] * 3, "LUT_3D_INPUT_RANGE": [0.0, 1.0]}[words[0]]
                if [float(word) for word in words[1:]] != wanted:
                    raise ImageError(path, f"{line.strip()}: tables over 0 to 1 are read")
            elif words[0][0].isalpha() and words[0].lower() not in ("nan", "inf"):
                raise ImageError(path, f"{words[0]}: not a 3-D table of colours")
            else:
                rows.append([float(word) for word in words])
        table = np.array(rows, np.float32)
    except ImageError:
        raise
    except (ValueError, IndexError):
        raise ImageError(path, "not a .cube file, or damaged") from None
    if not 2 <= size <= LARGEST:
        raise ImageError(path, f"LUT_3D_SIZE must be from 2 to {LARGEST}, got {size or 'none'}")
    if table.shape != (size**3, 3):
        raise ImageError(path, f"LUT_3D_SIZE {size} needs {size**3} lines of three numbers, got {len(table)}")
    if not np.isfinite(table).all():
        raise ImageError(path, "has numbers that are not finite")
    return table.reshape(size, size, size, 3).transpose(2, 1, 0, 3)

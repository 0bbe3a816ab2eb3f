"""The command line: ``huenet map SOURCE TARGET -o look.cube``."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from huenet._notes import noted
from huenet._parser import Parser, path
from huenet.images.folder import pictures_below
from huenet.images.lut import HALD, SUFFIXES, write_lut
from huenet.images.picture import read_picture
from huenet.images.read import ImageError
from huenet.methods.grid import centres
from huenet.methods.lut import sampled
from huenet.methods.sample import Sample
from huenet.transfer.given import TransferError
from huenet.transfer.methods import Change
from huenet.transfer.options import SUMMARIES, add_options, settings_from
from huenet.transfer.pixel_map import LOOKED_AT
from huenet.transfer.recoloring import find_change, target_copy
from huenet.transfer.sequence import sequence_copy

__all__ = ["main"]

SIZES = {".cube": 33, ".png": 64}


def main(argv: Sequence[str] | None = None) -> int:
    """Find a pair's map, write it, and say what it costs that it is a table. Wrong input: one line and status 2."""
    parser = _parser()
    options = parser.parse_args(argv)
    out: Path = options.out
    if out.suffix.lower() not in SUFFIXES:
        parser.error(f"{out}: the name must end in one of {', '.join(SUFFIXES)}")
    if out.exists() and not options.force:
        parser.error(f"{out} exists; --force replaces")
    size = options.size or SIZES[out.suffix.lower()]
    if size not in (HALD if out.suffix.lower() == ".png" else range(2, 130)):
        parser.error(f"--size must be from 2 to 129, and a square number such as 36 or 64 for .png, got {size}")
    try:
        settings = settings_from(options)
        seen, profile = sequence_copy([frame for path in options.source for frame in _frames(path)])
        goal = target_copy(read_picture(options.target, LOOKED_AT), profile)
        with noted() as notes:
            change = find_change(seen, goal, settings)
        if change is None:
            parser.error(f"nothing to map: {notes[0] if notes else '--strength is 0'}")
        flat = change.flat(seen)
        lut = sampled(flat, size)
        write_lut(out, lut.table, title=f"{options.source[0].name} after {options.target.name}")
    except (ImageError, TransferError) as error:
        parser.error(str(error))
    place, table = _apart(change, flat, seen), _apart(flat, lut, seen)
    print(f"{out}: {size} steps a side, which cost {_told(table)} on the source")
    if place.max() > 0:
        print(f"left out, since it depends on place: {_told(place)}")
    return 0


def _frames(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    names, _ = pictures_below(path)
    if not names:
        raise ImageError(path, "no pictures in this folder")
    return [path / name for name in sorted(names)]


def _apart(one: Change, other: Change, sample: Sample) -> np.ndarray:
    """CIEDE2000 between two maps of a picture, of each of its pixels that counts."""
    place = [centres(size) for size in sample.rgb.shape[1:3]]
    lab = [rgb2lab(change(sample.rgb, *place))[sample.weights > 0] for change in (one, other)]
    return deltaE_ciede2000(*lab)


def _told(differences: np.ndarray) -> str:
    return (
        f"{differences.mean():.2f} dE2000 on average, {np.quantile(differences, 0.99):.2f} for one pixel in a hundred"
    )


def _parser() -> Parser:
    parser = Parser(
        prog="huenet map",
        description="Keep what `huenet transfer` would do to SOURCE after TARGET, as a table of colours that ffmpeg,\n"
        "video and photo editors read: .cube, or a HaldCLUT .png. It holds for pictures in\n"
        "SOURCE's colour profile. What a network does by place is averaged, and the cost of that said.",
        epilog=SUMMARIES + "\n"
        "examples:\n"
        "  huenet map frame.png painting.jpg -o look.cube --method transport\n"
        "  huenet map shot/ painting.jpg -o look.cube\n"
        "  huenet transfer shot/ -o graded/ --map look.cube\n"
        "  ffmpeg -i shot.mp4 -vf lut3d=look.cube -c:a copy graded.mp4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=path, nargs="+", metavar="SOURCE", help="pictures to recolour, or folders: one map for all")
    add("target", type=path, metavar="TARGET", help="picture whose colours to take")
    add("-o", "--out", type=path, required=True, metavar="OUT", help="file to write (.cube, .png)")
    add("--size", type=int, metavar="N", help="steps along a side of the table (default: 33; 64 for .png)")
    add_options(parser)
    add("--force", action="store_true", help="replace what exists at OUT")
    return parser

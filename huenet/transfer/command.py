"""The command line: ``huenet transfer SOURCE TARGET -o OUT``, files and folders."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from huenet._parser import Parser
from huenet.images.picture import OUTPUTS, read_picture, write_picture
from huenet.images.read import ImageError
from huenet.transfer.given import TransferError, mask_of
from huenet.transfer.jobs import Job, JobError, plan
from huenet.transfer.options import SUMMARIES, add_options, settings_from
from huenet.transfer.recoloring import Settings, recolor_picture

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Wrong input: one line and status 2; some files of a folder were skipped: status 1."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        jobs = plan(options.source, options.target, options.out, mask=options.mask, force=options.force)
        settings = settings_from(options, options.seed)
        mask = None if options.mask is None else _mask(options.mask)
        skipped = _run(jobs, mask, settings, force=options.force, strip=options.strip_metadata)
    except (ImageError, JobError, TransferError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "stopped; what is written is whole\n")
    if skipped:
        print(f"{len(skipped)} of {len(jobs)} pictures skipped:", *skipped, sep="\n", file=sys.stderr)
    return 1 if skipped else 0


def _mask(path: Path) -> np.ndarray:
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        mask = mask_of(path)
    for note in notes:
        print(f"note: {path}: {note.message}", file=sys.stderr)
    return mask


def _parser() -> Parser:
    parser = Parser(
        prog="huenet transfer",
        description="Paint SOURCE with the colours of TARGET. Shapes and light stay; hues change.\n"
        "Any size up to 100 megapixels. Depth (8 or 16 bits), colour profile, transparency\n"
        "and metadata (EXIF, XMP, IPTC, resolution, comments) are kept; a TARGET in another\n"
        "colour profile is converted to SOURCE's. Nothing is overwritten without --force.",
        epilog=SUMMARIES + "\n"
        "examples:\n"
        "  huenet transfer rose.jpg sunset.jpg -o red-rose.png\n"
        "  huenet transfer holiday/ painting.jpg -o painted/ --strength 0.7\n"
        "  huenet transfer rose.jpg sunset.jpg -o out.png --run runs/default-20260101-120000\n\n"
        "exit status: 0; 1 where pictures of a folder were skipped; 2 for a wrong request",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="picture to recolour, or a folder of them, with all below it")
    add("target", type=Path, metavar="TARGET", help="picture whose colours to take, or a folder: one for each SOURCE")
    add(
        "-o", "--out", type=Path, required=True, metavar="OUT",
        help=f"file to write ({', '.join(OUTPUTS)}), or a folder where SOURCE or TARGET is one; 16 bits need .png or "
        ".tif, transparency any but .jpg",
    )  # fmt: skip
    add_options(parser)
    add(
        "--mask", type=Path, metavar="FILE",
        help="picture of SOURCE's size: white is recoloured; black, and what is transparent, is kept",
    )  # fmt: skip
    add("--force", action="store_true", help="replace what exists at OUT; SOURCE and TARGET are never replaced")
    add(
        "--strip-metadata", action="store_true",
        help="write pixels and colour profile alone: no EXIF, place, XMP, IPTC, resolution, comments and texts",
    )  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="of the dithering that keeps bands away (default: 0)")
    return parser


def _run(
    jobs: list[Job], mask: np.ndarray | None, settings: Settings, *, force: bool = False, strip: bool = False
) -> list[str]:
    """Do the work; among several pictures a bad file costs itself alone, and why is returned."""
    shared = read_picture(jobs[0].target) if len({job.target for job in jobs}) == 1 else None
    skipped = []
    for job in tqdm(jobs, disable=True if len(jobs) == 1 else None, unit="picture"):  # None: no bar into a log
        try:
            source, target = read_picture(job.source), shared or read_picture(job.target)
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("always")
                recolor_picture(source, target, mask, settings)
                if strip:
                    source.metadata = source.metadata.stripped()
                if job.out.exists() and not force:
                    raise ImageError(job.out, "has appeared meanwhile; --force replaces")
                write_picture(job.out, source)
        except ImageError as error:
            if len(jobs) == 1:
                raise
            skipped.append(str(error))
        else:
            for note in notes:
                print(f"note: {job.source}: {note.message}", file=sys.stderr)
    return skipped

"""The command line: ``huenet transfer SOURCE TARGET -o OUT``, files and folders."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from huenet._memory import ran_out
from huenet._notes import noted
from huenet._parser import Parser, named, path
from huenet._signals import ended_cleanly
from huenet.images.lut import read_lut
from huenet.images.picture import OUTPUTS, Picture, no_quality, read_picture, suffix_of, write_picture
from huenet.images.read import MACHINE, ImageError
from huenet.methods.lut import Lut, sampled
from huenet.transfer.given import TransferError, mask_of
from huenet.transfer.jobs import Job, JobError, Plan, plan
from huenet.transfer.methods import Change
from huenet.transfer.options import OPTIONS, SUMMARIES, add_options, settings_from
from huenet.transfer.pixel_map import LOOKED_AT
from huenet.transfer.recoloring import Settings, find_change, goal_of, paint, recolor_picture, target_copy
from huenet.transfer.sequence import sequence_copy

__all__ = ["main"]


# The machine's trouble, not a picture's: the next one would fail as well
HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, *MACHINE}
LISTED = 20
# Of the map for a sequence: with noise of 2 levels in a static shot, means over 8 x 8 pixels then go up to 2.8 levels
# from frame to frame, 5.6 without; what that costs is 0.5 to 2.2 dE2000
STEPS, NOISE = 33, 12 / 255


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Wrong input: one line and status 2; some files of a folder were skipped: status 1."""
    parser = _parser()
    options = parser.parse_intermixed_args(argv)
    with ended_cleanly(), TemporaryDirectory(prefix="huenet-") as streams:
        try:
            _check_together(options)
            _take_streams(options, Path(streams))
            found = plan(
                options.source, options.target, options.out, mask=options.mask, force=options.force,
                skip_existing=options.skip_existing,
            )  # fmt: skip
            _check_quality(found.jobs, options.quality)
            settings = settings_from(options, options.seed)
            mask = None if options.mask is None else _mask(options.mask)
            skipped = _run(found, mask, settings, options)
            _give_stream(options, Path(streams))
        except (ImageError, JobError, TransferError) as error:
            parser.error(str(error).replace(f"{streams}{os.sep}", ""))
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            parser.error("more memory is needed than there is")
        except KeyboardInterrupt:
            parser.exit(130, "stopped; what is written is whole\n")
    _tell_left_out(found)
    if skipped:
        print(f"{len(skipped)} of {len(found.jobs)} pictures skipped:", *skipped, sep="\n", file=sys.stderr)
    return 1 if skipped else 0


def _check_together(options: argparse.Namespace) -> None:
    """Sort out what may be asked for together; the last picture named is the target, or the map stands for it."""
    if options.map is not None:
        for name in [*OPTIONS, "method", "add_target", "target_weights", "target_mask", "one_map"]:
            if getattr(options, name) not in (None, False, []):
                raise JobError(f"--{name.replace('_', '-')} does nothing with --map, which holds what was found")
        options.target = options.map
        return
    if len(options.source) < 2:
        raise JobError("name SOURCE and TARGET, or --map in place of TARGET")
    options.target = options.source.pop()
    if options.target_weights is not None and not options.add_target:
        raise JobError("--target-weights is for several targets: name the others with --add-target")
    if options.one_map and options.skip_existing:
        raise JobError("--one-map with --skip-existing would find another map for the rest; keep one with huenet map")
    if options.one_map and options.target.is_dir():
        raise JobError("--one-map needs one TARGET for all, not a folder")


@contextmanager
def _noted(what: object) -> Iterator[None]:
    with noted() as notes:
        yield
    for note in notes:
        print(f"note: {what}: {note}", file=sys.stderr)


def _mask(path: Path) -> np.ndarray:
    with _noted(path):
        return mask_of(path)


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
        "  huenet transfer *.jpg painting.jpg -o painted/ --skip-existing\n"
        "  curl -s URL | huenet transfer - sunset.jpg -o - | display\n"
        "  huenet transfer shot/ painting.jpg -o graded/ --one-map\n"
        "  huenet transfer holiday/ -o painted/ --map look.cube\n"
        "  huenet transfer rose.jpg sunset.jpg -o out.png --run runs/default-20260101-120000\n\n"
        "exit status: 0; 1 where pictures of a folder were skipped; 2 for a wrong request",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "source", type=path, nargs="+", metavar="SOURCE",
        help="pictures to recolour, or folders of them, with all below; - is standard input",
    )  # fmt: skip
    add(
        "target", type=path, nargs="?", metavar="TARGET",
        help="picture whose colours to take, or a folder: one for each SOURCE; not with --map",
    )  # fmt: skip
    add(
        "-o", "--out", type=named, required=True, metavar="OUT",
        help=f"file to write ({', '.join(OUTPUTS)}), or a folder where there are several, or where it ends in /; "
        "16 bits need .png or .tif, transparency any but .jpg; - is standard output, in SOURCE's format",
    )  # fmt: skip
    add(
        "--quality", type=_quality, metavar="N|lossless",
        help="of .jpg, .webp and .avif, from 1 to 100 (default: 95; a .webp is lossless where SOURCE is)",
    )  # fmt: skip
    add_options(parser)
    add(
        "--mask", type=path, metavar="FILE",
        help="picture of SOURCE's size: white is recoloured; black, and what is transparent, is kept",
    )  # fmt: skip
    add(
        "--target-mask", type=path, metavar="FILE",
        help="picture of TARGET's size: only what is white in it gives its colours",
    )  # fmt: skip
    add(
        "--add-target", type=path, action="append", default=[], metavar="FILE",
        help="one more picture, whose colours are pooled with TARGET's; may be given again",
    )  # fmt: skip
    add(
        "--target-weights", type=_weights, metavar="N,N,...",
        help="what TARGET and each --add-target count for (default: all the same)",
    )  # fmt: skip
    add(
        "--one-map", action="store_true",
        help="find one map on all SOURCEs together and apply it to each: frames of a film do not flicker",
    )  # fmt: skip
    add(
        "--map", type=path, metavar="FILE",
        help="apply a map that huenet map or another program has written (.cube, HaldCLUT .png), without a TARGET",
    )  # fmt: skip
    add("--force", action="store_true", help="replace what exists at OUT; SOURCE and TARGET are never replaced")
    add("--skip-existing", action="store_true", help="go on with a folder: what exists at OUT stays as it is")
    add(
        "--strip-metadata", action="store_true",
        help="write pixels and colour profile alone: no EXIF, place, XMP, IPTC, resolution, comments and texts",
    )  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="of the dithering that keeps bands away (default: 0)")
    return parser


def _quality(text: str) -> int | str:
    if text == "lossless":
        return text
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 100, or lossless, got {text!r}")
    return int(text)


def _weights(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers with commas between, got {text!r}") from None


def _take_streams(options: argparse.Namespace, folder: Path) -> None:
    """Let files in `folder` stand for standard input and output."""
    names = [*options.source, options.target]
    if names.count(Path("-")) > 1:
        raise JobError("- is standard input and can stand for one picture alone")
    if Path("-") in names:
        file = folder / "standard input"
        with open(file, "wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        options.source = [file if path == Path("-") else path for path in options.source]
        options.target = file if options.target == Path("-") else options.target
    if options.out == "-":
        if len(options.source) > 1 or options.source[0].is_dir() or options.target.is_dir():
            raise JobError("-o - is for one picture; name a folder")
        if sys.stdout.isatty():
            raise JobError("-o - writes a picture to standard output: send it to a file or a program")
        options.out = str(folder / f"standard output{suffix_of(options.source[0])}")


def _give_stream(options: argparse.Namespace, folder: Path) -> None:
    if Path(options.out).parent == folder:
        try:
            with open(options.out, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise JobError(f"standard output: {error.strerror}") from error


def _check_quality(jobs: list[Job], quality: int | str | None) -> None:
    reasons = [f"--quality {quality}: {job.out}: {reason}" for job in jobs if (reason := no_quality(job.out, quality))]
    if reasons and (quality == "lossless" or len(reasons) == len(jobs)):
        raise JobError(reasons[0])


def _tell_left_out(found: Plan) -> None:
    if found.left_out:
        few = [f"{path} ({reason})" for path, reason in [*found.left_out.items()][:LISTED]]
        more = [f"and {len(found.left_out) - LISTED} more"] if len(found.left_out) > LISTED else []
        print(f"note: {len(found.left_out)} left out:", *few, *more, sep="\n  ", file=sys.stderr)
    if found.existing:
        count = f"{len(found.existing)} of {len(found.existing) + len(found.jobs)}"
        print(f"note: {count} exist already and stay as they are", file=sys.stderr)


def _run(found: Plan, mask: np.ndarray | None, settings: Settings, options: argparse.Namespace) -> list[str]:
    """Do the work; among several pictures a bad file costs itself alone, and why is returned."""
    jobs, several = found.jobs, len(found.jobs) + len(found.existing) > 1
    act = _act(jobs, mask, settings, options)
    skipped = []
    for job in tqdm(jobs, disable=True if len(jobs) == 1 else None, unit="picture"):  # None: no bar into a log
        try:
            notes = _recolor(job, act, options)
        except ImageError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in HOPELESS and several:
                raise ImageError(error.path, f"{error.reason}; see to it, and go on with --skip-existing") from error
            if not several:
                raise
            skipped.append(str(error))
        else:
            for note in notes:
                print(f"note: {job.source}: {note}", file=sys.stderr)
    return skipped


def _act(
    jobs: list[Job], mask: np.ndarray | None, settings: Settings, options: argparse.Namespace
) -> Callable[[Job, Picture], None]:
    """What is done to each picture: a map that is known, or found for all, or for each."""
    change: Change | None = None
    if options.map is not None:
        change = Lut(read_lut(options.map))
    elif options.one_map and jobs:
        seen, profile = sequence_copy([job.source for job in jobs])
        goal = target_copy(_goal(options.target, options), profile)
        with _noted("--one-map"):
            change = find_change(seen, goal, settings)
        change = None if change is None else sampled(change.flat(seen), STEPS).calmed(NOISE)
    if options.map is not None or options.one_map:
        return lambda _, source: None if change is None else paint(source, change, mask, settings.seed)
    shared = _goal(jobs[0].target, options) if len({job.target for job in jobs}) == 1 else None
    return lambda job, source: recolor_picture(source, shared or _goal(job.target, options), mask, settings)


def _recolor(job: Job, act: Callable[[Job, Picture], None], options: argparse.Namespace) -> list[str]:
    """Do one job; what there is to note."""
    try:
        source = read_picture(job.source)
        with noted() as notes:
            act(job, source)
            if options.strip_metadata:
                source.metadata = source.metadata.stripped()
            if job.out.exists() and not options.force:
                raise ImageError(job.out, "has appeared meanwhile; --force replaces")
            quality = None if no_quality(job.out, options.quality) else options.quality
            write_picture(job.out, source, quality)
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise ImageError(job.source, "needs more memory than there is") from None
    return notes


def _goal(path: Path, options: argparse.Namespace) -> Picture:
    """A target, and what is added to it, as what is looked at: no two large pictures are in memory at once."""
    mask = None if options.target_mask is None else _mask(options.target_mask)
    goal = goal_of([read_picture(path, LOOKED_AT if mask is None else None)], [mask])
    if not options.add_target:
        return goal
    more = [goal_of([read_picture(other, LOOKED_AT)], [None]) for other in options.add_target]
    return goal_of([goal, *more], [None] * (1 + len(more)), options.target_weights)

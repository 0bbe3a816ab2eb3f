"""Recolour pictures: ``python -m huenet.transfer SOURCE TARGET -o OUT``, or `recolor` from Python."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from huenet._parser import Parser
from huenet.images import SUFFIXES, ImageError
from huenet.methods import METHODS, apply_map, pixel_map, small_copy
from huenet.picture import OUTPUTS, Picture, in_profile, read_picture, write_picture

if TYPE_CHECKING:
    from huenet.networks import Generator

__all__ = ["TransferError", "main", "recolor"]


class TransferError(ValueError):
    """A request that cannot be met; the message is one line that says what to do."""


def recolor(
    source: Any,
    target: Any,
    *,
    method: str | None = None,
    run: str | Path | None = None,
    strength: float = 1.0,
    mask: Any = None,
    smooth: float = 8.0,
    seed: int = 0,
) -> Any:
    """Paint one picture with the colours of another.

    Parameters
    ----------
    source, target : ndarray (H, W, 3 or 4) or PIL image
        uint8, uint16, or float in [0, 1]; of any two sizes. A fourth channel is transparency: what it hides does not
        count, and the source's is kept. Colour profiles of PIL images are honoured.
    method : {"huenet", "optimize", "transport", "reinhard"}, optional
        A trained network; gradient descent on this pair; optimal transport of hue; statistics in l-alpha-beta. All but
        "reinhard" change hue alone. By default "huenet".
    run : path, optional
        For "huenet": a run folder of ``huenet.train``; without it, the weights that come with the package.
    strength : float
        From 0, the source, to 1, the full effect; mixed in RGB.
    mask : array (H, W) or PIL image, optional
        0 keeps a pixel, full scale (255, 65535, 1.0 or True) recolours it. What the mask keeps does not count among the
        source's colours.
    smooth : float
        For "transport": smoothing over hue, in 256ths of the hue circle. More is more coherent, less is closer to the
        target's colours.
    seed : int
        Of the dithering, which keeps 8- and 16-bit results from banding.

    Returns
    -------
    ndarray or PIL image, as `source`
        The recoloured source. A grey source or a grey target leaves it as it is, with a warning ("reinhard"
        excepted); a target of one hue gives a picture near that hue.

    Raises
    ------
    ValueError
        An argument is of the wrong kind, shape or range, or holds NaN; or the run has no weights, or they do not fit.
    """
    settings = _settings(method, run, strength, smooth, seed)
    result, goal = _picture(source, "source"), _picture(target, "target")
    _recolor(result, goal, None if mask is None else _mask(mask), settings)
    if not isinstance(source, Image.Image):
        return result.pixels
    image = Image.fromarray(result.pixels)
    image.info.update(source.info)
    return image


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Wrong input: one line and status 2; some files of a folder were skipped: status 1."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        jobs = _jobs(options)
        settings = _settings(options.method, options.run, options.strength, options.smooth, options.seed)
        mask = None if options.mask is None else read_picture(options.mask).pixels[..., 0]
        skipped = _run(jobs, mask, settings)
    except (ImageError, TransferError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "stopped; what is written is whole\n")
    if skipped:
        print(f"{len(skipped)} of {len(jobs)} pictures skipped:", *skipped, sep="\n", file=sys.stderr)
    return 1 if skipped else 0


@dataclass(frozen=True)
class _Settings:
    method: str
    generator: Generator | None
    strength: float
    smooth: float
    seed: int


def _settings(method: str | None, run: str | Path | None, strength: float, smooth: float, seed: int) -> _Settings:
    method = method or "huenet"
    if method not in METHODS:
        raise TransferError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if run is not None and method != "huenet":
        raise TransferError(f"--run is for method huenet, got {method}; leave one of them out")
    for name, value, most in (("strength", strength, 1), ("smooth", smooth, 256)):
        if not 0 <= value <= most:
            raise TransferError(f"{name} must be from 0 to {most}, got {value}")
    if seed < 0:
        raise TransferError(f"seed must be at least 0, got {seed}")
    generator = None
    if method == "huenet":
        # here, because the other methods do without torch, which takes seconds to import
        from huenet.checkpoint import CheckpointError
        from huenet.inference import SHIPPED, load_generator

        try:
            generator, _ = load_generator(SHIPPED if run is None else run)
        except CheckpointError as error:
            raise TransferError(str(error)) from error
    return _Settings(method, generator, strength, smooth, seed)


def _recolor(source: Picture, target: Picture, mask: np.ndarray | None, settings: _Settings) -> None:
    """Recolour `source` in place."""
    if mask is not None and mask.shape != source.pixels.shape[:2]:
        sizes = ["{1} x {0}".format(*shape) for shape in (mask.shape, source.pixels.shape)]
        raise TransferError(f"the mask has {sizes[0]} pixels and the source {sizes[1]}; make them equal")
    small, goal = small_copy(source.pixels, mask), small_copy(target.pixels)
    if source.profile != target.profile:
        rgb = in_profile(np.rint(goal.rgb * 255).astype(np.uint8), target.profile, source.profile)
        goal.rgb = rgb.astype(np.float32) / 255
    for name, copy in (("source", small), ("target", goal)):
        if not (copy.weights.any() if settings.method == "reinhard" else copy.has_colour()):
            warnings.warn(f"the {name} has no colour: the source stays as it is", stacklevel=3)
            return
    change = pixel_map(settings.method, small, goal, smooth=settings.smooth, generator=settings.generator)
    apply_map(source.pixels, change, strength=settings.strength, mask=mask, seed=settings.seed)


def _picture(picture: Any, name: str) -> Picture:
    """A copy of a caller's picture, checked."""
    profile = None
    if isinstance(picture, Image.Image):
        profile = picture.info.get("icc_profile")
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    pixels = np.array(picture)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or not pixels.size:
        raise TransferError(f"{name} must have the shape (H, W, 3) or (H, W, 4), got {pixels.shape}")
    _check_range(pixels, name)
    return Picture(pixels, profile)


def _mask(mask: Any) -> np.ndarray:
    values = np.asarray(mask.convert("L") if isinstance(mask, Image.Image) else mask)
    values = values.astype(np.float32) if values.dtype == bool else values
    _check_range(values, "mask")
    return values


def _check_range(values: np.ndarray, name: str) -> None:
    if values.dtype in (np.uint8, np.uint16):
        return
    if not np.issubdtype(values.dtype, np.floating):
        raise TransferError(f"{name} must be uint8, uint16 or float, got {values.dtype}")
    if not (values.min() >= 0 and values.max() <= 1):  # NaN fails too
        raise TransferError(f"{name} must lie in [0, 1], got values from {values.min():g} to {values.max():g}")


def _parser() -> Parser:
    parser = Parser(
        prog="huenet.transfer",
        description="Paint SOURCE with the colours of TARGET. Shapes and light stay; hues change.",
        epilog="examples:\n"
        "  huenet transfer rose.jpg sunset.jpg -o red-rose.png\n"
        "  huenet transfer holiday/ painting.jpg -o painted/ --strength 0.7\n"
        "  huenet transfer rose.jpg sunset.jpg -o out.png --run runs/default-20260101-120000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="picture to recolour, or a folder of them")
    add("target", type=Path, metavar="TARGET", help="picture whose colours to take, or a folder: one for each source")
    add(
        "-o", "--out", type=Path, required=True, metavar="OUT",
        help=f"file to write ({', '.join(OUTPUTS)}), or a folder where SOURCE or TARGET is one",
    )  # fmt: skip
    add(
        "--method", choices=METHODS,
        help="huenet: a trained network; transport: hues moved the least way, instant; optimize: descent on this pair, "
        "seconds; reinhard: statistics, light changes too (default: huenet)",
    )  # fmt: skip
    add(
        "--run",
        type=Path,
        metavar="FOLDER",
        help="run folder of huenet.train, for huenet (default: weights that come with it)",
    )
    add("--strength", type=float, default=1.0, metavar="0..1", help="how much of the effect (default: 1)")
    add("--mask", type=Path, metavar="FILE", help="picture of SOURCE's size: white is recoloured, black is kept")
    add(
        "--smooth", type=float, default=8.0, metavar="N",
        help="for transport: more keeps near hues together, 0 follows TARGET to the letter (default: 8)",
    )  # fmt: skip
    add("--force", action="store_true", help="replace OUT where it exists")
    add("--seed", type=int, default=0, help="of the dithering (default: 0)")
    return parser


@dataclass(frozen=True)
class _Job:
    source: Path
    target: Path
    out: Path


def _jobs(options: argparse.Namespace) -> list[_Job]:
    """Which picture goes where; everything that can be known to go wrong is said before anything is written."""
    source, target, out = options.source, options.target, options.out
    sources, targets = _files(source, out), _files(target, out)
    if options.mask and source.is_dir():
        raise TransferError("--mask is for one SOURCE file, not for a folder")
    if source.is_dir() and target.is_dir() and len(sources) != len(targets):
        raise TransferError(
            f"{source} has {len(sources)} pictures and {target} {len(targets)}: they are paired in order of name, so "
            "give as many, or one TARGET for all"
        )
    folder = source.is_dir() or target.is_dir()
    if folder and out.is_file():
        raise TransferError(f"{out} is a file; for a folder of pictures -o must name a folder")
    if folder or out.is_dir():
        base = source if source.is_dir() else target if target.is_dir() else source.parent
        names = [path.relative_to(base) for path in (sources if source.is_dir() or not folder else targets)]
        outs = [out / (name if name.suffix.lower() in OUTPUTS else name.with_suffix(".png")) for name in names]
    else:
        outs = [out]
    count = len(outs)
    sources, targets = sources * (count // len(sources)), targets * (count // len(targets))
    _check_outputs(outs, {path.resolve() for path in (*sources, *targets)}, options.force)
    return [_Job(*job) for job in zip(sources, targets, outs, strict=True)]


def _files(path: Path, out: Path) -> list[Path]:
    """The pictures of a folder by name, without results of earlier runs; or the one file."""
    if not path.exists():
        raise TransferError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and out not in p.parents)
    if not found:
        raise TransferError(f"{path}: no pictures in this folder")
    return found


def _check_outputs(outs: list[Path], inputs: set[Path], force: bool) -> None:
    for out in outs:
        if out.suffix.lower() not in OUTPUTS:
            raise TransferError(f"{out}: the name must end in one of {', '.join(OUTPUTS)}")
        if out.resolve() in inputs:
            raise TransferError(f"{out} is one of the pictures read; name another -o, so that nothing is lost")
    twice = {out for out in outs if outs.count(out) > 1} if len(set(outs)) < len(outs) else ()
    if twice:
        raise TransferError(f"{min(twice)} would be written more than once; give the sources different names")
    existing = [out for out in outs if out.exists()]
    if existing and not force:
        rest = len(existing) - 1
        raise TransferError(f"{existing[0]} {f'and {rest} more exist' if rest else 'exists'}; --force replaces")


def _run(jobs: list[_Job], mask: np.ndarray | None, settings: _Settings) -> list[str]:
    """Do the work; among several pictures a bad file costs itself alone, and why is returned."""
    skipped = []
    for job in tqdm(jobs, disable=len(jobs) == 1, unit="picture"):
        try:
            source = read_picture(job.source)
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("always")
                _recolor(source, read_picture(job.target), mask, settings)
            write_picture(job.out, source)
        except ImageError as error:
            if len(jobs) == 1:
                raise
            skipped.append(str(error))
        else:
            for note in notes:
                print(f"note: {job.source}: {note.message}", file=sys.stderr)
    return skipped


if __name__ == "__main__":
    sys.exit(main())

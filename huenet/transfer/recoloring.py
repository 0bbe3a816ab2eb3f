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
from huenet.images.picture import OUTPUTS, Picture, in_profile, pixels_of, read_picture, write_picture
from huenet.images.read import ImageError
from huenet.transfer.jobs import Job, JobError, plan
from huenet.transfer.pixel_map import METHODS, apply_map, pixel_map, small_copy

if TYPE_CHECKING:
    from huenet.model.networks import Generator

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
        count, and the source's is kept. PIL images of any 8-bit mode come back as RGB or RGBA; a target in another
        colour profile than the source is converted to the source's (no profile is sRGB).
    method : {"huenet", "optimize", "transport", "reinhard"}, optional
        A trained network; gradient descent on this pair; optimal transport of hue; statistics in l-alpha-beta. All but
        "reinhard" change hue alone. By default "huenet".
    run : path, optional
        For "huenet": a run folder of ``huenet.train``; without it, the weights that come with the package.
    strength : float
        From 0, the source, to 1, the full effect; mixed in RGB.
    mask : array (H, W) or PIL image, optional
        0, or transparent, keeps a pixel, full scale (255, 65535, 1.0 or True) recolours it. What the mask keeps does
        not count among the source's colours.
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
    return _image(result, source)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Wrong input: one line and status 2; some files of a folder were skipped: status 1."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        jobs = plan(options.source, options.target, options.out, mask=options.mask, force=options.force)
        settings = _settings(options.method, options.run, options.strength, options.smooth, options.seed)
        mask = None if options.mask is None else _mask_of(read_picture(options.mask).pixels)
        skipped = _run(jobs, mask, settings, options.force)
    except (ImageError, JobError, TransferError) as error:
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
        from huenet.model.checkpoint import CheckpointError
        from huenet.model.inference import SHIPPED, load_generator

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
    if isinstance(picture, Image.Image):
        _check_mode(picture, name)
        return Picture(*pixels_of(picture))
    pixels = np.array(picture)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or not pixels.size:
        raise TransferError(f"{name} must have the shape (H, W, 3) or (H, W, 4), got {pixels.shape}")
    _check_range(pixels, name)
    return Picture(pixels)


def _image(result: Picture, source: Image.Image) -> Image.Image:
    """A result as a PIL image with what else `source` says; palettes and profiles that are gone are not mentioned."""
    image = Image.fromarray(result.pixels)
    image.info.update({key: value for key, value in source.info.items() if key not in ("icc_profile", "transparency")})
    if result.profile:
        image.info["icc_profile"] = result.profile
    return image


def _mask(mask: Any) -> np.ndarray:
    if isinstance(mask, Image.Image):
        _check_mode(mask, "mask")
        return _mask_of(pixels_of(mask)[0])
    values = np.asarray(mask)
    values = values.astype(np.float32) if values.dtype == bool else values
    _check_range(values, "mask")
    return values


def _mask_of(pixels: np.ndarray) -> np.ndarray:
    """A mask from a picture: white recolours; black, and what is transparent, is kept."""
    values = pixels[..., :3].max(axis=2)
    return np.minimum(values, pixels[..., 3]) if pixels.shape[2] == 4 else values


def _check_mode(image: Image.Image, name: str) -> None:
    if image.mode == "F" or image.mode.startswith("I"):
        raise TransferError(f"{name} is a PIL image of mode {image.mode}, not of 8 bits; give it as an array")


def _check_range(values: np.ndarray, name: str) -> None:
    if values.dtype in (np.uint8, np.uint16):
        return
    if not np.issubdtype(values.dtype, np.floating):
        raise TransferError(f"{name} must be uint8, uint16 or float, got {values.dtype}")
    if not (values.min() >= 0 and values.max() <= 1):  # NaN fails too
        raise TransferError(f"{name} must lie in [0, 1], got values from {values.min():g} to {values.max():g}")


def _parser() -> Parser:
    parser = Parser(
        prog="huenet transfer",
        description="Paint SOURCE with the colours of TARGET. Shapes and light stay; hues change.\n"
        "Any size up to 100 megapixels. Depth (8 or 16 bits), EXIF, colour profile and\n"
        "transparency are kept; a TARGET in another colour profile is converted to\n"
        "SOURCE's. Nothing is overwritten without --force.",
        epilog="methods:\n"
        "  huenet     a trained network, which sees where a colour lies; seconds\n"
        "  optimize   gradient descent of the paper's losses on this pair; about a second\n"
        "  transport  one map of hues, which moves them the least way; instant\n"
        "  reinhard   mean and spread of light and colour: light changes; instant\n\n"
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
    add("--method", choices=METHODS, help="how, see below (default: huenet)")
    add(
        "--run", type=Path, metavar="FOLDER",
        help="for huenet: run folder of huenet train (default: the weights that come with the package)",
    )  # fmt: skip
    add("--strength", type=float, default=1.0, metavar="0..1", help="how much of the effect (default: 1)")
    add(
        "--mask", type=Path, metavar="FILE",
        help="picture of SOURCE's size: white is recoloured; black, and what is transparent, is kept",
    )  # fmt: skip
    add(
        "--smooth", type=float, default=8.0, metavar="N",
        help="for transport: 0 follows TARGET to the letter; more, up to 256, keeps near hues together, where one "
        "surface comes out in several colours (default: 8)",
    )  # fmt: skip
    add("--force", action="store_true", help="replace what exists at OUT; SOURCE and TARGET are never replaced")
    add("--seed", type=int, default=0, metavar="N", help="of the dithering that keeps bands away (default: 0)")
    return parser


def _run(jobs: list[Job], mask: np.ndarray | None, settings: _Settings, force: bool) -> list[str]:
    """Do the work; among several pictures a bad file costs itself alone, and why is returned."""
    shared = read_picture(jobs[0].target) if len({job.target for job in jobs}) == 1 else None
    skipped = []
    for job in tqdm(jobs, disable=True if len(jobs) == 1 else None, unit="picture"):  # None: no bar into a log
        try:
            source, target = read_picture(job.source), shared or read_picture(job.target)
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("always")
                _recolor(source, target, mask, settings)
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

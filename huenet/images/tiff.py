"""TIFF where Pillow falls short: 16 bits a sample read as they are, and 16-bit colour, EXIF and deflate written."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math
import os
import zlib
from typing import IO

import numpy as np
import tifffile
from PIL import Image, TiffImagePlugin, TiffTags

__all__ = ["LAYOUT", "kind_of", "read_deep", "write"]

SUB_IFDS = (0x8769, 0x8825)  # Exif and GPS
# What a TIFF says of its own layout, which Pillow lists among the EXIF: sizes, strips, tiles, samples, XMP, ICC
LAYOUT = {*range(254, 263), 266, 273, 277, 278, 279, 284, 317, *range(320, 326), 330, 338, 339, 347, 700, 34675}
MOST_SAMPLES = 400_000_000  # in one page, or one tile of it: RGBA of the largest pictures that are read
BAND = 256  # rows that are worked on at a time


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What the samples of a TIFF are, in a few words; None for a file that is none."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            return f"{page.photometric.name} of type {page.dtype}"
    except Exception:  # whatever else it may be
        return None


def read_deep(path: str | os.PathLike[str]) -> np.ndarray:
    """The first page of a TIFF of 16-bit grey or RGB: (H, W, 1 to 4), uint16, 0 for black, alpha not multiplied in.

    Raises
    ------
    ValueError
        The samples are of another kind (CMYK, signed, floating point), or more than `MOST_SAMPLES`.
    """
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        if page.dtype != np.uint16 or page.photometric.name not in ("MINISWHITE", "MINISBLACK", "RGB"):
            raise ValueError(f"{page.photometric.name} of type {page.dtype}; of 16 bits, RGB and grey are read")
        # whoever called has looked at width and height; a header may name a depth, or a tile, that is larger
        if max(page.size, math.prod(page.chunks)) > MOST_SAMPLES:
            raise ValueError(f"too large: more than {MOST_SAMPLES} samples")
        pixels = page.asarray()
        if page.axes == "SYX":  # one plane after the other
            pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
        pixels = pixels.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
        colours = 3 if page.photometric.name == "RGB" else 1
        extra = page.extrasamples[0].name if page.extrasamples else None
        white_is_0 = page.photometric.name == "MINISWHITE"
    if white_is_0:
        pixels[..., :colours] = 65535 - pixels[..., :colours]
    if extra == "ASSOCALPHA":
        for top in range(0, len(pixels), BAND):
            band = pixels[top : top + BAND]
            alpha = band[..., colours, None]
            share = band[..., :colours] / np.maximum(alpha, 1.0)
            band[..., :colours] = np.rint(65535 * share.clip(0, 1))
    return pixels[..., : colours + (extra in ("ASSOCALPHA", "UNASSALPHA"))]


def write(file: IO[bytes], pixels: np.ndarray, *, profile: bytes | None = None, exif: bytes | None = None) -> None:
    """Write RGB or RGBA of 8 or 16 bits (H, W, 3 or 4): deflated strips after a directory of Pillow's."""
    height, width, channels = pixels.shape
    rows = max(1, 2**18 // width)
    samples = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    strips = [zlib.compress(samples[i : i + rows].data, 6) for i in range(0, height, rows)]
    lengths = [len(strip) for strip in strips]
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    ifd.tagtype[273] = ifd.tagtype[279] = TiffTags.LONG
    if exif:
        tags = Image.Exif()
        tags.load(exif)
        for tag, value in tags.items():
            ifd[tag] = dict(tags.get_ifd(tag)) if tag in SUB_IFDS else value
    ifd[256], ifd[257], ifd[258], ifd[259] = width, height, (8 * samples.itemsize,) * channels, 8  # deflate
    ifd[262], ifd[277], ifd[278] = 2, channels, rows  # RGB
    ifd[273], ifd[279] = tuple(starts), tuple(lengths)  # Pillow adds the directory's own length to the starts
    if channels == 4:
        ifd[338] = 2  # alpha that is not multiplied into the colours
    if profile:
        ifd[34675] = profile
    ifd.save(file)
    for strip in strips:
        file.write(strip)

"""TIFF where Pillow falls short: 16 bits a sample read as they are, and metadata, 16 bits and deflate written."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math
import os
import struct
import zlib
from typing import IO

import numpy as np
import tifffile

from huenet.images import exif
from huenet.images.metadata import IPTC, IPTC_RESOURCE, LAYOUT, RESOURCES, XMP, Metadata, resources

__all__ = ["kind_of", "read_deep", "write"]

PROFILE = 0x8773
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


def write(file: IO[bytes], pixels: np.ndarray, *, profile: bytes | None = None, metadata: Metadata) -> None:
    """Write RGB or RGBA of 8 or 16 bits (H, W, 3 or 4): its EXIF block, deflated strips, and a directory behind them.

    So nothing in the block moves, and no more than a strip is in memory.
    """
    height, width, channels = pixels.shape
    rows = max(1, 2**16 // width)
    block = metadata.exif or exif.EMPTY["<"]
    order = exif.order_of(block)
    file.write(block)
    starts, lengths = [], []
    for top in range(0, height, rows):
        band = np.ascontiguousarray(pixels[top : top + rows], f"{order}u{pixels.itemsize}")
        strip = zlib.compress(band.data, 6)
        starts.append(file.tell())
        lengths.append(file.write(strip))

    def numbers(kind: int, *values: int) -> exif.Tag:
        return exif.Tag(kind, struct.pack(f"{order}{len(values)}{'H' if kind == exif.SHORT else 'I'}", *values))

    changes: dict[int, exif.Tag | None] = {
        **dict.fromkeys(LAYOUT),
        256: numbers(exif.LONG, width),
        257: numbers(exif.LONG, height),
        258: numbers(exif.SHORT, *[8 * pixels.itemsize] * channels),
        259: numbers(exif.SHORT, 8),  # deflate
        262: numbers(exif.SHORT, 2),  # RGB
        273: numbers(exif.LONG, *starts),
        277: numbers(exif.SHORT, channels),
        278: numbers(exif.LONG, rows),
        279: numbers(exif.LONG, *lengths),
        338: numbers(exif.SHORT, 2) if channels == 4 else None,  # alpha that is not multiplied into the colours
    }
    photoshop = metadata.photoshop or b""
    iptc = b"".join(data for number, data, _ in resources(photoshop) if number == IPTC_RESOURCE)
    for tag, data in ((XMP, metadata.xmp), (RESOURCES, photoshop), (IPTC, iptc), (PROFILE, profile)):
        changes[tag] = exif.Tag(exif.BYTE if tag in (XMP, RESOURCES) else exif.UNDEFINED, data) if data else None
    tail, first = exif.appendix(block, changes, file.tell())
    file.write(tail)
    file.seek(4)
    file.write(struct.pack(order + "I", first))

"""What a picture file says besides its pixels: read from each format, and fitted to what another one holds.

    EXIF        every format that is written; GPS and maker notes with it
    XMP         every format (the ratings and edits of photo programs)
    resolution  JPEG, PNG and TIFF; in EXIF elsewhere
    comments    JPEG and PNG; as EXIF's description elsewhere
    texts       PNG; those that EXIF has a tag for elsewhere
    IPTC        JPEG and TIFF, among the resources of Photoshop

What a format cannot hold is left out, and said.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from huenet.images import exif

__all__ = ["LAYOUT", "Metadata", "fitted", "jpeg_segments", "png_chunks", "read", "resources"]

XMP, RESOURCES, IPTC, LAYERS = 0x02BC, 0x8649, 0x83BB, 0x935C  # tags of TIFF
# What a TIFF says of its own layout: sizes, strips, tiles, samples, the profile of their colours
LAYOUT = frozenset((*range(254, 263), 266, 273, 277, 278, 279, 284, 288, 289, 317, *range(320, 326), 330, 338, 339,
                    340, 341, 347, *range(512, 522), *range(529, 533), 34675))  # fmt: skip
# resources of Photoshop that tell what was: thumbnails, the profile, EXIF and XMP
IPTC_RESOURCE = 0x0404
STALE = (1033, 1036, 1039, 1058, 1059, 1060)
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP")
SRGB_GAMMA = struct.pack(">I", 45455)
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
XMP_CHUNK = b"XML:com.adobe.xmp"
LARGEST_TEXT = 2**24  # of a compressed one
TEXT_TAGS = {"Description": 0x010E, "Software": 0x0131, "Author": 0x013B, "Copyright": 0x8298}
DESCRIPTION = 0x010E
SEGMENT = 65_533  # bytes that one of JPEG's holds
XMP_SEGMENT, MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP_SEGMENT = b"Photoshop 3.0\0"
# of other segments: the format's own, the profile, and what speaks of pictures that are not written
PASSED = (b"JFIF", b"JFXX", b"Exif\0\0", XMP_SEGMENT, b"ICC_PROFILE\0", b"MPF\0", b"FPXR\0", b"Adobe", b"Ducky")
NAMES = {"WEBP": "WebP", "HEIF": "HEIC"}


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels, as bytes wherever that is how it lies there.

    Attributes
    ----------
    exif : bytes or None
        A block of `huenet.images.exif`.
    xmp : bytes or None
    more_xmp : tuple of bytes
        JPEG's further segments of it.
    photoshop : bytes or None
        Photoshop's image resources, in which IPTC lies.
    dpi : tuple of float or None
        Pixels an inch, across and down.
    comments : tuple of bytes
    texts, colour : tuple of (name, data)
        Chunks of a PNG: texts, and what its numbers mean (gamma, primaries).
    lost : tuple of str
        What could not be read.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    more_xmp: tuple[bytes, ...] = ()
    photoshop: bytes | None = None
    dpi: tuple[float, float] | None = None
    comments: tuple[bytes, ...] = ()
    texts: tuple[tuple[bytes, bytes], ...] = ()
    colour: tuple[tuple[bytes, bytes], ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def orientation(self) -> int:
        """How the picture is turned, 1 to 8: as EXIF says, or else XMP."""
        found = exif.orientation(self.exif) if self.exif else None
        named = re.search(rb'tiff:Orientation(?:="|>)([1-8])', self.xmp or b"")
        return found or (int(named[1]) if named else 1)

    def upright(self) -> Metadata:
        """The same of the picture turned upright."""
        orientation, dpi = self.orientation, self.dpi
        block = exif.upright(self.exif, orientation) if self.exif else None
        xmp = re.sub(rb'(tiff:Orientation(?:="|>))[1-8]', rb"\g<1>1", self.xmp) if self.xmp else None
        return replace(self, exif=block, xmp=xmp, dpi=dpi[::-1] if dpi and orientation >= 5 else dpi)

    def stripped(self) -> Metadata:
        """Nothing but what the numbers of the pixels mean."""
        return Metadata(colour=self.colour)


def read(path: Path, image: Image.Image) -> Metadata:
    """What the file of an opened image says; damage costs what is damaged alone."""
    info = image.info
    if image.format in ("JPEG", "MPO"):
        found = _of_jpeg(image)
    elif image.format == "PNG":
        found = _of_png(path)
    elif image.format == "TIFF":
        found = _of_tiff(path, image)
    else:
        comment = info.get("comment") or b""
        comment = comment.encode() if isinstance(comment, str) else comment
        comments, depth = (comment,) if comment else (), _depth(path, image)
        lost = (f"{depth - 8} of {depth} bits a sample",) if depth > 8 else ()
        found = Metadata(info.get("exif"), info.get("xmp"), dpi=info.get("dpi"), comments=comments, lost=lost)
    try:
        block = (found.exif or b"").removeprefix(b"Exif\0\0") or None
        if block and info.get("original_orientation"):  # of a HEIC, whose pixels come turned
            block = exif.upright(block, info["original_orientation"])
        resolution = exif.resolution(block) if block else None
        block = None if block and not exif.tags(block) else block
    except ValueError:
        return replace(found, exif=None, lost=(*found.lost, "EXIF, which is damaged"))
    return replace(found, exif=block, dpi=found.dpi or resolution)


def fitted(metadata: Metadata, kind: str) -> tuple[Metadata, list[str]]:
    """What a format, by Pillow's name for it, holds of the metadata, moved to where it does; and what is left out."""
    name, lost = NAMES.get(kind, kind), list(metadata.lost)
    block, texts, comments = metadata.exif or exif.EMPTY["<"], metadata.texts, metadata.comments

    def describe(tag: int, text: bytes) -> bool:
        nonlocal block
        held = exif.tags(block).get(tag)
        if held is None:
            block = exif.edited(block, {tag: exif.Tag(exif.ASCII, text + b"\0")})
        return held is None or held.value.rstrip(b"\0") == text

    if kind == "PNG":
        texts, comments = (*texts, *(_comment_chunk(comment) for comment in comments)), ()
    else:
        for chunk in texts:
            keyword, text = _text(*chunk)
            if keyword == "Comment":
                comments = (*comments, text)
            elif keyword not in TEXT_TAGS or not describe(TEXT_TAGS[keyword], text):
                lost.append(f"the PNG text {keyword!r}, which {name} does not hold")
        texts = ()
        if kind != "JPEG":
            lost += [f"a comment, which {name} does not hold" for text in comments if not describe(DESCRIPTION, text)]
            comments = ()
        meaning = dict(metadata.colour)
        if not meaning.keys() & {b"sRGB"} and {b"gAMA": SRGB_GAMMA, **meaning} != {b"gAMA": SRGB_GAMMA}:
            lost.append(f"PNG's {', '.join(chunk.decode() for chunk in meaning)}, which {name} does not hold")
    held = exif.resolution(block)
    in_exif = kind not in ("JPEG", "PNG")
    if (
        metadata.dpi
        and in_exif
        and (not held or any(abs(a - b) > 0.01 for a, b in zip(held, metadata.dpi, strict=True)))
    ):
        block = exif.with_resolution(block, metadata.dpi)
    if kind in ("AVIF", "HEIF") and exif.ORIENTATION in exif.tags(block):
        # said in another place there; and Pillow, which writes EXIF anew for it, would lose what is not ASCII
        block = exif.edited(block, {exif.ORIENTATION: None})
    if metadata.photoshop and kind not in ("JPEG", "TIFF"):
        lost.append(f"IPTC and resources of Photoshop, which {name} does not hold")
    if metadata.more_xmp and kind != "JPEG":
        lost.append(f"the further parts of XMP, which {name} does not hold")
    result = replace(metadata, exif=block if exif.tags(block) else None, texts=texts, comments=comments)
    if kind == "JPEG" and len(result.exif or b"") + 6 > SEGMENT:
        lost.append("EXIF, which is more than JPEG holds")
        result = replace(result, exif=None)
    if kind == "JPEG" and len(XMP_SEGMENT + (result.xmp or b"")) > SEGMENT:
        lost.append("XMP, which is more than JPEG holds")
        result = replace(result, xmp=None)
    return result, lost


def png_chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Chunks of a PNG, in the order in which they belong before its pixels; without EXIF and resolution."""
    xmp = [(b"iTXt", XMP_CHUNK + bytes(5) + metadata.xmp)] if metadata.xmp else []
    return [*metadata.colour, *xmp, *metadata.texts]


def jpeg_segments(metadata: Metadata) -> bytes:
    """Segments of a JPEG for what Pillow does not write."""
    parts = [(0xED, PHOTOSHOP_SEGMENT + part) for part in _parts(metadata.photoshop or b"", SEGMENT - 14)]
    parts += [(0xE1, part) for part in metadata.more_xmp]
    parts += [(0xFE, part) for comment in metadata.comments for part in _parts(comment, SEGMENT)]
    return b"".join(struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data for marker, data in parts)


def _parts(data: bytes, length: int) -> list[bytes]:
    return [data[start : start + length] for start in range(0, len(data), length)]


def _of_jpeg(image: Image.Image) -> Metadata:
    info = image.info
    segments: list[tuple[str, bytes]] = image.applist  # type: ignore[attr-defined]
    photoshop = b"".join(data[len(PHOTOSHOP_SEGMENT) :] for _, data in segments if data.startswith(PHOTOSHOP_SEGMENT))
    others = [
        marker
        for marker, data in segments
        if marker != "COM" and not data.startswith((*PASSED, MORE_XMP, PHOTOSHOP_SEGMENT))
    ]
    scale = {1: 1.0, 2: 2.54}.get(info.get("jfif_unit", 0))
    return Metadata(
        exif=info.get("exif"),
        xmp=info.get("xmp"),
        more_xmp=tuple(data for _, data in segments if data.startswith(MORE_XMP)),
        photoshop=_lasting(photoshop) or None,
        dpi=tuple(scale * density for density in info["jfif_density"]) if scale else None,
        comments=tuple(data for marker, data in segments if marker == "COM"),
        lost=(f"JPEG's {', '.join(sorted(set(others)))}, whose contents are not known",) if others else (),
    )


def _of_png(path: Path) -> Metadata:
    block, xmp, dpi, texts, colour, lost = None, None, None, [], [], []
    for kind, data in _chunks(path):
        if kind == b"eXIf":
            block = data
        elif kind == b"pHYs" and len(data) == 9 and data[8] == 1:  # pixels a metre
            dpi = tuple(value * 0.0254 for value in struct.unpack(">II", data[:8]))
        elif kind in COLOUR_CHUNKS:
            colour.append((kind, data))
        elif kind in TEXT_CHUNKS:
            try:
                keyword, text = _text(kind, data)
            except (ValueError, IndexError, zlib.error):
                lost.append("a PNG text, which is damaged")
                continue
            if keyword == XMP_CHUNK.decode():
                xmp = text
            elif keyword == "Raw profile type exif":  # as ImageMagick wrote it before PNG had a place for it
                block = block or _raw_profile(text)
            else:
                texts.append((kind, data))
    return Metadata(block, xmp, dpi=dpi, texts=tuple(texts), colour=tuple(colour), lost=tuple(lost))


def _of_tiff(path: Path, image: Image.Image) -> Metadata:
    try:
        block, apart = exif.of_tiff(path, (XMP, RESOURCES, IPTC), (*LAYOUT, LAYERS))
    except ValueError:
        return Metadata(lost=("EXIF, which is damaged",))
    photoshop = _lasting(apart.get(RESOURCES, b""))
    if IPTC in apart and IPTC_RESOURCE not in (number for number, *_ in resources(photoshop)):
        iptc = apart[IPTC]
        photoshop += struct.pack(">4sHHI", b"8BIM", IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    lost = ("Photoshop's layers, which show what was before",) if LAYERS in image.tag_v2 else ()  # type: ignore[attr-defined]
    return Metadata(block, apart.get(XMP), photoshop=photoshop or None, lost=lost)


def _depth(path: Path, image: Image.Image) -> int:
    """Bits a sample of a HEIC or AVIF, which are decoded to 8; 8 of any other."""
    if image.format == "HEIF":
        return image.info.get("bit_depth", 8)
    if image.format != "AVIF":
        return 8
    with open(path, "rb") as file:
        head = file.read(2**16)
    at = head.find(b"pixi")  # version and flags, how many channels, the bits of each
    return max(head[at + 9 : at + 9 + head[at + 8]], default=8) if 0 <= at < len(head) - 9 else 8


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG but those of its pixels and profile."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in (b"eXIf", b"pHYs", *COLOUR_CHUNKS, *TEXT_CHUNKS):
                yield kind, file.read(length)
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)


def _text(kind: bytes, data: bytes) -> tuple[str, bytes]:
    """Keyword and text, UTF-8, of a PNG chunk."""
    keyword, _, text = data.partition(b"\0")
    packed = kind == b"zTXt"
    if packed:
        text = text[1:]
    elif kind == b"iTXt":
        packed = bool(text[0])
        text = text[2:].split(b"\0", 2)[2]
    if packed:
        text = zlib.decompressobj().decompress(text, LARGEST_TEXT)
    return keyword.decode("latin-1"), text if kind == b"iTXt" else text.decode("latin-1").encode()


def _comment_chunk(comment: bytes) -> tuple[bytes, bytes]:
    try:
        comment.decode()
    except ValueError:
        return b"tEXt", b"Comment\0" + comment.replace(b"\0", b"")  # Latin-1, as far as that can be told
    if comment.isascii():
        return b"tEXt", b"Comment\0" + comment.replace(b"\0", b"")
    return b"iTXt", b"Comment" + bytes(5) + comment


def _raw_profile(text: bytes) -> bytes | None:
    """Bytes that ImageMagick wrote as a text: name, length and hexadecimal digits, on lines of their own."""
    try:
        return bytes.fromhex("".join(text.decode().split("\n")[3:])).removeprefix(b"Exif\0\0")
    except ValueError:
        return None


def resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Photoshop's image resources, as far as they can be followed: number, what it holds, and all of its bytes."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        number, name = struct.unpack_from(">HB", data, at + 4)
        body = at + 6 + (name + 2) // 2 * 2  # behind the name and its length, which are even together
        (length,) = struct.unpack(">I", data[body : body + 4].rjust(4, b"\0"))
        end = body + 4 + length + length % 2
        yield number, data[body + 4 : body + 4 + length], data[at:end]
        at = end


def _lasting(data: bytes) -> bytes:
    return b"".join(whole for number, _, whole in resources(data) if number not in STALE)

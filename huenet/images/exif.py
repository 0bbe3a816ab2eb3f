"""EXIF as it is written: looked into, set right where a picture was turned, carried from one format to another.

A block is what JPEG, PNG, WebP and AVIF embed: a small TIFF, whose first directory points to further ones. Values are
never decoded, so that text in any encoding comes out as it went in; and never moved, since maker notes hold offsets
into the block: what changes is appended, with a new first directory.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

__all__ = [
    "EMPTY", "ORIENTATION", "Tag", "appendix", "edited", "of_tiff", "order_of", "orientation", "resolution", "tags",
    "upright", "with_resolution",
]  # fmt: skip

EMPTY = {"<": b"II*\0\x08\0\0\0" + bytes(6), ">": b"MM\0*\0\0\0\x08" + bytes(6)}  # blocks without a tag
ORIENTATION, RESOLUTION, EXIF, GPS, INTEROPERABILITY = 0x0112, (0x011A, 0x011B), 0x8769, 0x8825, 0xA005
SUB_DIRECTORIES = (EXIF, GPS, INTEROPERABILITY)
SIDES = (0x0100, 0x0101)  # what some cameras repeat beside it
PIXELS = (0xA002, 0xA003)  # width and height of the picture, in the directory EXIF
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
UNIT, INCH, CENTIMETRE = 0x0128, 2, 3
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, POINTER, LONG8, POINTER8 = 1, 2, 3, 4, 5, 7, 13, 16, 18
FAR = (POINTER, LONG8, 17, POINTER8)  # places in a file that the block leaves, and whole numbers that EXIF lacks


class Tag(NamedTuple):
    """A value as it is written, in the block's byte order; its kind is TIFF's number of a type."""

    kind: int
    value: bytes


class _Entry(NamedTuple):
    tag: int
    kind: int
    at: int  # where its 12 bytes begin, or 20
    value: int  # where its value begins
    length: int


class _Tiff:
    """Directories of a classic TIFF or a BigTIFF; ValueError for what is none."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data = data
        self.order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
        version = self.unpack("H", 2)[0] if self.order else None
        if version not in (42, 43):
            raise ValueError("no TIFF structure")
        self.big = version == 43
        self.first: int = self.unpack("Q", 8)[0] if self.big else self.unpack("I", 4)[0]

    def unpack(self, layout: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + layout, self.data, at)
        except struct.error:
            raise ValueError(f"nothing at byte {at}") from None

    def directory(self, at: int) -> tuple[list[_Entry], int]:
        """Its entries, but those whose values lie outside of the data; and where it names the next directory."""
        number, entry, head = ("Q", "HHQQ", 8) if self.big else ("H", "HHII", 2)
        width, room = struct.calcsize("<" + entry), 8 if self.big else 4
        (count,) = self.unpack(number, at)
        end = at + head + count * width
        if end > len(self.data):
            raise ValueError("a directory is cut off")
        found = []
        for start in range(at + head, end, width):
            tag, kind, values, place = self.unpack(entry, start)
            length = SIZES.get(kind, 0) * values
            value = start + width - room if length <= room else place
            if length and value + length <= len(self.data):
                found.append(_Entry(tag, kind, start, value, length))
        return found, end

    def tag(self, entry: _Entry) -> Tag:
        return Tag(entry.kind, bytes(self.data[entry.value : entry.value + entry.length]))

    def number(self, entry: _Entry) -> int:
        """Its first value, a whole one; 0 for another kind."""
        layout = {SHORT: "H", LONG: "I", POINTER: "I", LONG8: "Q", POINTER8: "Q"}.get(entry.kind)
        return self.unpack(layout, entry.value)[0] if layout else 0


def _block(block: bytes) -> _Tiff:
    tiff = _Tiff(block)
    if tiff.big:
        raise ValueError("a BigTIFF, which is no EXIF")
    return tiff


def tags(block: bytes) -> dict[int, Tag]:
    """What the first directory of a block holds, without values that lie outside of it.

    Raises
    ------
    ValueError
        It is no EXIF block, or its first directory is cut off.
    """
    tiff = _block(block)
    return {entry.tag: tiff.tag(entry) for entry in tiff.directory(tiff.first)[0]}


def orientation(block: bytes) -> int | None:
    """The EXIF orientation, 1 to 8; None where the block has none."""
    tiff = _block(block)
    numbers = [tiff.number(entry) for entry in tiff.directory(tiff.first)[0] if entry.tag == ORIENTATION]
    return numbers[0] if numbers and 1 <= numbers[0] <= 8 else None


def resolution(block: bytes) -> tuple[float, float] | None:
    """Pixels an inch, across and down; None where the block does not say."""
    tiff = _block(block)
    found = {entry.tag: entry for entry in tiff.directory(tiff.first)[0]}
    pairs = [tiff.unpack("II", found[tag].value) for tag in RESOLUTION if tag in found and found[tag].kind == RATIONAL]
    unit = tiff.number(found[UNIT]) if UNIT in found else INCH
    if len(pairs) < 2 or not all(x and y for x, y in pairs) or unit not in (INCH, CENTIMETRE):
        return None
    across, down = (x / y * (2.54 if unit == CENTIMETRE else 1) for x, y in pairs)
    return across, down


def with_resolution(block: bytes, dpi: tuple[float, float]) -> bytes:
    """The block with another resolution, in pixels an inch."""
    order = _block(block).order
    fractions = (Fraction(value).limit_denominator(10_000) for value in dpi)
    changes: dict[int, Tag | None] = {
        tag: Tag(RATIONAL, struct.pack(order + "II", *fraction.as_integer_ratio()))
        for tag, fraction in zip(RESOLUTION, fractions, strict=True)
    }
    return edited(block, {**changes, UNIT: Tag(SHORT, struct.pack(order + "H", INCH))})


def upright(block: bytes, orientation: int) -> bytes:
    """The block of a picture that had an orientation, once it is turned upright.

    Its orientation is 1; width and height change places where the picture's do, and so do their resolutions. The
    thumbnail, which shows what was before, is left out.
    """
    tiff = _block(block)
    entries, end = tiff.directory(tiff.first)
    changed = bytearray(block)
    pairs, ends, pointers = [(entries, RESOLUTION), (entries, SIDES)], [end + 4, *map(_end, entries)], list(entries)
    try:
        for pointer in pointers:
            if pointer.tag in SUB_DIRECTORIES:
                below, below_end = tiff.directory(tiff.number(pointer))
                ends += [below_end + 4, *map(_end, below)]
            if pointer.tag == EXIF:
                pairs.append((below, PIXELS))
                pointers += [entry for entry in below if entry.tag == INTEROPERABILITY]
    except ValueError:  # a directory further down is damaged: nothing is cut off behind it
        ends.append(len(block))
    for entry in entries:
        if entry.tag == ORIENTATION:
            struct.pack_into(tiff.order + "HIHH", changed, entry.at + 2, SHORT, 1, 1, 0)
    for below, wanted in pairs if orientation >= 5 else []:
        places = [entry.at + 2 for entry in below if entry.tag in wanted]
        if len(places) == 2:
            one, other = (block[place : place + 10] for place in places)
            changed[places[0] : places[0] + 10], changed[places[1] : places[1] + 10] = other, one
    if end + 4 <= len(block) and (thumbnail := tiff.unpack("I", end)[0]):
        changed[end : end + 4] = bytes(4)
        if thumbnail >= max(ends):
            del changed[thumbnail:]
    return bytes(changed)


def _end(entry: _Entry) -> int:
    return entry.value + entry.length


def order_of(block: bytes) -> str:
    """The byte order of a block, as `struct` writes it."""
    return _block(block).order


def edited(block: bytes, changes: Mapping[int, Tag | None]) -> bytes:
    """The block with some tags of its first directory changed, or taken out (None), and no second directory."""
    tail, first = appendix(block, changes, len(block))
    return block[:4] + struct.pack(_block(block).order + "I", first) + block[8:] + tail


def appendix(block: bytes, changes: Mapping[int, Tag | None], at: int) -> tuple[bytes, int]:
    """What a file that begins with the block must have at byte `at` for `edited` tags, and where the directory begins.

    Byte 4 of the file has to name that place then. A classic TIFF is such a file, with its pixels in between.
    """
    tiff = _block(block)
    entries = {entry.tag: block[entry.at : entry.at + 12] for entry in tiff.directory(tiff.first)[0]}
    tail = bytearray(at % 2)
    for tag, change in changes.items():
        entries.pop(tag, None)
        if change is None:
            continue
        kind, value = change
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack(tiff.order + "I", at + len(tail))
            tail += value + bytes(len(value) % 2)
        entries[tag] = struct.pack(tiff.order + "HHI", tag, kind, len(value) // SIZES[kind]) + field
    first = at + len(tail)
    tail += struct.pack(tiff.order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return bytes(tail), first


def of_tiff(
    path: str | os.PathLike[str], apart: Collection[int], without: Collection[int]
) -> tuple[bytes, dict[int, bytes]]:
    """The block of a TIFF or BigTIFF: its first directory, and those that EXIF knows below it.

    Parameters
    ----------
    path : str or path
    apart, without : collections of int
        Tags that the block is not to hold; the values of the former are given beside it.

    Raises
    ------
    ValueError
        It is no TIFF, or a directory is cut off.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tiff = _Tiff(data)
        values = {entry.tag: tiff.tag(entry).value for entry in tiff.directory(tiff.first)[0] if entry.tag in apart}
        block = bytearray(EMPTY[tiff.order][:8])
        first = _copy(tiff, tiff.first, block, (EXIF, GPS), {*apart, *without})
    struct.pack_into(tiff.order + "I", block, 4, first)
    return bytes(block), values


def _copy(tiff: _Tiff, at: int, block: bytearray, pointers: Sequence[int], without: Collection[int] = ()) -> int:
    """Append a directory, and those that the tags `pointers` name, to a block; where it begins."""
    entries = {}
    for entry in tiff.directory(at)[0]:
        if entry.tag in without:
            continue
        kind, value = tiff.tag(entry)
        if entry.tag in pointers:
            below = _copy(tiff, tiff.number(entry), block, (INTEROPERABILITY,) if entry.tag == EXIF else ())
            kind, value = LONG, struct.pack(tiff.order + "I", below)
        elif kind == LONG8 and entry.length == 8 and tiff.number(entry) < 2**32:
            kind, value = LONG, struct.pack(tiff.order + "I", tiff.number(entry))
        elif kind in FAR:
            continue
        entries[entry.tag] = Tag(kind, value)
    tail, first = appendix(EMPTY[tiff.order], entries, len(block))
    block += tail
    return first

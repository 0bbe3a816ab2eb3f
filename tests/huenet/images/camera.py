"""Pictures as a camera and other programs leave them, with all that they say besides their pixels."""

import struct

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin
from scenes import scene

from huenet.images import exif, read

ARTIST = "Jörg Müller © 井上"
MAKER_NOTE = bytes(range(256)) * 3
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmp:Rating="4" xmp:Label="größer" tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'
)


def camera(orientation=1):
    """An EXIF block of Pillow's making: text as UTF-8, a resolution, a place, a maker note."""
    block = Image.Exif()
    block[0x013B], block[0x0112] = ARTIST.encode(), orientation
    block[0x011A] = block[0x011B] = TiffImagePlugin.IFDRational(300)
    block[0x0128] = 2
    below = block.get_ifd(0x8769)
    below[0x829A], below[0x927C] = TiffImagePlugin.IFDRational(1, 125), MAKER_NOTE
    below[0xA002], below[0xA003] = 64, 48
    place = block.get_ifd(0x8825)
    place[1], place[2] = "N", (52.0, 31.0, 12.5)
    return block.tobytes()[6:]


def write_source(path, orientation=1):
    """A picture with EXIF, XMP and a resolution, written by others."""
    image, block, xmp = Image.fromarray(scene(0)), camera(orientation), XMP.format(orientation).encode()
    if path.suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(path, exif=block, pnginfo=info, dpi=(300, 300))
    elif path.suffix == ".tif":
        big, order = "-big" in path.stem, ">" if "-be" in path.stem else "<"
        write_tiff(path, np.asarray(image), xmp, orientation, order, big)
    elif path.suffix == ".heic":
        read.register_heic(path)
        image.save(path, exif=block, xmp=xmp, quality=95)
    elif path.suffix == ".avif" and orientation == 1:  # with it, Pillow writes EXIF anew
        image.save(path, exif=exif.edited(block, {0x0112: None}), xmp=xmp, quality=95)
    else:
        image.save(path, exif=b"Exif\0\0" + block, xmp=xmp, quality=95)
    return path


def write_tiff(path, pixels, xmp, orientation, order, big):
    """A TIFF or BigTIFF of either byte order, laid out by hand, that says the same as `camera`."""
    word, long, place = ("Q", 16, "Q") if big else ("H", 4, "I")
    data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    data += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
    room = 8 if big else 4

    def directory(tags):
        entries = b""
        for tag in sorted(tags):
            kind, count, value = tags[tag]
            if len(value) > room:
                at, _ = len(data), data.extend(value + bytes(len(value) % 2))
                value = struct.pack(order + place, at)
            entries += struct.pack(order + "HH" + place, tag, kind, count) + value.ljust(room, b"\0")
        at = len(data)
        data.extend(struct.pack(order + word, len(tags)) + entries + bytes(room))
        return at

    def pointer(at):
        return long, 1, struct.pack(order + place, at)

    def short(*values):
        return 3, len(values), struct.pack(f"{order}{len(values)}H", *values)

    def ratio(*values):
        return 5, len(values) // 2, struct.pack(f"{order}{len(values)}I", *values)

    artist = ARTIST.encode() + b"\0"
    below = {0x829A: ratio(1, 125), 0x927C: (7, len(MAKER_NOTE), MAKER_NOTE), 0xA002: short(64), 0xA003: short(48)}
    spot = {1: (2, 2, b"N\0"), 2: ratio(52, 1, 31, 1, 25, 2)}
    strip = len(data)
    data += pixels.tobytes()
    first = directory({
        256: short(64), 257: short(48), 258: short(8, 8, 8), 259: short(1), 262: short(2), 273: pointer(strip),
        274: short(orientation), 277: short(3), 278: short(48), 279: pointer(pixels.size), 282: ratio(300, 1),
        283: ratio(300, 1), 296: short(2), 315: (2, len(artist), artist), 700: (1, len(xmp), xmp),
        0x8769: pointer(directory(below)), 0x8825: pointer(directory(spot)),
    })  # fmt: skip
    struct.pack_into(order + place, data, 8 if big else 4, first)
    path.write_bytes(data)

"""Pictures made byte by byte, or by hand, and what is to be read of them."""

import struct
import zlib

import numpy as np

from huenet.images.read import ImageError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners() -> np.ndarray:
    """Four flat quarters, 16 pixels wide and 24 high: red, green / blue, white."""
    image = np.empty((24, 16, 3), np.uint8)
    image[:12, :8], image[:12, 8:], image[12:, :8], image[12:, 8:] = RED, GREEN, BLUE, WHITE
    return image


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# What the camera stored, for each EXIF orientation, when the scene is `corners()` upright (EXIF 2.3, table of tag 274).
STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def assert_one_line(error: ImageError, path) -> None:
    assert "\n" not in str(error)
    assert str(error) == f"{path}: {error.reason}"
    assert str(path) not in error.reason
    assert error.path == str(path)

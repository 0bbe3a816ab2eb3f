"""One image file in, one uint8 RGB array out; and files that appear whole or not at all.

Conventions: an image is uint8, shape (H, W, 3), RGB as stored (embedded colour profiles are not applied). Anything
wrong with a file, from a missing one to a decompression bomb, is an `ImageError` whose message is one line; trouble of
the machine, which says nothing about the file, is not.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from huenet._signals import ended_cleanly
from huenet.images import tiff

__all__ = [
    "FORMATS", "MACHINE", "SUFFIXES", "ImageError", "atomic_open", "opened", "read_image", "read_square",
    "register_heic", "square",
]  # fmt: skip

# Formats that Pillow decodes by itself. The rest stays shut: EPS would start Ghostscript on a stranger's file.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
if features.check("avif"):
    FORMATS += ("AVIF",)
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # kinds of file that telephones write
SUFFIXES = frozenset(
    (
        ".avif",
        ".heic",
        ".heif",
        ".hif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    )
)
ORIENTATION = 274  # the EXIF tag; `ImageOps.exif_transpose` also writes the EXIF anew, and fails on tags that it cannot
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MACHINE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE}  # not the fault of the file
MAX_PIXELS = 80_000_000  # below the size at which Pillow starts to warn of a bomb; 240 MB of RGB


class ImageError(ValueError):
    """A file that could not be read as an image.

    Attributes
    ----------
    path : str
        The file.
    reason : str
        Why, in a few words, without the path.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path, self.reason = os.fspath(path), reason

    def __reduce__(self):  # two arguments, one message: the default would lose the reason on its way out of a process
        return ImageError, (self.path, self.reason)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one image file as 8-bit RGB.

    EXIF rotation is applied, transparency is composited over white, palettes and CMYK are converted, and the first
    frame of an animation is taken. 16-bit greyscale, and RGB in TIFF, is scaled from 0..65535 to 0..255 and rounded; of
    other 16-bit colour, Pillow keeps the high byte, which is the same to within one step of 8 bits.

    Parameters
    ----------
    path : str or path
        A JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000, AVIF or HEIC file, of at most 80 million pixels.

    Returns
    -------
    ndarray
        uint8, shape (H, W, 3).

    Raises
    ------
    ImageError
        The file is missing, no image, truncated, too large or of a kind that has no plain RGB reading: a TIFF of 12
        bits or of signed samples, say.
    MemoryError, OSError, ImportError
        The machine lacks memory, open files (`MACHINE` has the numbers of such errors), a disk that works, imagecodecs.
    """
    return np.array(_open(path))


def read_square(path: str | os.PathLike[str], size: int) -> np.ndarray:
    """Read one image file as in `read_image`, then `square` it.

    Returns
    -------
    ndarray
        uint8, shape (size, size, 3).
    """
    return _square(_open(path, size), size)


def square(image: np.ndarray, size: int) -> np.ndarray:
    """Cut the central square out of an image and resize it (Lanczos).

    The same picture as resizing the shorter side to `size` and cropping the centre, without the long image in between.

    Parameters
    ----------
    image : ndarray
        uint8, shape (H, W, 3).
    size : int
        Side of the result in pixels.

    Returns
    -------
    ndarray
        uint8, shape (size, size, 3).
    """
    return _square(Image.fromarray(image), size)


def opened(path: str | os.PathLike[str]) -> Image.Image:
    """Open a file in one of the formats that are read; as `PIL.Image.open`, which this is, with its errors.

    Raises
    ------
    ImageError
        It is in a format whose reader is not installed.
    """
    with open(path, "rb") as file:
        head = file.read(64)
    if head[4:8] != b"ftyp" or (head[8:12] in (b"mif1", b"msf1") and b"avif" in head):
        return Image.open(path, formats=FORMATS)
    if head[8:12] in (b"avif", b"avis") and "AVIF" not in FORMATS:
        raise ImageError(path, "AVIF, which this build of Pillow does not read; install one that does")
    if head[8:12] not in HEIC:
        return Image.open(path, formats=FORMATS)
    register_heic(path)
    return Image.open(path, formats=("HEIF",))


def register_heic(path: str | os.PathLike[str]) -> None:
    """Let Pillow read and write HEIC; `path` is named where it cannot."""
    try:
        from pillow_heif import register_heif_opener  # late: it takes a while, and few need it
    except ImportError:
        raise ImageError(path, "HEIC needs: pip install 'diffhist[heic]'") from None
    register_heif_opener()


@contextmanager
def atomic_open(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file beside `path`, and rename it to `path` once the block has ended without an error.

    Readers see the old file or the new one, whole; a crash or a full disk leaves the old one. Missing folders are made.
    SIGTERM and SIGHUP take the temporary file away.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with ended_cleanly():
        try:
            with open(temporary, mode) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _square(image: Image.Image, size: int) -> np.ndarray:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return np.array(image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)))


def _open(path: str | os.PathLike[str], size: int | None = None) -> Image.Image:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a named pipe would wait for ever
            raise ImageError(path, "not a regular file")
        with opened(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(path, f"too large: {width} x {height} pixels, at most {MAX_PIXELS} are read")
            if (deep := _deep(path, image)) is not None:
                return _upright(_shallow(deep), image)
            if size is not None:
                # JPEG only: decode at 1/2, 1/4 or 1/8, never below twice the size
                image.draft(image.mode, (2 * size, 2 * size))
            image.load()  # now: damage must not surface where damaged EXIF is forgiven
            return _to_rgb(_upright(image, image))
    except (ImageError, MemoryError, ImportError):
        raise
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except Exception as error:  # damage surfaces as OSError, SyntaxError, struct.error, zlib.error and more
        if isinstance(error, OSError) and error.errno in MACHINE:
            raise
        raise ImageError(path, _reason(path, error)) from error


def _upright(image: Image.Image, header: Image.Image) -> Image.Image:
    try:
        orientation = header.getexif().get(ORIENTATION)
    except Exception:  # damaged EXIF around good pixels
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _deep(path: str | os.PathLike[str], image: Image.Image) -> np.ndarray | None:
    """Pixels of what Pillow would read wrongly, (H, W, 1 to 4) with alpha as 2nd or 4th; None where it does not.

    Raises
    ------
    ValueError
        A TIFF that nothing here reads correctly.
    """
    scaled = image.format == "PNG" and image.tile[0][3] in ("L;2", "L;4", "I;16B", "RGB;16B")  # type: ignore[attr-defined]
    if scaled and "transparency" in image.info:  # a colour as stored, which Pillow looks for in the scaled pixels
        import imagecodecs

        return imagecodecs.png_decode(Path(path).read_bytes())
    if image.format != "TIFF":
        return None
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, photometric, planes = max(tags.get(258, (1,))), tags.get(262), tags.get(284) == 2
    if bits == 16 and photometric in (0, 1, 2):
        import imagecodecs  # without it, whether a file is read would depend on its compression

        return tiff.read_deep(path)
    if (
        bits not in (1, 2, 4, 8, 16, 32)
        or (bits <= 8 and 2 in tags.get(339, ()))  # signed: Pillow takes the bits as they are
        or (bits == 32 and photometric == 0)  # white is 0: not turned round
        or (planes and (bits == 16 or image.mode == "LA"))
    ):
        raise ValueError(f"a TIFF of {bits} bits ({tiff.kind_of(path)}) is not read; convert it to RGB of 8 or 16 bits")
    return None


def _shallow(pixels: np.ndarray) -> Image.Image:
    """RGB of 8 bits, over white where there is alpha; band by band, for floats take up to four times the memory."""
    full = np.iinfo(pixels.dtype).max
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(rgb), tiff.BAND):
        band: np.ndarray = pixels[top : top + tiff.BAND].astype(np.float32)
        if pixels.shape[2] in (2, 4):
            band = full - (full - band[..., :-1]) * (band[..., -1:] / full)
        rgb[top : top + tiff.BAND] = np.rint(band * (255 / full))
    return Image.fromarray(rgb)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_deep_grey(np.asarray(image), image.mode)).convert("RGB")
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel(3).getextrema() == (0, 0):
        return image.convert("RGB")  # its writer left the fourth byte empty: no picture is wholly invisible
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _deep_grey(values: np.ndarray, mode: str) -> np.ndarray:
    full = 1.0 if mode == "F" else 65535.0
    if not (np.min(values) >= 0 and np.max(values) <= full):  # NaN fails too
        raise ValueError(f"greyscale values outside 0..{full:g}")
    return np.rint(values * (255.0 / full)).astype(np.uint8)


def _reason(path: str | os.PathLike[str], error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"too large: at most {MAX_PIXELS} pixels are read"
    if isinstance(error, UnidentifiedImageError):
        return "empty file" if os.path.getsize(path) == 0 else "not an image of a known format"
    text = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
    return text.partition("\n")[0]

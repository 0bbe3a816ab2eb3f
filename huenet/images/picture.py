"""A picture file as it is: every pixel at its depth, transparency, profile and metadata, read, and written again.

`huenet.images` reads for training, where everything becomes 8-bit RGB; this module is for pictures that a person gets
back. Anything wrong with a file is an `ImageError` whose message is one line.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import contextlib
import io
import math
import mmap
import struct
import warnings
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngInfo

from huenet.images import png, tiff
from huenet.images.metadata import NAMES, Metadata, fitted, jpeg_segments, png_chunks, read
from huenet.images.read import ImageError, atomic_open, opened, register_heic

__all__ = ["OUTPUTS", "Picture", "in_profile", "no_quality", "pixels_of", "read_picture", "suffix_of", "write_picture"]

OUTPUTS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
if features.check("avif"):
    OUTPUTS[".avif"] = "AVIF"
if find_spec("pillow_heif"):
    OUTPUTS |= {".heic": "HEIF", ".heif": "HEIF"}
LOSSY: dict[str, dict[str, Any]] = {
    "JPEG": {"subsampling": 0},
    "WEBP": {},
    "AVIF": {"subsampling": "4:4:4"},
    "HEIF": {"chroma": 444},
}  # in full colour where there is a choice
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "TIFF": {}}
QUALITY = 95
MAX_PIXELS = 100_000_000


@dataclass
class Picture:
    """Pixels (H, W, 3), or 4 with alpha, uint8 or uint16, upright; what else its file said, and how it held it."""

    pixels: np.ndarray
    profile: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)
    lossless: bool = True


def read_picture(path: str | Path, least: int | None = None) -> Picture:
    """Read a picture of at most 100 million pixels: the first frame, turned upright as its EXIF says.

    8-bit files of any colour mode come as RGB, with alpha where they have transparency; CMYK is converted to sRGB by
    its profile. PNG and TIFF of 16 bits keep them (other readers hand back the high byte and do not say so).

    Parameters
    ----------
    path : str or path
    least : int, optional
        To look at colours alone: a JPEG may come at a half, a quarter or an eighth of its size, averaged, if its
        longer side keeps this many pixels.

    Raises
    ------
    ImageError
        The file is missing, no image, truncated, too large, or of samples that are not read: all but 1 to 8 bits, and
        16 bits in PNG and TIFF.
    MemoryError
        This machine lacks the memory.
    """
    if not Path(path).is_file():
        raise ImageError(path, "not a regular file" if Path(path).exists() else "no such file")
    try:
        with warnings.catch_warnings():
            # of a bomb, from below the size that is allowed here; of EXIF and TIFF tags that are slightly off
            warnings.simplefilter("ignore")
            return _read(Path(path), least)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        kind = tiff.kind_of(path)
        reason = (
            f"TIFF samples: {kind}; 8- and 16-bit RGB and grey are read" if kind else "not an image of a known format"
        )
        raise ImageError(path, reason if kind else f"{reason}, or damaged") from None
    except Exception as error:  # decoders raise whatever the damage leads to
        raise ImageError(path, " ".join(str(error).split()) or type(error).__name__) from error


def write_picture(path: str | Path, picture: Picture, quality: int | str | None = None) -> None:
    """Write a picture in the format of the path's suffix; it appears whole or not at all.

    16 bits go into PNG and TIFF; the others hold 8, and JPEG no transparency. PNG and TIFF are lossless, JPEG, AVIF and
    HEIC never; WebP is what the picture's own file was. Metadata that the format does not hold are left out, with a
    warning.

    Parameters
    ----------
    path : str or path
    picture : Picture
    quality : int or "lossless", optional
        From 1, for small files, to 100; 95 unless told otherwise.

    Raises
    ------
    ImageError
        The format cannot hold the picture, or has no such quality, or the file cannot be written.
    """
    if reason := no_quality(path, quality):
        raise ImageError(path, reason)
    kind = OUTPUTS[Path(path).suffix.lower()]
    metadata, lost = fitted(picture.metadata, kind)
    picture = replace(picture, metadata=metadata)
    try:
        with atomic_open(path, "w+b") as file:
            if kind == "TIFF":
                tiff.write(file, picture.pixels, profile=picture.profile, metadata=metadata)
            elif kind == "PNG" and picture.pixels.dtype == np.uint16:
                png.write(file, picture.pixels, profile=picture.profile, metadata=metadata)
            else:
                _write_8(file, kind, picture, quality)
    except (OSError, ValueError, struct.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise ImageError(path, f"cannot be written: {reason}") from error
    if lost:
        warnings.warn(f"left out: {'; '.join(lost)}", stacklevel=2)


def no_quality(path: str | Path, quality: int | str | None) -> str | None:
    """Why a file of that name cannot have that quality; None where it can."""
    kind = OUTPUTS[Path(path).suffix.lower()]
    if quality == "lossless" and kind not in LOSSLESS:
        return f"{NAMES.get(kind, kind)} is never lossless; choose .png, .webp or .tif"
    if quality not in (None, "lossless") and kind not in LOSSY:
        return f"{kind} is always lossless and has no quality; choose .jpg or .webp"
    return None


def suffix_of(path: str | Path) -> str:
    """The suffix for a picture in the format of that file; .png where that is not written."""
    try:
        with opened(path) as image:
            return next((suffix for suffix, kind in OUTPUTS.items() if kind == image.format), ".png")
    except Exception:  # what is wrong with it is told by who reads it
        return ".png"


def in_profile(rgb: np.ndarray, profile: bytes | None, wanted: bytes | None) -> np.ndarray:
    """uint8 RGB pixels of one colour profile, as the numbers that mean the same in another; no profile is sRGB."""
    if profile == wanted:
        return rgb
    try:
        return np.asarray(_converted(Image.fromarray(rgb), profile, wanted))
    except ImageCms.PyCMSError:  # a profile of greys, say
        return rgb


def pixels_of(image: Image.Image) -> tuple[np.ndarray, bytes | None]:
    """The pixels of an 8-bit PIL image as RGB, with alpha where it has transparency, and the profile they are in."""
    profile = image.info.get("icc_profile")
    # a profile of greys does not fit the RGB that comes out
    if profile and profile[16:20] != (b"CMYK" if image.mode == "CMYK" else b"RGB "):
        profile = None
    if image.mode == "CMYK":
        if profile:
            with contextlib.suppress(ImageCms.PyCMSError):  # a damaged profile
                return np.array(_converted(image, profile, None)), None
        return _array(image), None
    return _array(image), profile


def _read(path: Path, least: int | None) -> Picture:
    with opened(path) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(path, f"{image.width} x {image.height} pixels are more than the 100 million allowed")
        if least is not None:
            image.draft(None, tuple(math.ceil(least * side / max(image.size)) for side in image.size))
        depth = _depth(path, image)
        if depth > 8 and depth != 16:
            raise ImageError(path, f"{depth} bits a sample; 8 and 16 are read")
        pixels, profile = pixels_of(image) if depth <= 8 else _deep_pixels(path, image)
        metadata, lossless = read(path, image), _lossless(path, image)
        orientation = 1 if image.format == "TIFF" and depth <= 8 else metadata.orientation  # Pillow turns those
    del image  # and with it a copy of the pixels, before turning them makes another
    return Picture(_upright(pixels, orientation), profile, metadata.upright(), lossless)


def _array(image: Image.Image) -> np.ndarray:
    """RGB or RGBA pixels, band by band: converted at once, a large picture would be in memory four times."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    pixels = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top in range(0, image.height, 256):
        band = image.crop((0, top, image.width, min(top + 256, image.height)))
        pixels[top : top + band.height] = np.asarray(band.convert(mode))
    return pixels


def _depth(path: Path, image: Image.Image) -> int:
    """Bits a sample, from the file's header: Pillow says RGB for 16 bits too."""
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(25)[24]
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (1,)))  # type: ignore[attr-defined]
    if image.format == "JPEG2000":
        data = path.read_bytes()
        return (data[data.index(b"\xff\x4f\xff\x51") + 42] & 0x7F) + 1  # Ssiz of the codestream
    if image.format == "PPM":
        return _ppm_depth(image)
    return 8


def _ppm_depth(image: Image.Image) -> int:
    if image.mode in ("I", "F"):
        return 16 if image.mode == "I" else 32
    # the mode, or the mode and the largest value
    arguments = image.tile[0][3]  # type: ignore[attr-defined]
    return 16 if isinstance(arguments, tuple) and arguments[-1] > 255 else 8


def _deep_pixels(path: Path, image: Image.Image) -> tuple[np.ndarray, bytes | None]:
    if image.format not in ("PNG", "TIFF"):
        raise ImageError(
            path, f"16 bits a sample are read from PNG and TIFF, not from {image.format}; convert it first"
        )
    try:
        import imagecodecs
    except ImportError:
        raise ImageError(path, "reading 16 bits a sample needs: pip install imagecodecs") from None
    if image.format == "PNG":
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            pixels = imagecodecs.png_decode(data)
    else:
        pixels = tiff.read_deep(path)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[2] < 3:  # grey, with or without alpha
        pixels = np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=2)
    profile = image.info.get("icc_profile")
    return pixels, profile if profile and profile[16:20] == b"RGB " else None


def _lossless(path: Path, image: Image.Image) -> bool:
    """Whether the file holds its pixels as they were given to it."""
    if image.format == "WEBP":
        return _webp_lossless(path)
    if image.format == "TIFF":
        return image.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")
    return image.format in ("PNG", "BMP", "GIF", "PPM")


def _webp_lossless(path: Path) -> bool:
    """By the kind of the first chunk that holds pixels."""
    with open(path, "rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            kind, length = struct.unpack("<4sI", head)
            if kind in (b"VP8 ", b"VP8L"):
                return kind == b"VP8L"
            file.seek(16 if kind == b"ANMF" else length + length % 2, 1)  # a frame has chunks within
    return False


def _converted(image: Image.Image, profile: bytes | None, wanted: bytes | None) -> Image.Image:
    """A copy of the image in the RGB of another profile; no profile is sRGB."""
    one, other = (io.BytesIO(p) if p else ImageCms.createProfile("sRGB") for p in (profile, wanted))
    result = ImageCms.profileToProfile(image, one, other, outputMode="RGB")
    assert result is not None
    return result


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo one of EXIF's eight orientations."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _write_8(file: IO[bytes], kind: str, picture: Picture, quality: int | str | None) -> None:
    pixels = picture.pixels
    if pixels.dtype == np.uint16:
        raise ValueError(f"{kind} holds 8 bits a sample and the picture has 16; choose .png or .tif")
    if kind == "JPEG" and pixels.shape[2] == 4:
        if pixels[..., 3].min() < 255:
            raise ValueError("JPEG holds no transparency; choose .png, .webp or .tif")
        pixels = np.ascontiguousarray(pixels[..., :3])
    if kind == "HEIF":
        register_heic("")
    metadata = picture.metadata
    lossless = kind in LOSSLESS and (
        quality == "lossless" or kind not in LOSSY or (quality is None and picture.lossless)
    )
    options: dict[str, Any] = {
        "icc_profile": picture.profile,
        "exif": metadata.exif,
        "xmp": metadata.xmp,
        "dpi": metadata.dpi,
        **(LOSSLESS[kind] if lossless else {"quality": quality or QUALITY, **LOSSY[kind]}),
    }
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        for chunk in png_chunks(metadata):
            options["pnginfo"].add(*chunk)
    if kind == "JPEG":
        options["extra"] = jpeg_segments(metadata)
        options["exif"] = b"Exif\0\0" + metadata.exif if metadata.exif else None
    options = {name: value for name, value in options.items() if value is not None}
    # without its descriptor, by which encoders write on their own, and tell of a full disk as "encoder error -2"
    writer: Any = SimpleNamespace(write=file.write, flush=file.flush, tell=file.tell, seek=file.seek)
    Image.fromarray(pixels).save(writer, kind, **options)

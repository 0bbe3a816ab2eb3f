"""RGB to and from HSV on any Array API library, differentiable, with grey defined.

Red, green and blue (and hue, saturation and value) lie along `axis`; all values are in [0, 1], hue in [0, 1).
Written without branches on a library's name, so NumPy arrays and torch tensors take the same path.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace

__all__ = [
    "chroma",
    "hcy_to_rgb",
    "hsv_to_rgb",
    "hue_point",
    "lightness",
    "luminance",
    "presence",
    "rgb_to_hsv",
    "turn_hue",
]

Array = Any

LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue: ITU-R BT.709
TINY = 1e-12  # below a square root: at black its slope would be infinite


def _channels(image: Array, axis: int, name: str) -> list[Array]:
    """The three channels along `axis`, that axis dropped."""
    xp = array_namespace(image)
    if not xp.isdtype(image.dtype, "real floating"):
        raise TypeError(f"`{name}` must be of a real floating-point dtype with values in [0, 1], got {image.dtype}")
    if not -image.ndim <= axis < image.ndim or image.shape[axis] != 3:
        raise ValueError(f"`{name}` must have 3 channels along axis {axis}, got shape {tuple(image.shape)}")
    moved = xp.moveaxis(image, axis, 0)
    return [moved[0, ...], moved[1, ...], moved[2, ...]]


def rgb_to_hsv(rgb: Array, /, *, axis: int = -3) -> Array:
    """Convert RGB to HSV.

    Parameters
    ----------
    rgb : array (..., 3, ...)
        Red, green, blue in [0, 1] along `axis`.
    axis : int
        The channel axis; -3 is torch's (..., 3, H, W), -1 the (..., H, W, 3) of image files.

    Returns
    -------
    array, same shape and dtype
        Hue in [0, 1), saturation and value in [0, 1]. Where red = green = blue, hue is 0 with gradient 0; where all are
        0, saturation is 0 with gradient 0. Where two channels tie for the largest, the one-sided formulas agree.

    Raises
    ------
    TypeError
        If `rgb` is not of a real floating-point dtype.
    ValueError
        If `axis` does not have 3 channels.

    References
    ----------
    A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978.

    Examples
    --------
    >>> import numpy as np
    >>> rgb_to_hsv(np.asarray([0.0, 0.5, 0.0]), axis=-1)
    array([0.33333333, 1.        , 0.5       ])
    """
    xp = array_namespace(rgb)
    red, green, blue = _channels(rgb, axis, "rgb")
    value = xp.maximum(xp.maximum(red, green), blue)
    span = value - xp.minimum(xp.minimum(red, green), blue)
    coloured = span > 0
    # Dividing by 1 where there is no chroma keeps value and gradient finite: `where` alone lets the NaN of 0/0 through.
    safe_span = xp.where(coloured, span, xp.ones_like(span))
    from_red = (green - blue) / safe_span
    from_green = (blue - red) / safe_span + 2
    from_blue = (red - green) / safe_span + 4
    sector = xp.where(red == value, from_red, xp.where(green == value, from_green, from_blue)) / 6
    hue = sector - xp.floor(sector)
    hue = xp.where(hue >= 1, hue - 1, hue)  # a tiny negative sector rounds up to exactly 1
    hue = xp.where(coloured, hue, xp.zeros_like(hue))
    saturation = span / xp.where(value > 0, value, xp.ones_like(value))
    return xp.stack([hue, saturation, value], axis=axis)


def hsv_to_rgb(hsv: Array, /, *, axis: int = -3) -> Array:
    """Convert HSV to RGB; hue wraps, so 1.25 is 0.25.

    Parameters
    ----------
    hsv : array (..., 3, ...)
        Hue (any real number, in turns), saturation and value in [0, 1] along `axis`.
    axis : int
        The channel axis.

    Returns
    -------
    array, same shape and dtype
        Red, green, blue in [0, 1]; continuous and piecewise linear in each argument.

    Raises
    ------
    TypeError
        If `hsv` is not of a real floating-point dtype.
    ValueError
        If `axis` does not have 3 channels.

    Examples
    --------
    >>> import numpy as np
    >>> hsv_to_rgb(np.asarray([0.5, 1.0, 0.25]), axis=-1)
    array([0.  , 0.25, 0.25])
    """
    xp = array_namespace(hsv)
    hue, saturation, value = _channels(hsv, axis, "hsv")

    def channel(offset: int) -> Array:
        sector = hue + offset / 6
        sector = 6 * (sector - xp.floor(sector))
        share = xp.clip(xp.minimum(sector, 4 - sector), 0, 1)
        return value * (1 - saturation * share)

    return xp.stack([channel(5), channel(3), channel(1)], axis=axis)


def chroma(hsv: Array, /, *, axis: int = -3) -> Array:
    """Saturation times value: how much a pixel shows of its hue, 0 for grey and black.

    Parameters
    ----------
    hsv : array (..., 3, ...)
        Hue, saturation and value along `axis`.
    axis : int
        The channel axis.

    Returns
    -------
    array
        The shape of `hsv` without `axis`; the difference of the largest and the smallest of R, G, B.
    """
    _, saturation, value = _channels(hsv, axis, "hsv")
    return saturation * value


def presence(hsv: Array, /, *, axis: int = -3) -> Array:
    """How far a pixel has a hue: 0 for grey and black, 1 from a chroma of 0.06 on, smooth between.

    Parameters
    ----------
    hsv : array (..., 3, ...)
        Hue, saturation and value along `axis`.
    axis : int
        The channel axis.

    Returns
    -------
    array
        The shape of `hsv` without `axis`, in [0, 1].
    """
    xp = array_namespace(hsv)
    t = xp.clip((chroma(hsv, axis=axis) - 0.02) / 0.04, 0, 1)
    return t * t * (3 - 2 * t)


def hue_point(hsv: Array, turn: Array | float = 0.0, /) -> Array:
    """Hue as a point of the unit disc: on its rim where there is a hue, at its centre where there is none.

    Parameters
    ----------
    hsv : array (..., 3, H, W)
        Hue, saturation and value.
    turn : array (..., H, W) or float
        Turns that are added to the hue.

    Returns
    -------
    array (..., 2, H, W)
        Cosine and sine of the hue, times its `presence`.
    """
    xp = array_namespace(hsv)
    angle = 2 * math.pi * (hsv[..., 0, :, :] + turn)
    return xp.stack([xp.cos(angle), xp.sin(angle)], axis=-3) * presence(hsv)[..., None, :, :]


def luminance(rgb: Array, /, *, axis: int = -3) -> Array:
    """How light a pixel is: 0.2126 R^2 + 0.7152 G^2 + 0.0722 B^2, luminance for a display of gamma 2.

    Parameters
    ----------
    rgb : array (..., 3, ...)
        Red, green and blue along `axis`.
    axis : int
        The channel axis.

    Returns
    -------
    array
        The shape of `rgb` without `axis`, in [0, 1].
    """
    return sum(w * c**2 for w, c in zip(LUMINANCE, _channels(rgb, axis, "rgb"), strict=True))


def lightness(rgb: Array, /, *, axis: int = -3) -> Array:
    """CIE L* of sRGB: how light a pixel looks, from 0 (black) to 100 (white).

    Parameters
    ----------
    rgb : array (..., 3, ...)
        Red, green, blue in [0, 1] along `axis`.
    axis : int
        The channel axis.

    Returns
    -------
    array
        The shape of `rgb` without `axis`.

    References
    ----------
    IEC 61966-2-1 for sRGB's curve; CIE 15, 8.2.1.1 for L*.

    Examples
    --------
    >>> import numpy as np
    >>> float(lightness(np.asarray([0.5, 0.5, 0.5]), axis=-1).round(1))
    53.4
    """
    xp = array_namespace(rgb)
    linear = xp.where(rgb > 0.04045, (xp.clip(rgb, 0.04045, None) + 0.055) ** 2.4 / 1.055**2.4, rgb / 12.92)
    Y = sum(w * c for w, c in zip(LUMINANCE, _channels(linear, axis, "rgb"), strict=True))
    dark = (6 / 29) ** 3
    return xp.where(dark < Y, 116 * xp.clip(Y, dark, None) ** (1 / 3) - 16, Y * (29 / 3) ** 3)


def turn_hue(hsv: Array, turn: Array | float, /, *, axis: int = -3) -> Array:
    """RGB of a picture whose hue turns while its light stays.

    Turned at the same value V, yellow becomes a blue far darker than it was. Here chroma (S * V) and `luminance` stay,
    and V moves; see `hcy_to_rgb`.

    Parameters
    ----------
    hsv : array (..., 3, ...)
        Hue, saturation and value in [0, 1] along `axis`.
    turn : array or float
        Turns that are added to the hue, in the shape of `hsv` without `axis`.
    axis : int
        The channel axis.

    Returns
    -------
    array, the shape of `hsv`
        Red, green, blue in [0, 1]; what `hsv_to_rgb` gives where `turn` is 0.

    Raises
    ------
    TypeError
        If `hsv` is not of a real floating-point dtype.
    ValueError
        If `axis` does not have 3 channels.

    Examples
    --------
    >>> import numpy as np
    >>> turn_hue(np.asarray([1 / 6, 1.0, 0.5]), 0.5, axis=-1).round(2)  # olive to blue: as light, so not as saturated
    array([0.43, 0.43, 0.93])
    """
    xp = array_namespace(hsv)
    hue, saturation, value = _channels(hsv, axis, "hsv")
    light = luminance(hsv_to_rgb(hsv, axis=axis), axis=axis)
    return hcy_to_rgb(xp.stack([hue + turn, saturation * value, light], axis=axis), axis=axis)


def hcy_to_rgb(hcy: Array, /, *, axis: int = -3) -> Array:
    """The colour of a hue, a chroma and a luminance.

    The pixel is m + C u, C the chroma and u the pure colour of the hue, with the m that has the luminance: a square
    equation. Where such a pixel would be darker than black or lighter than white in a channel, its chroma falls as far
    as it must: hue and luminance are always exact.

    Parameters
    ----------
    hcy : array (..., 3, ...)
        Hue in turns, chroma (S * V of HSV) and `luminance`, the two in [0, 1], along `axis`.
    axis : int
        The channel axis.

    Returns
    -------
    array, the shape of `hcy`
        Red, green, blue in [0, 1].

    Raises
    ------
    TypeError
        If `hcy` is not of a real floating-point dtype.
    ValueError
        If `axis` does not have 3 channels.

    Examples
    --------
    >>> import numpy as np
    >>> hcy_to_rgb(np.asarray([0.0, 1.0, 0.2126]), axis=-1).round(2)
    array([1., 0., 0.])
    """
    xp = array_namespace(hcy)
    hue, spread, light = _channels(hcy, axis, "hcy")
    one = xp.ones_like(hue)
    pure = _channels(hsv_to_rgb(xp.stack([hue, one, one], axis=axis), axis=axis), axis, "rgb")
    mean = sum(w * u for w, u in zip(LUMINANCE, pure, strict=True))
    square = sum(w * u**2 for w, u in zip(LUMINANCE, pure, strict=True))

    low = xp.sqrt(xp.clip(spread**2 * (mean**2 - square) + light, TINY, None)) - spread * mean
    dark = xp.sqrt(xp.clip(light, TINY, None) / square)  # the chroma at which m is 0
    rest = 1 - 2 * mean + square  # of 1 - u, what `square` is of u
    bright = (1 - mean - xp.sqrt(xp.clip((1 - mean) ** 2 - rest * (1 - light), TINY, None))) / rest  # m + C is 1
    too_dark, too_light = low < 0, low + spread > 1
    spread = xp.minimum(spread, xp.where(too_dark, dark, xp.where(too_light, bright, one)))
    low = xp.where(too_dark, xp.zeros_like(low), xp.where(too_light, 1 - spread, low))
    return xp.stack([xp.clip(low + spread * u, 0, 1) for u in pure], axis=axis)

"""What a caller gives, as the pictures and masks that it stands for; or one line that says what is wrong with it."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import os
import sys
import warnings
from typing import Any

import numpy as np
from PIL import Image

from huenet.images.picture import Picture, pixels_of, read_picture

__all__ = ["TransferError", "channels_last", "image_of", "is_tensor", "mask_of", "picture_of"]


class TransferError(ValueError):
    """A request that cannot be met; the message is one line that says what to do."""


def is_tensor(value: Any) -> bool:
    """Whether a value is torch's, without importing torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def picture_of(picture: Any, name: str) -> Picture:
    """A copy of a caller's picture: an array, a PIL image, or a tensor of one."""
    if isinstance(picture, Image.Image):
        _check_mode(picture, name)
        return Picture(*pixels_of(picture))
    if is_tensor(picture):
        batch = channels_last(picture, name)[0]
        if len(batch) > 1:
            raise TransferError(f"{name} holds {len(batch)} pictures; one, or give source as a tensor too")
        picture = batch[0].cpu().numpy()
    pixels = np.array(picture)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or not pixels.size:
        raise TransferError(f"{name} must have the shape (H, W, 3) or (H, W, 4), got {pixels.shape}")
    _check_range(pixels, name)
    return Picture(pixels)


def channels_last(picture: Any, name: str) -> tuple[Any, bool]:
    """A tensor of pictures as (B, H, W, 3) of at least float32, checked; and whether the channels came first."""
    import torch

    if not picture.is_floating_point():
        raise TransferError(f"{name} must be a tensor of floats in [0, 1], got {picture.dtype}")
    batch = picture.detach()[None] if picture.ndim == 3 else picture.detach()
    if batch.ndim != 4 or 3 not in (batch.shape[1], batch.shape[3]) or not batch.numel():
        shape = tuple(picture.shape)
        raise TransferError(f"{name} must have the shape (B, 3, H, W) or (B, H, W, 3), with or without B, got {shape}")
    low, high = (value.item() for value in batch.aminmax())
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise TransferError(f"{name} must lie in [0, 1], got values from {low:g} to {high:g}")
    first = batch.shape[1] == 3
    return (batch.movedim(1, -1) if first else batch).to(torch.promote_types(batch.dtype, torch.float32)), first


def image_of(result: Picture, source: Image.Image) -> Image.Image:
    """A result as a PIL image with what else `source` says; palettes and profiles that are gone are not mentioned."""
    image = Image.fromarray(result.pixels)
    image.info.update({key: value for key, value in source.info.items() if key not in ("icc_profile", "transparency")})
    if result.profile:
        image.info["icc_profile"] = result.profile
    return image


def mask_of(mask: Any) -> np.ndarray:
    """A mask (H, W), uint8, uint16 or float in [0, 1], from an array, a picture, the path of one, or a tensor.

    Of a picture, white recolours; black, and what is transparent, is kept.
    """
    if isinstance(mask, str | os.PathLike):
        values = read_picture(os.fspath(mask)).pixels
    elif isinstance(mask, Image.Image):
        _check_mode(mask, "mask")
        values = pixels_of(mask)[0]
    else:
        if is_tensor(mask):
            mask = mask.detach().cpu()
            mask = mask.float() if mask.is_floating_point() else mask
        values = np.asarray(mask)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)) or not values.size:
        raise TransferError(f"mask must have the shape (H, W), or (H, W, 1, 3 or 4) as pictures do, got {values.shape}")
    values = _scaled(values)
    if values.ndim == 2:
        return values
    grey = values[..., :3].max(axis=2)
    return np.minimum(grey, values[..., 3]) if values.shape[2] == 4 else grey


def _scaled(values: np.ndarray) -> np.ndarray:
    """The same mask in a dtype whose full scale is known."""
    if values.dtype == bool:
        return values.astype(np.float32)
    if np.issubdtype(values.dtype, np.integer):
        low, most = int(values.min()), int(values.max())
        if most == 1 and low >= 0:
            warnings.warn("the mask holds 0 and 1 alone: they are taken for black and white", stacklevel=4)
            return values.astype(np.float32)
        if values.dtype not in (np.uint8, np.uint16):
            if low < 0 or set(np.unique(values).tolist()) - {0, 255}:
                raise TransferError(
                    f"mask of {values.dtype} has values from {low} to {most}, and no full scale that is known; "
                    "give bool, float in [0, 1], uint8 or uint16"
                )
            values = values.astype(np.uint8)
    _check_range(values, "mask")
    return values


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

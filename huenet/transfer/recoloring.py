"""Recolouring from Python: `recolor`, and what the command line shares with it."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from huenet.images.picture import Picture, in_profile
from huenet.methods.sample import Sample, pooled
from huenet.transfer.given import TransferError, image_of, is_tensor, mask_of, picture_of
from huenet.transfer.methods import METHODS, Change, Method
from huenet.transfer.pixel_map import apply_map, small_copy

__all__ = [
    "Settings",
    "find_change",
    "goal_of",
    "paint",
    "recolor",
    "recolor_picture",
    "settings_of",
    "target_copy",
]

STRONGEST = 2


def recolor(
    source: Any,
    target: Any,
    *,
    method: str | None = None,
    run: str | Path | None = None,
    closeness: float | None = None,
    smooth: float | None = None,
    reg_m: float | None = None,
    strength: float = 1.0,
    keep: str | None = None,
    saturation: float | None = None,
    light: float | None = None,
    mask: Any = None,
    target_mask: Any = None,
    target_weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Any:
    """Paint one picture with the colours of another.

    Parameters
    ----------
    source, target : ndarray (H, W, 3 or 4), PIL image, or tensor (B, 3, H, W) or (B, H, W, 3)
        uint8, uint16, or float in [0, 1]; of any two sizes. A fourth channel is transparency: what it hides does not
        count, and the source's is kept. PIL images of any 8-bit mode come back as RGB or RGBA; a target in another
        colour profile than the source is converted to the source's (no profile is sRGB). Tensors of torch are float,
        with or without B, and come back on their device, without a graph; one target for all, or one each. Several
        targets, in a list, are pooled to one palette.
    method : {"huenet", "optimize", "transport", "relaxed", "reinhard"}, optional
        A trained network; gradient descent on this pair; optimal transport of hue; the same, but the shares of the
        colours may differ from the target's; statistics in l-alpha-beta. All but "reinhard", which moves light and
        saturation too, turn hue. By default "huenet".
    run : path, optional
        For "huenet": a run folder of ``huenet.train``; without it, the weights that come with the package.
    closeness : float, optional
        For "huenet": from 0, a result that could be a photograph, to 1, one as close to the target's colours as may be.
        Where less than two fifths of the palette distance would go, it is raised to where they do, if that is anywhere.
        By default 0.4. A network of the preset `paper` has no such dial.
    smooth : float, optional
        For "transport" and "relaxed": smoothing over hue, in 256ths of the hue circle. More is more coherent, less is
        closer to the target's colours. By default 8.
    reg_m : float, optional
        For "relaxed": what a difference of shares costs, in squared turns, up to 1. Less lets them differ more and
        turns hues less far. By default 0.1.
    strength : float
        0 is the source, 1 the full effect, and more, up to 2, goes further. It scales how far hue turns, and what else
        the method changes, and does not mix colours: half way from orange to blue is as colourful as either.
    keep : {"light", "value"}, optional
        What stays while hue turns: the light of every pixel, by default, or HSV's value, as in the paper, which darkens
        a yellow that turns blue. Not for "reinhard".
    saturation, light : float, optional
        From 0, the default, to 1: how far the distribution of saturation, and that of light, go to the target's. Where
        the target is dull, electric blue calms down; where it is bright, a dark source lightens. Not for "reinhard".
    mask : array (H, W) or a picture, PIL image, path or tensor, optional
        0, or transparent, keeps a pixel, full scale (255, 65535, 1.0 or True) recolours it, and what lies between mixes
        the two. What the mask keeps does not count among the source's colours. Whole numbers that are 0 and 1 alone
        are taken for black and white, with a warning. For tensors also (B, H, W).
    target_mask : as `mask`, optional
        What of the target counts, from 0 to full scale; a list for several targets.
    target_weights : sequence of float, optional
        What each of several targets counts for, whatever its size. By default all the same.
    seed : int
        Of the dithering, which keeps 8- and 16-bit results from banding.

    Returns
    -------
    ndarray, PIL image or tensor, as `source`
        The recoloured source. A grey source or a grey target leaves it as it is, with a warning ("reinhard"
        excepted); a target of one hue gives a picture near that hue.

    Raises
    ------
    ValueError
        An argument is of the wrong kind, shape or range, or holds NaN; or the run has no weights, or they do not fit.
    """
    options = {"run": run, "closeness": closeness, "smooth": smooth, "reg_m": reg_m}
    options |= {"keep": keep, "saturation": saturation, "light": light}
    settings = settings_of(method, seed, strength=strength, **options)
    if is_tensor(source):
        from huenet.transfer.tensors import recolor_tensors

        whole = target_mask is None and target_weights is None and not isinstance(target, list | tuple)
        goal = target if whole else _pooled(target, target_mask, target_weights)
        return recolor_tensors(source, goal, mask, settings.method, settings.options)
    result, goal = picture_of(source, "source"), _pooled(target, target_mask, target_weights)
    recolor_picture(result, goal, None if mask is None else mask_of(mask), settings)
    return image_of(result, source) if isinstance(source, Image.Image) else result.pixels


@dataclass(frozen=True)
class Settings:
    """What was asked for, checked: the method, its options by name, and the seed of the dithering."""

    method: Method
    options: Mapping[str, Any]
    seed: int


def settings_of(method: str | None, seed: int, **options: Any) -> Settings:
    """Check a request; options that are None were not given.

    Raises
    ------
    TransferError
        There is no such method, an option does nothing with it, or is out of its range.
    """
    method = method or "huenet"
    if method not in METHODS:
        raise TransferError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - METHODS[method].options().keys():
        able = " and ".join(other for other in METHODS if name in METHODS[other].options())
        raise TransferError(f"--{name.replace('_', '-')} is for method {able}, got {method}; leave one of them out")
    if not 0 <= (strength := given.get("strength", 1.0)) <= STRONGEST:
        raise TransferError(f"strength must be from 0 to {STRONGEST}, got {strength}")
    if seed < 0:
        raise TransferError(f"seed must be at least 0, got {seed}")
    return Settings(METHODS[method], given, seed)


def recolor_picture(source: Picture, target: Picture, mask: np.ndarray | None, settings: Settings) -> None:
    """Recolour `source` in place."""
    _check_size(mask, source, "source")
    change = find_change(small_copy(source.pixels, mask), target_copy(target, source.profile), settings)
    if change is not None:
        paint(source, change, mask, settings.seed)


def paint(source: Picture, change: Change, mask: np.ndarray | None, seed: int) -> None:
    """Change `source` in place by a map that is known."""
    _check_size(mask, source, "source")
    try:
        apply_map(source.pixels, change, mask=mask, seed=seed)
    except FloatingPointError as error:
        raise TransferError(str(error)) from error


def goal_of(
    targets: Sequence[Picture], masks: Sequence[np.ndarray | None], weights: Sequence[float] | None = None
) -> Picture:
    """What is looked at of one target or several, as a small picture whose alpha is what each pixel counts for.

    Raises
    ------
    TransferError
        Masks or weights do not fit the targets.
    """
    if weights is not None and (len(weights) != len(targets) or not all(0 <= w < np.inf for w in weights)):
        raise TransferError(
            f"target weights must be {len(targets)} numbers from 0 up, one for each target, got {weights}"
        )
    if weights is not None and not any(weights):
        raise TransferError("target weights must not all be 0")
    for target, mask in zip(targets, masks, strict=True):
        _check_size(mask, target, "target")
    samples = [target_copy(target, targets[0].profile, mask) for target, mask in zip(targets, masks, strict=True)]
    small = pooled(samples, weights)
    return Picture(np.dstack([small.rgb[0], small.weights[0]]), targets[0].profile)


def _pooled(target: Any, mask: Any, weights: Sequence[float] | None) -> Picture:
    several = isinstance(target, list | tuple) and not (target and isinstance(target[0], list | tuple))
    if several and not target:
        raise TransferError("target must be a picture, or a list of one or more")
    targets, masks = (target, mask) if several else ([target], [mask])
    masks = [None] * len(targets) if masks is None else masks
    if not isinstance(masks, list | tuple) or len(masks) != len(targets):
        raise TransferError(f"target_mask must be a list of {len(targets)}, one for each target, or None")
    names = [f"target {i}" for i in range(len(targets))] if several else ["target"]
    pictures = [picture_of(one, name) for one, name in zip(targets, names, strict=True)]
    return goal_of(pictures, [None if mask is None else mask_of(mask) for mask in masks], weights)


def _check_size(mask: np.ndarray | None, picture: Picture, name: str) -> None:
    if mask is not None and mask.shape != picture.pixels.shape[:2]:
        sizes = ["{1} x {0}".format(*shape) for shape in (mask.shape, picture.pixels.shape)]
        what = "mask" if name == "source" else f"{name} mask"
        raise TransferError(f"the {what} has {sizes[0]} pixels and the {name} {sizes[1]}; make them equal")


def target_copy(target: Picture, profile: bytes | None, mask: np.ndarray | None = None) -> Sample:
    """A target to look at, in the colour profile of a source."""
    small = small_copy(target.pixels, mask)
    if target.profile != profile:
        rgb = in_profile(np.rint(small.rgb[0] * 255).astype(np.uint8), target.profile, profile)
        small.rgb = rgb[None].astype(np.float32) / 255
    return small


def find_change(source: Sample, target: Sample, settings: Settings) -> Change | None:
    """What a method makes of a pair; None, with a warning, where there is no colour to go by.

    Raises
    ------
    TransferError
        An option is out of its range, or a run cannot be read.
    """
    for name, sample in (("source", source), ("target", target)):
        if not (sample.has_colour() if settings.method.of_hue else sample.weights.any()):
            warnings.warn(f"the {name} has no colour: the source stays as it is", stacklevel=4)
            return None
    if settings.options.get("strength") == 0:
        return None
    try:
        return settings.method(source, target, settings.options)
    except ValueError as error:
        raise TransferError(str(error)) from error

"""The losses as torch modules over images (B, C, H, W): each channel of each image is a sample.

Thin twins of the functions: `squared_emd` of two `soft_histogram`, and `mi_distance` of a `joint_histogram`. Half
precision is computed in float32 to the end, and the loss is float32: shares rounded to half precision would put the
gradients off (by 0.3 to 11% of the largest, for the hue of a photograph).
"""

from typing import Any

import torch
from torch import Tensor, nn

from diffhist.histogram import joint_histogram, soft_histogram
from diffhist.information import mi_distance
from diffhist.transport import squared_emd

__all__ = ["EMDLoss", "MILoss"]

PICTURE = (-2, -1)
REDUCTIONS = ("mean", "sum", "none")
_PROBE = torch.zeros(1, device="cpu")  # given to the functions once, so that they check their options early


class _HistogramLoss(nn.Module):
    options: dict[str, Any]
    reduction: str

    def __init__(self, options: dict[str, Any], reduction: str):
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"`reduction` must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
        self.options, self.reduction = options, reduction

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in (self.options | {"reduction": self.reduction}).items())

    def _reduced(self, losses: Tensor, *weights: Tensor | None) -> Tensor:
        """Reduce (B, C) losses; a sample of which some weights are all 0 is 0 and does not count."""
        counted = torch.ones_like(losses, dtype=torch.bool)
        for w in weights:
            if w is not None:
                counted = counted & (w != 0).flatten(2).any(-1)
        losses = torch.where(counted, losses, 0)
        if self.reduction == "none":
            return losses
        return losses.sum() / counted.sum().clamp(min=1) if self.reduction == "mean" else losses.sum()


class EMDLoss(_HistogramLoss):
    r"""Squared earth mover's distance between the histograms of two images, channel by channel (Eq. 13 or 14).

    ``squared_emd(soft_histogram(input), soft_histogram(target))``; the images need not be of one size.

    Parameters
    ----------
    bins, range, bandwidth
        As in `diffhist.soft_histogram`.
    boundary : {"open", "circular", "reflect"}, optional
        As in `diffhist.soft_histogram`; by default "circular" where ``circular`` is true, else "open".
    circular : bool
        Whether the range is a circle, as for hue.
    reference : Tensor, shape (K,), (C, K) or (B, C, K), optional
        A fixed histogram to compare with in place of a target, made by `histogram` for instance. It is a buffer: it
        moves with the module and is part of its state.
    reduction : {"mean", "sum", "none"}
        Over images and channels.

    Notes
    -----
    - forward(input, target, input_weights=None, target_weights=None); with a ``reference``,
      forward(input, input_weights=None). Images are (B, C, H, W); weights, or boolean masks, broadcast to their
      image: (B, C, H, W), or (B, 1, H, W) for all channels. Everything but the reference and masks is differentiable.
    - It returns a number, or (B, C) for ``reduction="none"``. A channel whose weights, or whose target's, are all 0
      is skipped: its loss and gradient are 0 and the mean is over the others.

    Examples
    --------
    >>> import torch
    >>> hue = torch.tensor([0.05, 0.95]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    >>> loss = EMDLoss(bins=10, circular=True)
    >>> loss
    EMDLoss(bins=10, range=(0.0, 1.0), bandwidth=None, boundary='circular', reduction='mean', circular=True)
    >>> round(loss(hue[:1], hue[1:]).item(), 3)
    0.351
    >>> to_red = EMDLoss(bins=10, circular=True, reference=loss.histogram(hue[:1]), reduction="none")
    >>> to_red(hue).round(decimals=3)
    tensor([[0.0000],
            [0.3510]])
    """

    reference: Tensor | None

    def __init__(
        self,
        bins: int = 256,
        range: tuple[float, float] = (0.0, 1.0),
        *,
        bandwidth: float | None = None,
        boundary: str | None = None,
        circular: bool = False,
        reference: Tensor | None = None,
        reduction: str = "mean",
    ):
        boundary = boundary or ("circular" if circular else "open")
        super().__init__({"bins": bins, "range": range, "bandwidth": bandwidth, "boundary": boundary}, reduction)
        self.circular = circular
        bins = soft_histogram(_PROBE, **self.options).shape[-1]
        if reference is not None and (reference.ndim not in (1, 2, 3) or reference.shape[-1] != bins):
            raise ValueError(
                f"`reference` must be of shape (K,), (C, K) or (B, C, K) with K = {bins}, got {tuple(reference.shape)}"
            )
        self.register_buffer("reference", None if reference is None else reference.detach().clone())

    def forward(
        self,
        input: Tensor,
        target: Tensor | None = None,
        input_weights: Tensor | None = None,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        p = self.histogram(input, input_weights, name="input")
        if self.reference is not None:
            if target is not None or target_weights is not None:
                raise ValueError(
                    "`target` must be left out where the loss has a `reference`: forward(input, input_weights=...)"
                )
            q = self._fitting_reference(p)
        elif target is None:
            raise ValueError("`target` must be given where the loss has no `reference`")
        else:
            q = self.histogram(target, target_weights, name="target")
            if p.shape != q.shape:
                raise ValueError(
                    "`input` and `target` must have the same numbers of images and channels, "
                    f"got {tuple(input.shape)} and {tuple(target.shape)}"
                )
        return self._reduced(squared_emd(p, q, circular=self.circular), input_weights, target_weights)

    def histogram(self, images: Tensor, weights: Tensor | None = None, *, name: str = "images") -> Tensor:
        """The histograms that are compared, one for each channel: (B, C, H, W) -> (B, C, K)."""
        images = _image(name, images)
        return soft_histogram(images, weights=_map(f"{name}_weights", weights, images), axis=PICTURE, **self.options)

    def _fitting_reference(self, p: Tensor) -> Tensor:
        reference = self.reference
        assert reference is not None
        own = (1,) * (p.ndim - reference.ndim) + reference.shape
        if any(n not in (1, m) for n, m in zip(own[:2], p.shape[:2], strict=True)):
            raise ValueError(
                f"`input` must fit the reference {tuple(reference.shape)} (..., C, K) "
                f"in its numbers of images and channels, got {tuple(p.shape[:2])}"
            )
        return reference

    def extra_repr(self) -> str:
        given = f", reference={tuple(self.reference.shape)}" if self.reference is not None else ""
        return f"{super().extra_repr()}, circular={self.circular}{given}"


class MILoss(_HistogramLoss):
    r"""Mutual-information distance 1 - I / H between two images, channel by channel (Eq. 17).

    ``mi_distance(joint_histogram(input, target))``: low where each value of one image has become one value of the
    other, wherever both are in the range.

    Parameters
    ----------
    bins, range, bandwidth, boundary
        As in `diffhist.joint_histogram`; each may be a pair, for input and for target.
    reduction : {"mean", "sum", "none"}
        Over images and channels.

    Notes
    -----
    - forward(input, target, weights=None). Both images are (B, C, H, W); weights, or a boolean mask, broadcast to
      them: (B, C, H, W), or (B, 1, H, W) for all channels. Everything but masks is differentiable.
    - It returns a number, or (B, C) for ``reduction="none"``. A channel whose weights are all 0 is skipped: its loss
      and gradient are 0 and the mean is over the others.
    - An image is not at 0 from itself: see `diffhist.mi_ceiling`.

    Examples
    --------
    >>> import torch
    >>> image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> loss = MILoss(bins=16)
    >>> loss
    MILoss(bins=16, range=(0.0, 1.0), bandwidth=None, boundary='open', reduction='mean')
    >>> round(loss(image, 1 - image).item(), 2), round(loss(image, image.flip(-1)).item(), 2)
    (0.69, 1.0)
    """

    def __init__(
        self,
        bins: int | tuple[int, int] = 256,
        range: tuple[Any, Any] = (0.0, 1.0),
        *,
        bandwidth: float | tuple[float | None, float | None] | None = None,
        boundary: str | tuple[str, str] = "open",
        reduction: str = "mean",
    ):
        super().__init__({"bins": bins, "range": range, "bandwidth": bandwidth, "boundary": boundary}, reduction)
        joint_histogram(_PROBE, _PROBE, **self.options)

    def forward(self, input: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        input, target = _image("input", input), _image("target", target)
        if input.shape != target.shape:
            raise ValueError(
                f"`input` and `target` must have the same shape, got {tuple(input.shape)} and {tuple(target.shape)}"
            )
        weights = _map("weights", weights, input)
        table = joint_histogram(input, target, weights=weights, axis=PICTURE, **self.options)
        return self._reduced(mi_distance(table), weights)


def _image(name: str, image: Any) -> Tensor:
    if not isinstance(image, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(image).__name__}")
    if image.ndim != 4:
        raise ValueError(f"`{name}` must be of shape (B, C, H, W), got {tuple(image.shape)}")
    if not image.is_floating_point():
        raise TypeError(f"`{name}` must be of a floating dtype, got {image.dtype}; convert it first")
    return image.float() if image.dtype in (torch.float16, torch.bfloat16) else image


def _map(name: str, weights: Tensor | None, image: Tensor) -> Tensor | None:
    if weights is not None and (
        weights.ndim != 4 or any(n not in (1, m) for n, m in zip(weights.shape, image.shape, strict=True))
    ):
        raise ValueError(
            f"`{name}` must be of shape (B, 1, H, W) or (B, C, H, W) for images {tuple(image.shape)}, "
            f"got {tuple(weights.shape)}"
        )
    return weights

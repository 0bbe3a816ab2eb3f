"""The losses as torch modules over images of any rank: each channel of each image is a sample.

Images are (C, H, W), or (B, C, H, W), (B, C, D, H, W) and so on, with as many axes of pixels as there are.

Thin twins of the functions: `squared_emd` of two `soft_histogram`, and `mi_distance` of a `joint_histogram`. Half
precision is computed in float32 to the end, and the loss is float32: shares rounded to half precision would put the
gradients off (by 0.3 to 11% of the largest, for the hue of a photograph).
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffhist.histogram import joint_histogram, soft_histogram
from diffhist.information import mi_distance
from diffhist.transport import squared_emd

__all__ = ["EMDLoss", "MILoss"]

REDUCTIONS = ("mean", "sum", "none")
NOTHING = 1e-6  # of a sample's weight in the bins is rounding
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

    def _reduced(
        self, losses: Tensor, mass: Tensor, worst: float, images: dict[str, Tensor], *weights: Tensor | None
    ) -> Tensor:
        """Reduce the losses (B, C), or (C,) of one image.

        A sample of which some weights are all 0 is 0 and does not count. One that counts but has no mass in the bins
        has the worst loss: to the distances it would look like a perfect match, and this needs no look at the data.
        """
        counted = torch.ones_like(losses, dtype=torch.bool)
        for w in weights:
            if w is not None:
                counted = counted & (w != 0).flatten(losses.ndim).any(-1)
        lost = counted & (mass <= NOTHING)
        self._say(lost, images)
        losses = torch.where(counted, torch.where(lost, worst, losses), 0)
        if self.reduction == "none":
            return losses
        return losses.sum() / counted.sum().clamp(min=1) if self.reduction == "mean" else losses.sum()

    def _say(self, lost: Tensor, images: dict[str, Tensor]) -> None:
        """Warn where samples were lost, if this can be known without waiting for a device or breaking a graph."""
        try:
            if torch.compiler.is_compiling() or lost.device.type != "cpu" or not lost.any():
                return
        except RuntimeError:  # inside a transform, values are not to be had
            return
        found = ", ".join(f"`{n}` is in [{i.min().item():g}, {i.max().item():g}]" for n, i in images.items())
        warnings.warn(
            f"{type(self).__name__} sees nothing of some channel: all of it is outside the bins, whose `range` is "
            f"{self.options['range']}, where {found}; its loss is the worst there is, with gradient 0",
            stacklevel=2,
        )


class EMDLoss(_HistogramLoss):
    r"""Squared earth mover's distance between the histograms of two images, channel by channel (Eq. 13 or 14).

    ``squared_emd(soft_histogram(input), soft_histogram(target))``; the images need not be of one size.

    Parameters
    ----------
    bins, range, bandwidth, kernel
        As in `diffhist.soft_histogram`; of bins of different lengths, the distance counts bins.
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
      forward(input, input_weights=None). Images are (B, C, H, W), (C, H, W), (B, C, D, H, W), ...; weights, or boolean
      masks, broadcast to their image: (B, C, H, W), or (B, 1, H, W) for all channels. Everything but the reference and
      masks is differentiable.
    - It returns a number, or (B, C) for ``reduction="none"`` ((C,) for one image). A channel whose weights, or whose
      target's, are all 0 is skipped: its loss and gradient are 0 and the mean is over the others.
    - A channel that lies wholly outside the range under an open boundary has no histogram: its loss is ``bins``, the
      greatest there is, with gradient 0. On a CPU a warning names the two ranges; other devices would have to be waited
      for.

    Examples
    --------
    >>> import torch
    >>> hue = torch.tensor([0.05, 0.95]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    >>> loss = EMDLoss(bins=10, circular=True)
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
        bins: int | Sequence[float] = 256,
        range: tuple[float, float] = (0.0, 1.0),
        *,
        bandwidth: float | None = None,
        kernel: str = "logistic",
        boundary: str | None = None,
        circular: bool = False,
        reference: Tensor | None = None,
        reduction: str = "mean",
    ):
        boundary = boundary or ("circular" if circular else "open")
        options = {"bins": bins, "range": range, "bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
        super().__init__(options, reduction)
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
        p, images = self.histogram(input, input_weights, name="input"), {"input": input}
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
            images["target"] = target
            if p.shape != q.shape:
                raise ValueError(
                    "`input` and `target` must have the same numbers of images and channels, "
                    f"got {tuple(input.shape)} and {tuple(target.shape)}"
                )
        losses = squared_emd(p, q, circular=self.circular)
        mass = torch.minimum(p.sum(-1), q.sum(-1)) if self.reference is None else p.sum(-1)
        return self._reduced(losses, mass, p.shape[-1], images, input_weights, target_weights)

    def histogram(self, images: Tensor, weights: Tensor | None = None, *, name: str = "images") -> Tensor:
        """The histograms that are compared, one for each channel: (B, C, H, W) -> (B, C, K)."""
        images = _image(name, images)
        weights = _map(f"{name}_weights", weights, images)
        return soft_histogram(images, weights=weights, axis=_pixels(images), **self.options)

    def _fitting_reference(self, p: Tensor) -> Tensor:
        reference = self.reference
        assert reference is not None
        if not _fits(reference.shape[:-1], p.shape[:-1]):
            raise ValueError(
                f"`input` must fit the reference {tuple(reference.shape)} (..., C, K) "
                f"in its numbers of images and channels, got {tuple(p.shape[:-1])}"
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
    bins, range, bandwidth, kernel, boundary
        As in `diffhist.joint_histogram`; each may be a pair, for input and for target.
    reference : Tensor, an image or one for each in a batch, optional
        A fixed image to compare with in place of a target; one of a batch axis less, or with axes B or C of length 1,
        is for all. It is a buffer: it moves with the module and is part of its state.
    reduction : {"mean", "sum", "none"}
        Over images and channels.

    Notes
    -----
    - forward(input, target, weights=None); with a ``reference``, forward(input, weights=None). Both images are
      (B, C, H, W), (C, H, W), (B, C, D, H, W), ...; weights, or a boolean mask, broadcast to them: (B, C, H, W), or
      (B, 1, H, W) for all channels. Everything but the reference and masks is differentiable.
    - It returns a number, or (B, C) for ``reduction="none"`` ((C,) for one image). A channel whose weights are all 0 is
      skipped: its loss and gradient are 0 and the mean is over the others.
    - A channel of which no pixel lies within both ranges under open boundaries has no table: its loss is 1, the
      greatest there is, with gradient 0. On a CPU a warning names the ranges; other devices would have to be waited
      for.
    - An image is not at 0 from itself: see `diffhist.mi_ceiling`.

    Examples
    --------
    >>> import torch
    >>> image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> loss = MILoss(bins=16)
    >>> loss
    MILoss(bins=16, range=(0.0, 1.0), bandwidth=None, kernel='logistic', boundary='open', reduction='mean')
    >>> round(loss(image, 1 - image).item(), 2), round(loss(image, image.flip(-1)).item(), 2)
    (0.69, 1.0)
    """

    reference: Tensor | None

    def __init__(
        self,
        bins: int | tuple[Any, Any] = 256,
        range: tuple[Any, Any] = (0.0, 1.0),
        *,
        bandwidth: float | tuple[float | None, float | None] | None = None,
        kernel: str | tuple[str, str] = "logistic",
        boundary: str | tuple[str, str] = "open",
        reference: Tensor | None = None,
        reduction: str = "mean",
    ):
        options = {"bins": bins, "range": range, "bandwidth": bandwidth, "kernel": kernel, "boundary": boundary}
        super().__init__(options, reduction)
        joint_histogram(_PROBE, _PROBE, **self.options)
        self.register_buffer(
            "reference", None if reference is None else _image("reference", reference).detach().clone()
        )

    def forward(self, input: Tensor, target: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        input = _image("input", input)
        if self.reference is not None:
            if target is not None:
                raise ValueError(
                    "`target` must be left out where the loss has a `reference`: forward(input, weights=...)"
                )
            if not _fits(self.reference.shape, input.shape, pixels=len(_pixels(input))):
                raise ValueError(
                    f"`input` must fit the reference {tuple(self.reference.shape)}, got {tuple(input.shape)}"
                )
            name, target = "reference", self.reference.expand_as(input)
        elif target is None:
            raise ValueError("`target` must be given where the loss has no `reference`")
        else:
            name, target = "target", _image("target", target)
        if input.shape != target.shape:
            raise ValueError(
                f"`input` and `target` must have the same shape, got {tuple(input.shape)} and {tuple(target.shape)}"
            )
        weights = _map("weights", weights, input)
        table = joint_histogram(input, target, weights=weights, axis=_pixels(input), **self.options)
        return self._reduced(mi_distance(table), table.sum((-2, -1)), 1.0, {"input": input, name: target}, weights)

    def extra_repr(self) -> str:
        given = f", reference={tuple(self.reference.shape)}" if self.reference is not None else ""
        return super().extra_repr() + given


def _image(name: str, image: Any) -> Tensor:
    if not isinstance(image, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(image).__name__}")
    if image.ndim < 3:
        raise ValueError(
            f"`{name}` must be of shape (C, H, W), (B, C, H, W) or (B, C, D, H, W), got {tuple(image.shape)}"
        )
    if not image.is_floating_point():
        raise TypeError(f"`{name}` must be of a floating dtype, got {image.dtype}; convert it first")
    return image.float() if image.dtype in (torch.float16, torch.bfloat16) else image


def _pixels(image: Tensor) -> tuple[int, ...]:
    """The axes of an image's pixels: all but those of its channels and, from four axes on, of the batch."""
    return tuple(range(min(-2, 2 - image.ndim), 0))


def _fits(shape: torch.Size, wanted: torch.Size, pixels: int = 0) -> bool:
    """Whether ``shape`` is ``wanted``, but for axes that are missing in front or of length 1, not among the pixels."""
    own = (1,) * (len(wanted) - len(shape)) + tuple(shape)
    batch = len(wanted) - pixels
    return own[batch:] == tuple(wanted[batch:]) and all(n in (1, m) for n, m in zip(own, wanted, strict=False))


def _map(name: str, weights: Tensor | None, image: Tensor) -> Tensor | None:
    if weights is not None and (
        weights.ndim != image.ndim or any(n not in (1, m) for n, m in zip(weights.shape, image.shape, strict=True))
    ):
        shapes = "(1, H, W) or (C, H, W)" if image.ndim == 3 else "(B, 1, ...) or (B, C, ...)"
        raise ValueError(
            f"`{name}` must be of shape {shapes} for images {tuple(image.shape)}, got {tuple(weights.shape)}"
        )
    return weights

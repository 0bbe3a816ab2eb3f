"""Batches of HSV pairs on the device, from pictures in memory."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import numpy as np
import torch
from torch import Tensor

from huenet.color import rgb_to_hsv
from huenet.data.pairs import PairBatch

__all__ = ["Pictures"]


class Pictures:
    """The training set, on the GPU where it takes at most a quarter of what is free there, and batches of it."""

    def __init__(self, images: np.ndarray, flip: str, device: torch.device) -> None:
        self.images, self.device = torch.from_numpy(images), device
        self.axis = {"vertical": -2, "horizontal": -1}.get(flip)
        if device.type == "cuda" and self.images.nbytes < torch.cuda.mem_get_info(device)[0] / 4:
            self.images = self.images.to(device)

    def pairs(self, draw: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Source and target of a batch, HSV (B, 3, S, S) in [0, 1], and their closeness (B,), on the device."""
        closeness = self._send(torch.from_numpy(draw.closeness), self.device)
        return self._hsv(draw.source, draw.flip_source), self._hsv(draw.target, draw.flip_target), closeness

    def _hsv(self, index: np.ndarray, flips: np.ndarray) -> Tensor:
        chosen = self.images[self._send(torch.from_numpy(index), self.images.device)]
        rgb = self._send(chosen, self.device).float() / 255
        if self.axis is not None:
            flipped = self._send(torch.from_numpy(flips), self.device)[:, None, None, None]
            rgb = torch.where(flipped, rgb.flip(self.axis), rgb)
        return rgb_to_hsv(rgb)

    @staticmethod
    def _send(tensor: Tensor, device: torch.device) -> Tensor:
        if device.type == "cuda" and tensor.device.type == "cpu":
            tensor = tensor.pin_memory()  # from ordinary memory the copy would wait for the GPU
        return tensor.to(device, non_blocking=True)

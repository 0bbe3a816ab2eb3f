"""What the losses and their gradients are, in float64: the dense formula, walked through in pieces to bound memory."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import dense
from benchmarks.cases import Case

PIECE = 1 << 22  # elements of an N x K matrix at a time


def step(case: Case, x: np.ndarray, y: np.ndarray, goal: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss of one pair of images (N,) and its gradient by the first."""
    N, options = x.size, (case.bins, case.bandwidth)
    pieces = [torch.from_numpy(np.float64(a)).split(max(1, PIECE // case.bins)) for a in (x, y)]

    def share(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if case.task == "emd":
            return dense.masses(a, *options).sum(1) / N
        return dense.masses(a, *options) @ dense.masses(b, *options).T / N

    whole = sum(share(a, b) for a, b in zip(*pieces, strict=True))
    assert isinstance(whole, torch.Tensor)
    whole.requires_grad_()
    if case.task == "emd":
        value = dense.circular_squared_emd(whole, torch.from_numpy(np.float64(goal)))
    else:  # as diffhist, of the table's own mass: the open boundary loses some
        value = dense.mi_distance(whole / whole.sum(), epsilon=1e-300)
    value.backward()
    assert whole.grad is not None
    gradients = []
    for a, b in zip(*pieces, strict=True):
        a = a.clone().requires_grad_()
        gradients.append(torch.autograd.grad((share(a, b) * whole.grad).sum(), a)[0])
    return value.item(), torch.cat(gradients).numpy()

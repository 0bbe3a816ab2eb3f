"""The paper's formulas as they are printed, in plain torch: an N x K matrix an image (Eq. 4, 6, 14, 17, 24).

This is what diffhist is measured against; nothing here is used by the library.
"""

import torch


def masses(x: torch.Tensor, bins: int = 256, bandwidth: float | None = None) -> torch.Tensor:
    """Eq. 6 on [0, 1] for every pixel and every bin: (N,) -> (K, N)."""
    L = 1.0 / bins
    W = L / 2.5 if bandwidth is None else bandwidth
    centres = L * (torch.arange(bins, dtype=x.dtype, device=x.device) + 0.5)[:, None]
    return torch.sigmoid((x - centres + L / 2) / W) - torch.sigmoid((x - centres - L / 2) / W)


def histogram(x: torch.Tensor, bins: int = 256, bandwidth: float | None = None) -> torch.Tensor:
    """Eq. 4: (N,) -> (K,)."""
    return masses(x, bins, bandwidth).mean(1)


def joint_histogram(x: torch.Tensor, y: torch.Tensor, bins: int = 256, bandwidth: float | None = None) -> torch.Tensor:
    """Eq. 24: (N,), (N,) -> (K, K)."""
    return masses(x, bins, bandwidth) @ masses(y, bins, bandwidth).T / x.numel()


def circular_squared_emd(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Eq. 14, by the circulant matrix of all shifts, as in section 2.4.1 of the paper."""
    K = p.numel()
    shifts = (torch.arange(K)[:, None] + torch.arange(K)) % K
    return (torch.cumsum(p[shifts] - q[shifts], 1) ** 2).sum(1).min()


def mi_distance(joint: torch.Tensor, epsilon: float = 1e-12) -> torch.Tensor:
    """Eq. 17."""
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    information = (joint * torch.log((joint + epsilon) / (independent + epsilon))).sum()
    return 1 - information / -(joint * torch.log(joint + epsilon)).sum()

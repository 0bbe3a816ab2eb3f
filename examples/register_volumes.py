"""Register two volumes by mutual information
==========================================

Two scans of one body in different modalities, the second one turned and shifted. The volumes are made: a shell, two
organs and a vessel; the second modality sees each tissue at another grey value, and none of them in the order of the
first. Six numbers, three angles and three shifts, are found by descent of 1 - I / H, from coarse to fine.
"""

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from _output import picture_path

from diffhist.nn import MILoss

SIDE = 48
ANGLES, SHIFT = (0.12, -0.08, 0.15), (0.10, -0.06, 0.08)  # radians, and half sides of the volume
FIXED = (0.05, 0.9, 0.3, 0.5, 0.65, 1.0)  # grey values of the tissues in the two modalities
MOVING = (0.1, 0.3, 0.75, 0.2, 0.95, 0.5)
LEVELS = ((4, 40, 0.02), (2, 40, 0.008))  # blocks that are averaged, steps, rate

loss = MILoss(bins=24, boundary="reflect")


def tissues(side=SIDE):
    """0 for air, then shell, filling, two organs, a vessel: (side, side, side), as real numbers with soft borders."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij")

    def ball(centre, radii):
        distance = sum(((c - m) / r) ** 2 for c, m, r in zip((z, y, x), centre, radii, strict=True))
        return distance < 1

    labels = np.zeros((side, side, side), int)
    labels[ball((0, 0, 0), (0.85, 0.75, 0.65))] = 1
    labels[ball((0, 0, 0), (0.75, 0.65, 0.55))] = 2
    labels[ball((0.2, 0.2, -0.15), (0.35, 0.25, 0.2))] = 3
    labels[ball((-0.3, -0.15, 0.2), (0.2, 0.3, 0.2))] = 4
    labels[(abs(y + 0.3) < 0.08) & (abs(x + 0.2) < 0.08) & (labels == 2)] = 5
    return labels


def volume(values, seed):
    """The tissues at the grey values of a modality, with noise: (1, 1, D, H, W) in [0, 1]."""
    grey = np.asarray(values)[tissues()] + np.random.default_rng(seed).normal(0, 0.02, (SIDE,) * 3)
    return torch.tensor(grey.clip(0, 1), dtype=torch.float32)[None, None]


def moved(image, pose):
    """``image`` seen from a ``pose``: three angles and three shifts."""
    (c, s), zero, one = (torch.cos(pose[:3]), torch.sin(pose[:3])), pose.new_zeros(()), pose.new_ones(())

    def about(axis):
        turn = [[c[axis], -s[axis]], [s[axis], c[axis]]]
        rows = [[one if i == j else zero for j in range(3)] for i in range(3)]
        a, b = (n for n in range(3) if n != axis)
        rows[a][a], rows[a][b], rows[b][a], rows[b][b] = turn[0][0], turn[0][1], turn[1][0], turn[1][1]
        return torch.stack([torch.stack(row) for row in rows])

    turned = about(0) @ about(1) @ about(2)
    grid = F.affine_grid(torch.cat([turned, pose[3:, None]], 1)[None], list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, align_corners=False, padding_mode="border")


def register(fixed, moving):
    """The pose of ``fixed`` in ``moving``, and the losses on the way."""
    pose, losses = torch.zeros(6, requires_grad=True), []
    for block, steps, rate in LEVELS:
        optimizer = torch.optim.Adam([pose], lr=rate)
        small = F.avg_pool3d(fixed, block)
        for _ in range(steps):
            optimizer.zero_grad()
            losses.append(loss(F.avg_pool3d(moved(moving, pose), block), small))
            losses[-1].backward()
            optimizer.step()
    return pose.detach(), torch.stack(losses).tolist()


def draw(path, fixed, moving, pose, losses):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained", width_ratios=(1, 1, 1, 1.3))
    middle = SIDE // 2
    panels = {"fixed": fixed, "moving": moving, "moving, registered": moved(moving, pose)}
    for ax, (title, image) in zip(axes, panels.items(), strict=False):
        ax.imshow(image[0, 0, middle], cmap="gray", vmin=0, vmax=1)
        ax.contour(fixed[0, 0, middle] > 0.15, [0.5], colors="C3", linewidths=1)
        ax.set_title(title)
        ax.axis("off")
    axes[3].plot(losses)
    axes[3].set(title="1 - I / H", xlabel="step")
    figure.savefig(path, dpi=100)


def main():
    path = picture_path(__doc__, "register_volumes.png")
    truth = torch.tensor(ANGLES + SHIFT)
    fixed, moving = moved(volume(FIXED, 0), truth), volume(MOVING, 1)
    pose, losses = register(fixed, moving)
    off = (pose - truth).abs()
    print(f"off by at most {off[:3].max():.4f} radians and {off[3:].max() * SIDE / 2:.3f} voxels")
    draw(path, fixed, moving, pose, losses)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

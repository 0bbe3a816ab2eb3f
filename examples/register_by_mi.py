"""Register two modalities by mutual information
=============================================

Register two images of different modality by their mutual information, and recover the shift between them.

The pair is real: the red and the blue channel of a photograph, the blue one inverted and shifted by (6.5, -11) pixels.
Nothing maps grey values of one to those of the other, so their difference says little; mutual information asks only
that one foretell the other. Its gradient reaches the shift through bilinear sampling, from coarse to fine.
"""

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from _output import picture_path
from skimage import data

from diffhist.nn import MILoss

SHIFT = (13, -22)  # rows and columns of the photograph; half as much of the images, which have half its size
LEVELS = (8, 4, 2, 1)  # coarse to fine: the side of the blocks that are averaged
STEPS = 40
MARGIN = 32  # around the part that is compared: the shifted image must cover it
EXTENT = 16  # of the map of shifts in the picture

loss = MILoss(bins=32, boundary="reflect")


def image_pair():
    """Red, and inverted blue that lies SHIFT further on: two images (1, 1, H, W) in [0, 1]."""
    photograph = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255
    (rows, columns), (height, width) = (abs(s) for s in SHIFT), photograph.shape[2:]
    frame = photograph[:, :, rows : height - rows, columns : width - columns]
    red, blue = frame[:, :1], photograph.roll(SHIFT, (2, 3))[:, 2:, rows : height - rows, columns : width - columns]
    return F.avg_pool2d(red, 2), 1 - F.avg_pool2d(blue, 2)


def moved_back(image, shift):
    """``image`` (1, 1, H, W) less a ``shift`` of rows and columns: each place taken from so much further on."""
    size = torch.tensor(image.shape[2:])
    rows, columns = (torch.arange(n) + s for n, s in zip(size, shift, strict=True))
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1)  # (H, W, 2), in pixels
    places = (2 * places + 1) / size - 1
    return F.grid_sample(image, places.flip(-1)[None], align_corners=False, padding_mode="border")


def inner(image, block):
    """Blocks of pixels averaged, less the margin."""
    return F.avg_pool2d(image[..., MARGIN:-MARGIN, MARGIN:-MARGIN], block)


def register(fixed, moving):
    """How far ``moving`` lies from ``fixed``, and all the guesses on the way."""
    shift, path = torch.zeros(2, requires_grad=True), []
    for block in LEVELS:
        optimizer = torch.optim.Adam([shift], lr=0.1 * block)
        for _ in range(STEPS):
            path.append(shift.tolist())
            optimizer.zero_grad()
            loss(inner(fixed, block), inner(moved_back(moving, shift), block)).backward()
            optimizer.step()
    return shift.detach(), np.array(path)


def landscape(fixed, moving):
    """Relative MI of every whole shift up to EXTENT, on images of half the size: what the search walks on."""
    around = range(-EXTENT, EXTENT + 1)
    each = MILoss(bins=32, boundary="reflect", reduction="none")
    rows = [torch.cat([inner(moving.roll((-r, -c), (2, 3)), 2) for c in around]) for r in around]
    return torch.stack([1 - each(inner(fixed, 2).expand_as(row), row)[:, 0] for row in rows])


def checkerboard(a, b, side=32):
    """Squares of two images (1, 1, H, W) in turn: where they lie apart, edges break at the borders of squares."""
    rows, columns = (torch.arange(n) // side for n in a.shape[2:])
    return torch.where((rows[:, None] + columns) % 2 == 0, a, b)


def draw(path, fixed, moving, shift, steps):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic(
        [["a", "b", "mi"], ["c", "d", "mi"]], figsize=(13, 6.4), width_ratios=(1, 1, 2), layout="constrained"
    )
    panels = {
        "a": ("fixed: red", fixed),
        "b": ("moving: blue, inverted and shifted", moving),
        "c": ("before: red, and blue turned back", checkerboard(fixed, 1 - moving)),
        "d": ("after", checkerboard(fixed, 1 - moved_back(moving, shift))),
    }
    for name, (title, image) in panels.items():
        axes[name].imshow(image[0, 0], cmap="gray", vmin=0, vmax=1)
        axes[name].set_title(title, fontsize=9)
        axes[name].axis("off")
    reach = EXTENT + 0.5
    seen = axes["mi"].imshow(landscape(fixed, moving), extent=(-reach, reach, reach, -reach))
    axes["mi"].plot(*steps.T[::-1], color="w", label="descent")
    axes["mi"].plot(shift[1], shift[0], "rx", markersize=9, label=f"found: ({shift[0]:.2f}, {shift[1]:.2f})")
    axes["mi"].set(title="relative mutual information I / H of every shift", xlabel="columns", ylabel="rows")
    axes["mi"].legend(loc="upper right", facecolor="0.5")
    figure.colorbar(seen, ax=axes["mi"], shrink=0.8)
    figure.savefig(path, dpi=100)


def main():
    path = picture_path(__doc__, "register_by_mi.png")
    fixed, moving = image_pair()
    shift, steps = register(fixed, moving)
    truth = torch.tensor(SHIFT) / 2
    print(f"true shift {truth.tolist()}, found {shift.tolist()}: off by {(shift - truth).norm():.3f} pixels")
    draw(path, fixed, moving, shift, steps)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

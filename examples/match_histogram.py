"""Match a histogram
=================

Give one photograph the histogram of another by gradient descent, with NumPy alone.

Every pixel moves down the gradient of the squared earth mover's distance between the two soft histograms. Pixels of one
grey value have the same gradient, so the picture keeps its content: it is only seen through another tone curve.
"""

import matplotlib
import numpy as np
from _output import picture_path
from skimage import color, data

import diffhist

BINS = 64
STEPS = 100
RATE = 0.1  # below 1 / (2 max density of the target), so that no two grey values change places


def histogram(image):
    return diffhist.soft_histogram(image, BINS, boundary="reflect", axis=(-2, -1))


def match(image, target):
    """Move the pixels of ``image`` until they have the histogram of ``target``; also returns the losses on the way."""
    wanted = histogram(target)
    loss_and_gradient = diffhist.value_and_grad(lambda x: diffhist.squared_emd(histogram(x), wanted) / BINS)
    losses = []
    for _ in range(STEPS):
        loss, gradient = loss_and_gradient(image)
        losses.append(float(loss))
        image = np.clip(image - RATE * image.size * gradient, 0, 1)
    return image, losses


def draw(path, images, losses):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10, 6), height_ratios=(3, 2), layout="constrained")
    wanted, edges = np.histogram(images["target"], BINS, (0, 1))
    for (title, image), top, bottom in zip(images.items(), *axes, strict=True):
        top.imshow(image, cmap="gray", vmin=0, vmax=1)
        top.set_title(title)
        top.axis("off")
        shares = np.histogram(image, BINS, (0, 1))[0] / image.size
        bottom.stairs(shares, edges, fill=True, color="0.7", label="its histogram")
        bottom.stairs(wanted / images["target"].size, edges, color="C3", label="the target's")
        bottom.set(xlim=(0, 1), ylim=(0, 0.1), xlabel="grey value")
    axes[1, 0].set_ylabel("share of pixels")
    axes[1, 1].legend(loc="upper right", frameon=False)
    axes[1, 1].set_title(f"squared EMD / K: {losses[0]:.1e} before, {losses[-1]:.1e} after {STEPS} steps", fontsize=9)
    figure.savefig(path, dpi=100)


def main():
    path = picture_path(__doc__, "match_histogram.png")
    source = data.moon()[::2, ::2].astype(np.float32) / 255
    target = color.rgb2gray(data.coffee())[::2, ::2].astype(np.float32)
    # a photograph has 256 grey values: within them, tell pixels apart, or whole values could only move together
    source = source + np.random.default_rng(0).uniform(-0.5, 0.5, source.shape).astype(np.float32) / 255
    result, losses = match(np.clip(source, 0, 1), target)
    print(f"squared EMD / K: {losses[0]:.2e} -> {losses[-1]:.2e}")
    draw(path, {"source": source, "result": result, "target": target}, losses)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

"""A histogram loss in a JAX training loop
=======================================

Learn a tone curve that gives one photograph the grey values of another. The loss is the squared earth mover's distance
between the two soft histograms; ``jax.value_and_grad`` goes through it as through any function of JAX, and the whole
step is compiled once.

The curve is a sum of rising steps, so that no two grey values change places: what histogram matching does, with two
dozen numbers to show for it.
"""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from _output import picture_path
from skimage import color, data

from diffhist import soft_histogram, squared_emd

BINS = 64
STEPS = 75
RATE = 1.0
PLACES = jnp.linspace(0, 1, 24)


def curve(heights, grey):
    """A rising map of [0, 1] to itself: sigmoids at PLACES, with shares for heights."""
    rises = jax.nn.sigmoid((grey[..., None] - PLACES) * 40)
    ends = jax.nn.sigmoid((jnp.array([0.0, 1.0])[:, None] - PLACES) * 40) @ jax.nn.softmax(heights)
    return (rises @ jax.nn.softmax(heights) - ends[0]) / (ends[1] - ends[0])


def histogram(grey):
    return soft_histogram(grey, BINS, boundary="reflect", axis=(-2, -1))


def train(source, target):
    """The heights of the steps, by descent with momentum; and the losses on the way."""
    wanted = histogram(target)

    @jax.jit
    def step(heights, speed):
        loss, slope = jax.value_and_grad(lambda h: squared_emd(histogram(curve(h, source)), wanted))(heights)
        speed = 0.9 * speed - RATE * slope
        return heights + speed, speed, loss

    heights, speed, losses = jnp.zeros(len(PLACES)), jnp.zeros(len(PLACES)), []
    for _ in range(STEPS):
        heights, speed, loss = step(heights, speed)
        losses.append(float(loss))
    return heights, losses


def draw(path, pictures, heights, losses):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), height_ratios=(3, 2), layout="constrained")
    for (title, grey), top in zip(pictures.items(), axes[0], strict=True):
        top.imshow(grey, cmap="gray", vmin=0, vmax=1)
        top.set_title(title)
        top.axis("off")
        axes[1, 0].plot((np.arange(BINS) + 0.5) / BINS, histogram(grey), label=title)
    axes[1, 0].set(xlabel="grey value", ylabel="share of pixels")
    axes[1, 0].legend(frameon=False)
    grey = jnp.linspace(0, 1, 200)
    axes[1, 1].plot(grey, curve(heights, grey))
    axes[1, 1].set(title="the curve", xlabel="grey value in", ylabel="out")
    axes[1, 2].semilogy(losses)
    axes[1, 2].set(title="squared EMD", xlabel="step")
    figure.savefig(path, dpi=100)


def main():
    path = picture_path(__doc__, "jax_training_loop.png")
    source = jnp.asarray(data.moon()[::4, ::4] / np.float32(255))
    target = jnp.asarray(color.rgb2gray(data.coffee()[::4, ::4]).astype(np.float32))
    heights, losses = train(source, target)
    print(f"squared EMD: {losses[0]:.3f} -> {losses[-1]:.4f}")
    draw(path, {"source": source, "result": curve(heights, source), "target": target}, heights, losses)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

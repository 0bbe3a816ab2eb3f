"""A loss on hue in a training loop
================================

A loss on hue in a five-line training loop: give one picture the hues of another by a trained curve on its colours.

What a loss on hue needs: hue is a circle, so the boundary wraps and the distance goes the short way round; a grey or
dark pixel has no hue worth the name, so each one counts by its chroma, S * V.
"""

import matplotlib
import torch
from _output import picture_path
from skimage import data
from torch import nn

from diffhist.nn import EMDLoss
from huenet.color import chroma, rgb_to_hsv

BINS = 64
STEPS = 100
KEEP = 20.0  # weight of saturation and value: weights have gradients too, and draining wrong hues of colour is cheap

distance = EMDLoss(BINS, circular=True)


def hue_loss(hsv, target):
    return distance(hsv[:, :1], target[:, :1], chroma(hsv)[:, None], chroma(target)[:, None])


class ColourCurve(nn.Module):
    """A smooth map of colours: RGB (B, 3, H, W) in [0, 1] to the same."""

    def __init__(self):
        super().__init__()
        self.change = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Tanh(), nn.Conv2d(32, 3, 1))

    def forward(self, rgb):
        return torch.sigmoid(torch.logit(rgb, 0.02) + self.change(rgb))


def train(curve, rgb, target):
    """Teach ``curve`` to give pictures ``rgb`` the hues of ``target``, HSV; returns the hue losses on the way."""
    source, losses = rgb_to_hsv(rgb), []
    optimizer = torch.optim.Adam(curve.parameters(), lr=5e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        output = rgb_to_hsv(curve(rgb))
        losses.append(hue_loss(output, target))
        (losses[-1] + KEEP * (output - source)[:, 1:].square().mean()).backward()
        optimizer.step()
    return torch.stack(losses).tolist()


def draw(path, pictures, losses):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11, 5.4), height_ratios=(3, 2), layout="constrained")
    places = (torch.arange(BINS) + 0.5) / BINS
    for (title, rgb), top, bottom in zip(pictures.items(), *axes, strict=True):
        hsv = rgb_to_hsv(rgb)
        top.imshow(rgb[0].permute(1, 2, 0))
        top.set_title(title)
        top.axis("off")
        shares = distance.histogram(hsv[:, :1], chroma(hsv)[:, None])[0, 0]
        bottom.bar(places, shares, 1 / BINS, color=plt.get_cmap("hsv")(places))
        bottom.set(xlim=(0, 1), ylim=(0, 0.4), xlabel="hue")
    axes[1, 0].set_ylabel("share of chroma")
    axes[1, 1].set_title(f"circular squared EMD: {losses[0]:.2f} before, {losses[-1]:.2f} after", fontsize=9)
    figure.savefig(path, dpi=100)


def main():
    path = picture_path(__doc__, "hue_loss.png")
    torch.manual_seed(0)
    rocket, coffee = (
        torch.from_numpy(picture[::2, ::2].copy()).permute(2, 0, 1)[None] / 255
        for picture in (data.rocket(), data.coffee())
    )
    curve = ColourCurve()
    losses = train(curve, rocket, rgb_to_hsv(coffee))
    print(f"circular squared EMD of hue: {losses[0]:.3f} -> {losses[-1]:.3f}")
    with torch.no_grad():
        draw(path, {"source": rocket, "result": curve(rocket), "target": coffee}, losses)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

"""The picture at the top of the README: photographs of scikit-image in each other's colours.

    python examples/teaser.py [OUT.png] [--run RUN]

With --run, a trained run does it; without, smoothed optimal transport of hue, which needs no training.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import huenet
from huenet.data.loading import photographs

PAIRS = [("astronaut.png", "rocket.jpg"), ("coffee.png", "rocket.jpg"), ("chelsea.png", "retina.jpg")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", default="teaser.png", type=Path)
    parser.add_argument("--run", type=Path, help="a trained run to use in place of transport")
    given = parser.parse_args()
    if given.out.exists():
        parser.exit(2, f"teaser.py: {given.out} is there already: name another file, or move it away\n")
    method = {"method": "huenet", "run": given.run} if given.run else {"method": "transport"}
    pictures = photographs()
    figure, axes = plt.subplots(3, len(PAIRS), figsize=(4 * len(PAIRS), 9.4), layout="constrained")
    for column, names in zip(axes.T, PAIRS, strict=True):
        source, target = (pictures[name] for name in names)
        output = huenet.recolor(source, target, **method)
        for ax, image in zip(column, (source, target, output), strict=True):
            side = min(image.shape[:2])
            top, left = ((n - side) // 2 for n in image.shape[:2])
            ax.imshow(image[top : top + side, left : left + side])
            ax.set(xticks=[], yticks=[])
    for ax, label in zip(axes[:, 0], ("source", "target", "output"), strict=True):
        ax.set_ylabel(label, fontsize=14)
    figure.savefig(given.out, dpi=60)
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()

"""The pictures at the top of the README: photographs in each other's colours, by the network of the package.

    python examples/teaser.py [FOLDER] [--run RUN]

Needs scikit-learn for two photographs. All are free to use: `rocket` (SpaceX), `coffee` (Rachel Michetti), `retina`
(Mikael Häggström) and `chelsea` (Stéfan van der Walt) of scikit-image are in the public domain; `flower` and `china` of
scikit-learn are by vultilion and Daniel Büchele, CC BY 2.0.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from sklearn.datasets import load_sample_image

import huenet

FIGURES = {
    "teaser.jpg": [("flower", "rocket"), ("rocket", "coffee"), ("flower", "retina"), ("rocket", "flower")],
    "failure.jpg": [("chelsea", "china")],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=".", type=Path)
    parser.add_argument("--run", type=Path, help="a trained run in place of the weights of the package")
    given = parser.parse_args()
    for path in [given.folder / name for name in FIGURES]:
        if path.exists():
            parser.exit(2, f"teaser.py: {path} is there already: name another folder, or move it away\n")
    for name, pairs in FIGURES.items():
        figure, axes = plt.subplots(
            len(pairs), 3, figsize=(9, 2 * len(pairs) + 0.3), squeeze=False, layout="constrained"
        )
        for row, names in zip(axes, pairs, strict=True):
            source, target = (photograph(one) for one in names)
            for ax, picture in zip(row, (source, target, huenet.recolor(source, target, run=given.run)), strict=True):
                ax.imshow(picture)
                ax.set(xticks=[], yticks=[])
        for ax, label in zip(axes[0], ("source", "target", "output"), strict=True):
            ax.set_title(label)
        figure.savefig(given.folder / name, dpi=140, pil_kwargs={"quality": 90})
        print(f"wrote {given.folder / name}")


def photograph(name: str) -> np.ndarray:
    """The middle of a photograph, half as wide again as it is high."""
    image = load_sample_image(f"{name}.jpg") if name in ("flower", "china") else getattr(skimage.data, name)()
    height, width = (min(image.shape[0], image.shape[1] * 2 // 3), min(image.shape[1], image.shape[0] * 3 // 2))
    top, left = ((n - m) // 2 for n, m in zip(image.shape, (height, width), strict=False))
    return image[top : top + height, left : left + width]


if __name__ == "__main__":
    main()

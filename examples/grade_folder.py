"""Grade a folder with one map
===========================

The look of one picture on a whole shot. A map that is found anew for each frame follows what comes into view, and the
colours of what was there before change with it; here it is found once, kept as a table of colours (``look.cube``, which
ffmpeg and the editors of photographs and films read), and every frame goes through that table. From a shell::

    huenet map shot/frame0.png look.jpg -o look.cube --method transport
    huenet transfer shot/ --map look.cube -o graded/
    ffmpeg -i shot.mp4 -vf lut3d=look.cube graded.mp4

The shot is made: a photograph seen through a window that moves, with noise of 2 levels. What is measured is how far the
mean colour of the part that all frames see drifts.
"""

import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from _output import picture_path
from PIL import Image
from skimage import data

import huenet.map
import huenet.transfer

FRAMES = 4
STEP = 40  # pixels that the window moves by in each frame
SIZE = 200


def shot():
    """Frames of a pan over a photograph, uint8."""
    rng, scene = np.random.default_rng(0), data.astronaut().astype(float)
    for n in range(FRAMES):
        view = scene[:SIZE, 120 + STEP * n : 120 + STEP * n + SIZE]
        yield (view + rng.normal(0, 2, view.shape)).clip(0, 255).round().astype(np.uint8)


def drift(frames):
    """How far the mean colour of what all frames see moves between them, in levels."""
    seen = [f[:, STEP * (FRAMES - 1 - n) : SIZE - STEP * n].astype(float) for n, f in enumerate(frames)]
    return np.ptp([part.mean((0, 1)) for part in seen], axis=0).max()


def grade(folder):
    """Frame by frame, and by one map of the first frame: two lists of graded frames."""
    (folder / "shot").mkdir()
    for n, frame in enumerate(shot()):
        Image.fromarray(frame).save(folder / "shot" / f"frame{n}.png")
    Image.fromarray(data.retina()[::4, ::4]).save(folder / "look.png")
    first, look, cube = folder / "shot/frame0.png", folder / "look.png", folder / "look.cube"
    huenet.transfer.main([str(a) for a in (folder / "shot", look, "-o", folder / "each", "--method", "transport")])
    huenet.map.main([str(a) for a in (first, look, "-o", cube, "--method", "transport")])
    huenet.transfer.main([str(a) for a in (folder / "shot", "--map", cube, "-o", folder / "one")])
    return [[np.asarray(Image.open(p)) for p in sorted((folder / name).glob("*.png"))] for name in ("each", "one")]


def draw(path, frames, each, one):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, FRAMES, figsize=(2.4 * FRAMES, 7.4), layout="constrained")
    rows = {"shot": frames, "a map for each frame": each, "one map": one}
    for row, (title, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(picture)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{title}: drifts by {drift(pictures):.2f}")
    figure.savefig(path, dpi=100)


def main():
    path = picture_path(__doc__, "grade_folder.png")
    frames = list(shot())
    with tempfile.TemporaryDirectory() as folder:
        each, one = grade(Path(folder))
    print(
        f"drift: {drift(frames):.2f} levels of the shot, {drift(each):.2f} frame by frame, {drift(one):.2f} by one map"
    )
    draw(path, frames, each, one)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

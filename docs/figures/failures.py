"""Where the weights of the package do badly: skin, a target of one colour, a target without colour."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from _pictures import square, values

import huenet

warnings.filterwarnings("ignore", message="the target has no colour")
grey = np.repeat(square("coffee").mean(-1, keepdims=True).astype(np.uint8), 3, -1)
cases = {
    "skin takes any hue": (square("astronaut"), square("rocket")),
    "one colour to give": (square("chelsea"), np.full((128, 128, 3), (30, 60, 200), np.uint8)),
    "no colour to give": (square("coffee"), grey),
}
figure, axes = plt.subplots(len(cases), 3, figsize=(6.6, 6.6), layout="constrained")
for row, (what, (source, target)) in zip(axes, cases.items(), strict=True):
    output = huenet.recolor(source, target)
    for ax, name, picture in zip(row, ("source", "target", "output"), (source, target, output), strict=True):
        ax.imshow(np.asarray(picture))
        ax.set(xticks=[], yticks=[], title=name)
    row[0].set_ylabel(what)
    row[2].set_xlabel(values(source, target, output), fontsize=8)

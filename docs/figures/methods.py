"""Two pairs by every method, with what `huenet.metrics` says of each result."""

import matplotlib.pyplot as plt
import numpy as np
from _pictures import square, values

import huenet

PAIRS = (("coffee", "rocket"), ("chelsea", "retina"))
METHODS = ("reinhard", "transport", "relaxed", "optimize", "huenet")

figure, axes = plt.subplots(len(PAIRS), 2 + len(METHODS), figsize=(12.8, 5.2), layout="constrained")
for row, names in zip(axes, PAIRS, strict=True):
    source, target = map(square, names)
    shown = {"source": source, "target": target}
    shown |= {method: huenet.recolor(source, target, method=method) for method in METHODS}
    for ax, (name, picture) in zip(row, shown.items(), strict=True):
        ax.imshow(np.asarray(picture))
        ax.set(xticks=[], yticks=[], title=name)
        if name not in ("source", "target"):
            ax.set_xlabel(values(source, target, picture).replace(", ", "\n"), fontsize=9)

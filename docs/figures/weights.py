"""The hues of a photograph, each pixel counted alike, and each by its chroma."""

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data

import diffhist

photograph = data.coffee()[::4, ::4]
hsv = color.rgb2hsv(photograph)
hue, chroma = hsv[..., 0], hsv[..., 1] * hsv[..., 2]
K = 64
places = (np.arange(K) + 0.5) / K
figure, axes = plt.subplots(1, 3, figsize=(9, 2.4), layout="constrained")
axes[0].imshow(photograph)
axes[0].axis("off")
for ax, weights, title in ((axes[1], None, "every pixel alike"), (axes[2], chroma, "by chroma, S V")):
    shares = diffhist.soft_histogram(hue, K, boundary="circular", weights=weights, axis=(-2, -1))
    ax.bar(places, shares, 1 / K, color=plt.get_cmap("hsv")(places))
    ax.set(title=title, xlabel="hue", xlim=(0, 1))

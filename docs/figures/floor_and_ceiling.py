"""Between which two values a relative mutual information lies, by the number of bins and of pixels."""

import matplotlib.pyplot as plt
import numpy as np

import diffhist

rng = np.random.default_rng(0)
figure, axes = plt.subplots(1, 2, figsize=(8.4, 2.6), sharey=True, layout="constrained")
K = np.array([8, 16, 32, 64, 128, 256])
for side, style in ((32, ":"), (64, "--"), (128, "-")):
    x, y = rng.random((2, side * side))
    ceiling = [diffhist.mi_ceiling(x, int(k), boundary="circular") for k in K]
    floor = [diffhist.mi_floor(x, y, int(k), boundary="circular", draws=1) for k in K]
    axes[0].plot(K, ceiling, f"C0{style}", label=f"ceiling, {side} x {side}")
    axes[0].plot(K, floor, f"C1{style}", label=f"floor, {side} x {side}")
axes[0].set(xscale="log", xticks=K, xticklabels=K, xlabel="bins", ylabel="I / H", title="uniform noise, W = L / 2.5")
axes[0].minorticks_off()
axes[0].legend(frameon=False, fontsize=7, ncols=2)
shares = np.array([0.001, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6])
x, y = rng.random((2, 64 * 64))
for name, values in (
    ("ceiling", [diffhist.mi_ceiling(x, 64, bandwidth=s / 64, boundary="circular") for s in shares]),
    ("floor", [diffhist.mi_floor(x, y, 64, bandwidth=s / 64, boundary="circular", draws=1) for s in shares]),
):
    axes[1].plot(shares, values, label=name)
axes[1].set(xscale="log", xlabel="bandwidth, in bins", title="64 x 64, K = 64")
axes[1].legend(frameon=False)

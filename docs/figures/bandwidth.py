"""The bandwidth: what it does to a histogram, and to the slope that one bin gives to a value."""

import matplotlib.pyplot as plt
import numpy as np

import diffhist

K = 32
L = 1 / K
values = np.random.default_rng(0).beta(2, 5, 400)
hard = np.histogram(values, K, (0, 1))[0] / values.size
figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.4), layout="constrained", width_ratios=(1, 1, 1, 1.2))
places = (np.arange(K) + 0.5) / K
for ax, share in zip(axes[:3], (0.05, 0.4, 2.0), strict=True):
    ax.bar(places, hard, L, color="0.85")
    ax.step(places, diffhist.soft_histogram(values, K, bandwidth=share * L, boundary="reflect"), where="mid")
    ax.set(title=f"W = {share:g} L", xlabel="value", xlim=(0, 1), ylim=(0, 0.14))
x = np.linspace(-2, 2, 401)
for share in (0.1, 0.4, 1.0):
    bump = 1 / (4 * share * np.cosh(x / (2 * share)) ** 2)
    axes[3].plot(x, bump, label=f"W = {share:g} L")
axes[3].set(title="slope by the distance to an edge", xlabel="distance, in bins")
axes[3].legend(frameon=False, fontsize=8)

"""One value near the border: what each boundary does with the part of its kernel that lies beyond the range."""

import matplotlib.pyplot as plt
import numpy as np

import diffhist

K, value = 10, np.array([0.03])
figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.3), sharey=True, layout="constrained")
for ax, boundary in zip(axes, ("open", "reflect", "circular"), strict=True):
    masses = diffhist.soft_histogram(value, K, bandwidth=0.06, boundary=boundary)
    ax.bar((np.arange(K) + 0.5) / K, masses, 0.9 / K)
    ax.axvline(value[0], color="0.3", linewidth=1)
    ax.set(title=f'"{boundary}": mass {masses.sum():.2f}', xlabel="value", xlim=(0, 1))
axes[0].set_ylabel("mass in each bin")

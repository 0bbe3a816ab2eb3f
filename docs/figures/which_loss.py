"""What the distances see: a bump that moves, a hue that turns, an image whose grey values are mapped or shuffled."""

import matplotlib.pyplot as plt
import numpy as np

import diffhist

rng = np.random.default_rng(0)
figure, (one, two, three) = plt.subplots(1, 3, figsize=(9.6, 2.7), layout="constrained")

at = np.linspace(0.15, 0.85, 29)
bumps = [diffhist.soft_histogram(m + 0.03 * rng.standard_normal(2000), 64) for m in at]
emd = np.array([diffhist.squared_emd(bumps[0], b) for b in bumps])
l2 = np.array([((bumps[0] - b) ** 2).sum() for b in bumps])
one.plot(at - at[0], emd / emd.max(), label="squared EMD")
one.plot(at - at[0], l2 / l2.max(), label="bin by bin, squared")
one.set(title="a bump moves", xlabel="by so much", ylabel="distance, of the largest")
one.legend(frameon=False, fontsize=8)

turns = np.linspace(0, 1, 41)
hue = 0.03 * rng.standard_normal(2000) % 1
red = diffhist.soft_histogram(hue, 64, boundary="circular")
turned = [diffhist.soft_histogram((hue + t) % 1, 64, boundary="circular") for t in turns]
for circular, label in ((True, "circular"), (False, "on the line")):
    two.plot(turns, [diffhist.emd(red, h, circular=circular) for h in turned], label=f"EMD, {label}")
two.set(title="a hue turns", xlabel="by so much of the circle")
two.legend(frameon=False, fontsize=8)

image = rng.random(64 * 64)
others = {"itself": image, "inverted": 1 - image, "folded": abs(2 * image - 1), "shuffled": rng.permutation(image)}
values = [1 - diffhist.mi_distance(diffhist.joint_histogram(image, o, 32, boundary="reflect")) for o in others.values()]
three.bar(list(others), values)
three.set(title="I / H of an image with ...")

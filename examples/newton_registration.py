"""Registration by Newton's method
===============================

Mutual information has second derivatives too. For a shift, which is two numbers, the Hessian is a 2 x 2 matrix, by
forward mode over reverse mode (`torch.func.hessian`), and a handful of Newton steps do what takes gradient descent
dozens: from a first guess a few pixels away, where the landscape has the shape of a bowl. The images are a
photograph's red channel and its inverted blue one; one is shifted through its Fourier transform, which is smooth in
the shift, and exact.
"""

import matplotlib
import torch
from _output import picture_path
from skimage import data
from torch.func import grad_and_value, hessian

from diffhist import joint_histogram, mi_distance

SHIFT = torch.tensor([2.3, -1.6])  # rows and columns
STEPS = 7
OPTIONS = {"bins": 16, "boundary": "reflect", "axis": (-2, -1)}


def shifted(image, shift):
    """A periodic image, moved by rows and columns."""
    rows, columns = (torch.fft.fftfreq(n) for n in image.shape)
    turn = -2 * torch.pi * (rows[:, None] * shift[0] + columns * shift[1])
    return torch.fft.ifft2(torch.fft.fft2(image) * torch.complex(torch.cos(turn), torch.sin(turn))).real


def image_pair():
    """Red, and inverted blue that lies SHIFT further on: two smooth images in [0, 1]."""
    photograph = torch.from_numpy(data.astronaut()[::4, ::4].copy()).permute(2, 0, 1) / 255
    window = torch.hann_window(photograph.shape[1], periodic=False).sqrt()
    low = torch.exp(-30 * (torch.fft.fftfreq(len(window))[:, None] ** 2 + torch.fft.fftfreq(len(window)) ** 2))
    red, _, blue = torch.fft.ifft2(torch.fft.fft2(photograph * window * window[:, None]) * low).real
    return red.clip(0, 1), shifted(1 - blue, SHIFT).clip(0, 1)


def newton(distance, shift):
    """Steps of Newton's method; where the landscape is no bowl, its curvatures count as positive."""
    path = [(shift, *grad_and_value(distance)(shift))]
    for _ in range(STEPS):
        shift, slope, _ = path[-1]
        curvatures, axes = torch.linalg.eigh(hessian(distance)(shift))
        move = axes @ (axes.T @ slope / curvatures.abs().clamp(min=1e-4))
        shift = shift - move * min(1.0, 1.5 / float(move.norm()))  # at most a pixel and a half
        path.append((shift, *grad_and_value(distance)(shift)))
    return path


def descent(distance, shift, steps=40):
    """Adam, for comparison."""
    shift, path = shift.clone().requires_grad_(), []
    optimizer = torch.optim.Adam([shift], lr=0.2)
    for _ in range(steps):
        path.append(shift.detach().clone())
        optimizer.zero_grad()
        distance(shift).backward()
        optimizer.step()
    return path


def draw(path, errors):
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, off in errors.items():
        ax.semilogy(off, marker=".", label=name)
    ax.set(xlabel="step", ylabel="pixels from where it ends", title="1 - I / H, by Newton and by Adam")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main():
    path = picture_path(__doc__, "newton_registration.png")
    red, blue = image_pair()

    def distance(shift):
        return mi_distance(joint_histogram(red, shifted(blue, -shift), **OPTIONS))

    steps = newton(distance, torch.zeros(2))
    found, slope, _ = steps[-1]
    slow = descent(distance, torch.zeros(2))
    print(f"found {found.tolist()}, {(found - SHIFT).norm():.2f} pixels from the true shift")
    print(f"slope after {STEPS} Newton steps: {slope.norm():.1e} of {steps[0][1].norm():.1e}")
    errors = {
        "Newton": [max(float((s - found).norm()), 1e-6) for s, *_ in steps[:-1]],
        "Adam": [float((s - found).norm()) for s in slow],
    }
    draw(path, errors)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

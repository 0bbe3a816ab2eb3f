"""The implementations that are measured: diffhist on each library, the paper's dense formula, and other packages.

Each is a function of a case and its two images, (batch, N) float32 or float64, and gives what can be timed: the
histogram alone, forward, and a step, forward and backward, to the value and the gradient by the first image. Libraries
are imported inside: one that is missing costs a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import Case


class Work(NamedTuple):
    """What an implementation offers to the clock."""

    histogram: Callable[[], Any] | None
    step: Callable[[], tuple[Any, Any]] | None


Maker = Callable[[Case, np.ndarray, np.ndarray], Work]


def _options(case: Case) -> dict[str, Any]:
    return {"bins": case.bins, "bandwidth": case.bandwidth}


def _losses(case: Case, goal: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """diffhist's histogram of the two images, and the loss on top of it, summed over the batch."""
    import diffhist

    if case.task == "emd":

        def histogram(x: Any, y: Any) -> Any:
            return diffhist.soft_histogram(x, **_options(case))

        return histogram, lambda x, y: diffhist.squared_emd(histogram(x, y), goal, circular=True).sum()

    def joint(x: Any, y: Any) -> Any:
        return diffhist.joint_histogram(x, y, **_options(case))

    return joint, lambda x, y: diffhist.mi_distance(joint(x, y)).sum()


def target(case: Case, x: np.ndarray) -> np.ndarray:
    """The histogram that each image shall come to have: one wide hill on the circle."""
    k = np.arange(case.bins) + 0.5
    hill = (1 + np.cos(2 * np.pi * (k / case.bins - 1 / 3))) / case.bins
    return np.broadcast_to(hill, (len(x), case.bins)).astype(x.dtype)


def diffhist_numpy(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    import diffhist

    histogram, loss = _losses(case, target(case, x))
    step = diffhist.value_and_grad(loss)
    return Work(lambda: histogram(x, y), lambda: step(x, y))


def diffhist_torch(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    import torch

    histogram, loss = _losses(case, torch.from_numpy(target(case, x)))
    return _torch(histogram, loss, torch.from_numpy(x), torch.from_numpy(y))


def diffhist_jax(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    import jax

    histogram, loss = _losses(case, jax.numpy.asarray(target(case, x)))
    pair = jax.numpy.asarray(x), jax.numpy.asarray(y)
    alone = jax.jit(histogram).lower(*pair).compile()
    step = jax.jit(jax.value_and_grad(loss)).lower(*pair).compile()
    return Work(lambda: jax.block_until_ready(alone(*pair)), lambda: jax.block_until_ready(step(*pair)))


def _torch(histogram: Callable[..., Any] | None, loss: Callable[..., Any], x: Any, y: Any) -> Work:
    import torch

    x = x.clone().requires_grad_()

    def alone() -> Any:
        with torch.no_grad():
            return histogram(x, y)  # type: ignore[misc]

    def step() -> tuple[Any, Any]:
        value = loss(x, y)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return Work(alone if histogram else None, step)


def dense(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    """The paper's formulas, image by image as they are written: a batch in one piece would not fit."""
    import torch

    from benchmarks import dense as paper

    options = case.bins, case.bandwidth

    def histogram(a: Any, b: Any) -> Any:
        return paper.histogram(a, *options) if case.task == "emd" else paper.joint_histogram(a, b, *options)

    def loss(a: Any, b: Any, goal: Any) -> Any:
        table = histogram(a, b)
        return paper.circular_squared_emd(table, goal) if case.task == "emd" else paper.mi_distance(table)

    X, Y, goals = (torch.from_numpy(a) for a in (x, y, target(case, x)))

    def alone() -> Any:
        return [histogram(a, b) for a, b in zip(X, Y, strict=True)]

    def step() -> tuple[Any, Any]:
        total, gradients = 0.0, []
        for a, b, goal in zip(X, Y, goals, strict=True):
            a = a.clone().requires_grad_()
            value = loss(a, b, goal)
            gradients.append(torch.autograd.grad(value, a)[0])
            total = total + value.detach()
        return total, torch.stack(gradients)

    return Work(alone, step)


def kornia(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    """Gaussian kernels at the bins' centres, ``histogram`` and ``histogram2d``, with the paper's losses on top."""
    import torch
    from kornia.enhance import histogram, histogram2d

    from benchmarks import dense as paper

    X, Y, goal = (torch.from_numpy(a) for a in (x, y, target(case, x)))
    centres = (torch.arange(case.bins, dtype=X.dtype) + 0.5) / case.bins
    bandwidth = torch.tensor(case.bandwidth * math.pi / math.sqrt(3), dtype=X.dtype)  # the logistic's deviation
    if case.task == "emd":

        def alone(a: Any, b: Any) -> Any:
            return histogram(a, centres, bandwidth)

        def loss(a: Any, b: Any) -> Any:
            return sum(paper.circular_squared_emd(p, q) for p, q in zip(alone(a, b), goal, strict=True))

    else:

        def alone(a: Any, b: Any) -> Any:
            return histogram2d(a, b, centres, bandwidth)

        def loss(a: Any, b: Any) -> Any:
            return sum(paper.mi_distance(table) for table in alone(a, b))

    return _torch(alone, loss, X, Y)


def kornia_nmi(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    """``NMILossFromRef``, with kornia's default kernel."""
    import torch
    from kornia.losses import NMILossFromRef

    X, Y = torch.from_numpy(x), torch.from_numpy(y)
    module = NMILossFromRef(Y, num_bins=case.bins)
    return _torch(None, lambda a, b: module(a).sum(), X, Y)


def monai(kernel: str) -> Maker:
    """``GlobalMutualInformationLoss`` with one of its two kernels."""

    def make(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
        import torch
        from monai.losses import GlobalMutualInformationLoss

        module = GlobalMutualInformationLoss(kernel, num_bins=case.bins, reduction="sum").to(torch.from_numpy(x).dtype)
        X, Y = (torch.from_numpy(a).reshape(case.batch, 1, case.side, case.side) for a in (x, y))
        return _torch(None, lambda a, b: module(a, b), X, Y)

    return make


def nitorch(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    """nitorch's joint histogram: cubic B-splines, one node a bin, by ``grid_count`` of torch-interpol."""
    import torch
    from interpol import grid_count

    from benchmarks import dense as paper

    X, Y = (torch.from_numpy(a).reshape(case.batch, case.side, case.side) for a in (x, y))

    def alone(a: Any, b: Any) -> Any:
        nodes = torch.stack([a, b], dim=-1) * case.bins - 0.5
        return grid_count(nodes, (case.bins, case.bins), interpolation=3, bound="zero", extrapolate=True) / X[0].numel()

    return _torch(alone, lambda a, b: sum(paper.mi_distance(table) for table in alone(a, b)), X, Y)


def mattes(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    """SimpleITK's Mattes metric, a value; and one step of descent by it, whose gradient is by where each pixel of the
    first image is looked for, (2, batch, N): the metric gives no gradient by values."""
    import SimpleITK as sitk  # noqa: N813

    pairs = [[sitk.GetImageFromArray(a.reshape(case.side, case.side)) for a in pair] for pair in zip(y, x, strict=True)]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(case.bins)
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 1, estimateLearningRate=method.Never)
    field = sitk.DisplacementFieldTransform(sitk.Image([case.side] * 2, sitk.sitkVectorFloat64, 2))
    field.SetSmoothingOff()
    method.SetInitialTransform(field, inPlace=False)

    def step() -> tuple[Any, Any]:
        total, moves = 0.0, []
        for pair in pairs:
            moved = sitk.DisplacementFieldTransform(sitk.CompositeTransform(method.Execute(*pair)).GetNthTransform(0))
            total += method.GetMetricValue()
            moves.append(-sitk.GetArrayFromImage(moved.GetDisplacementField()).reshape(-1, 2).T)
        return total, np.stack(moves, axis=1)

    return Work(lambda: [method.MetricEvaluate(*pair) for pair in pairs], step)


def pot(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    """POT's ``wasserstein_circle`` of order 1, of the pixels themselves: exact, without a histogram."""
    import torch
    from ot import wasserstein_circle

    X, Y = torch.from_numpy(x), torch.from_numpy(y)
    moved = torch.remainder(Y + 1 / 3, 1.0)
    return _torch(None, lambda a, b: wasserstein_circle(a.T, moved.T, p=1).sum(), X, Y)


def torch_histc(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    import torch

    X = torch.from_numpy(x)
    return Work(lambda: [torch.histc(row, case.bins, 0, 1) for row in X], None)


def numpy_histogram(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    return Work(lambda: [np.histogram(row, case.bins, (0, 1)) for row in x], None)


def numpy_histogram2d(case: Case, x: np.ndarray, y: np.ndarray) -> Work:
    ranges = ((0, 1), (0, 1))
    return Work(lambda: [np.histogram2d(a, b, case.bins, ranges) for a, b in zip(x, y, strict=True)], None)


OURS: dict[str, Maker] = {
    "diffhist, torch": diffhist_torch,
    "diffhist, NumPy": diffhist_numpy,
    "diffhist, JAX": diffhist_jax,
    "dense formula": dense,
}
ROWS: dict[str, dict[str, Maker]] = {
    "emd": OURS
    | {
        "kornia histogram": kornia,
        "POT wasserstein_circle": pot,
        "torch.histc": torch_histc,
        "np.histogram": numpy_histogram,
    },
    "mi": OURS
    | {
        "torch-interpol grid_count": nitorch,
        "kornia histogram2d": kornia,
        "kornia NMILossFromRef": kornia_nmi,
        "MONAI, Gaussian": monai("gaussian"),
        "MONAI, B-spline": monai("b-spline"),
        "SimpleITK Mattes": mattes,
        "np.histogram2d": numpy_histogram2d,
    },
}
SHORT = (
    "diffhist, torch",
    "diffhist, NumPy",
    "dense formula",
    "torch-interpol grid_count",
    "SimpleITK Mattes",
    "torch.histc",
    "np.histogram2d",
)
MATRIX = (  # make N x K matrices
    "dense formula",
    "kornia histogram",
    "kornia histogram2d",
    "kornia NMILossFromRef",
    "MONAI, Gaussian",
    "MONAI, B-spline",
)

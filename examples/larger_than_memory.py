"""More data than memory
=====================

The loss and the exact gradient of a histogram over an array that does not fit in memory, with NumPy alone.

Histograms add: sums over chunks (``normalize=False``) add up to those of the whole. So two passes over the data do:

1. add up the chunks' sums, and get the loss and its slope by them: K numbers, however much data there is;
2. pull that slope back through each chunk's sums: the chunk's part of the exact gradient.

Here a file of 256 MB is equalised by one step of descent while the process may use 128 MB more than it starts with.
(Limits on memory are for Linux; the file is a temporary one.)
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from diffhist import soft_histogram, squared_emd, value_and_grad, vjp

PIXELS = 2**26  # of float32: 256 MB
CHUNK = 2**19
ALLOWED = 128 * 2**20
OPTIONS = {"bins": 64, "boundary": "reflect", "normalize": False}
RATE = 0.2 / 64
UNIFORM = np.full(64, 1 / 64)


def loss_of_sums(sums: np.ndarray, count: int) -> np.ndarray:
    """Any loss of the whole's shares."""
    return squared_emd(sums / count, UNIFORM)


def chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


def loss_and_slope(read: Callable[[slice], np.ndarray], count: int) -> tuple[float, np.ndarray]:
    """The first pass: the loss of the whole, and its slope by the sums."""
    sums = np.zeros(OPTIONS["bins"])  # float64
    for part in chunks(count):
        sums += soft_histogram(read(part), **OPTIONS)
    loss, slope = value_and_grad(lambda s: loss_of_sums(s, count))(sums)
    return float(loss), slope


def gradient(pixels: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The second pass, for one chunk: its part of the gradient of the loss of the whole."""
    sums, pullback = vjp(soft_histogram, pixels, **OPTIONS)
    return pullback(slope.astype(sums.dtype))[0]


def allow(more: int) -> None:
    """Let this process have ``more`` bytes of memory than it has now."""
    import resource  # not on Windows

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY))


def run(path: Path) -> None:
    rng = np.random.default_rng(0)
    with path.open("xb") as file:
        for part in chunks(PIXELS):
            rng.beta(2, 5, part.stop - part.start).astype(np.float32).tofile(file)
    allow(ALLOWED)
    try:
        np.fromfile(path, np.float32)
    except MemoryError:
        print(f"does not fit: {PIXELS * 4 >> 20} MB of data, {ALLOWED >> 20} MB of memory allowed")

    def read(part: slice) -> np.ndarray:
        return np.fromfile(path, np.float32, part.stop - part.start, offset=4 * part.start)

    loss, slope = loss_and_slope(read, PIXELS)
    with path.open("r+b") as file:
        for part in chunks(PIXELS):
            moved = read(part)
            moved -= np.float32(RATE * PIXELS) * gradient(moved, slope)
            moved.tofile(file)  # the chunks come in the order of the file
    print(f"squared EMD to a flat histogram: {loss:.4f}, after one step {loss_and_slope(read, PIXELS)[0]:.4f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder, "pixels.f32"))

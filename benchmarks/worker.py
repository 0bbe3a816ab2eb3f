"""One implementation of one case, in a process of its own: waits for orders on standard input, answers in JSON.

``python -m benchmarks.worker CASE ROW``, with the fields of a `Case` as JSON. Orders: ``peak``, ``histogram``,
``step``, ``error``.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.cases import Case, images

SECONDS = 0.2  # a turn: so long, or one call if that takes longer
SLOW = 0.3  # seconds a call above which nothing is called only to warm up


def main(arguments: list[str]) -> None:
    """Prepare, say so, and do as told until the input ends."""
    warnings.simplefilter("ignore")
    case, make = Case(**json.loads(arguments[0])), peers.ROWS[json.loads(arguments[0])["task"]][arguments[1]]
    try:
        _warm(make(dataclasses.replace(case, side=8, batch=1), *images(dataclasses.replace(case, side=8, batch=1))))
        work = make(case, *images(case))
    except ImportError as error:
        return _say({"skipped": f"{error.name or error} is not installed"})
    _say({"ready": [kind for kind in ("histogram", "step") if getattr(work, kind)]})
    for order in sys.stdin:
        order = order.strip()
        if order == "peak":
            _say(_peak(work))
        elif order == "error":
            _say(_error(case, make))
        else:
            _say(_turn(getattr(work, order)))


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def _warm(work: peers.Work) -> None:
    """Whatever a library does once (threads, compilation), on a tiny image."""
    for call in (work.histogram, work.step):
        for _ in range(3 if call else 0):
            call()  # type: ignore[misc]


def _turn(call: Callable[[], Any]) -> list[float]:
    """Seconds of each call, for a while."""
    start = time.perf_counter()
    call()  # caches and allocators have served the other processes in between
    times = [time.perf_counter() - start]
    if times[0] < SLOW:
        times = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _peak(work: peers.Work) -> float | None:
    """MiB that the first call at full size needs at once, above what the process has; None where Linux is not."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return None

    def kib(field: str) -> int:
        return int(status.read_text().split(field + ":")[1].split()[0])

    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what the allocator has kept would hide what is needed
    reset.write_text("5")  # the high-water mark starts again from here
    before = kib("VmRSS")
    call = work.step or work.histogram
    assert call is not None
    call()
    return (kib("VmHWM") - before) / 1024


def _error(case: Case, make: peers.Maker) -> dict[str, float] | None:
    """How far value and gradient of the first image are from float64, relative to the largest.

    diffhist is held against the dense formula in float64; whoever has another kernel or another loss, against itself.
    """
    case = dataclasses.replace(case, batch=1)
    x, y = images(case)
    step = make(case, x, y).step
    if step is None:
        return None
    found = [np.asarray(a, dtype=np.float64) for a in step()]
    if make in peers.OURS.values() and make is not peers.dense:
        from benchmarks import exact

        true: Any = exact.step(case, x[0], y[0], peers.target(case, x)[0])
    else:
        double = make(case, x.astype(np.float64), y.astype(np.float64)).step
        assert double is not None
        true = double()
    pairs = zip(("value", "gradient"), found, true, strict=True)
    return {name: _relative(a, np.asarray(b, dtype=np.float64)) for name, a, b in pairs}


def _relative(found: np.ndarray, true: np.ndarray) -> float:
    largest = np.abs(true).max()
    return float(np.abs(found.ravel() - true.ravel()).max() / (largest if largest else 1.0))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Signals that end a command: what it has begun is taken away first, as on Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ended_cleanly"]

NAMES = ("SIGTERM", "SIGHUP")


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP raise `SystemExit`, with the status that a shell gives for them."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

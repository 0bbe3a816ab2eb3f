"""Signals that end a command: what it has begun is taken away first, as on Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ended_cleanly", "heeded"]

NAMES = ("SIGTERM", "SIGHUP")


def heeded(*names: str) -> list[int]:
    """The numbers of those signals that this system has; without SIGHUP where it is ignored, as under nohup."""
    found = {name: getattr(signal, name) for name in names if hasattr(signal, name)}
    return [n for name, n in found.items() if name != "SIGHUP" or signal.getsignal(n) != signal.SIG_IGN]


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP raise `SystemExit`, with the status that a shell gives for them."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in heeded(*NAMES)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

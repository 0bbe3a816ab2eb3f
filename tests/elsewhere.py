"""A plugin for pytest that takes away what Windows lacks: ``python -m pytest -p elsewhere``.

What still passes asks for no POSIX module or function, and starts its processes anew (spawn) in place of forking them.
Paths, file locks and line ends stay as they are here, and processes that a test starts have everything.
"""

import multiprocessing
import os
import signal
import sys

MODULES = ("fcntl", "grp", "resource", "termios")
FUNCTIONS = (
    "chown", "fork", "getegid", "geteuid", "getgid", "mkfifo", "posix_fadvise", "posix_fallocate",
    "sched_getaffinity", "sysconf",
)  # fmt: skip
# getuid stays: pytest asks for it
SIGNALS = ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1")


def pytest_configure() -> None:
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # an ImportError for whoever asks for it from now on
    for owner, names in ((os, FUNCTIONS), (signal, SIGNALS)):
        for name in names:
            vars(owner).pop(name, None)
    multiprocessing.set_start_method("spawn", force=True)

"""The command lines' parser: what is wrong comes as one line, not below a screen of usage."""

import argparse
from pathlib import Path
from typing import NoReturn

__all__ = ["Parser", "named", "path"]


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` whose errors are one line; the exit status is 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def path(text: str) -> Path:
    """The type of an option that names a file or folder: "", a shell's variable that is not set, is not this folder."""
    return Path(named(text))


def named(text: str) -> str:
    """A name that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a file or folder")
    return text

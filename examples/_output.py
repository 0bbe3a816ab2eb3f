"""Where an example writes its picture: the one part that the examples share."""

import argparse
from pathlib import Path


def picture_path(description: str, default: str) -> Path:
    """The path given on the command line, by default a file in the current folder; never one that exists."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "picture", nargs="?", type=Path, default=Path(default), help="PNG to write (default: %(default)s)"
    )
    path = parser.parse_args().picture
    if path.exists():
        parser.error(f"{path} exists: move it away, or give another path")
    if not path.parent.is_dir():
        parser.error(f"the folder {path.parent} does not exist: make it, or give another path")
    return path

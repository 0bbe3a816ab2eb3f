"""The console command: ``huenet COMMAND ...`` is ``python -m huenet.COMMAND ...``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from huenet import __version__
from huenet._parser import Parser

__all__ = ["main"]

COMMANDS = {
    "train": "train a network on photographs of yours, or those of scikit-image",
    "transfer": "paint a picture, or a folder of them, with the colours of another",
    "map": "keep what a pair's transfer does, as a .cube or HaldCLUT for other programs",
    "app": "try colour transfer on a page in the browser, on this machine alone",
    "evaluate": "measure a trained network beside the baselines on fixed pairs",
    "report": "turn an evaluation into one HTML page",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; each imports what it needs and no more."""
    parser = Parser(
        prog="huenet",
        description="Colour transfer: paint one photograph with the hues of another.",
        epilog="commands:\n"
        + "\n".join(f"  {name:10} {text}" for name, text in COMMANDS.items())
        + "\n\nEach has its own help: huenet transfer --help. To begin, without any training:\n"
        "  huenet transfer SOURCE.jpg TARGET.jpg -o OUT.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"huenet {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="what the command takes")
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments:
        parser.error(f"name a command: {', '.join(COMMANDS)}; huenet --help says what each does")
    options = parser.parse_args(arguments)
    try:
        command = importlib.import_module(f"huenet.{options.command}")
    except ImportError as error:  # the `huenet` extra is not installed
        parser.error(str(error))
    return command.main(options.arguments)


if __name__ == "__main__":
    sys.exit(main())

"""A page to try it on: pictures dropped into a browser and recoloured on this machine, which nothing of them leaves.

It shows what `huenet.transfer` does, with its options; nothing is computed here.
"""

from huenet.app.command import main

__all__ = ["main"]

"""Recolouring pictures: which file goes where, and a method's map applied to a picture of any size.

The methods themselves live in `huenet.methods`, and reading and writing one picture in `huenet.images`.
"""

from huenet.transfer.command import main
from huenet.transfer.recoloring import recolor

__all__ = ["main", "recolor"]

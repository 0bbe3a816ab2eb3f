"""A recolouring that can be kept: what a method finds for a pair, as a table of colours that other programs read.

The methods are `huenet.transfer`'s; the table is in `huenet.methods.lut`, its files in `huenet.images.lut`.
"""

from huenet.map.command import main

__all__ = ["main"]

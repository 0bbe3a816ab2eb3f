"""Colour transfer without a network, on arrays of any library: transport of hue, Reinhard's statistics, descent.

No torch, no files: networks are in `huenet.model`, and what makes a method a tool for pictures in `huenet.transfer`.
"""

"""Photographs in memory, from folders or by download, and the order in which pairs of them are drawn.

How one file becomes pixels is in `huenet.images`.
"""

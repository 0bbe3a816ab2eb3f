"""Measurements of diffhist beside the formulas it replaces and the libraries it stands next to."""

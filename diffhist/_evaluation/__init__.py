"""Spreading pixels onto histograms and gathering histograms at pixels: the kernel, and the ways to evaluate it.

Nothing here knows of gradients: derivatives by a coordinate are kernels of a higher order.
"""

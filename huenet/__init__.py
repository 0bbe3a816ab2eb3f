"""Colour transfer with Hue-Net: a generator that recolours one photograph with the hues of another.

Built on `diffhist`'s differentiable histograms. `huenet.color`, `huenet.metrics` and `huenet.baselines` run on NumPy
alone; the rest needs the extra: ``pip install 'diffhist[huenet]'``.
"""

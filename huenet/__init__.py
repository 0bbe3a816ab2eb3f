"""Colour transfer with Hue-Net: a generator that recolours one photograph with the hues of another.

Built on `diffhist`'s differentiable histograms. `huenet.color`, `huenet.metrics`, `huenet.methods.transport` and
`huenet.methods.descent` run on NumPy alone; the rest needs the extra: ``pip install 'diffhist[huenet]'``.
"""

from typing import TYPE_CHECKING, Any

from diffhist import __version__

if TYPE_CHECKING:
    from huenet.transfer import recolor

__all__ = ["__version__", "recolor"]


def __getattr__(name: str) -> Any:
    if name == "recolor":  # looked up late, so that the parts that run on NumPy alone can be imported without the extra
        from huenet.transfer import recolor

        return recolor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

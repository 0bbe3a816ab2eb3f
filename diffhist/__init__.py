"""Differentiable histograms and the losses built on them, on NumPy, PyTorch, JAX and CuPy.

Conventions, said once:

- A *sample* is the values along ``axis`` (the last one by default; a tuple joins several); all other axes are batch
  axes. Histograms have the batch axes first and the bins last: (..., K), and (..., Kx, Ky, ...) for joint ones.
- The *bins* are K equal parts of ``range``, of length L, or those between given edges. What a bin holds is the share of
  the sample's mass in it: neither a count nor a density. ``normalize=False`` gives sums in place of shares.
- Each value is spread by a ``kernel``, by default a logistic one, of ``bandwidth`` W (L / 2.5), in the units of the
  values. Mass beyond the range is lost (``boundary="open"``), comes in at the other end (``"circular"``) or comes back
  (``"reflect"``).
- Everything has a gradient rule of its own: torch and JAX differentiate through it as through their own functions;
  for NumPy and CuPy there are `value_and_grad` and `vjp`.
- ``diffhist.nn`` has the losses as torch modules; it is imported on demand, since it needs torch.
"""

from diffhist._backends.primitive import jvp, value_and_grad, vjp
from diffhist._registry import register_backend
from diffhist.chance import mi_ceiling, mi_floor
from diffhist.divergence import js_divergence, kl_divergence
from diffhist.histogram import joint_histogram, soft_histogram
from diffhist.information import (
    conditional_entropy,
    conditional_mutual_information,
    entropy,
    mi_distance,
    mutual_information,
    normalized_mutual_information,
)
from diffhist.matching import equalize, match_histogram
from diffhist.transport import emd, squared_emd
from diffhist.unbalanced import unbalanced_emd

__all__ = [
    "conditional_entropy",
    "conditional_mutual_information",
    "emd",
    "entropy",
    "equalize",
    "joint_histogram",
    "js_divergence",
    "jvp",
    "kl_divergence",
    "match_histogram",
    "mi_ceiling",
    "mi_distance",
    "mi_floor",
    "mutual_information",
    "normalized_mutual_information",
    "register_backend",
    "soft_histogram",
    "squared_emd",
    "unbalanced_emd",
    "value_and_grad",
    "vjp",
]

__version__ = "0.2.0"

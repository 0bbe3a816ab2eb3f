"""What the package promises before any array arrives."""

import subprocess
import sys
from pathlib import Path

import pytest

import diffhist

NAMES = [
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


def test_public_names():
    assert sorted(diffhist.__all__) == NAMES
    assert list(diffhist.__all__) == NAMES, "sorted, so that a reader finds a name"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_documented(name):
    documentation = getattr(diffhist, name).__doc__
    assert documentation is not None
    assert "Parameters" in documentation
    assert ">>>" in documentation


def test_import_needs_numpy_alone():
    """Also on first use with NumPy: no other library is loaded behind the user's back."""
    program = """
import sys, numpy as np, diffhist
x = np.linspace(0.1, 0.9, 9)
diffhist.value_and_grad(lambda x: diffhist.mi_distance(diffhist.joint_histogram(x, x, 4)))(x)
diffhist.emd(diffhist.soft_histogram(x, 4), np.ones(4))
print(*sorted({"torch", "jax", "cupy", "scipy", "array_api_strict", "huenet", "diffhist.nn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_diffhist_never_imports_huenet():
    for path in Path(diffhist.__file__).parent.glob("**/*.py"):
        assert "huenet" not in path.read_text(encoding="utf-8"), path.name

"""What a bare installation, with NumPy alone, can do and what it says about the rest."""

import os
import subprocess
import sys

import pytest

WITHOUT = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {missing!r} else found(name, *rest)
import {module}
assert not set({missing!r}) & set(sys.modules)
"""


def run(module, missing=("torch", "tqdm")):
    code = WITHOUT.format(module=module, missing=missing)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    "module", ["huenet", "huenet.color", "huenet.metrics", "huenet.methods.transport", "huenet.config"]
)
def test_imports_without_the_extra(module):
    done = run(module)
    assert done.returncode == 0, done.stderr


def test_descent_on_a_pair_needs_numpy_alone():
    module = (
        "huenet.methods.descent, numpy; "
        "huenet.methods.descent.optimize(*numpy.random.default_rng(0).random((2, 3, 8, 8)), steps=2)"
    )
    done = run(module, missing=("torch", "tqdm", "scipy", "skimage", "PIL"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module",
    ["model.networks", "model.losses", "train", "train.state", "train.plots", "model.checkpoint", "train.validation"],
)
def test_the_rest_names_the_extra_in_one_line(module):
    done = run(f"huenet.{module}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: huenet needs torch, tqdm: pip install 'diffhist[huenet]'"


@pytest.mark.parametrize("module", ["train", "transfer", "evaluate", "report"])
def test_a_command_without_the_extra_is_one_line_and_status_2(tmp_path, module):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torch' else found(name, *rest)\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-m", f"huenet.{module}"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"huenet.{module}: huenet needs torch: pip install 'diffhist[huenet]'\n"

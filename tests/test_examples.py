"""Every example runs as a user would run it, and finds what it says it finds."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import diffhist

EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURES = (
    "grade_folder",
    "hue_loss",
    "jax_training_loop",
    "match_histogram",
    "newton_registration",
    "register_by_mi",
    "register_volumes",
)


def needs(*names):
    for name in names:
        pytest.importorskip(name)


def run(name, *arguments, launcher=(), folder=None):
    """Start an example in ``folder``, on one core."""
    command = [sys.executable, *launcher, EXAMPLES / f"{name}.py", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def output(name, **options):
    done = run(name, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+\.\d+(?:e[+-]\d+)?", text)]


def picture(path):
    """The pixels, from 0 to 1; at least something must be drawn on it."""
    pixels = importlib.import_module("matplotlib.image").imread(path)
    pixels = pixels / 255 if pixels.dtype == np.uint8 else pixels
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.1
    return pixels


def module(name, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(name)


def test_match_histogram(tmp_path):
    needs("skimage", "matplotlib")
    before, after = numbers(output("match_histogram", folder=tmp_path))
    assert after < 1e-5 * before
    picture(tmp_path / "match_histogram.png")


def test_matching_is_histogram_specification(monkeypatch):
    """Its answer is known: the sorted pixels become the target's quantiles, in their old order."""
    needs("skimage", "matplotlib")
    rng = np.random.default_rng(0)
    image, target = rng.beta(5, 8, (40, 50)), rng.beta(2, 2, (60, 50))
    result, _ = module("match_histogram", monkeypatch).match(image, target)
    order = np.argsort(image, axis=None)
    quantiles = np.quantile(target, (np.arange(image.size) + 0.5) / image.size)
    np.testing.assert_allclose(result.ravel()[order], quantiles, atol=0.02)


@pytest.mark.slow
def test_register_by_mi(tmp_path):
    needs("skimage", "matplotlib", "torch")
    true_rows, true_columns, rows, columns, off = numbers(output("register_by_mi", folder=tmp_path))
    assert (true_rows, true_columns) == (6.5, -11)
    assert off < 0.05
    assert abs(rows - 6.5) < 0.05
    assert abs(columns + 11) < 0.05
    picture(tmp_path / "register_by_mi.png")


@pytest.mark.slow
def test_hue_loss(tmp_path):
    needs("skimage", "matplotlib", "torch")
    before, after = numbers(output("hue_loss", folder=tmp_path))
    assert before > 5
    assert after < 0.1
    picture(tmp_path / "hue_loss.png")


@pytest.mark.slow
def test_grade_folder(tmp_path):
    needs("skimage", "matplotlib", "torch", "huenet")
    shot, each, one = numbers(output("grade_folder", folder=tmp_path).splitlines()[-2])
    assert one < each
    assert one < 2 * shot
    picture(tmp_path / "grade_folder.png")


@pytest.mark.slow
def test_jax_training_loop(tmp_path):
    needs("skimage", "matplotlib", "jax")
    before, after = numbers(output("jax_training_loop", folder=tmp_path))
    assert after < 0.1 * before
    picture(tmp_path / "jax_training_loop.png")


@pytest.mark.slow
def test_newton_registration(tmp_path):
    """Where it ends the slope is 0: seven steps square the error, and no first-order method does that."""
    needs("skimage", "matplotlib", "torch")
    rows, columns, off, slope, first = numbers(output("newton_registration", folder=tmp_path))
    assert abs(rows - 2.3) < 0.3
    assert abs(columns + 1.6) < 0.3
    assert off < 0.3
    assert slope < 1e-5 * first
    picture(tmp_path / "newton_registration.png")


@pytest.mark.slow
def test_register_volumes(tmp_path):
    needs("skimage", "matplotlib", "torch")
    radians, voxels = numbers(output("register_volumes", folder=tmp_path))
    assert radians < 0.01
    assert voxels < 0.1
    picture(tmp_path / "register_volumes.png")


@pytest.mark.parametrize(
    "name", [n if n == "match_histogram" else pytest.param(n, marks=pytest.mark.slow) for n in PICTURES]
)
def test_no_picture_is_overwritten(name, tmp_path):
    needs("skimage", "matplotlib", "torch", *(["jax"] if name == "jax_training_loop" else []))
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    done = run(name, mine)
    assert done.returncode == 2
    assert f"{mine} exists" in done.stderr
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_passes_give_the_exact_gradient_of_the_whole(dtype, monkeypatch):
    example = module("larger_than_memory", monkeypatch)
    monkeypatch.setattr(example, "CHUNK", 128)
    pixels = np.random.default_rng(0).random(1000).astype(dtype)
    options = example.OPTIONS | {"normalize": True}
    whole = diffhist.value_and_grad(
        lambda x: diffhist.squared_emd(diffhist.soft_histogram(x, **options), example.UNIFORM.astype(dtype))
    )
    value, expected = whole(pixels)
    loss, slope = example.loss_and_slope(lambda part: pixels[part], 1000)
    parts = list(example.chunks(1000))
    assert (len(parts), parts[-1].stop) == (8, 1000)
    found = [example.gradient(pixels[part], slope) for part in parts]
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(loss, value, rtol=tolerance)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=tolerance, atol=tolerance * abs(expected).max())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are for Linux")
def test_larger_than_memory(tmp_path):
    text = output("larger_than_memory", folder=tmp_path)
    assert "does not fit: 256 MB of data, 128 MB of memory allowed" in text
    before, after = numbers(text)
    assert after < 0.5 * before
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_find_what_one_does():
    needs("torch")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    alone, together = output("distributed_histogram"), output("distributed_histogram", launcher=launcher)
    assert alone.startswith("1 process\n")
    assert together.startswith("2 processes\n")
    np.testing.assert_allclose(numbers(together), numbers(alone), rtol=1e-10)


@pytest.mark.slow
def test_teaser(tmp_path):
    needs("skimage", "sklearn", "matplotlib", "torch", "huenet")
    output("teaser", folder=tmp_path)
    for name in ("teaser.jpg", "failure.jpg"):
        picture(tmp_path / name)


def test_every_example_is_run_here():
    names = {path.stem for path in EXAMPLES.glob("[!_]*.py")}
    assert names == {*PICTURES, "larger_than_memory", "distributed_histogram", "teaser"}

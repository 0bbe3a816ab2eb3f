"""The weights that come with the package, and how they are made from a run."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("torch")

from PIL import Image
from safetensors import safe_open
from skimage import data

from diffhist import unbalanced_emd
from huenet import recolor
from huenet.color import chroma, luminance, rgb_to_hsv
from huenet.metrics import hue_histogram, incoherence
from huenet.model.checkpoint import CheckpointError
from huenet.model.inference import SHIPPED, export, load_generator
from huenet.model.networks import build_generator

PAIRS = [("astronaut", "coffee"), ("chelsea", "astronaut"), ("coffee", "rocket"), ("rocket", "chelsea")]


def photograph(name):
    return np.asarray(Image.fromarray(getattr(data, name)()).resize((192, 160)))


def test_photographs_take_the_targets_hues_and_stay_coherent():
    figures = []
    for source, target in (map(photograph, pair) for pair in PAIRS):
        result = recolor(source, target)
        before, wanted, after = (rgb_to_hsv(x / 255, axis=-1) for x in (source, target, result))
        light = [np.sqrt(luminance(x / 255, axis=-1)) for x in (source, result)]
        np.testing.assert_allclose(*light, atol=2 / 255)
        weights = chroma(before, axis=-1), chroma(wanted, axis=-1)
        goal = hue_histogram(wanted[..., 0], weights[1], bins=64)
        hists = (hue_histogram(x[..., 0], chroma(x, axis=-1), bins=64) for x in (before, after))
        distances = (unbalanced_emd(hist, goal, circular=True) for hist in hists)
        figures.append([*distances, *(incoherence(x[..., 0], weights[0]) for x in (before, after))])
    far_before, far_after, rough_before, rough_after = np.mean(figures, axis=0)
    assert far_after < far_before / 3
    assert rough_after < 1.3 * rough_before


def test_they_are_small_and_name_no_folder():
    assert SHIPPED.stat().st_size < 6e6
    with safe_open(SHIPPED, framework="np") as file:
        config = json.loads(json.loads(file.metadata()["meta"])["config"])
    assert config["preset"] == "default"
    assert config["out"] is None
    assert "/" not in str(config["data"])


def test_export_keeps_the_generator_to_half_precision_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)  # the discriminator's is not asked for
    import torch

    from huenet.config import from_preset
    from huenet.model import checkpoint
    from huenet.model.checkpoint import MODEL

    config = from_preset("default", data="/home/me/pictures", out="runs/mine", size=32, width=4)
    generator = build_generator(config)
    checkpoint.save(tmp_path / MODEL, generator.state_dict(), {"config": config.to_json()})
    export(tmp_path, tmp_path / "weights.safetensors")
    loaded, kept = load_generator(tmp_path / "weights.safetensors")
    assert (kept.data, kept.out, kept.size) == ("pictures", None, 32)
    for name, tensor in generator.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    assert 2 * (tmp_path / "weights.safetensors").stat().st_size < 1.1 * (tmp_path / MODEL).stat().st_size
    with pytest.raises(FileExistsError, match="choose another name"):
        export(tmp_path, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="has no model"):
        export(tmp_path / "nowhere", tmp_path / "other")

"""Small pictures, and run folders as training leaves them, without the training."""

import json

import numpy as np
import torch
from PIL import Image

from huenet.config import from_preset
from huenet.model import checkpoint
from huenet.model.checkpoint import MODEL
from huenet.model.networks import build_generator


def make_pictures(folder, count=12, seed=0):
    """Soft blobs, each picture of its own few hues."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        blobs = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((48, 40), Image.Resampling.BICUBIC)
        blobs.save(folder / f"{i:02}.png")
    return folder


def make_run(folder, data=None, *, trained=(), held_out=(), seed=0, **changes):
    """A run folder with random weights that says it was trained on the names `trained` of `data`."""
    torch.manual_seed(seed)
    config = from_preset(
        "default", **{"size": 32, "width": 4, "features": False, "data": data and str(data), **changes}
    )
    folder.mkdir(parents=True)
    record = {"data": config.data, "train": list(trained), "validation": list(held_out), "skipped": {}}
    (folder / "config.json").write_text(config.to_json())
    (folder / "data.json").write_text(json.dumps(record))
    lines = [
        {"step": 0, "val/emd_output": 0.2, "val/emd_source": 0.2},
        {"step": 1, "emd": 0.1, "mi": 0.9, "smooth": 0.01, "adversarial": 0.7, "discriminator": 1.4},
        {"step": 2, "emd": 0.05, "mi": 0.8, "val/emd_output": 0.1, "val/emd_source": 0.2},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    checkpoint.save(folder / MODEL, build_generator(config).state_dict(), {"step": 2, "config": config.to_json()})
    return folder


def contents(place):
    return {path.name: path.read_bytes() for path in place.iterdir()}

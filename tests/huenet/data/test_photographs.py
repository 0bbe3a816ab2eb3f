"""The photographs that come with scikit-image, and the crops that training takes of them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("skimage")
pytest.importorskip("tqdm")

from PIL import Image

from huenet.data import loading as data
from huenet.data.loading import DataError, load, photographs


def test_photographs_are_those_of_scikit_image():
    io = pytest.importorskip("skimage.io")
    import skimage

    whole = photographs()
    assert set(data.TRAINING + data.VALIDATION) == set(whole)
    folder = os.path.join(os.path.dirname(skimage.__file__), "data")
    for name in ("astronaut.png", "coffee.png"):
        np.testing.assert_array_equal(whole[name], io.imread(os.path.join(folder, name)))
    for image in whole.values():
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3


def test_photographs_need_neither_network_nor_scikit_image_itself():
    code = (
        "import sys, socket\n"
        "socket.socket.connect = None\n"
        "from huenet.data.loading import photographs\n"
        "assert photographs()\n"
        "assert not {'skimage', 'pooch', 'torch'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def crops():
    return load(None, 32, 0)


def chroma(images: np.ndarray) -> np.ndarray:
    return np.ptp(images, axis=1) / 255


def hue_shares(images: np.ndarray, bins: int) -> np.ndarray:
    """Chroma-weighted histogram of hue of each image, by Pillow's own conversion."""
    shares = []
    for image, weight in zip(images, chroma(images), strict=True):
        hue = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("HSV"))[..., 0]
        counts = np.histogram(hue, bins, (0, 256), weights=weight)[0]
        shares.append(counts / counts.sum())
    return np.array(shares)


def test_crops_hold_out_whole_photographs(crops):
    train, validation = set(crops.record["train"]), set(crops.record["validation"])
    assert not train & validation
    assert {"motorcycle_left.png", "motorcycle_right.png"} <= train
    json.dumps(crops.record)


def test_crops_are_colourful_and_varied(crops):
    for images in (crops.train, crops.validation):
        assert images.shape[1:] == (3, 32, 32)
        assert images.flags.c_contiguous
        assert chroma(images).mean((1, 2)).min() > 0.08
        shares = hue_shares(images, 6)
        assert shares[:, [0, 5]].sum(1).max() > 0.9  # a red crop
        assert shares[:, 3:5].sum(1).max() > 0.9  # a blue crop
    assert hue_shares(crops.train, 6).mean(0).min() > 0.1  # every hue is there to learn from


def test_validation_keeps_the_colours_of_the_camera(crops):
    whole = photographs()
    colours = {name: {tuple(c) for c in whole[name][::2, ::2].reshape(-1, 3) // 32} for name in data.VALIDATION}
    for i, crop in enumerate(crops.validation):
        own = colours[data.VALIDATION[i % 2]]
        seen = [tuple(c) in own for c in crop.reshape(3, -1).T // 32]
        assert np.mean(seen) > 0.9


def test_hue_turns_keep_saturation_and_value():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)
    turned = data._turn_hues(images.copy(), rng)
    assert np.abs(turned.max(1).astype(int) - images.max(1)).max() <= 1
    assert np.abs(turned.min(1).astype(int) - images.min(1)).max() <= 1
    assert (turned != images).mean() > 0.8


def test_crops_are_a_function_of_the_seed(monkeypatch):
    monkeypatch.setattr(data, "TRAINING_CROPS", 12)
    monkeypatch.setattr(data, "VALIDATION_CROPS", 4)
    first, again, other = load(None, 32, 0), load(None, 32, 0), load(None, 32, 1)
    np.testing.assert_array_equal(first.train, again.train)
    np.testing.assert_array_equal(first.validation, again.validation)
    assert (first.train != other.train).any()
    assert (first.validation != other.validation).any()


def test_photographs_and_trouble_of_the_machine(monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(DataError, match=r"astronaut.png: out of memory"):
        photographs()

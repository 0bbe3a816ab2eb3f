"""The ComfyUI node, loaded and called as ComfyUI does it: by the folder's path, with the defaults of its inputs."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")

import torch

from huenet import recolor
from huenet.transfer.methods import METHODS

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"


@pytest.fixture(scope="module")
def node_class():
    """ComfyUI's `load_custom_node`: the folder is a package under a name of its path."""
    name = str(FOLDER).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(
        name, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    assert module.NODE_CLASS_MAPPINGS.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
    yield module.NODE_CLASS_MAPPINGS["HuenetTransfer"]
    del sys.modules[name]


def run(node_class, **given):
    """What the executor does: widgets at their defaults, inputs by name, in inference mode, a tuple back."""
    types = node_class.INPUT_TYPES()
    values = {}
    for kind, options in types["required"].values():
        assert kind in ("IMAGE", "FLOAT", "STRING") or options["default"] in kind
    for name, (kind, options) in types["required"].items():
        if kind != "IMAGE":
            values[name] = options["default"]
    assert given.keys() <= types["required"].keys() | types["optional"].keys()
    with torch.inference_mode():
        result = getattr(node_class(), node_class.FUNCTION)(**{**values, **given})
    assert isinstance(result, tuple)
    assert len(result) == len(node_class.RETURN_TYPES)
    return result[0]


def images(count, height=20, width=24, channels=3, seed=0):
    return torch.rand((count, height, width, channels), generator=torch.manual_seed(seed))


def test_images_come_back_as_images(node_class):
    image, target = images(3), images(1, 9, 7, seed=1)
    made = run(node_class, image=image, target=target, method="transport")
    assert (made.shape, made.dtype, made.device) == (image.shape, torch.float32, image.device)
    wanted = recolor(image[1].numpy(), target[0].numpy(), method="transport")
    np.testing.assert_allclose(made[1].numpy(), wanted, atol=2e-5)
    assert 0 <= made.min() <= made.max() <= 1


@pytest.mark.parametrize("method", ["huenet", "optimize", "transport", "relaxed", "reinhard"])
def test_every_method_runs_with_the_defaults_of_all_widgets(node_class, method):
    made = run(node_class, image=images(2), target=images(2, seed=1), method=method)
    assert made.shape == (2, 20, 24, 3)
    assert torch.isfinite(made).all()


def test_it_has_every_option_of_every_method(node_class):
    widgets = node_class.INPUT_TYPES()["required"].keys() - {"image", "target", "method"}
    assert widgets == {name for method in METHODS.values() for name in method.options()}
    image, target = images(1), images(1, seed=1)
    for name, value in (("reg_m", 0.01), ("smooth", 0.0)):
        made = run(node_class, image=image, target=target, method="relaxed", **{name: value})
        wanted = recolor(image.movedim(-1, 1), target.movedim(-1, 1), method="relaxed", **{name: value})
        assert torch.equal(made, wanted.movedim(1, -1))
        assert (made != run(node_class, image=image, target=target, method="relaxed")).any()
    with pytest.raises(ValueError, match="no-such-run"):
        run(node_class, image=image, target=target, run="no-such-run")


def test_closeness_is_the_network_s_dial(node_class):
    image, target = images(1), images(1, seed=1)
    least, most = (run(node_class, image=image, target=target, closeness=c) for c in (0.0, 1.0))
    assert torch.equal(
        run(node_class, image=image, target=target), run(node_class, image=image, target=target, closeness=0.4)
    )
    assert (least != most).any()


def test_fewer_targets_go_on_with_the_last(node_class):
    image, target = images(3), images(2, seed=1)
    made = run(node_class, image=image, target=target, method="reinhard")
    again = run(node_class, image=image, target=target[[0, 1, 1]], method="reinhard")
    assert torch.equal(made, again)


def test_masks_of_any_size_and_number_act_where_they_are_1(node_class):
    image, target = images(2), images(1, seed=1)
    mask = torch.zeros(1, 10, 12)
    mask[:, :, 6:] = 1
    for form in (mask, mask[0], mask.expand(2, -1, -1), mask[:, None], mask.expand(5, -1, -1)):
        made = run(node_class, image=image, target=target, method="transport", mask=form)
        assert torch.equal(made[:, :, :10], image[:, :, :10])
        assert (made[:, :, 14:] != image[:, :, 14:]).any()


def test_what_other_nodes_hand_on_is_taken(node_class):
    """A fourth channel, values a little out of range, a grey target, a graph."""
    image = (images(2, channels=4) * 1.02 - 0.01).requires_grad_()
    made = run(node_class, image=image, target=images(1, seed=1), method="transport")
    assert torch.equal(made[..., 3], image[..., 3])
    assert not made.requires_grad
    grey = run(node_class, image=images(2), target=torch.full((1, 4, 4, 3), 0.5), method="transport")
    assert torch.equal(grey, images(2))

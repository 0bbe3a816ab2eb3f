"""The paper's generator and discriminator: pix2pix's U-Net and 70x70 PatchGAN, on hue.

Pictures are float HSV tensors (B, 3, H, W) in [0, 1]; a hue is (B, H, W) in turns. The networks of `default` are in
`huenet.model.palette`; `build_generator` and `build_discriminator` make those that a configuration asks for. A
generator is called with source and target, and may be told how close to come; a discriminator sees a source painted
with a hue, and then judges what it saw.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math

import torch
from torch import Tensor, nn

from huenet.config import Config
from huenet.model.palette import PaletteDiscriminator, PaletteGenerator

__all__ = [
    "AnyDiscriminator",
    "AnyGenerator",
    "Discriminator",
    "Generator",
    "UNet",
    "build_discriminator",
    "build_generator",
]


class Generator(nn.Module):
    """The hue of the source recoloured after the target: H, S, V and the target's H in, the hue out of a sigmoid."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(4, 1, config.size, config.width, config.norm, config.dropout)

    def forward(self, source: Tensor, target: Tensor, closeness: Tensor | None = None) -> Tensor:
        """Source and target, HSV (B, 3, H, W), to the output's hue (B, H, W) in [0, 1]; it has no dial."""
        return torch.sigmoid(self.unet(torch.cat([source, target[:, :1]], dim=1))[:, 0])


class UNet(nn.Module):
    """pix2pix's U-Net: 4x4 convolutions of stride 2 down to one pixel and back up, with skip connections.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the picture that comes in and of the one that goes out; the output has no activation.
    size : int
        Side of the picture, a power of two; it decides the depth. Any sides that it divides can be fed.
    width : int
        Channels of the first layer; they double up to eight times that.
    norm : str
        "batch" or "group".
    dropout : float
        In the first three decoder blocks of full width.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, width: int, norm: str, dropout: float) -> None:
        super().__init__()
        depth = int(math.log2(size))
        widths = [width * min(2**i, 8) for i in range(depth)]
        bias = norm != "batch"  # batch norm takes every channel's mean away, and the bias with it
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i in range(depth):
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if i else []
            layers.append(nn.Conv2d(widths[i - 1] if i else in_channels, widths[i], 4, 2, 1, bias=bias))
            if 0 < i < depth - 1:  # as in pix2pix: no norm in the first layer, nor at one pixel
                layers.append(_norm(norm, widths[i]))
            self.down.append(nn.Sequential(*layers))
        for i in reversed(range(1, depth)):
            inner = widths[i] if i == depth - 1 else 2 * widths[i]
            layers = [
                nn.ReLU(),
                nn.ConvTranspose2d(inner, widths[i - 1], 4, 2, 1, bias=bias),
                _norm(norm, widths[i - 1]),
            ]
            if dropout and depth - i <= 3 and widths[i - 1] == widths[-1]:
                layers.append(nn.Dropout(dropout))
            self.up.append(nn.Sequential(*layers))
        self.last = nn.ConvTranspose2d(2 * widths[0], out_channels, 4, 2, 1)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W); H and W are multiples of the training size."""
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = torch.cat([block(x), skips.pop()], dim=1)
        with torch.autocast(x.device.type, enabled=False):  # a bfloat16 hue moves in steps of a whole bin
            return self.last(torch.relu(x.float()))


class Discriminator(nn.Module):
    """The 70x70 PatchGAN: logits of "real" for overlapping patches of a hue seen with its S and V."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [config.width * m for m in (1, 2, 4, 8)]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in (1, 2, 3):
            stride = 2 if i < 3 else 1
            layers.append(nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1, bias=config.norm != "batch"))
            layers += [_norm(config.norm, widths[i]), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.apply(_initialise)

    def settle(self) -> None:
        """Nothing follows the weights after a step."""

    @staticmethod
    def see(source: Tensor, hue: Tensor) -> list[Tensor]:
        """What there is to judge by: (H; S, V)."""
        return [torch.cat([hue[:, None], source[:, 1:]], dim=1)]

    def forward(self, *seen: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Logits (B, 1, h, w) for each of what `see` returned.

        Each has its own pass, hence its own batch statistics; being one call, that works under DDP too.
        """
        return tuple([self.layers(picture)] for (picture,) in seen)


def _norm(name: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if name == "batch" else nn.GroupNorm(math.gcd(channels, 8), channels)


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) for weights and N(1, 0.02) for the norms' scales, as in pix2pix."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(bias := getattr(module, "bias", None), Tensor):
        nn.init.zeros_(bias)


AnyGenerator = Generator | PaletteGenerator
AnyDiscriminator = Discriminator | PaletteDiscriminator


def build_generator(config: Config) -> AnyGenerator:
    """The generator, as the configuration has it."""
    return PaletteGenerator(config) if config.circle else Generator(config)


def build_discriminator(config: Config) -> AnyDiscriminator:
    """The discriminator, as the configuration has it; with `config.features` it needs the extra `train`."""
    return PaletteDiscriminator(config) if config.circle else Discriminator(config)

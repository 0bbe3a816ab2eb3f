"""The generator and the discriminator: pix2pix's U-Net and 70x70 PatchGAN, as the paper takes them, on hue.

Pictures are float HSV tensors (B, 3, H, W) in [0, 1]; a hue is (B, H, W) in turns.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math

import torch
from torch import Tensor, nn

import diffhist
from huenet.baselines import apply_displacement, hue_transport
from huenet.color import chroma, hsv_to_rgb
from huenet.config import Config

__all__ = ["Discriminator", "Generator", "UNet", "presence"]

PRIOR_BINS = 256


class Generator(nn.Module):
    """The hue of the source recoloured after the target.

    With `config.circle` the network reads points on the hue circle and predicts a rotation of the source's hue, on top
    of the smoothed optimal transport where `config.prior` asks for it. Without, it is the paper's: H, S, V of the
    source and H of the target in, the output's hue out of a sigmoid.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.circle, self.prior = config.circle, config.prior
        channels = 4 + (3 + 4 * bool(config.prior)) * config.circle
        self.unet = UNet(channels, 1, config.size, config.width, config.norm, config.dropout)
        if config.circle:  # so that training starts from the prior itself
            nn.init.zeros_(self.unet.last.weight)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Source and target, HSV (B, 3, H, W), to the output's hue (B, H, W) in [0, 1]."""
        if not self.circle:
            return torch.sigmoid(self.unet(torch.cat([source, target[:, :1]], dim=1))[:, 0])
        hue = source[:, 0] + self.rotation(source, target) * presence(source)
        return hue - hue.detach().floor()

    def rotation(self, source: Tensor, target: Tensor) -> Tensor:
        """How far each pixel's hue turns, (B, H, W) in turns: the prior's displacement plus the network's own."""
        inputs = [_point(source), source[:, 1:], _point(target), chroma(target)[:, None]]
        start = torch.zeros_like(source[:, 0])
        if self.prior:
            exact, start = self._transports(source, target)
            inputs += [_point(source, exact), _point(source, start)]
        return start + self.unet(torch.cat(inputs, dim=1))[:, 0]

    @torch.no_grad()
    def _transports(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement of each pixel by the exact and by the smoothed transport of hue, (B, H, W) in turns."""
        hists = [
            diffhist.soft_histogram(
                picture[:, 0], PRIOR_BINS, boundary="circular", weights=chroma(picture), axis=(-2, -1)
            )
            for picture in (source.float(), target.float())
        ]
        hue = source[:, 0].float()
        moves = [apply_displacement(hue, hue_transport(*hists, smooth=smooth)) - hue for smooth in (0.0, self.prior)]
        return moves[0] - moves[0].round(), moves[1] - moves[1].round()


def presence(hsv: Tensor) -> Tensor:
    """How much of a hue a pixel has: 0 for grey and black, 1 from a chroma of 0.06 on, (B, 3, H, W) to (B, H, W)."""
    t = ((chroma(hsv) - 0.02) / 0.04).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _point(hsv: Tensor, turn: Tensor | float = 0.0) -> Tensor:
    """Hue as a point of the unit disc, (B, 2, H, W), at the centre where there is no hue, turned by `turn`."""
    angle = 2 * math.pi * (hsv[:, 0] + turn)
    return torch.stack([angle.cos(), angle.sin()], dim=1) * presence(hsv)[:, None]


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
        """(B, in_channels, H, W) to (B, out_channels, H, W); H and W multiples of the training size."""
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
    """The 70x70 PatchGAN: logits of "real" for overlapping patches of a hue seen with its S and V.

    It reads (H; S, V) as in the paper, or with `config.circle` the RGB picture that they make, which has no seam at red
    and shows no hue where there is none.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.circle = config.circle
        widths = [config.width * m for m in (1, 2, 4, 8)]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in (1, 2, 3):
            stride = 2 if i < 3 else 1
            layers.append(nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1, bias=config.norm != "batch"))
            layers += [_norm(config.norm, widths[i]), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.apply(_initialise)

    def forward(self, source: Tensor, *hues: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, 1, h, w) for each hue (B, H, W), seen with the S and V of `source` (B, 3, H, W).

        Each hue has its own pass, hence its own batch statistics; being one call, that works under DDP too.
        """
        pictures = [torch.cat([hue[:, None], source[:, 1:]], dim=1) for hue in hues]
        return tuple(self.layers(hsv_to_rgb(picture) if self.circle else picture) for picture in pictures)


def _norm(name: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if name == "batch" else nn.GroupNorm(math.gcd(channels, 8), channels)


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) for weights and N(1, 0.02) for the norms' scales, as in pix2pix."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)

"""The generator and the discriminator: pix2pix's U-Net and 70x70 PatchGAN, as the paper takes them, on hue.

Pictures are float HSV tensors (B, 3, H, W) in [0, 1]; a hue is (B, H, W) in turns.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import diffhist
from huenet.baselines import apply_displacement, hue_transport
from huenet.color import chroma, hsv_to_rgb
from huenet.config import Config

__all__ = ["Discriminator", "Generator", "UNet", "hue_point", "presence"]

PRIOR_BINS = 256
BLURS = 5  # of 1, 2, 4, 8 and 16 pixels
EDGE = 1.0  # a step between hues, as points of the unit disc, across which a blur stops


class Generator(nn.Module):
    """The hue of the source recoloured after the target.

    Without `config.circle` it is the paper's: H, S, V of the source and H of the target in, the output's hue out of a
    sigmoid. With it, the network reads points on the hue circle and the hue turns by what it predicts.

    Where `config.prior` asks for it, the rotation starts from the optimal transport of hue, smoothed over hue. What
    smoothing took from the exact transport is cut into bands of detail within regions of like hue, and the network
    decides how much of each comes back where: what moves a whole flower may, what would part its petals need not. It
    starts with little of any.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.circle, self.prior = config.circle, config.prior
        bands = BLURS + 1
        inputs, outputs = (9 + bands, bands) if config.prior else (7, 1) if config.circle else (4, 1)
        self.unet = UNet(inputs, outputs, config.size, config.width, config.norm, config.dropout)
        if config.circle:
            self.unet.start_from([-3.0] * bands if config.prior else [0.0])

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Source and target, HSV (B, 3, H, W), to the output's hue (B, H, W) in [0, 1]."""
        if not self.circle:
            return torch.sigmoid(self.unet(torch.cat([source, target[:, :1]], dim=1))[:, 0])
        hue = source[:, 0] + self.rotation(source, target) * presence(source)
        return hue - hue.detach().floor()

    def rotation(self, source: Tensor, target: Tensor) -> Tensor:
        """How far each pixel's hue turns, (B, H, W) in turns."""
        inputs = [hue_point(source), source[:, 1:], hue_point(target), chroma(target)[:, None]]
        if not self.prior:
            return self.unet(torch.cat(inputs, dim=1))[:, 0]
        exact, start = self._transports(source, target)
        rest = exact - start
        bands = _bands((rest - rest.round()) * presence(source), source)
        gains = self.unet(torch.cat([*inputs, hue_point(source, start), bands], dim=1))
        return start + (gains.sigmoid() * bands).sum(1)

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


def hue_point(hsv: Tensor, turn: Tensor | float = 0.0) -> Tensor:
    """Hue as a point of the unit disc, (B, 2, H, W), at the centre where there is no hue, turned by `turn`."""
    angle = 2 * math.pi * (hsv[:, 0] + turn)
    return torch.stack([angle.cos(), angle.sin()], dim=1) * presence(hsv)[:, None]


@torch.no_grad()
def _bands(x: Tensor, source: Tensor) -> Tensor:
    """Cut x (B, H, W) into what each of ever broader blurs takes from it, and what is left: (B, 1 + BLURS, H, W).

    The edge-avoiding a-trous wavelet (H. Dammertz et al., 2010): a 3x3 kernel whose taps lie 1, 2, 4, ... pixels apart,
    weighted by their chroma and by their likeness in hue to its centre. The bands add up to x.
    """
    height, width = x.shape[-2:]
    hue, strength = hue_point(source), chroma(source)
    bands = []
    for step in (2**i for i in range(BLURS)):
        around, padded, guide = (F.pad(v, (step,) * 4) for v in (strength, x, hue))
        total, mass = torch.zeros_like(x), torch.full_like(x, 1e-6)
        for v in range(3):
            for u in range(3):
                rows, columns = slice(v * step, v * step + height), slice(u * step, u * step + width)
                likeness = torch.exp(-(guide[..., rows, columns] - hue).square().sum(1) / EDGE**2)
                weight = (2 - abs(v - 1)) * (2 - abs(u - 1)) * around[..., rows, columns] * likeness
                total.addcmul_(weight, padded[..., rows, columns])
                mass += weight
        blurred = total / mass
        bands.append(x - blurred)
        x = blurred
    return torch.stack([*bands, x], dim=1)


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

    @torch.no_grad()
    def start_from(self, values: list[float]) -> None:
        """Make the output constant, one value a channel, until training moves it."""
        self.last.weight.zero_()
        self.last.bias.copy_(torch.tensor(values))  # type: ignore[union-attr]


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
    if isinstance(bias := getattr(module, "bias", None), Tensor):
        nn.init.zeros_(bias)

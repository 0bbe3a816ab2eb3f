"""The generator and the discriminator: pix2pix's U-Net and 70x70 PatchGAN, as the paper takes them, on hue.

Pictures are float HSV tensors (B, 3, H, W) in [0, 1]; a hue is (B, H, W) in turns.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from huenet.color import chroma, hsv_to_rgb, hue_point, presence
from huenet.config import Config
from huenet.methods.descent import GRID, descend
from huenet.methods.transport import apply_displacement

__all__ = ["Discriminator", "Generator", "UNet", "read_grid"]

CELLS = 8  # cells of the grid of displacements along a side of the training size
DESCENT = {"steps": 24, "side": 32}


class Generator(nn.Module):
    """The hue of the source recoloured after the target.

    Without `config.circle` it is the paper's: H, S, V of the source and H of the target in, the output's hue out of a
    sigmoid. With it, the network reads points on the hue circle and the hue turns by what it predicts.

    Where `config.prior` asks for it, the rotation starts from optimal transport of hue, smoothed over hue, and a few
    steps of descent of the loss on the pair itself (`huenet.methods.descent`). The network sees source, target and
    what came of that, and decides on a bilateral grid of the same kind, place by place and hue by hue, how much of the
    descent to take, and what to add. So the hue turns slowly over the picture but at its edges, and no petal parts.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        inputs, outputs = (9, 2 * GRID[-1]) if config.prior else (7, 1) if config.circle else (4, 1)
        cells = CELLS if config.prior else None
        self.unet = UNet(inputs, outputs, config.size, config.width, config.norm, config.dropout, cells)
        if config.circle:
            self.unet.start_from_zero()

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Source and target, HSV (B, 3, H, W), to the output's hue (B, H, W) in [0, 1]."""
        if not self.config.circle:
            return torch.sigmoid(self.unet(torch.cat([source, target[:, :1]], dim=1))[:, 0])
        hue = source[:, 0] + self.rotation(source, target) * presence(source)
        return hue - hue.detach().floor()

    def rotation(self, source: Tensor, target: Tensor) -> Tensor:
        """How far each pixel's hue turns, (B, H, W) in turns."""
        if self.config.prior:
            moves, grid = self.field(source, target)
            return _turn(source[:, 0], moves) + read_grid(grid, source[:, 0])
        return self.unet(torch.cat(_inputs(source, target), dim=1))[:, 0]

    def field(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """With `config.prior`, the rotation in its two parts, in turns.

        Displacements at the centres of 256 bins of hue, (B, 256), and a grid of what comes to them (B, K, rows,
        columns), to be interpolated linearly.
        """
        moves, grid = self.descent(source, target)
        found = _turn(source[:, 0], moves) + read_grid(grid, source[:, 0])
        gain, more = self.unet(torch.cat([*_inputs(source, target), hue_point(source, found)], dim=1)).chunk(2, dim=1)
        return moves, (1 + torch.tanh(gain)) * grid + 0.1 * more

    @torch.no_grad()
    def descent(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What the network starts from, as `field` has it: the same for any weights."""
        config = self.config
        height, width = source.shape[-2:]
        # rounding grows over the steps, in float32 to 1e-4 of a turn: too much for a picture in another batch
        dtype = torch.float64 if source.device.type != "mps" else torch.float32
        with torch.autocast(source.device.type, enabled=False):
            moves, grid = descend(
                source.to(dtype),
                target.to(dtype),
                emd=config.lambda_emd,
                mi=0.0,  # it would take three times as long as all else
                smooth=config.lambda_smooth,
                prior=config.prior,
                bins=config.bins,
                shape=(CELLS * height // config.size, CELLS * width // config.size, GRID[-1]),
                **DESCENT,
            )
        return moves.float(), grid.permute(0, 3, 1, 2).float()


def _inputs(source: Tensor, target: Tensor) -> list[Tensor]:
    return [hue_point(source), source[:, 1:], hue_point(target), chroma(target)[:, None]]


def _turn(hue: Tensor, moves: Tensor) -> Tensor:
    """Displacement (B, H, W) of each pixel's hue by a table of displacements (B, 256)."""
    turn = apply_displacement(hue, moves) - hue
    return turn - turn.round()


def read_grid(grid: Tensor, hue: Tensor) -> Tensor:
    """Interpolate a grid (B, K, rows, columns) linearly at every pixel's place and hue (B, H, W), around the circle."""
    K = grid.shape[1]
    height, width = hue.shape[-2:]
    y, x = ((torch.arange(n, device=hue.device, dtype=hue.dtype) + 0.5) * (2 / n) - 1 for n in (height, width))
    place = torch.stack([x.expand_as(hue), y[:, None].expand_as(hue), (hue * K + 1) * (2 / (K + 2)) - 1], dim=-1)
    wound = torch.cat([grid[:, -1:], grid, grid[:, :1]], dim=1)[:, None]
    return F.grid_sample(wound, place[:, None], padding_mode="border", align_corners=False)[:, 0, 0]


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
    cells : int, optional
        Go back up to so many pixels a side only, a power of two of 4 or more.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        width: int,
        norm: str,
        dropout: float,
        cells: int | None = None,
    ) -> None:
        super().__init__()
        depth = int(math.log2(size))
        top = int(math.log2(size // cells)) if cells else 0
        widths = [width * min(2**i, 8) for i in range(depth)]
        bias = norm != "batch"  # batch norm takes every channel's mean away, and the bias with it
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i in range(depth):
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if i else []
            layers.append(nn.Conv2d(widths[i - 1] if i else in_channels, widths[i], 4, 2, 1, bias=bias))
            if 0 < i < depth - 1:  # as in pix2pix: no norm in the first layer, nor at one pixel
                layers.append(_norm(norm, widths[i]))
            self.down.append(nn.Sequential(*layers))
        for i in reversed(range(max(1, top), depth)):
            inner = widths[i] if i == depth - 1 else 2 * widths[i]
            layers = [
                nn.ReLU(),
                nn.ConvTranspose2d(inner, widths[i - 1], 4, 2, 1, bias=bias),
                _norm(norm, widths[i - 1]),
            ]
            if dropout and depth - i <= 3 and widths[i - 1] == widths[-1]:
                layers.append(nn.Dropout(dropout))
            self.up.append(nn.Sequential(*layers))
        self.last = (
            nn.Conv2d(2 * widths[top - 1], out_channels, 3, 1, 1)
            if top
            else nn.ConvTranspose2d(2 * widths[0], out_channels, 4, 2, 1)
        )
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W), or with `cells` to as many for each training size.

        H and W are multiples of the training size.
        """
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
    def start_from_zero(self) -> None:
        """Make the output 0 until training moves it."""
        self.last.weight.zero_()


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

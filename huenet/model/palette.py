"""The networks of `default`: one gives a picture another's palette, the other tells what came out from photographs.

Pictures are float HSV tensors (B, 3, H, W) in [0, 1]; a hue is (B, H, W) in turns; a palette is what `palette` returns.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from huenet.color import chroma, hsv_to_rgb, hue_point, presence, rgb_to_hsv, turn_hue
from huenet.config import CLOSENESS, Config
from huenet.methods.relaxed import palette_plan

__all__ = ["PaletteDiscriminator", "PaletteGenerator", "palette", "read_grid", "shrunk"]

BINS = 64  # of the hue circle
SIDE = 64  # pixels a side of the copies that the generator looks at
HUES = 16  # hues at which each cell of its grid may choose otherwise
KEY = 16  # channels in which a hue of the source and one of the target are compared
CODE = 128  # channels that tell the convolutions of both palettes
RELAXATIONS = (0.02, 0.1)  # of the plans to start from: free in the target's shares, and near them
REACH = 0.03  # share of each hue that is spread over the whole palette of the target
SPREAD = 2.0  # bins over which near hues of the source move together
GREY = 0.02  # chroma, up to which a pixel's hue is taken for noise
LEAK = 0.2


class PaletteGenerator(nn.Module):
    """The hue of the source, recoloured after the target's palette.

    For every cell of a coarse grid over the picture, and every hue of the source, the network chooses among the hues of
    the target, or to stay, by attention: a query, from what the source shows there, meets a key for each bin of the
    target's palette. It starts from two plans of relaxed transport between the palettes, which it blends, sharpens and
    amends. How far each choice would turn, averaged on the circle and over near hues, makes a bilateral grid, to be
    read at every pixel's place and hue: so hue turns slowly over the picture but at its edges, and pictures of any size
    can be read. Of the target it sees nothing but the palette, so that the target's layout cannot leak.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.code = nn.Sequential(
            nn.Linear(8 * BINS + 1, 2 * CODE), nn.LeakyReLU(LEAK), nn.Linear(2 * CODE, CODE), nn.LeakyReLU(LEAK)
        )
        widths = [5, w, 2 * w, 4 * w, 4 * w, 4 * w]  # down to 2 x 2
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.films = nn.ModuleList(nn.Linear(CODE, 8 * w) for _ in range(3))
        self.up = nn.ModuleList(nn.Conv2d(8 * w, 4 * w, 3, 1, 1) for _ in range(2))  # up to 8 x 8 cells
        self.query = nn.Conv2d(4 * w, HUES * (KEY + 3), 1)
        self.by_hue, self.key = _around_the_circle(11, KEY + 3), _around_the_circle(11, KEY)
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)  # type: ignore[arg-type]

    def forward(self, source: Tensor, target: Tensor, closeness: Tensor | None = None) -> Tensor:
        """Source and target, HSV (B, 3, H, W), to the output's hue (B, H, W) in [0, 1).

        `closeness` (B,), from 0 to 1, weighs the target's palette against the look of a photograph.
        """
        with torch.autocast(source.device.type, enabled=False):  # a bfloat16 hue moves in steps of a whole bin
            point = read_grid(self.field(source, target, closeness), source[:, 0])
            turn = torch.atan2(point[:, 1], point[:, 0]) / (2 * math.pi)
            hue = source[:, 0] + turn * presence(source)
            return hue - hue.detach().floor()

    def field(self, source: Tensor, target: Tensor, closeness: Tensor | None = None) -> Tensor:
        """The rotation as a bilateral grid (B, 2, 64, rows, columns): its cosine and sine, up to a scale."""
        if closeness is None:
            closeness = source.new_full(source.shape[:1], CLOSENESS)
        source, target = shrunk(source), shrunk(target)
        own, wanted = palette(source), palette(target)
        x = self._look(source, self.code(torch.cat([own.flatten(1), wanted.flatten(1), closeness[:, None]], dim=1)))
        cells = self.query(F.leaky_relu(x, LEAK)).flatten(2).unflatten(1, (KEY + 3, HUES)).transpose(1, 3)

        angle = 2 * math.pi * _bins(own)
        place = torch.stack([angle.cos(), angle.sin()]).expand(len(own), -1, -1)
        extra = torch.cat([closeness[:, None, None].expand(-1, 1, BINS), place], dim=1)
        by_hue = self.by_hue(torch.cat([own, wanted, extra], dim=1)).transpose(1, 2)
        query = _between(cells).transpose(1, 2) + by_hue[:, :, None]  # B, BINS, cells, channels
        key = self.key(torch.cat([wanted, own, extra], dim=1))
        turn = self._choose(query, key, own[:, 0], wanted[:, 0])  # B, BINS, cells, 2
        near = torch.einsum("bkcd,bkh->bdhc", turn, _neighbours(own[:, 0]))
        return near.unflatten(-1, x.shape[-2:])

    def _look(self, source: Tensor, code: Tensor) -> Tensor:
        """Features of the source's cells, (B, C, rows, columns), given a code of the palettes."""
        x = torch.cat([hue_point(source), source[:, 1:], _centrality(source)[:, None]], dim=1)
        skips = []
        for i, layer in enumerate(self.down):
            x = layer(F.leaky_relu(x, LEAK) if i else x)
            if i >= 2:
                scale, shift = self.films[i - 2](code)[..., None, None].chunk(2, dim=1)
                x = F.layer_norm(x, x.shape[1:]) * (1 + scale) + shift
            skips.append(x)
        for layer, skip in zip(self.up, (skips[3], skips[2]), strict=True):
            x = layer(F.leaky_relu(torch.cat([F.interpolate(x, scale_factor=2.0), skip], dim=1), LEAK))
        return x

    def _choose(self, query: Tensor, key: Tensor, own: Tensor, wanted: Tensor) -> Tensor:
        """How each hue of each cell turns, as points (B, BINS, cells, 2) of the unit disc."""
        asked, stay, sharpness, blend = query.split([KEY, 1, 1, 1], dim=-1)
        with torch.no_grad():
            shares = [palette_plan(own.double(), wanted.double(), reg_m=r) for r in RELAXATIONS]
            # a far hue, such as another petal's, has next to no share: a floor keeps it within the network's reach
            reach = REACH * wanted[:, None].double() + 1e-9
            plans = torch.stack([((1 - REACH) * share + reach).log().float() for share in shares], dim=2)
        sharpness, blend = torch.exp(2 * torch.tanh(sharpness / 2)), torch.sigmoid(blend)
        # in one product: what the query asks of the keys, and of the plans
        asked = torch.cat([asked, sharpness * blend, sharpness * (1 - blend)], dim=-1)
        offered = torch.cat([key[:, None].expand(-1, BINS, -1, -1), plans], dim=2)
        share = torch.softmax(torch.cat([asked @ offered, stay - 3], dim=-1), dim=-1)
        angle = 2 * math.pi * (_bins(own) - _bins(own)[:, None])
        angle = torch.cat([angle, angle.new_zeros(BINS, 1)], dim=1)  # the last is to stay
        return share @ torch.stack([angle.cos(), angle.sin()], dim=-1)


class PaletteDiscriminator(nn.Module):
    """Logits of "photograph" for RGB pictures: of overlapping patches, and of the maps of a pretrained network.

    The pretrained network stays as it is, and only small heads on its maps are trained [1]_: it tells at once what a
    network of this size would take long to learn.

    .. [1] A. Sauer, K. Chitta, J. Mueller, A. Geiger, "Projected GANs converge faster", 2021.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = [3, 16, 32, 64, 128]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1)))
        self.features, self.heads = None, nn.ModuleList()
        if config.features:
            from huenet.model.features import Features

            self.features = Features()
            self.heads.extend(_head(channels) for channels in Features.CHANNELS[:-1])
            self.heads.append(nn.Sequential(_Pooled(), *_head(2 * Features.CHANNELS[-1], size=1)))
        self.train()

    def train(self, mode: bool = True) -> PaletteDiscriminator:
        """Spectral norms move in `settle` alone: passes of parts of a batch are then those of the whole."""
        super().train(mode)
        for layer in filter(is_parametrized, self.modules()):
            layer.get_submodule("parametrizations").eval()
        return self

    @torch.no_grad()
    def settle(self) -> None:
        """Let the spectral norms follow the weights, which have moved."""
        for layer in filter(is_parametrized, self.modules()):
            layer.get_submodule("parametrizations").train()
            _ = layer.weight  # one iteration of the power method
            layer.get_submodule("parametrizations").eval()

    def see(self, source: Tensor, hue: Tensor) -> list[Tensor]:
        """What there is to judge by: RGB of the source painted with a hue, and what the pretrained network sees."""
        rgb = turn_hue(source, hue - source[:, 0])
        return [rgb, *(self.features(rgb) if self.features is not None else [])]

    def forward(self, *seen: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Logits (B, 1, h, w) by each part of it, for each of what `see` returned."""
        parts = [self.layers, *self.heads]
        return tuple([part(x) for part, x in zip(parts, one, strict=True)] for one in seen)


def palette(hsv: Tensor) -> Tensor:
    """What a picture (B, 3, H, W) shows of each hue, (B, 4, 64): its share of the chroma, how central it lies, S and V.

    The shares sum to 1, or 0 for a picture without hue. The rest are means in [0, 1], 0 for a hue that does not occur.
    """
    weight = (chroma(hsv) - GREY).clamp_min(0).flatten(1)
    low, share = _taps(hsv[:, 0].flatten(1), BINS)
    bins = torch.stack([low, low + 1], dim=1) % BINS  # B, 2, pixels
    weights = weight[:, None] * torch.stack([1 - share, share], dim=1)
    values = torch.stack(
        [torch.ones_like(weight), *(x.flatten(1) for x in (_centrality(hsv), *hsv[:, 1:].unbind(1)))], 1
    )
    sums = (weights[:, None] * values[:, :, None]).flatten(2)
    total = sums.new_zeros(*sums.shape[:2], BINS).scatter_add_(2, bins.flatten(1)[:, None].expand_as(sums), sums)
    mass = total[:, :1]
    return torch.cat([mass / mass.sum(-1, keepdim=True).clamp_min(1e-6), total[:, 1:] / mass.clamp_min(1e-6)], dim=1)


def read_grid(grid: Tensor, hue: Tensor) -> Tensor:
    """Interpolate a grid (B, C, K, rows, columns) linearly at each pixel's place and hue (B, H, W), to (B, C, H, W)."""
    K = grid.shape[2]
    height, width = hue.shape[-2:]
    y, x = ((torch.arange(n, device=hue.device, dtype=hue.dtype) + 0.5) * (2 / n) - 1 for n in (height, width))
    place = torch.stack([x.expand_as(hue), y[:, None].expand_as(hue), (hue * K + 1) * (2 / (K + 2)) - 1], dim=-1)
    wound = torch.cat([grid[:, :, -1:], grid, grid[:, :, :1]], dim=2)
    return F.grid_sample(wound, place[:, None], padding_mode="border", align_corners=False)[:, :, 0]


def shrunk(hsv: Tensor) -> Tensor:
    """HSV averaged, as RGB, to the side that the generator looks at."""
    if hsv.shape[-2:] == (SIDE, SIDE):
        return hsv
    return rgb_to_hsv(F.interpolate(hsv_to_rgb(hsv), (SIDE, SIDE), mode="area"))


def _centrality(hsv: Tensor) -> Tensor:
    """(B, H, W): 1 in the middle, where the subject mostly is, near 0 at the border."""
    y, x = ((torch.arange(n, device=hsv.device, dtype=hsv.dtype) + 0.5) / n - 0.5 for n in hsv.shape[-2:])
    return torch.exp(-(y[:, None] ** 2 + x**2) / (2 * 0.2**2)).expand(len(hsv), -1, -1)


def _bins(like: Tensor) -> Tensor:
    """The bins' centres, in turns."""
    return (torch.arange(BINS, device=like.device, dtype=like.dtype) + 0.5) / BINS


def _taps(hue: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """For linear interpolation among K bins: the bin below, which may be -1, and the share of the one above."""
    place = hue * K - 0.5
    low = place.floor()
    return low.long(), place - low


def _between(cells: Tensor) -> Tensor:
    """(B, cells, HUES, C) to (B, cells, BINS, C), linearly around the circle."""
    low, share = _taps(_bins(cells), HUES)
    return torch.lerp(cells[:, :, low % HUES], cells[:, :, (low + 1) % HUES], share[:, None])


def _neighbours(mass: Tensor) -> Tensor:
    """(B, BINS, BINS): for each hue, in the last axis, its neighbours' say in how it turns."""
    k = torch.arange(BINS, device=mass.device, dtype=mass.dtype)
    apart = k[:, None] - k
    apart = apart - BINS * torch.round(apart / BINS)
    say = (mass[:, :, None] + 1e-6) * torch.exp(-(apart**2) / (2 * SPREAD**2))
    return say / say.sum(1, keepdim=True)


def _around_the_circle(inputs: int, outputs: int) -> nn.Sequential:
    """Convolutions (B, inputs, BINS) to (B, outputs, BINS) that see 21 bins."""
    layers: list[nn.Module] = []
    for channels, dilation in ((inputs, 1), (48, 2), (48, 2)):
        layers += [
            nn.Conv1d(channels, 48, 5, padding=2 * dilation, dilation=dilation, padding_mode="circular"),
            nn.LeakyReLU(LEAK),
        ]
    return nn.Sequential(*layers, nn.Conv1d(48, outputs, 1))


class _Pooled(nn.Module):
    """Mean and maximum of each map."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)], dim=1)


def _head(channels: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, 64, 1)),
        nn.LeakyReLU(LEAK),
        spectral_norm(nn.Conv2d(64, 64, size, padding=size // 2)),
        nn.LeakyReLU(LEAK),
        spectral_norm(nn.Conv2d(64, 1, 1)),
    )

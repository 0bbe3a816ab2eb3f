"""The paper's U-Net and PatchGAN against pix2pix's published shape."""

import numpy as np
import pytest
import torch

from huenet.color import rgb_to_hsv
from huenet.config import from_preset
from huenet.model.networks import Discriminator, Generator, UNet

torch.set_num_threads(1)


def small(**changes):
    return from_preset("paper", **{"size": 32, "width": 8, **changes})


def pictures(n=2, size=32, seed=0):
    rgb = torch.rand((n, 3, size // 4, size // 4), generator=torch.Generator().manual_seed(seed))
    return rgb_to_hsv(torch.nn.functional.interpolate(rgb, size=(size, size), mode="bilinear"))


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


def test_networks_have_pix2pix_sizes():
    """pix2pix prints 54.414 million weights for its 256x256 U-Net, and 2.769 for its PatchGAN on 6 channels."""
    unet = UNet(3, 3, 256, 64, "batch", 0.5)
    patch = Discriminator(from_preset("paper"))
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (unet, patch)]
    assert millions == pytest.approx([54.414, 2.769 - 3 * 64 * 16 / 1e6], abs=5e-4)
    assert sum(isinstance(m, torch.nn.Dropout) for m in unet.modules()) == 3


def test_a_discriminator_logit_sees_70_by_70_pixels():
    patch = Discriminator(small())
    picture = pictures(1, 128).requires_grad_()
    ((logits,),) = patch.eval()(patch.see(picture, picture[:, 0]))
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    seen = picture.grad[0].abs().sum(0) > 0
    assert (seen.any(0).sum(), seen.any(1).sum()) == (70, 70)
    ((logits,),) = patch(patch.see(pictures(1, 32), pictures(1, 32)[:, 0]))
    assert logits.shape == (1, 1, 2, 2)


def test_paper_reads_four_channels_and_ends_in_a_sigmoid():
    generator = Generator(small())
    assert generator.unet.down[0][0].in_channels == 4
    output = generator(pictures(), pictures(seed=1))
    assert output.shape == (2, 32, 32)
    assert ((output > 0) & (output < 1)).all()


def test_inference_is_the_same_alone_and_in_a_batch():
    generator = shuffled_weights(Generator(small()))
    source, target = pictures(5), pictures(5, seed=1)
    for _ in range(3):  # so that running statistics differ from their start
        generator(source, target)
    generator.eval()
    with torch.no_grad():
        together = generator(source, target)
        alone = torch.cat([generator(source[i : i + 1], target[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_hue_stays_float32_under_autocast():
    generator = shuffled_weights(Generator(small()))
    with torch.autocast("cpu", torch.bfloat16):
        output = generator(pictures(), pictures(seed=1))
    assert output.dtype == torch.float32
    assert len(output.unique()) > 1000  # bfloat16 has 128 steps between two powers of two


def test_initial_weights_are_pix2pix():
    generator = Generator(from_preset("paper", size=64))
    convolution = generator.unet.down[3][1].weight.detach().numpy()
    assert np.std(convolution) == pytest.approx(0.02, rel=0.01)
    norm = generator.unet.down[3][2].weight.detach().numpy()
    assert (np.mean(norm), np.std(norm)) == (pytest.approx(1, abs=0.005), pytest.approx(0.02, rel=0.15))
    assert generator.unet.last.bias.item() == 0

"""The terms of the loss against their equations, and what they must prefer."""

import dataclasses

import numpy as np
import pytest
import torch

import diffhist
from huenet.color import chroma, rgb_to_hsv, turn_hue
from huenet.config import from_preset
from huenet.model import losses

torch.set_num_threads(1)
CONFIGS = {name: from_preset(name, bins=64) for name in ("paper", "default")}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.fixture(scope="module")
def photographs():
    """Two photographs of scikit-image as HSV (1, 3, 64, 64)."""
    data = pytest.importorskip("skimage.data")
    crops = data.coffee()[100:356:4, 200:456:4], data.chelsea()[20:276:4, 100:356:4]
    return [rgb_to_hsv(torch.from_numpy(c.copy()).permute(2, 0, 1)[None].float() / 255) for c in crops]


def shuffle(hue):
    order = torch.randperm(hue[0].numel(), generator=torch.Generator().manual_seed(0))
    return hue.flatten(1)[:, order].view_as(hue)


def test_mi_term_is_lower_for_the_source_than_for_the_target_and_for_shuffled_pixels(config, photographs):
    """The authors' own code compared the output with the target here, which pays for copying the target."""
    source, target = photographs
    same = losses.mi_loss(config, source[:, 0], source)
    assert same < losses.mi_loss(config, target[:, 0], source) - 0.01
    assert same < losses.mi_loss(config, shuffle(source[:, 0]), source) - 0.01


def test_mi_term_is_0_for_the_source_with_hard_bins(photographs):
    source, _ = photographs
    source = source.double()
    source[:, 0] = (torch.floor(source[:, 0] * 64) + 0.5) / 64  # bins' centres, and a kernel that stays within them
    for config in (from_preset("paper", bins=64, bandwidth=1e-3), from_preset("default", bins=64, bandwidth=1e-3)):
        assert losses.mi_loss(config, source[:, 0], source) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("form", ["sum", "mean", "root"])
def test_emd_term_is_eq_26_and_0_for_the_target_itself(config, form, photographs):
    config = dataclasses.replace(config, emd_form=form)
    source, target = (p.double() for p in photographs)
    options = {"bins": 64, "bandwidth": 0.4 / 64, "boundary": config.boundary, "axis": (-2, -1)}
    weights = [chroma(p) if config.chroma_weights else None for p in (source, target)]
    p, q = (
        diffhist.soft_histogram(h[:, 0], weights=w, **options)[0].numpy()
        for h, w in zip((source, target), weights, strict=True)
    )
    if form == "root":
        p, q = p / p.sum(), q / q.sum()
    shifts = [np.cumsum(np.roll(p, -k) - np.roll(q, -k)) for k in range(64)]
    reduce = {"sum": np.sum, "mean": np.mean, "root": lambda x: np.sqrt(np.mean(x))}[form]
    expected = min(reduce(d**2) for d in shifts)
    assert losses.emd_loss(config, source[:, 0], source, target).item() == pytest.approx(expected, rel=1e-6)
    itself = target[:, 0].clone().requires_grad_()
    loss = losses.emd_loss(config, itself, target, target)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert itself.grad.abs().max() <= 1e-12


def test_a_picture_without_chroma_counts_as_nothing(photographs):
    source, target = photographs
    grey = source * torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    for s, t, form in ((grey, target, "sum"), (source, grey, "sum"), (grey, target, "root"), (source, grey, "root")):
        hue = s[:, 0].clone().requires_grad_()
        config = dataclasses.replace(CONFIGS["default"], emd_form=form)
        loss = losses.emd_loss(config, hue, s, t) + losses.smoothness_loss(hue, s)
        if s is grey:
            loss = loss + losses.mi_loss(config, hue, s)
        loss.backward()
        assert hue.grad.isfinite().all()
        assert losses.emd_loss(config, hue, s, t) == 0


def test_smoothness_is_0_for_any_rotation_and_finds_bands(photographs):
    source, _ = photographs
    hue = source[:, 0]
    for turn in (0.0, 0.3, 0.7):
        assert losses.smoothness_loss((hue + turn) % 1, source).item() == pytest.approx(0, abs=1e-6)
    bands = (hue + 0.1 * (torch.arange(64) % 2)) % 1
    speckle = (hue + 0.1 * torch.rand(hue.shape, generator=torch.Generator().manual_seed(0))) % 1
    assert losses.smoothness_loss(bands, source) > 0.01
    assert losses.smoothness_loss(speckle, source) > 0.01


def test_smoothness_charges_a_rainbow_no_less_than_one_border():
    """On an even picture; where the source's own hue parts a border is cheap, where its light alone does it is not."""
    source = torch.tensor([0.1, 0.8, 0.8])[:, None, None].expand(1, 3, 32, 32).clone()
    ramp = torch.linspace(0, 0.2, 32).expand(1, 32, 32)
    border = 0.2 * (torch.arange(32) >= 16).float().expand(1, 32, 32)
    rainbow, step = (losses.smoothness_loss(source[:, 0] + turn, source).item() for turn in (ramp, border))
    assert step <= rainbow * 1.05
    shaded, parted = source.clone(), source.clone()
    shaded[:, 2, :, 16:] = 0.4
    parted[:, 0, :, 16:] = 0.35  # leaf beside petal
    assert losses.smoothness_loss(shaded[:, 0] + border, shaded).item() > 0.5 * step
    assert losses.smoothness_loss(parted[:, 0] + border, parted).item() < 0.1 * step


def test_adversarial_terms_are_eq_28_and_29():
    real, fake = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, -3.0]])
    p, q = torch.sigmoid(real), torch.sigmoid(fake)
    torch.testing.assert_close(losses.generator_adversarial_loss([fake]), -q.log().mean(1))
    torch.testing.assert_close(losses.discriminator_loss([real], [fake]), -p.log().mean() - (1 - q).log().mean())
    assert losses.generator_adversarial_loss([torch.tensor([[-200.0]])]) == 200


def test_each_part_of_a_discriminator_has_an_equal_say_and_each_pair_its_own():
    large, small = torch.full((2, 1, 3, 3), -9.0), torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)
    found = losses.generator_adversarial_loss([large, small])
    expected = [(np.log1p(np.exp(9.0)) + np.log1p(np.exp(-x))) / 2 for x in (1.0, 2.0)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def _shared_between_two(hue, weights, bins):
    """Each pixel's chroma between the two bins on its sides."""
    place = hue.ravel() * bins - 0.5
    low, weights = np.floor(place).astype(int), weights.ravel()
    found = np.zeros(bins)
    for index, share in ((low, low + 1 - place), (low + 1, place - low)):
        np.add.at(found, index % bins, weights * share)
    return found / found.sum()


def test_palette_distance_is_pots_unbalanced_transport(config):
    ot, kl_div = pytest.importorskip("ot"), pytest.importorskip("scipy.special").kl_div
    config = dataclasses.replace(config, bins=64, circle=True)
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.rand(2, 3, 6, 6, dtype=torch.float64, generator=generator) for _ in range(2))
    turn = torch.rand(2, 6, 6, dtype=torch.float64, generator=generator)
    K = 64
    cost = (np.arange(K)[:, None] - np.arange(K)) / K
    cost = (cost - np.round(cost)) ** 2
    found = losses.palette_loss(config, source[:, 0] + turn, source, target)
    for i in range(2):
        painted = rgb_to_hsv(turn_hue(source, turn))
        p, q = (_shared_between_two(x[i, 0].numpy(), chroma(x)[i].numpy(), K) + 1e-9 for x in (painted, target))
        options = {"reg_type": "kl", "c": np.outer(p, q), "numItermax": 20000, "stopThr": 1e-12}
        plan = ot.unbalanced.sinkhorn_unbalanced(p, q, cost, 0.002, 0.01, **options)
        apart = [kl_div(plan, np.outer(p, q)), kl_div(plan.sum(1), p), kl_div(plan.sum(0), q)]
        primal = (plan * cost).sum() + 0.002 * apart[0].sum() + 0.01 * (apart[1].sum() + apart[2].sum())
        assert found[i].item() == pytest.approx(primal, rel=1e-4)


@pytest.mark.parametrize("form", ["sum", "mean", "root"])
def test_gradients_match_finite_differences(config, form):
    config = dataclasses.replace(config, emd_form=form)
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator) for _ in range(2))
    hue = torch.rand(2, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)

    def loss(h):
        return (
            losses.emd_loss(config, h, source, target)
            + losses.mi_loss(config, h, source)
            + losses.smoothness_loss(h, source)
        )

    assert torch.autograd.gradcheck(loss, hue, eps=1e-7, atol=1e-4)

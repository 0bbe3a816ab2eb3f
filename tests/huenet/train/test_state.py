"""What one step does to the networks, their averages, the rate and the files."""

import copy
import json
import time

import numpy as np
import pytest
import torch

from huenet.color import hsv_to_rgb, rgb_to_hsv, turn_hue
from huenet.config import from_preset
from huenet.model import checkpoint
from huenet.model.checkpoint import CHECKPOINT, MODEL
from huenet.model.losses import discriminator_loss, emd_loss, mi_loss, palette_loss, smoothness_loss
from huenet.train import loop as train
from huenet.train import plots
from huenet.train.loop import TERMS
from huenet.train.monitor import Report
from huenet.train.processes import Processes
from huenet.train.recorder import Recorder
from huenet.train.state import State
from huenet.train.validation import ValidationSet, validate

torch.set_num_threads(1)


def state_of(preset="default", **changes):
    config = from_preset(preset, **{"size": 32, "width": 4, "batch_size": 4, "bins": 32, "features": False, **changes})
    return State(config, 4, Processes("cpu"))


def batch(seed=0):
    coarse = torch.rand((2, 4, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
    pair = (rgb_to_hsv(torch.nn.functional.interpolate(rgb, scale_factor=4, mode="bilinear")) for rgb in coarse)
    return *pair, torch.tensor([0.0, 0.3, 0.6, 1.0])


def step(state, seed=0):
    terms = train.training_step(state.config, state, (state.generator, state.discriminator), *batch(seed))
    state.step += 1
    return terms


def copies(network):
    return [p.detach().clone() for p in network.parameters()]


def test_the_average_is_the_mean_of_the_weights_that_were():
    """With its fast start: after n steps, weights of 9 / (10 + n) and less, until `ema` takes over."""
    state = state_of(ema=0.3)
    expected = copies(state.generator)
    for n in range(6):
        step(state, n)
        decay = min(0.3, (1 + n) / (10 + n))
        expected = [
            decay * old + (1 - decay) * new for old, new in zip(expected, state.generator.parameters(), strict=True)
        ]
        torch.testing.assert_close(list(state.average.parameters()), expected)
    assert state.best_generator() is state.average
    assert not state.average.training


def test_batch_norms_running_figures_are_averaged_by_themselves():
    state = state_of("paper", ema=0.9)
    step(state)
    for mine, theirs in zip(state.average.buffers(), state.generator.buffers(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("at", "share"), [(0, 1), (50, 1), (75, 0.5), (99, 0.02)])
def test_the_rate_falls_in_a_straight_line(at, share):
    state = state_of(decay_from=0.5, lr=0.1, lr_d=0.3)
    state.step = at
    state.set_rate(100)
    for optimizer, rate in ((state.adam_g, 0.1), (state.adam_d, 0.3)):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate * share)


def test_a_constant_rate_stays():
    state = state_of("paper")
    state.step = 99
    state.set_rate(100)
    assert state.rate == state.config.lr


def test_the_model_that_is_saved_is_the_averaged_one(tmp_path):
    state = state_of(ema=0.5)
    step(state)
    state.save(tmp_path)
    saved, meta = checkpoint.load(tmp_path / MODEL)
    assert meta["step"] == 1
    assert all(torch.equal(tensor, state.average.state_dict()[name]) for name, tensor in saved.items())
    whole, _ = checkpoint.load(tmp_path / CHECKPOINT)
    assert {name.split("/")[0] for name in whole} == {
        "generator",
        "discriminator",
        "average",
        "adam_g",
        "adam_d",
        "rng",
    }


@pytest.mark.parametrize("parts", [1, 2])
def test_each_step_of_the_discriminator_has_its_own_gradient_alone(parts):
    """Neither what the generator's step left nor what its own last step did: with beta1 = 0, Adam's mean tells."""
    state = state_of(beta1=0.0, dropout=0.0, accumulate=parts)
    state.adam_g.param_groups[0]["lr"] = 0.0  # the generator stands still, so that its hue is known
    for seed in range(2):
        source, target, closeness = batch(seed)
        hue = state.generator(source, target, closeness).detach()
        critic = copy.deepcopy(state.discriminator).train().requires_grad_(True)
        seen = critic.see(source, hue)
        loss = discriminator_loss(*critic(critic.see(target, target[:, 0]), seen))
        expected = torch.autograd.grad(loss, list(critic.parameters()))
        largest = max(gradient.abs().max().item() for gradient in expected)
        step(state, seed)
        for p, gradient in zip(state.discriminator.parameters(), expected, strict=True):
            torch.testing.assert_close(state.adam_d.state[p]["exp_avg"], gradient, rtol=1e-3, atol=1e-4 * largest)


def four_terms(config, hue, source, target):
    return (
        emd_loss(config, hue, source, target),
        mi_loss(config, hue, source),
        palette_loss(config, hue, source, target),
        smoothness_loss(hue, source),
    )


def test_the_terms_are_those_of_the_losses():
    state = state_of(lambda_adv=0.0, adv_dial=0.0, lambda_emd=1.0, gamma_mi=1.0)
    source, target, closeness = batch()
    hue = state.generator(source, target, closeness)
    expected = [term.mean() for term in four_terms(state.config, hue, source, target)]
    torch.testing.assert_close(step(state)[:4], torch.stack(expected).detach())


@pytest.mark.parametrize(
    ("weight", "dial", "term"),
    [("lambda_emd", "", 0), ("gamma_mi", "", 1), ("lambda_palette", "palette_dial", 2), ("lambda_smooth", "", 3)],
)
def test_each_weight_is_of_its_own_term(weight, dial, term):
    """With the others at 0, the first mean of Adam is the gradient of that term; a dial weighs each pair by itself."""
    names = ("lambda_emd", "gamma_mi", "lambda_palette", "palette_dial", "lambda_smooth", "lambda_adv", "adv_dial")
    changes = {**dict.fromkeys(names, 0.0), weight: 3.0, **({dial: 5.0} if dial else {})}
    state = state_of(beta1=0.0, clip=0.0, **changes)
    for p in state.generator.parameters():
        torch.nn.init.normal_(p, 0.0, 0.1)
    source, target, closeness = batch()
    value = four_terms(state.config, state.generator(source, target, closeness), source, target)[term]
    loss = ((3 + (5 * closeness if dial else 0)) * value).mean()
    expected = torch.autograd.grad(loss, list(state.generator.parameters()))
    step(state)
    largest = max(g.abs().max().item() for g in expected)
    for p, gradient in zip(state.generator.parameters(), expected, strict=True):
        torch.testing.assert_close(state.adam_g.state[p]["exp_avg"], gradient, rtol=1e-3, atol=1e-4 * largest)


def test_samples_and_figures_are_of_the_averaged_generator(tmp_path, monkeypatch):
    state, drawn, draw = state_of(ema=0.5, tensorboard=False), [], plots.sample_grid
    for network in (state.generator, state.average):
        for p in network.parameters():
            torch.nn.init.normal_(p, 0.0, 0.1)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    pairs = ValidationSet(images, 4, 0, "cpu")
    monkeypatch.setattr(plots, "sample_grid", lambda *pictures: drawn.append(pictures[2]) or draw(*pictures))
    (tmp_path / "samples").mkdir()
    recorder, began = Recorder(tmp_path, state.config, pairs, 0), time.perf_counter()
    recorder.look(state, final=True)
    now = time.perf_counter()
    assert now - recorder.clock < (now - began) / 2  # that time is not training's
    source, target = next(pairs.batches(4))
    turned = turn_hue(source, state.average(source, target) - source[:, 0])
    np.testing.assert_allclose(hsv_to_rgb(drawn[0]), turned, atol=1e-5)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    figures = validate(state.average, state.discriminator.train(), pairs)
    assert line == {"step": 0, **{f"val/{name}": value for name, value in figures.items()}}


def test_the_discriminator_is_judged_as_it_is_trained(tmp_path):
    """By the statistics of real and of fake pictures, each their own; and judging leaves no trace."""
    state = state_of("paper", tensorboard=False)
    pairs = ValidationSet(np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), 4, 0, "cpu")
    found = []
    for away in (0.0, 1e3):
        for name, buffer in state.discriminator.named_buffers():
            if name.endswith("running_mean"):
                buffer.fill_(away)
        before = {name: t.clone() for name, t in state.discriminator.state_dict().items()}
        (folder := tmp_path / str(away)).joinpath("samples").mkdir(parents=True)
        Recorder(folder, state.config, pairs, 0).look(state, final=True)
        found.append(json.loads((folder / "metrics.jsonl").read_text())["val/d_accuracy"])
        assert all(torch.equal(t, before[name]) for name, t in state.discriminator.state_dict().items())
    assert found[0] == found[1] != 0.5  # nor does one answer do for everything


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        ({"lambda_smooth": 0.0}, {"emd", "mi", "smooth"}),
        ({"lambda_adv": 0.0, "gamma_mi": 1.0}, {"emd", "adversarial", "discriminator", "val/d_accuracy"}),
        ({"lambda_palette": 0.0, "palette_dial": 0.0, "lambda_emd": 1.0}, {"mi", "palette"}),
    ],
)
def test_what_is_not_computed_is_not_written(tmp_path, change, left_out):
    state = state_of(tensorboard=False, **change)
    pairs = ValidationSet(np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), 4, 0, "cpu")
    (tmp_path / "samples").mkdir()
    recorder = Recorder(tmp_path, state.config, pairs, 0)
    recorder.terms(state, Report(1, dict.fromkeys(TERMS, 0.5), [], False))
    recorder.look(state, final=True)
    written = set().union(*map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()))
    assert {*TERMS, "val/d_accuracy"} - written == left_out


def test_an_average_that_comes_late_starts_from_the_weights(tmp_path):
    without = state_of(ema=0.0)
    step(without)
    without.save(tmp_path)
    late = state_of(ema=0.9)
    late.load(tmp_path)
    for kept in (late.generator, late.average):
        assert all(torch.equal(a, b) for a, b in zip(copies(kept), copies(without.generator), strict=True))


def test_processes_begin_with_the_same_networks_and_other_dropout():
    config = from_preset("paper", size=32, width=4, batch_size=4)
    found = []
    for rank in (0, 1):
        processes = Processes("cpu")
        processes.rank, processes.world = rank, 2
        state = State(config, 4, processes)
        found.append((copies(state.generator), torch.rand(8)))
    (one, first), (other, second) = found
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(first, second)

"""What tells people how a run is doing: numbers read late, and warnings of a collapse."""

import numpy as np
import pytest
import torch
from torch import nn

from huenet import realism
from huenet.color import presence
from huenet.config import from_preset
from huenet.metrics import palette_distance
from huenet.train.monitor import Monitor
from huenet.train.processes import Processes
from huenet.train.validation import ValidationSet, summary, validate, warnings


def monitor(every, late):
    found = Monitor(("emd", "mi"), every, Processes("cpu"))
    found.late = late  # as on a GPU
    return found


def terms(emd):
    return torch.tensor([float(emd), 1.0])


def test_means_come_every_few_steps_and_late():
    watching = monitor(every=2, late=3)
    arrived = [[(r.step, r.means) for r in watching.add(step, terms(step), stop=False)] for step in range(1, 9)]
    one, two = {"emd": 1.5, "mi": 1.0}, {"emd": 3.5, "mi": 1.0}
    assert arrived == [[], [], [], [(1, {})], [(2, one)], [(3, {})], [(4, two)], [(5, {})]]


def test_the_last_step_leaves_nothing_under_way():
    watching = monitor(every=2, late=4)
    assert watching.add(1, terms(1), stop=False) == []
    reports = watching.add(2, terms(2), stop=False, last=True)
    assert [(r.step, r.means) for r in reports] == [(1, {}), (2, {"emd": 1.5, "mi": 1.0})]
    watching.add(3, terms(3), stop=False)
    assert [r.means for r in watching.add(4, terms(5), stop=False, last=True)] == [{}, {"emd": 4.0, "mi": 1.0}]


def test_a_run_that_is_shorter_than_the_interval_is_told_of():
    watching = monitor(every=10, late=0)
    watching.add(1, terms(1), stop=False)
    assert watching.add(2, terms(2), stop=False, last=True)[-1].means == {"emd": 1.5, "mi": 1.0}


@pytest.mark.parametrize("late", [0, 3])
def test_trouble_and_a_wish_to_stop_do_not_wait_for_the_next_means(late):
    """torchrun kills its processes 30 seconds after it asks them to stop."""
    watching = monitor(every=1000, late=late)
    reports = [watching.add(step, terms("nan" if step == 5 else 0), stop=step == 3) for step in range(1, 6 + late)]
    assert [r.step for r in reports[-1]] == [5]
    assert reports[-1][0].bad == ["emd"]
    assert [r.stop for arrived in reports for r in arrived] == [False, False, True, True, True]
    assert not any(r.bad for arrived in reports[:-1] for r in arrived)
    watching.reset()
    assert not any(r.bad for step in range(6, 20) for r in watching.add(step, terms(0), stop=False))


def test_a_collapse_is_warned_of():
    fine = {"rotation": 0.1, "emd_source": 0.2, "emd_output": 0.2, "spread_output": 0.4, "spread_target": 0.5}
    fine["d_accuracy"] = 0.7
    assert warnings(fine) == []
    for change, word in (
        ({"rotation": 0.0}, "equals the source"),
        ({"spread_output": 0.01}, "one hue everywhere"),
        ({"d_accuracy": 1.0}, "discriminator"),
    ):
        (found,) = warnings({**fine, **change})
        assert word in found


class Answer(nn.Module):
    """A network that always gives the same kind of answer."""

    def __init__(self, answer, preset="paper"):
        super().__init__()
        self.forward, self.config = lambda *given: answer(*given[:2]), from_preset(preset)  # whatever the closeness

    def see(self, source, hue):
        return [source]


def logits(real, fake):
    return Answer(
        lambda *seen: tuple([torch.full((len(s[0]), 1, 2, 2), v)] for s, v in zip(seen, (real, fake), strict=True))
    )


def shaken(hue, turns):
    return (hue + turns * torch.randn(hue.shape, generator=torch.Generator().manual_seed(0))) % 1


def turned_to(hue, source):
    """What the circular network does that turns all it can turn to one hue: pixels without chroma keep theirs."""
    turn = hue - source[:, 0]
    return (source[:, 0] + (turn - turn.round()) * presence(source)) % 1


def validated(generator, discriminator=None, grey=0):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    coarse[:grey] = coarse[:grey, :1]
    coarse[:, :, :2] = 128 + coarse[:, :, :2] // 16  # the upper half has next to no chroma
    pairs = ValidationSet(coarse.repeat(8, axis=2).repeat(8, axis=3) // 2 + 90, 6, 0, "cpu")
    return validate(Answer(generator), discriminator, pairs)


@pytest.mark.parametrize(
    ("answers", "accuracy"), [((1.0, -1.0), 1.0), ((1.0, 1.0), 0.5), ((-1.0, -1.0), 0.5), ((-1.0, 1.0), 0.0)]
)
def test_accuracy_counts_right_answers_on_real_and_fake(answers, accuracy):
    assert validated(lambda source, target: source[:, 0], logits(*answers))["d_accuracy"] == accuracy


def test_what_collapsed_networks_do_is_warned_of():
    fine = validated(lambda source, target: (source[:, 0] + 0.1) % 1, logits(1.0, 1.0))
    assert warnings(fine) == []
    assert fine["rotation"] == pytest.approx(0.1, abs=1e-4)
    assert fine["incoherence_output"] == pytest.approx(fine["incoherence_source"], abs=1e-5)
    for noise in (0.0, 0.005):  # turns: no network gives the same number for every pixel
        (same,) = warnings(validated(lambda source, target, noise=noise: shaken(source[:, 0], noise)))
        assert "equals the source" in same
        for hue in (0.3, 0.0):
            (one,) = warnings(validated(lambda source, target, h=hue, n=noise: shaken(source[:, 0] * 0 + h, n)))
            assert "one hue" in one
    for grey in (0, 3):  # of the six pictures: they have no hue to be spread
        (kept,) = warnings(validated(lambda source, target: turned_to(0.3, source), grey=grey))
        assert "one hue" in kept
    (right,) = warnings(validated(lambda source, target: (source[:, 0] + 0.1) % 1, logits(1.0, -1.0)))
    assert "discriminator" in right


def test_mutual_information_stands_between_its_floor_and_its_ceiling():
    noise = torch.Generator().manual_seed(0)
    kept = validated(lambda source, target: source[:, 0])
    lost = validated(lambda source, target: torch.rand(source[:, 0].shape, generator=noise))
    assert kept["relative_mi"] == pytest.approx(kept["relative_mi_ceiling"]) == pytest.approx(1)
    assert kept["relative_mi_floor"] < 0.1
    assert lost["relative_mi"] == pytest.approx(lost["relative_mi_floor"], abs=0.02)
    assert kept["emd_output"] == pytest.approx(kept["emd_source"])
    assert validated(lambda source, target: target[:, 0])["emd_output"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("pictures", "wanted", "pairs"), [(2, 4, 2), (3, 64, 6), (5, 4, 4), (9, 64, 64)])
def test_no_pair_is_counted_twice(pictures, wanted, pairs):
    found = ValidationSet(np.zeros((pictures, 3, 8, 8), np.uint8), wanted, 0, "cpu")
    distinct = set(zip(found.source.tolist(), found.target.tolist(), strict=True))
    assert len(found) == len(distinct) == pairs
    assert all(source != target for source, target in distinct)


def test_the_default_network_is_measured_in_the_light_of_the_source():
    """A quarter turn at a fixed V changes the light; with the light kept it does not."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 3, 16, 16), dtype=np.uint8)
    pairs = ValidationSet(images, 4, 0, "cpu")
    kept, moved = (
        validate(Answer(lambda s, t: (s[:, 0] + 0.25) % 1, preset), None, pairs) for preset in ("default", "paper")
    )
    assert kept["light"] < 1
    assert moved["light"] > 5
    assert kept["parting"] == pytest.approx(0, abs=1e-5)
    source, target = next(pairs.batches(4))
    turned = source.clone()
    turned[:, 0] = (source[:, 0] + 0.25) % 1
    assert moved["palette_output"] == pytest.approx(palette_distance(turned, target).mean().item(), rel=1e-4)
    assert moved["palette_source"] == pytest.approx(palette_distance(source, target).mean().item(), rel=1e-4)


def test_realism_is_measured_where_there_is_enough_to_measure_it_by(monkeypatch):
    """The judge's eyes are replaced by the mean colour of a picture."""
    monkeypatch.setattr(realism, "features", lambda pictures, device: np.asarray(pictures, float).mean((2, 3)))
    rng = np.random.default_rng(0)
    images = (rng.random((70, 3, 16, 16)) * np.reshape([255, 120, 60], (3, 1, 1))).astype(np.uint8)
    for photographs, count in ((images[:30], 4), ((), 40)):
        few = ValidationSet(images, count, 0, "cpu", photographs)
        assert "kid" not in validate(Answer(lambda s, t: s[:, 0]), None, few)
    pairs = ValidationSet(images[30:], 40, 0, "cpu", images[:30])
    same = validate(Answer(lambda s, t: s[:, 0]), None, pairs)
    turned = validate(Answer(lambda s, t: (s[:, 0] + 0.4) % 1), None, pairs)
    assert same["auc"] == 0.5
    assert turned["auc"] > 0.95
    assert turned["kid"] > 10 * abs(same["kid"])


def test_figures_of_before_are_told_without_what_was_not_measured_then():
    """A run of 0.1.0 that is gone on with has them at its step 0."""
    old = {"emd_output": 0.1, "emd_source": 0.2, "incoherence_output": 0.01, "incoherence_source": 0.02}
    old |= {"relative_mi": 0.3, "relative_mi_floor": 0.05}
    assert summary(old).startswith("EMD to the target 0.100, 0.50 of the source's")
    new = {**old, "palette_output": 0.002, "palette_source": 0.008, "undone": 0.25}
    assert summary(new) == "palette distance 0.0020 of 0.0080, undone 25%; " + summary(old)

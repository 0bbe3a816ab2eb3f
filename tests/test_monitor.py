"""What tells people how a run is doing: numbers read late, and warnings of a collapse."""

import pytest
import torch

from huenet.monitor import Monitor
from huenet.processes import Processes
from huenet.validation import warnings


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
    fine = {"rotation": 0.1, "emd_source": 0.2, "hues_output": 40.0, "hues_target": 50.0, "d_accuracy": 0.7}
    assert warnings(fine) == []
    for change, word in (
        ({"rotation": 0.0}, "equals the source"),
        ({"hues_output": 1.0}, "one hue everywhere"),
        ({"d_accuracy": 1.0}, "discriminator"),
    ):
        (found,) = warnings({**fine, **change})
        assert word in found

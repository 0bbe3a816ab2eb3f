"""The benchmarks measure what they say: dense formulas, inputs, workers, tables, the guard's verdicts."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import reference

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import cases, dense, exact, gpu, guard, measure, peers, table  # noqa: E402
from benchmarks.cases import Case  # noqa: E402
from huenet.config import from_preset  # noqa: E402

SMALL = {"side": 12, "bins": 16}


@pytest.fixture
def pair(rng):
    return rng.random(200), rng.random(200)


@pytest.mark.parametrize("bandwidth", [None, 0.02])
def test_dense_is_the_paper(pair, bandwidth):
    x, y = (torch.from_numpy(a) for a in pair)
    options = {"bins": 24, "bandwidth": bandwidth}
    p = dense.histogram(x, **options).numpy()
    np.testing.assert_allclose(p, reference.soft_histogram(pair[0], **options), atol=1e-14)
    joint = dense.joint_histogram(x, y, **options)
    np.testing.assert_allclose(joint, reference.joint_histogram(*pair, **options), atol=1e-14)
    q = dense.histogram(y, **options)
    assert dense.circular_squared_emd(torch.from_numpy(p), q).item() == pytest.approx(
        reference.circular_squared_emd(p, q.numpy()), rel=1e-10
    )
    whole = joint / joint.sum()
    assert dense.mi_distance(whole).item() == pytest.approx(reference.mi_distance(whole.numpy()), abs=1e-8)


def test_exact_gradients_are_those_of_the_reference(monkeypatch, pair):
    monkeypatch.setattr(exact, "PIECE", 1 << 10)  # several pieces
    x, y = pair
    case, goal = Case("emd", bins=16), np.roll(reference.soft_histogram(y, bins=16), 5)
    for task, loss in (("emd", lambda v: reference.circular_squared_emd(v, goal)), ("mi", reference.mi_distance)):
        case = dataclasses.replace(case, task=task)

        def value(a, task=task, loss=loss):
            return loss(reference.soft_histogram(a, bins=16) if task == "emd" else _table(a, y))

        found, gradient = exact.step(case, x, y, goal)
        assert found == pytest.approx(value(x), rel=1e-9)
        for n in (0, 77, 199):
            step = 1e-6 * (np.arange(x.size) == n)
            assert gradient[n] == pytest.approx((value(x + step) - value(x - step)) / 2e-6, rel=1e-4, abs=1e-8)


def _table(x, y):
    return reference.joint_histogram(x, y, bins=16)


@pytest.mark.parametrize("content", ["noise", "hue"])
def test_images(content):
    x, y = cases.images(Case("mi", side=64, batch=6, content=content))
    assert x.shape == y.shape == (6, 64 * 64)
    assert x.dtype == y.dtype == np.float32
    assert x.min() >= 0
    assert x.max() < 1
    assert len({row.tobytes() for row in x}) == 6
    np.testing.assert_array_equal(np.sort(x), np.sort(y))  # the same values, moved
    assert (len(np.unique(x[0])) > 3500) == (content == "noise")  # 8-bit pictures repeat


@pytest.mark.parametrize("bins", [2, 16, 255])
def test_target_is_a_histogram(bins):
    goal = peers.target(Case("emd", bins=bins), np.zeros((3, 4)))
    assert goal.shape == (3, bins)
    assert goal.min() >= 0
    np.testing.assert_allclose(goal.sum(1), 1)


def test_sweeps_change_one_factor_at_a_time():
    for sweeps in (cases.SWEEPS, cases.SHORT_SWEEPS):
        for case in cases.swept("emd", sweeps):
            changed = [f for f in sweeps if getattr(case, f) != getattr(Case("emd"), f)]
            assert len(changed) == 1
            assert getattr(case, changed[0]) in sweeps[changed[0]]


ROWS = [
    pytest.param(task, row, marks=pytest.mark.slow if "JAX" in row or "POT" in row else ())
    for task, rows in peers.ROWS.items()
    for row in rows
]


@pytest.mark.parametrize(("task", "row"), ROWS)
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_every_row_runs(task, row):
    if "JAX" in row:
        pytest.importorskip("jax")
    case = Case(task, **SMALL)
    x, y = cases.images(case)
    try:
        work = peers.ROWS[task][row](case, x, y)
    except ImportError as error:
        pytest.skip(str(error))
    if work.step:
        value, gradient = work.step()
        assert np.isfinite(np.asarray(value))
        assert np.isfinite(np.asarray(gradient)).all()
        assert np.asarray(gradient).size == (2 if "Mattes" in row else 1) * x.size
    if work.histogram and row in peers.OURS:
        options = {"bins": case.bins, "bandwidth": case.bandwidth}
        of = (x,) if task == "emd" else (x, y)
        expected = (reference.soft_histogram if task == "emd" else reference.joint_histogram)(*of, **options)
        np.testing.assert_allclose(np.stack(list(map(np.asarray, work.histogram()))), expected, atol=2e-6)


@pytest.mark.slow
def test_workers_take_turns_and_failures_are_skipped_rows(tmp_path, monkeypatch):
    (tmp_path / "kornia.py").write_text("raise ImportError('gone', name='kornia')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = ["diffhist, NumPy", "np.histogram", "kornia histogram", "no such row"]
    ours, floor, missing, broken = measure.measure(Case("emd", **SMALL), rows)
    assert ours["step"][1] <= ours["step"][0] <= ours["step"][2]
    assert ours["error"]["value"] < 1e-4
    assert ours["error"]["gradient"] < 1e-4
    assert "histogram" in floor
    assert "step" not in floor
    assert missing["skipped"] == "kornia is not installed"
    assert "no such row" in broken["skipped"]


def _made_up(case, rows):
    return [
        {"row": row, "peak_mib": 1.5, "histogram": [1e-3] * 3, "step": [s, s / 2, s * 2], "error": None}
        | ({"skipped": "not here"} if "MONAI" in row else {})
        for s, row in zip((0.002, 0.003, 0.004, 0.2, *[0.1] * 9), rows, strict=False)
    ]


def test_the_command_writes_tables_and_plots_and_overwrites_nothing(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "measure", _made_up)
    command.main(["--output", str(tmp_path / "new")])
    names = {"results.json", "table.md", "time.png", "memory.png"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
    text = (tmp_path / "new" / "table.md").read_text(encoding="utf-8")
    assert "| diffhist, torch | 1 (1 to 1) | 2 (1 to 4) | 100 | 1.5 |" in text
    assert "| MONAI, Gaussian | skipped: not here |" in text
    assert "bins K | 32 | 64 | 256 | 1024 | 4096 |" in text
    assert len(json.loads((tmp_path / "new" / "results.json").read_text(encoding="utf-8"))["results"]) > 100
    with pytest.raises(SystemExit, match="2"):
        command.main(["--output", str(tmp_path / "new")])
    assert "holds results already" in capsys.readouterr().err


def test_matrices_that_would_not_fit_are_skipped(monkeypatch):
    monkeypatch.setattr(command, "measure", _made_up)
    (result,) = command.run([(Case("mi", side=4096), ["dense formula"])], False, lambda results: None)
    assert result["skipped"] == "N x K too large"
    assert table.time_of(result) is None


RECORD = {"a / b": 0.01, "c / d": 3.0}


def test_guard_allows_for_noise_and_tells_what_is_lost():
    assert guard.lost({"a / b": 0.01 * 1.7, "c / d": 1.0}, RECORD) == []
    (line,) = guard.lost({"a / b": 0.02, "c / d": 1.0}, RECORD)
    assert line == "a / b: 0.02, on record 0.01, allowed 0.0175"


def test_guard_measures_again_before_it_complains():
    slow, fine = {"a / b": 0.05, "c / d": 1.0}, {"a / b": 0.01, "c / d": 1.0}
    for runs, verdict in (([fine], 0), ([slow, fine], 0), ([slow, slow], 1)):
        turns = iter(runs)
        assert len(guard.check(lambda turns=turns: next(turns), RECORD)) == verdict
        assert list(turns) == []


def test_guard_exits_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(guard, "RECORD", tmp_path / "guard.json")
    monkeypatch.setattr("sys.argv", ["guard", "--record"])
    monkeypatch.setattr(guard, "measure", lambda: RECORD)
    assert guard.main() == 0
    monkeypatch.setattr("sys.argv", ["guard"])
    assert guard.main() == 0
    monkeypatch.setattr(guard, "measure", lambda: RECORD | {"c / d": 9.0})
    assert guard.main() == 1
    assert capsys.readouterr().err == "lost: c / d: 9, on record 3, allowed 5.25\n"


def test_guard_beside_others(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["guard", "--peers"])
    monkeypatch.setattr(guard, "measure", lambda pairs: dict.fromkeys(pairs, 2.0))
    assert guard.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(guard.PEERS)
    assert all(line.endswith(" 2") for line in lines)
    for fields, row, kind in (side for pair in guard.PEERS.values() for side in pair):
        assert row in peers.ROWS[fields["task"]]
        assert kind in peers.Work._fields


def test_guard_has_a_record_of_every_ratio():
    assert json.loads(guard.RECORD.read_text(encoding="utf-8")).keys() == guard.RATIOS.keys()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_gpu_without_a_device(capsys):
    assert gpu.main([]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu: no CUDA device here, nothing was measured\n"


def test_gpu_figures_on_a_device_of_another_kind(monkeypatch):
    monkeypatch.setattr(gpu, "REPEATS", 1)
    for floor in ("reading_floor", "arithmetic_floor"):
        monkeypatch.setattr(gpu, floor, functools.partial(getattr(gpu, floor), size=64))
    record = gpu.take(torch.device("cpu"), Case("mi", batch=2, **SMALL))
    assert all(row["ms"] > 0 for row in record["rows"].values())
    assert all(ratio > 0 for ratio in record["ratios"].values())
    assert {name.split(", ")[1].split(":")[0] for name in record["ratios"]} == {"array code"}  # no kernels on a CPU


def test_gpu_training_step(monkeypatch):
    monkeypatch.setattr(gpu.train_step, "REPEATS", 1)
    config = from_preset(preset="paper", batch_size=2, size=32, width=4, device="cpu")
    (costs,) = gpu.training(config).values()
    assert {"step", "EMD", "MI"} < costs.keys()
    assert all(cost > 0 for cost in costs.values())


def test_gpu_measures_with_and_without_the_kernels(monkeypatch):
    device = torch.device("cpu")
    assert gpu.ways(device) == {"array code": False}
    monkeypatch.setattr(gpu.choice, "_kernels_on", lambda device: "kernels")
    assert gpu.ways(device) == {"fused": True, "array code": False}
    with gpu.kernels(False):
        assert gpu.choice.kernels(device) is None
    assert gpu.choice.kernels(device) == "kernels"


@pytest.mark.parametrize("task", cases.TASKS)
def test_gpu_steps_are_one_function(task, rng):
    case = Case(task, batch=2, side=16, bins=8)
    x, y = (torch.from_numpy(rng.random((2, 256))) for _ in range(2))
    goal = torch.from_numpy(peers.target(case, x.numpy()))
    plain, mapped, ours = (make(task, case, y, goal)(x) for make in (gpu.plain, gpu.mapped, gpu.ours))
    torch.testing.assert_close(mapped, plain, rtol=1e-9, atol=1e-12)
    if task == "emd":  # the dense MI is of a table that has lost mass at the open boundary
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)

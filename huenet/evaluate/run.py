"""Measure a trained network beside the baselines: ``python -m huenet.evaluate RUN --data FOLDER``."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
import dataclasses
import hashlib
import json
import os
import shlex
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from huenet import realism
from huenet._memory import ran_out
from huenet._parser import Parser
from huenet.color import hsv_to_rgb, rgb_to_hsv
from huenet.config import Config, ConfigError
from huenet.data.download import DataError
from huenet.evaluate import tables
from huenet.evaluate.folder import EvaluationError, Folder, Pair, Pictures, draw_pairs, read_pairs, read_pictures, write
from huenet.evaluate.measures import CURVES, DIAL, STRENGTHS, TITLES, figures, outputs
from huenet.evaluate.summary import LEAST_PAIRS, Judged, summarize, verdict
from huenet.model.checkpoint import CheckpointError
from huenet.model.inference import SHIPPED, load_generator, weights
from huenet.model.networks import AnyGenerator

__all__ = ["evaluate", "folder_of", "load_runs", "main", "settings"]

PAIRS = 200


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Wrong input: one line and status 2."""
    parser = _parser()
    options = vars(parser.parse_args(argv))
    try:
        results = evaluate(**options)
    except (CheckpointError, ConfigError, DataError, EvaluationError, FloatingPointError) as error:
        parser.error(str(error))
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        parser.error("more memory is needed than there is; fewer --workers take less")
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command goes on from here\n")
    print(f"{tables.text(results)}\n\n{results['verdict']['text']}")
    if results["realism"] and results["realism"] not in results["verdict"]["text"]:
        print(results["realism"])
    print(f"\nWritten to {results['folder']}. Next: {_next(options)}")
    return 0


def evaluate(
    run: str | Path | None = None,
    data: str | None = None,
    *,
    pairs: str | int | None = None,
    ablation: str | Path | None = None,
    out: str | Path | None = None,
    workers: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a run beside the baselines, and write what is found.

    Parameters
    ----------
    run : path, optional
        A run folder of ``huenet.train``; by default the weights that come with the package.
    data : str, optional
        A folder of photographs, or the name of a data set; by default what the run held out of its own, and without a
        run the photographs of scikit-image. Photographs that the run was trained on are not drawn.
    pairs : int or path, optional
        How many pairs to draw, or a CSV file with the columns source and target. By default the ``pairs.csv`` in `out`
        if it is there, else 200.
    ablation : path, optional
        A run of the same size trained with ``--gamma-mi 0``, for the last column of Table 1.
    out : path, optional
        By default ``evaluation`` in the run folder, and ``runs/shipped/evaluation`` without a run. Where it holds part
        of the same evaluation, the rest is done.
    workers : int
        Processes; 0 for one a core, up to 8.
    seed : int
        Of the draw of pairs.

    Returns
    -------
    dict
        What ``results.json`` holds: see `huenet.evaluate.summary.summarize`; and "verdict", and where everything came
        from.

    Raises
    ------
    CheckpointError, ConfigError, DataError, EvaluationError, FloatingPointError
        Each with one line that says what to do.
    """
    for name, value in (("workers", workers), ("seed", seed)):
        if value < 0:
            raise EvaluationError(f"--{name} must be at least 0, got {value}")
    runs = {"huenet": Path(run or SHIPPED), **({"without_mi": Path(ablation)} if ablation else {})}
    _, config = load_runs(runs)
    place = Path(out or folder_of(run) / "evaluation")
    pictures = read_pictures(data, config, [_record(path) for path in runs.values()])
    chosen = _pairs(pairs, place, pictures.fresh, seed)
    photographs = realism.draw_real(pictures.images, {name for pair in chosen for name in pair})
    unjudged = realism.missing() or _too_few(chosen, photographs)
    judging = not unjudged
    folder = Folder(place, chosen, settings(runs, chosen, pictures, judging))

    done = folder.rows()
    missing = [i for i in range(len(chosen)) if i not in done or (judging and folder.seen(i) is None)]
    tasks = [_Task(i, pictures.images[chosen[i][0]], pictures.images[chosen[i][1]], judging) for i in missing]
    with tqdm(total=len(chosen), initial=len(chosen) - len(tasks), unit="pair", disable=None) as bar:
        for number, found, seen in _work(tasks, runs, workers or min(os.cpu_count() or 1, 8)):
            folder.append(number, found, seen)
            bar.update()

    done = folder.rows()
    rows = [done[number] for number in range(len(chosen))]
    sources = [source for source, _ in chosen]
    judged = _judged(folder, rows, [pictures.images[name] for name in photographs]) if judging else None
    fresh = set(pictures.fresh)
    results = {
        "run": run and str(run),
        "ablation": ablation and str(ablation),
        "data": os.path.abspath(data) if data and os.path.isdir(data) else data,
        "origin": pictures.origin,
        "folder": str(place),
        "size": config.size,
        "trained_on": sum(not fresh.issuperset(pair) for pair in chosen),
        "realism": unjudged,
        "photographs": len(photographs) if judging else 0,
        **summarize(rows, sources, judged),
    }
    results["verdict"] = verdict(results)._asdict()
    write(place / "results.json", json.dumps(results, indent=1))
    write(place / "table1.csv", tables.table1_csv(chosen, rows))
    write(place / "tables.md", tables.markdown(results))
    write(place / "tables.tex", tables.latex(results))
    return results


def load_runs(runs: Mapping[str, Path]) -> tuple[dict[str, AnyGenerator], Config]:
    """The generators by name, and the configuration of "huenet"; the ablation must be one, of the same size.

    Raises
    ------
    CheckpointError
        A run has no weights, or damaged ones, or weights of another configuration.
    EvaluationError
        The ablation was trained with the MI loss, or at another size.
    """
    for path in runs.values():
        if not path.is_dir() and path != SHIPPED:
            raise EvaluationError(f"{path}: no such folder; name a run folder of huenet.train")
    loaded = {name: load_generator(path) for name, path in runs.items()}
    config = loaded["huenet"][1]
    for name, (_, other) in loaded.items():
        if name == "without_mi" and other.gamma_mi:
            raise EvaluationError(f"--ablation {runs[name]} has --gamma-mi {other.gamma_mi:g}; it must be 0")
        if other.size != config.size:
            raise EvaluationError(f"--ablation {runs[name]} has size {other.size} and {runs['huenet']} {config.size}")
    if runs["huenet"] == SHIPPED:
        config = dataclasses.replace(config, data=None)  # what they were trained on is not at hand
    return {name: pair[0] for name, pair in loaded.items()}, config


def folder_of(run: str | Path | None) -> Path:
    """Where an evaluation and its report go."""
    return Path(run or "runs/shipped")


def settings(
    runs: Mapping[str, Path], pairs: Sequence[Pair], pictures: Pictures, judging: bool
) -> dict[str, str | bool | None]:
    """What the figures depend on: digests of weights and pictures, the methods, and whether realism is judged."""
    pictures.check(pairs)
    models = {name: _digest([weights(path).read_bytes()]) for name, path in runs.items()}
    return {
        "model": models["huenet"],
        "ablation": models.get("without_mi"),
        "pictures": _digest(pictures.images[name].tobytes() for pair in pairs for name in pair),
        "methods": ", ".join(map(str, [*TITLES, *CURVES.values(), *STRENGTHS, *DIAL])),
        "realism": judging,
    }


def _too_few(pairs: Sequence[Pair], photographs: Sequence[str]) -> str | None:
    """Why realism is not judged, in one line; None where there is enough to judge it by."""
    sources = len({source for source, _ in pairs})
    if sources >= LEAST_PAIRS and len(photographs) >= realism.LEAST_REAL:
        return None
    return (
        f"Realism is not measured: it takes {LEAST_PAIRS} sources and {realism.LEAST_REAL} photographs that are in no "
        f"pair, here are {sources} and {len(photographs)}."
    )


def _judged(folder: Folder, rows: Sequence[Mapping[str, Any]], photographs: Sequence[np.ndarray]) -> Judged:
    batches = [photographs[i : i + 100] for i in range(0, len(photographs), 100)]
    bar = tqdm(batches, desc="photographs", unit="hundred", disable=None)
    seen = np.stack([np.asarray(folder.seen(i), np.float32) for i in range(len(rows))])
    methods = [name for name in rows[0] if name != "target"]
    return Judged(
        np.concatenate([realism.features(batch) for batch in bar]),
        {name: seen[:, i] for i, name in enumerate(methods)},
    )


def _pairs(given: str | int | None, place: Path, names: Sequence[str], seed: int) -> list[Pair]:
    kept = place / "pairs.csv"
    if given is None and kept.exists():
        return read_pairs(kept)
    if given is None or str(given).isdigit():
        count = PAIRS if given is None else int(given)
        if count < 1:
            raise EvaluationError(f"--pairs must be at least 1, got {count}")
        return draw_pairs(names, count, seed)
    return read_pairs(Path(str(given)))


def _record(run: Path) -> dict[str, Any]:
    if run == SHIPPED:
        return {"data": None, "train": [], "validation": []}  # the tables say so
    try:
        return json.loads((run / "data.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{run / 'data.json'} is missing or damaged: it says what RUN was trained on") from error


def _next(options: Mapping[str, Any]) -> str:
    more = [*filter(None, [options["run"]]), *(["--evaluation", options["out"]] if options["out"] else [])]
    return shlex.join(["huenet", "report", *more])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class _Task(NamedTuple):
    number: int
    source: np.ndarray  # uint8 (3, S, S)
    target: np.ndarray
    judging: bool


class _Found(NamedTuple):
    number: int
    figures: dict[str, dict[str, float]]
    seen: np.ndarray | None  # by the judge of realism: a row for each method


_generators: dict[str, AnyGenerator] = {}  # of a worker process, loaded once


def _work(tasks: Sequence[_Task], runs: Mapping[str, Path], workers: int) -> Iterator[_Found]:
    """The figures of every task, as they come."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        generators, _ = load_runs(runs)
        yield from (_measure(task, generators) for task in tasks)
        return
    # spawned, because a fork of a process that has used torch's threads may hang
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (dict(runs),))
    try:
        for future in as_completed([pool.submit(_measure, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise EvaluationError("a worker ended, perhaps for want of memory; the same command goes on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(runs: Mapping[str, Path]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _generators.update(load_runs(runs)[0])


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)  # it was killed; the pool would wait for its next task for ever


def _measure(task: _Task, generators: Mapping[str, AnyGenerator] = _generators) -> _Found:
    source, target = (rgb_to_hsv(picture / 255.0) for picture in (task.source, task.target))
    made = outputs(source, target, generators)
    seen = (
        realism.features(np.rint(255 * hsv_to_rgb(hsv)).astype(np.uint8) for hsv in made.values())
        if task.judging
        else None
    )
    return _Found(task.number, figures(source, target, made), seen)


def _parser() -> Parser:
    parser = Parser(
        prog="huenet evaluate",
        description="Measure a trained network beside the baselines on fixed pairs of photographs.",
        epilog="Written into --out: pairs.csv, rows.jsonl (every figure of every pair), table1.csv, results.json,\n"
        "tables.md and tables.tex. Stopped or killed, the same command goes on where it was.\n\n"
        "example:\n  huenet evaluate runs/default-20260101-120000 --data photographs/ --pairs 100\n"
        "  huenet evaluate --data photographs/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run", nargs="?", metavar="RUN", help="run folder of huenet.train (default: the weights of the package)")
    add(
        "--data", metavar="FOLDER",
        help="folder of photographs, or flowers102, or cars; without those that RUN was trained on (default: what RUN "
        "held out of its own, or scikit-image's photographs)",
    )  # fmt: skip
    add(
        "--pairs", metavar="N|FILE",
        help=f"pairs to draw, or a CSV file of source,target (default: pairs.csv of --out where it is, else {PAIRS})",
    )  # fmt: skip
    add("--ablation", metavar="RUN2", help="run trained with --gamma-mi 0, for the last column of the paper's Table 1")
    add("--out", metavar="FOLDER", help="where to write (default: RUN/evaluation, or runs/shipped/evaluation)")
    add("--workers", type=int, default=0, metavar="N", help="processes (default: one a core, up to 8)")
    add("--seed", type=int, default=0, help="of the draw of pairs (default: 0)")
    return parser

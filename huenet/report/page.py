"""Turn an evaluation into one HTML page that needs nothing else: ``python -m huenet.report RUN``."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from huenet._parser import Parser
from huenet.config import ConfigError
from huenet.data.download import DataError
from huenet.evaluate.folder import EvaluationError, read_pairs, read_pictures, read_rows, write
from huenet.evaluate.run import folder_of, load_runs, settings
from huenet.model.checkpoint import CheckpointError
from huenet.model.inference import SHIPPED
from huenet.report.sections import SECTIONS, TEMPLATES, Evidence, render

__all__ = ["main", "report"]

MARK = '<meta name="generator" content="huenet.report">'


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Wrong input: one line and status 2."""
    parser = _parser()
    options = vars(parser.parse_args(argv))
    try:
        path = report(**options)
    except (CheckpointError, ConfigError, DataError, EvaluationError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "stopped; nothing is written\n")
    print(f"Written to {path} ({path.stat().st_size / 1e6:.1f} MB): open it in a browser.")
    return 0


def report(
    run: str | Path | None = None,
    *,
    evaluation: str | Path | None = None,
    data: str | None = None,
    out: str | Path | None = None,
) -> Path:
    """Write the report of an evaluated run, and return its path.

    Parameters
    ----------
    run : path, optional
        A run folder of ``huenet.train``; by default the weights that come with the package.
    evaluation : path, optional
        What ``huenet.evaluate`` wrote; by default ``evaluation`` in the run folder (``runs/shipped`` without a run).
    data : str, optional
        Where the evaluation's pictures are now, if they have moved.
    out : path, optional
        The file; by default ``report.html`` in the run folder. An earlier report is replaced, no other file is.

    Raises
    ------
    CheckpointError, ConfigError, DataError, EvaluationError
        Each with one line that says what to do.
    """
    out = Path(out or folder_of(run) / "report.html")
    if out.is_dir() or (out.exists() and MARK not in out.read_text(encoding="utf-8", errors="replace")[:400]):
        raise EvaluationError(f"{out} is not an earlier report; name another -o")
    evidence = _evidence(Path(run or SHIPPED), Path(evaluation or folder_of(run) / "evaluation"), data)
    sections = (render(section, evidence) for section in tqdm(SECTIONS, desc="report", unit="section", disable=None))
    write(out, TEMPLATES.get_template("report.html").render(run=evidence.run, sections=sections))
    return out


def _evidence(run: Path, folder: Path, data: str | None) -> Evidence:
    """What the evaluation in `folder` says, with the pictures and weights that it was made from."""
    results, kept = (_read_json(folder / name) for name in ("results.json", "settings.json"))
    runs = {"huenet": run, **({"without_mi": Path(results["ablation"])} if results["ablation"] else {})}
    generators, config = load_runs(runs)
    pairs, rows = read_pairs(folder / "pairs.csv"), read_rows(folder)
    pictures = read_pictures(data or results["data"], config, [])
    found = settings(runs, pairs, pictures, bool(kept.get("realism")))
    different = [name for name in found | kept if found.get(name) != kept.get(name)]
    if different:
        where = f" ({pictures.origin}; --data FOLDER if they have moved)" if "pictures" in different else ""
        raise EvaluationError(
            f"{' and '.join(different)} changed since {folder} was made{where}; evaluate again with another --out"
        )
    return Evidence(
        results=results,
        pairs=pairs,
        rows=[rows[number] for number in range(len(pairs))],
        config=config,
        generators=generators,
        images=pictures.images,
        curves=_read_lines(run / "metrics.jsonl"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} is missing or damaged: finish `huenet evaluate` first") from error


def _read_lines(path: Path) -> list[Mapping[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []  # the report says so


def _parser() -> Parser:
    parser = Parser(
        prog="huenet report",
        description="Turn an evaluation into one HTML page with all pictures inside, for a browser or a phone.",
        epilog="example:\n  huenet evaluate runs/default-20260101-120000 --data photographs/\n"
        "  huenet report runs/default-20260101-120000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "run", nargs="?", metavar="RUN",
        help="run folder of huenet.train that huenet.evaluate has measured (default: the weights of the package)",
    )  # fmt: skip
    add(
        "-o", "--out", metavar="FILE",
        help="file; only an earlier report is replaced (default: RUN/report.html, or runs/shipped/report.html)",
    )  # fmt: skip
    add(
        "--evaluation",
        metavar="FOLDER",
        help="what huenet.evaluate wrote (default: RUN/evaluation, or runs/shipped/evaluation)",
    )
    add("--data", metavar="FOLDER", help="where the evaluation's photographs are now, if they have moved")
    return parser

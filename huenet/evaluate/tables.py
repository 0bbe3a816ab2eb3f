"""The tables of an evaluation, as CSV, Markdown, LaTeX and plain text, beside the paper's own numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from huenet.evaluate.measures import FIGURES, METHODS, WIDTHS
from huenet.evaluate.summary import AXES

__all__ = ["PAPER", "comparison", "decimal", "latex", "markdown", "notes", "past", "table1", "table1_csv", "text"]

# Table 1 of the paper, its seven pairs
PAPER = np.array(
    [
        (0.175, 0.080, 0.029, 0.210, 0.111),
        (0.184, 0.131, 0.039, 0.460, 0.112),
        (0.173, 0.139, 0.069, 0.255, 0.118),
        (0.186, 0.053, 0.055, 0.304, 0.094),
        (0.482, 0.081, 0.034, 0.144, 0.046),
        (0.221, 0.088, 0.070, 0.263, 0.127),
        (0.290, 0.216, 0.036, 0.180, 0.095),
    ]
)
HEADINGS = ("EMD TAR-SRC", "EMD TAR-OUT", "MI SRC-TAR", "MI SRC-OUT", "MI SRC-OUT without MI loss")
KEYS = ("emd_target_source", "emd_target_output", "mi_source_target", "mi_source_output", "mi_source_output_without_mi")
SHOWN = (*AXES, "ssim", "lightness")

Table = list[list[str]]


def table1(results: Mapping[str, Any]) -> Table:
    """The paper's Table 1: a header, then rows of cells; means with 95% intervals, and the paper's mean."""
    rows = [["", *HEADINGS]]
    for bins in ("hard", "soft"):
        cells = [_at(results, *place) for place in _columns(bins)]
        rows.append([f"this run, {bins} bins", *(_mean(cell) for cell in cells)])
        floors = [_at(results, name, f"floor_{bins}") for name in ("target", "huenet", "without_mi")]
        rows.append([f"chance, {bins} bins", "", "", *(_mean(cell, short=True) for cell in floors)])
        ceiling = _mean(_at(results, "identity", f"mi_{bins}"), short=True)
        rows.append([f"ceiling, {bins} bins", "", "", *[ceiling] * 2, ceiling if results["ablation"] else ""])
    means, least, most = PAPER.mean(axis=0), PAPER.min(axis=0), PAPER.max(axis=0)
    rows.append(
        ["the paper, mean [range] of 7 pairs"]
        + [f"{m:.3f} [{low:.3f} to {high:.3f}]" for m, low, high in zip(means, least, most, strict=True)]
    )
    return rows


def comparison(results: Mapping[str, Any]) -> Table:
    """Every method, a row each: figures with intervals, and how often Hue-Net beats it on what the verdict rests on."""
    rows = [["", *(FIGURES[key][0] for key in SHOWN), *(f"wins {name}" for name in AXES.values())]]
    for name, label in METHODS.items():
        if name not in results["methods"]:
            continue
        method = results["methods"][name]
        wins = results["against"].get(name)
        rows.append(
            [label]
            + [_mean(method[key], digits=_digits(key)) for key in SHOWN]
            + [f"{wins[key]['wins']:.0%}" if wins else "" for key in AXES]
        )
    return rows


def table1_csv(pairs: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """Table 1 pair by pair, with hard and soft bins, floors and ceilings; the last line is the mean.

    Columns of a run without the MI loss are empty where none was given.
    """
    columns = {}
    for bins in ("hard", "soft"):
        places = [*_columns(bins), ("huenet", f"floor_{bins}"), ("identity", f"mi_{bins}")]
        for key, place in zip((*KEYS, "mi_floor", "mi_ceiling"), places, strict=True):
            columns[f"{key}_{bins}"] = place
    values = np.array([[row.get(name, {}).get(key, np.nan) for name, key in columns.values()] for row in rows])
    labels = [*((str(i), *pair) for i, pair in enumerate(pairs, 1)), ("mean", "", "")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["pair", "source", "target", *columns])
    for label, line in zip(labels, [*values, values.mean(axis=0)], strict=True):
        writer.writerow([*label, *("" if np.isnan(value) else f"{value:.6f}" for value in line)])
    return text.getvalue()


def markdown(results: Mapping[str, Any]) -> str:
    """Both tables as Markdown, with what they need to be read."""
    parts = [
        f"# {results['verdict']['label']}",
        results["verdict"]["text"],
        "## Table 1",
        _pipes(table1(results)),
        "\n".join(notes(results)),
        "## Beside the baselines",
        _pipes(comparison(results)),
        "\n".join([GLOSSARY, WIDTHS_ARE, WINS, *past(results)]),
        "## The paper's own pairs",
        _pipes([["No.", *HEADINGS], *([str(i), *(f"{v:.3f}" for v in row)] for i, row in enumerate(PAPER, 1))]),
    ]
    return "\n\n".join(parts) + "\n"


def latex(results: Mapping[str, Any]) -> str:
    """Both tables as LaTeX, without packages; the second in two halves, each as wide as a page."""
    rows = comparison(results)
    half = 1 + len(AXES)
    return "\n".join(
        [
            _tabular(table1(results)),
            *(f"% {line}" for line in notes(results)),
            "",
            _tabular([row[:half] for row in rows]),
            "",
            _tabular([[row[0], *row[half:]] for row in rows]),
            *(f"% {line}" for line in (GLOSSARY, WIDTHS_ARE, WINS, *past(results))),
            "",
        ]
    )


def text(results: Mapping[str, Any]) -> str:
    """The comparison for a terminal: without intervals, in columns."""
    rows = [[cell.partition(" [")[0] for cell in row[: len(SHOWN) + 1]] for row in comparison(results)]
    rows[0] = ["", "EMD", "chroma EMD", "relative MI", "incoherence", "SSIM", "change of L*"]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in aligned)


GLOSSARY = (
    "EMD: circular earth mover's distance of order 2 between histograms of hue, from 0 to 0.5; chroma EMD: each pixel "
    "weighted by saturation times value. Relative MI: mutual information of the hues of source and result over their "
    "joint entropy, from 0 to 1. Incoherence: mean difference of hue between neighbours, in turns of the circle, "
    "weighted by chroma. SSIM of luma and mean absolute change of L* (0 to 100): against the source."
)
WIDTHS_ARE = (
    "The number behind a smooth transport is the deviation, in bins of 256, over which its turn of hue is averaged. "
    "Plain transport goes by the histograms of hue, chroma transport by those weighted by chroma."
)
WINS = "Wins: share of the pairs on which Hue-Net has a better figure than the method of the row; a tie is half a win."


def notes(results: Mapping[str, Any]) -> list[str]:
    """What Table 1 needs to be read."""
    found = [
        f"{results['pairs']} pairs, {results['size']} x {results['size']} pixels, from {results['origin']}; K = 256; "
        "means with 95% bootstrap intervals over pairs.",
        "SRC: source, TAR: target, OUT: the network's result. EMD: circular, of order 2; 0 is best. MI: relative, "
        "I / H; more keeps more of the source. Chance: the result's pixels shuffled. Ceiling: the source with itself. "
        "Soft bins are the paper's; with them even a picture and itself are well below 1.",
    ]
    if not results["ablation"]:
        found.append("The last column is empty: no run without the MI loss was given (--ablation RUN2).")
    if not results["run"]:
        found.append(
            "The weights that come with the package were trained on pictures of Oxford 102 Flowers and Stanford Cars, "
            "which ones is not recorded: pairs of these may hold some that they have seen."
        )
    if results["trained_on"]:
        count = results["trained_on"]
        found.append(f"{count} pair{' holds' if count == 1 else 's hold'} a picture that the network was trained on.")
    return found


def past(results: Mapping[str, Any]) -> list[str]:
    """Where the network lies against smoothed transport that is as close to the target; a sentence a distance."""
    sentences = []
    for key, family in (("emd_hard", "plain"), ("chroma_emd", "chroma")):
        found, distance = results["past"][key], FIGURES[key][0]
        if found:
            more = "more" if found["mean"] > 0 else "less"
            own, gap = decimal(results["methods"]["huenet"][key]["mean"], 3), decimal(abs(found["mean"]), 4)
            low, high = (decimal(found[end], 4, "+") for end in ("low", "high"))
            sentences.append(
                f"At the network's {distance}, {own}, {family} transport of the right width has an incoherence of "
                f"{decimal(found['curve'], 4)} and the network {gap} {more} (difference, 95%: {low} to {high})."
            )
        else:
            sentences.append(
                f"No {family} transport smoothed over {WIDTHS[0]} to {WIDTHS[-1]} bins has the network's {distance}."
            )
    return sentences


def decimal(value: float, digits: int, sign: str = "") -> str:
    """A figure with so many digits; what rounds to zero is zero, never "-0.0000"."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def _columns(bins: str) -> list[tuple[str, str]]:
    """Method and figure of the five columns."""
    mi = f"mi_{bins}"
    emd = [("identity", f"emd_{bins}"), ("huenet", f"emd_{bins}")]
    return [*emd, ("target", mi), ("huenet", mi), ("without_mi", mi)]


def _at(results: Mapping[str, Any], method: str, figure: str) -> Mapping[str, float] | None:
    return results["methods"].get(method, {}).get(figure)


def _digits(figure: str) -> int:
    return {"incoherence": 4, "lightness": 1}.get(figure, 3)


def _mean(cell: Mapping[str, float] | None, *, digits: int = 3, short: bool = False) -> str:
    if cell is None:
        return ""
    low, mean, high = (decimal(cell[name], digits) for name in ("low", "mean", "high"))
    return mean if short else f"{mean} [{low}, {high}]"


def _pipes(rows: Table) -> str:
    lines = [rows[0], ["---"] + ["---:"] * (len(rows[0]) - 1), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tabular(rows: Table) -> str:
    """Small, headings in two lines, and intervals below their means: else wider than a page."""
    halves = [cell.partition(" without " if " without " in cell else " ") for cell in rows[0]]
    lines = [r"\hline", _line([above for above, _, _ in halves])]
    lines += [_line([f"{gap.strip()} {below}".strip() for _, gap, below in halves]), r"\hline"]
    for row in rows[1:]:
        parts = [cell.partition(" [") for cell in row]
        lines.append(_line([mean for mean, _, _ in parts]))
        if any(bracket for _, bracket, _ in parts):
            lines.append(_line([rf"{{\tiny [{interval}}}" if interval else "" for _, _, interval in parts]))
    columns = "@{}l" + "r" * (len(rows[0]) - 1) + "@{}"
    begin = rf"\noindent{{\scriptsize\setlength{{\tabcolsep}}{{2pt}}\begin{{tabular}}{{{columns}}}"
    return "\n".join([begin, *lines, r"\hline", r"\end{tabular}}"])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells).replace("%", r"\%").replace("L*", "$L^*$") + r" \\"

"""The tables of an evaluation, as CSV, Markdown, LaTeX and plain text, beside the paper's own numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from huenet.evaluate.measures import FIGURES, TITLES
from huenet.evaluate.summary import KEPT, REAL, settings

__all__ = [
    "FIGURE_NAMES",
    "PAPER",
    "RULE",
    "compared",
    "comparison",
    "decimal",
    "explanations",
    "frontier",
    "latex",
    "markdown",
    "name_of",
    "notes",
    "shown",
    "table1",
    "table1_csv",
    "text",
]

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
FIGURE_NAMES = {name: label for name, (label, _) in FIGURES.items()} | {"undone": "undone", "kid": "KID", "auc": "AUC"}
SHOWN = (
    "palette", "undone", "kid", "auc", "parting", "incoherence", "light", "emd_hard", "mi_hard",
)  # fmt: skip
DIGITS = {"palette": 4, "incoherence": 4, "undone": 2, "light": 1, "kid": 1}
PHOTOGRAPHS = {"kid": "0", "auc": "0.5"}  # what other photographs would have

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


def shown(results: Mapping[str, Any]) -> list[str]:
    """The figures of the comparison: without those of realism where it was not measured."""
    return [key for key in SHOWN if key in results["methods"]["huenet"]]


def compared(results: Mapping[str, Any]) -> list[str]:
    """The methods of the comparison: the settings of the network, then the others."""
    own = settings(results["methods"])
    return [*own, *(name for name in TITLES if name in results["methods"] and name not in own)]


def name_of(method: str) -> str:
    """A method in a few words."""
    return TITLES.get(method) or f"Hue-Net at closeness {method.partition('@')[2]}"


def comparison(results: Mapping[str, Any]) -> Table:
    """Every method, a row each, with intervals; and what photographs themselves would have."""
    keys, dial = shown(results), settings(results["methods"])
    rows = [["", *(FIGURE_NAMES[key] for key in keys)]]
    for name in compared(results):
        method = results["methods"][name]
        label = name_of(name) if dial.get(name) is None else f"Hue-Net at closeness {dial[name]:g}"
        rows.append([label, *(_mean(method.get(key), digits=DIGITS.get(key, 3)) for key in keys)])
    if "kid" in keys:
        rows.append(["other photographs", *(PHOTOGRAPHS.get(key, "") for key in keys)])
    return rows


def frontier(results: Mapping[str, Any]) -> Table:
    """The network, at each setting, beside the best that needs no training at the same palette distance."""
    points = results["frontier"]
    keys = [key for key in (*REAL, *KEPT) if all(key in point for point in points.values())]
    rows = [["", FIGURE_NAMES["palette"], *(FIGURE_NAMES[key] for key in keys), "behind in"]]
    for name, closeness in settings(results["methods"]).items():
        label = "Hue-Net" if closeness is None else f"closeness {closeness:g}"
        cells = [decimal(points[name]["palette"]["own"], DIGITS["palette"])]
        for key in keys:
            digits, found = DIGITS.get(key, 3), points[name][key]
            own, best, low, high = (decimal(found[end], digits) for end in ("own", "best", "low", "high"))
            cells.append(f"{own} / {best} [{low}, {high}]")
        rows.append([label, *cells, ", ".join(FIGURE_NAMES[key] for key in points[name]["behind"]) or "nothing"])
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
        "## At equal palette distance",
        _pipes(frontier(results)),
        RULE,
        "## Beside what needs no training",
        _pipes(comparison(results)),
        "\n".join(explanations(results)),
        "## The paper's own pairs",
        _pipes([["No.", *HEADINGS], *([str(i), *(f"{v:.3f}" for v in row)] for i, row in enumerate(PAPER, 1))]),
    ]
    return "\n\n".join(parts) + "\n"


def latex(results: Mapping[str, Any]) -> str:
    """The tables as LaTeX, without packages; the comparison in two halves, each as wide as a page."""
    rows = comparison(results)
    half = 1 + len(rows[0]) // 2
    return "\n".join(
        [
            _tabular(table1(results)),
            *(f"% {line}" for line in notes(results)),
            "",
            _tabular(frontier(results)),
            f"% {RULE}",
            "",
            _tabular([row[:half] for row in rows]),
            "",
            _tabular([[row[0], *row[half:]] for row in rows]),
            *(f"% {line}" for line in explanations(results)),
            "",
        ]
    )


def text(results: Mapping[str, Any]) -> str:
    """The comparison for a terminal: without intervals, in columns."""
    rows = [[cell.partition(" [")[0] for cell in row] for row in comparison(results)]
    names = {"palette": "palette", "incoherence": "incoh.", "light": "dL*", "emd_hard": "EMD", "mi_hard": "MI"}
    rows[0] = ["", *(names.get(key, FIGURE_NAMES[key]) for key in shown(results))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in aligned)


RULE = (
    "Each figure of the network / the best that smoothed or relaxed transport of chroma reaches at that palette "
    "distance at any setting and strength, each figure for itself; in brackets their difference, with intervals that "
    "hold together in 95% of the evaluations. The network earns its place where it is more real by KID and by AUC, and "
    "undone, parting and incoherence are no worse. It is behind in what is worse by the whole interval."
)
GLOSSARY = (
    "Palette distance: unbalanced transport around the circle between the hues by chroma, in which there may be more "
    "or less of each; what nothing is carried for costs 0.02. Undone: of the half of the pairs that are farther apart, "
    "the share whose palette distance falls by less than a third. Parting: how far one surface of the source comes out "
    "in several hues, from 0 to 1. Incoherence: mean difference of hue between neighbours, in turns of the circle, "
    "weighted by chroma. Change of light: mean absolute change of L* (0 to 100) on coloured pixels. EMD: circular "
    "earth mover's distance of order 2 between histograms of hue, from 0 to 0.71. Relative MI: mutual information of "
    "the hues of source and result over their joint entropy, from 0 to 1."
)
REALISM = (
    "KID (times 1000): kernel distance of the results to {photographs} photographs that are in no pair. AUC: how often "
    "a linear classifier that saw other sources tells a result from a source. Both by what EfficientNet-Lite0, which "
    "no network here was trained against, sees at 160 x 160. Other photographs would have 0 and 0.5. They find colours "
    "and textures that photographs do not have, on average over many pairs; they do not tell whether one picture is "
    "right, nor whether petals took the colour of petals, and a source that is left alone scores best: read them "
    "beside palette distance and undone. Below 200 pairs they say little."
)
SETTINGS = (
    "Smooth: the deviation, in bins of 256, over which a transport's turn of hue is averaged; 8 where none is named. "
    "reg_m: what it costs a relaxed transport where colours take other shares than in the target. All methods but "
    "Reinhard and the paper's network keep the light."
)


def explanations(results: Mapping[str, Any]) -> list[str]:
    """What the comparison needs to be read."""
    judged = results.get("realism") or REALISM.format(photographs=results.get("photographs", 0))
    return [GLOSSARY, judged, SETTINGS]


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
            "The weights that come with the package were trained on pictures of Oxford 102 Flowers, which ones is not "
            "recorded with them: pairs of these may hold some that they have seen."
        )
    if results["trained_on"]:
        count = results["trained_on"]
        found.append(f"{count} pair{' holds' if count == 1 else 's hold'} a picture that the network was trained on.")
    return found


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
    return " & ".join(cells).replace("%", r"\%").replace("_", r"\_").replace("L*", "$L^*$") + r" \\"

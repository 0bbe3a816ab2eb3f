"""The sections of the report, each a function from the evidence to HTML."""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from huenet.color import chroma, rgb_to_hsv
from huenet.config import Config, describe
from huenet.evaluate import tables
from huenet.evaluate.measures import FIGURES, METHODS, WIDTHS, outputs
from huenet.evaluate.summary import CURVES, LEAST_PAIRS, PRIOR
from huenet.metrics import hue_histogram
from huenet.model.inference import output_hue
from huenet.model.networks import Generator
from huenet.report import raster, svg
from huenet.train import plots

__all__ = ["SECTIONS", "Evidence"]

SHOWN = 4  # pairs in the paper's figures: the first ones, not the best
MATRIX = 5
WORST = 10
BINS = 90  # of the histograms that are drawn
GALLERY = (
    "huenet",
    "without_mi",
    "reinhard",
    "rotation",
    "transport",
    "smooth8",
    "smooth32",
    "chroma8",
    PRIOR,
    "optimize",
)
POINTS = {
    "huenet": "Hue-Net",
    "without_mi": "no MI loss",
    "identity": "source",
    "rotation": "rotation",
    "reinhard": "Reinhard",
    "optimize": "descent",
}  # of the charts; the exact transports, so incoherent that the rest would be one heap, are left to the table


@dataclass(frozen=True)
class Evidence:
    """A finished evaluation and what it was made from."""

    results: Mapping[str, Any]
    pairs: Sequence[tuple[str, str]]
    rows: Sequence[Mapping[str, Mapping[str, float]]]
    config: Config
    generators: Mapping[str, Generator]
    images: Mapping[str, np.ndarray]
    curves: Sequence[Mapping[str, Any]]

    @property
    def run(self) -> str:
        """What was measured, in words."""
        return self.results["run"] or "the weights that come with the package"

    def hsv(self, name: str) -> np.ndarray:
        """A picture by its name, (3, S, S)."""
        return rgb_to_hsv(self.images[name] / 255.0)

    def painted(self, source: str, target: str) -> np.ndarray:
        """What the network makes of a pair, HSV."""
        hsv = self.hsv(source)
        return np.stack([output_hue(self.generators["huenet"], hsv, self.hsv(target)), hsv[1], hsv[2]])


def heading(evidence: Evidence) -> str:
    verdict = evidence.results["verdict"]
    return (
        f"<h1>Hue-Net: {escape(evidence.run)}</h1>"
        f'<div class="verdict {verdict["kind"]}"><b>{escape(verdict["label"])}</b>'
        f"<p>{escape(verdict['text'])}</p></div>"
    )


def table1(evidence: Evidence) -> str:
    rows = tables.table1(evidence.results)
    notes = "".join(f"<p class=soft>{escape(note)}</p>" for note in tables.notes(evidence.results))
    return _section("Table 1", _table(rows, lambda i, j: "", own=(1, 4)) + notes)


def baselines(evidence: Evidence) -> str:
    results = evidence.results
    rows = tables.comparison(results)
    names = [name for name in METHODS if name in results["methods"]]

    def mark(i: int, j: int) -> str:
        """Whether a method is reliably better (up) or worse (down) than the network."""
        known = results["against"].get(names[i - 1])
        if not known or not 0 < j <= len(tables.SHOWN) or results["pairs"] < LEAST_PAIRS:
            return ""
        key = tables.SHOWN[j - 1]
        low, high = (known[key][end] * FIGURES[key][1] for end in ("sure_low", "sure_high"))
        return "up" if max(low, high) < 0 else "down" if min(low, high) > 0 else ""

    charts = "".join(
        f"<figure>{svg.scatter(_places(results, POINTS, key), _curves(results, key), label, 'incoherence')}</figure>"
        for key, label in (("emd_hard", "EMD to the target"), ("chroma_emd", "chroma EMD to the target"))
    )
    smooth = f"smoothed over {WIDTHS[0]} to {WIDTHS[-1]} bins"
    text = (
        "<p>Only Hue-Net is trained. In both charts, down and to the left is better: closer to the target's "
        "hues, and smoother. Smoothed over more bins, transport gives up closeness for coherence; what is worth its "
        "training lies below the curves, and descent on the pair, which needs none, is no better. The exact transports "
        "are off the charts.</p>"
        f'<div class="grid charts">{charts}</div>'
        f"{_key(('k2', f'plain transport {smooth}'), ('k3', f'chroma transport {smooth}'))}"
        f"<p>{escape(' '.join(tables.past(results)))}</p>"
        "<p class=soft><span class=up>▲</span> reliably better than the network, <span class=down>▼</span> reliably "
        f"worse: mean difference, by the intervals of the verdict; from {LEAST_PAIRS} pairs up.</p>"
        f"{_table(rows, mark, own=(1,))}"
        f"<p class=soft>{'</p><p class=soft>'.join(map(escape, (tables.GLOSSARY, tables.WIDTHS_ARE, tables.WINS)))}</p>"
    )
    return _section("Beside the baselines", text)


def figure2(evidence: Evidence) -> str:
    blocks = []
    for number, (source, target) in enumerate(evidence.pairs[:SHOWN]):
        three = [evidence.hsv(source), evidence.hsv(target), evidence.painted(source, target)]
        captions = ("source", "target", "output")
        cells = [raster.photograph(hsv, caption) for hsv, caption in zip(three, captions, strict=True)]
        cells += [raster.hue_channel(hsv, f"{caption}'s hue") for hsv, caption in zip(three, captions, strict=True)]
        hists = [hue_histogram(hsv[0], bins=BINS) for hsv in three]
        emd = [evidence.rows[number][name]["emd_hard"] for name in ("identity", "huenet")]
        note = f"EMD to the target: {emd[0]:.3f} before, {emd[1]:.3f} after"
        cells.append(
            f'<figure class="hist">{svg.histograms(hists, "hue histograms")}<figcaption>{note}</figcaption></figure>'
        )
        blocks.append(f'<div class="pair">{"".join(cells)}</div>')
    key = _key(("ka", "target"), ("k0", "source"), ("k1", "output"))
    text = f"<p>The first pairs of the evaluation, not the best. Histograms of hue, {BINS} bins:</p>{key}"
    return _section("Pictures, hue channels and hue histograms", text + "".join(blocks), "figure 2 of the paper")


def figure3(evidence: Evidence) -> str:
    blocks = []
    for number, (source, target) in enumerate(evidence.pairs[: SHOWN - 1]):
        hsv, row = evidence.hsv(source), evidence.rows[number]
        hues = {"target": evidence.hsv(target)[0]}
        made = outputs(hsv, evidence.hsv(target), evidence.generators)
        hues |= {name: made[name][0] for name in ("huenet", "without_mi", PRIOR) if name in made}
        blocks += [
            raster.joint_histogram(hsv[0], hue, METHODS.get(name, name), f"relative MI {row[name]['mi_hard']:.3f}")
            for name, hue in hues.items()
        ]
        blocks[-1] = f"{blocks[-1]}</div>"
        blocks[-len(hues)] = f'<div class="grid joint">{blocks[-len(hues)]}'
    text = (
        "<p>Across: the source's hue. Up: the hue of the other picture at the same pixel. Bright is many pixels, on a "
        "logarithmic scale. A thin curve means that each hue of the source became one hue; a block means that what was "
        "told apart in the source is not any more.</p>"
    )
    return _section("Joint histograms of hue", text + "".join(blocks), "figure 3 of the paper")


def figure6(evidence: Evidence) -> str:
    blocks = []
    for number, (source, target) in enumerate(evidence.pairs[:SHOWN]):
        hsv, goal = evidence.hsv(source), evidence.hsv(target)
        made = outputs(hsv, goal, evidence.generators)
        cells = [raster.photograph(hsv, "source"), raster.photograph(goal, "target")]
        for name in GALLERY:
            if name in made:
                own = evidence.rows[number][name]
                lines = METHODS[name], f"EMD {own['emd_hard']:.3f}", f"incoh. {own['incoherence']:.4f}"
                cells.append(raster.photograph(made[name], *lines))
        blocks.append(f'<div class="grid methods">{"".join(cells)}</div>')
    text = "<p>The same pairs by the network and by others; below each, its EMD to the target and its incoherence.</p>"
    return _section("Beside other methods", text + "".join(blocks), "figure 6 of the paper")


def training(evidence: Evidence) -> str:
    drawn = plots.panels([dict(line) for line in evidence.curves], evidence.config)
    charts = []
    for title, curves in drawn.items():
        key = _key(*((f"k{i}", name.replace("_", " ")) for i, name in enumerate(curves)))
        charts.append(f"<figure><b>{escape(title)}</b>{svg.lines(curves, title)}{key}</figure>")
    text = f'<div class="grid charts">{"".join(charts)}</div>' if charts else "<p>The run has no metrics.jsonl.</p>"
    return _section("Training", text)


def matrix(evidence: Evidence) -> str:
    sources, targets = (list(dict.fromkeys(names))[:MATRIX] for names in zip(*evidence.pairs, strict=True))
    cells = [
        "<span></span>",
        *(raster.photograph(evidence.hsv(name), alt=f"target {name}", style="edge") for name in targets),
    ]
    for source in sources:
        cells.append(raster.photograph(evidence.hsv(source), alt=f"source {source}", style="edge"))
        cells += [raster.photograph(evidence.painted(source, name), alt=f"{source} with {name}") for name in targets]
    text = "<p>Sources down the left, targets along the top.</p>" + (
        f'<div class="matrix" style="grid-template-columns:repeat({len(targets) + 1},1fr)">{"".join(cells)}</div>'
    )
    return _section("Every source with every target", text)


def itself(evidence: Evidence) -> str:
    cells = []
    for name in list(dict.fromkeys(source for source, _ in evidence.pairs))[: SHOWN + 2]:
        hsv, made = evidence.hsv(name), evidence.painted(name, name)
        turn = made[0] - hsv[0]
        turn = np.abs(turn - np.round(turn))
        weight = chroma(hsv)
        mean = 360 * float((turn * weight).sum() / max(weight.sum(), 1e-9))
        pictures = raster.photograph(hsv, alt=name), raster.photograph(made, alt=f"{name} with itself")
        cells.append(
            f"<figure>{''.join(pictures)}<figcaption>hue turned by {mean:.1f}° on average</figcaption></figure>"
        )
    text = "<p>Each picture, and what it becomes with itself as the target; nothing should change.</p>"
    return _section("Target = source", f'{text}<div class="grid six">{"".join(cells)}</div>')


def worst(evidence: Evidence) -> str:
    rows, half = evidence.rows, WORST // 2
    added = [row["huenet"]["incoherence"] - row["identity"]["incoherence"] for row in rows]
    far = sorted(range(len(rows)), key=lambda i: -rows[i]["huenet"]["emd_hard"])[:half]
    rough = sorted(set(range(len(rows))) - set(far), key=lambda i: -added[i])[:half]
    text = "<p>Source, target and output.</p>"
    for title, numbers in (("Farthest from the target's hues", far), ("Most incoherence added", rough)):
        cells = []
        for i in numbers:
            source, target = evidence.pairs[i]
            three = {"source": evidence.hsv(source), "target": evidence.hsv(target)}
            three["output"] = evidence.painted(source, target)
            before, after = rows[i]["identity"], rows[i]["huenet"]
            note = (
                f"{escape(source)} with {escape(target)}: EMD {before['emd_hard']:.3f} to {after['emd_hard']:.3f}, "
                f"incoherence {before['incoherence']:.4f} to {after['incoherence']:.4f}, "
                f"relative MI {after['mi_hard']:.2f}"
            )
            pictures = "".join(raster.photograph(hsv, alt=what) for what, hsv in three.items())
            cells.append(f"<figure>{pictures}<figcaption>{note}</figcaption></figure>")
        text += f'<h3>{title}</h3><div class="grid worst">{"".join(cells)}</div>'
    return _section(f"The {min(WORST, len(rows))} worst pairs", text)


def configuration(evidence: Evidence) -> str:
    results = evidence.results
    without = f", without the MI loss {results['ablation']}" if results["ablation"] else ""
    text = (
        f"<p>Measured: {escape(evidence.run + without)}; {results['pairs']} pairs from "
        f"{escape(results['origin'])}, listed with every figure in {escape(results['folder'])}.</p>"
        f"<details><summary>Every choice of the run</summary><pre>{escape(describe(evidence.config))}</pre></details>"
    )
    return _section("Configuration", text)


SECTIONS: tuple[Callable[[Evidence], str], ...] = (
    heading, table1, baselines, figure2, figure3, figure6, training, matrix, itself, worst, configuration,
)  # fmt: skip


def _section(title: str, body: str, note: str = "") -> str:
    return f"<section><h2>{escape(title)}{f' <small>{note}</small>' if note else ''}</h2>{body}</section>"


def _table(rows: tables.Table, mark: Callable[[int, int], str], own: Sequence[int]) -> str:
    """`mark` is the class of a cell; the rows `own` stand out."""
    head = "".join(f"<th>{escape(cell).replace('-', '&#8209;')}</th>" for cell in rows[0])  # no break at a hyphen
    lines = []
    for i, row in enumerate(rows[1:], 1):
        cells = []
        for j, cell in enumerate(row):
            mean, bracket, interval = cell.partition(" [")
            small = f"<small>{bracket}{interval}</small>" if bracket else ""
            sign = mark(i, j)
            arrow = {"up": " <span class=up>▲</span>", "down": " <span class=down>▼</span>", "": ""}[sign]
            cells.append(f"<td>{escape(mean)}{arrow}{small}</td>")
        lines.append(f"<tr{' class=own' if i in own else ''}>{''.join(cells)}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="wide" tabindex="0">{table}</div>'


def _places(results: Mapping[str, Any], names: Mapping[str, str], key: str) -> dict[str, svg.Point]:
    """Where the methods lie, by their short names."""
    found = results["methods"]
    ends = {label: found[name] for name, label in names.items() if name in found}
    return {label: (own[key]["mean"], own["incoherence"]["mean"]) for label, own in ends.items()}


def _curves(results: Mapping[str, Any], key: str) -> dict[str, dict[str, svg.Point]]:
    """The smoothed transports, by their widths."""
    names = {family: dict(zip(methods, map(str, WIDTHS), strict=True)) for family, methods in CURVES.items()}
    return {family: _places(results, labels, key) for family, labels in names.items()}


def _key(*entries: tuple[str, str]) -> str:
    return f'<ul class="key soft">{"".join(f"<li><i class={k}></i>{escape(text)}</li>" for k, text in entries)}</ul>'

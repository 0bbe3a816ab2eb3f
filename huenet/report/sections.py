"""The sections of the report: a function from the evidence to what the macro of its name in sections.html says.

Words and markup are in the templates, pictures and figures come from here. A section more is a function here, its
place in `SECTIONS`, and a macro there.
"""

from __future__ import annotations

import huenet._extra  # noqa: F401  # isort: skip

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from huenet.color import chroma, rgb_to_hsv
from huenet.config import Config, describe
from huenet.evaluate import tables
from huenet.evaluate.measures import CURVES, FRONTIER, outputs
from huenet.evaluate.summary import KEPT, LEAST_PAIRS, REAL, better, settings
from huenet.evaluate.tables import FIGURE_NAMES, decimal
from huenet.metrics import hue_histogram
from huenet.model.inference import output_hue, painted
from huenet.model.networks import AnyGenerator
from huenet.report import charts
from huenet.report.pictures import hue_channel, joint_histogram, photograph
from huenet.train import plots

__all__ = ["SECTIONS", "TEMPLATES", "Evidence", "against", "render"]

SHOWN = 4  # pairs in the paper's figures: the first ones, not the best
MATRIX = 5
WORST = 10
BINS = 90  # of the histograms that are drawn
GALLERY = (
    "huenet@0",
    "huenet",
    "huenet@1",
    "without_mi",
    "reinhard",
    "rotation",
    "exact",
    "smooth 8",
    "smooth 32",
    "relaxed 0.1",
    "optimize",
)
SPOTS = {"identity": "source", "rotation": "rotation", "optimize": "optimize"}  # of charts; the rest is in the table
FAMILIES = {"transport": "transport, by smooth", "relaxed": "relaxed, by reg_m"}
TEMPLATES = Environment(
    loader=PackageLoader("huenet.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Evidence:
    """A finished evaluation and what it was made from."""

    results: Mapping[str, Any]
    pairs: Sequence[tuple[str, str]]
    rows: Sequence[Mapping[str, Mapping[str, float]]]
    config: Config
    generators: Mapping[str, AnyGenerator]
    images: Mapping[str, np.ndarray]
    curves: Sequence[Mapping[str, Any]]
    _made: dict[tuple[str, str], dict[str, np.ndarray]] = field(default_factory=dict, init=False)

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
        hue = output_hue(self.generators["huenet"], hsv, self.hsv(target)).astype(float)
        return painted(self.config, hsv, hue)

    def made(self, source: str, target: str) -> dict[str, np.ndarray]:
        """What every method makes of a pair, HSV; kept, because some pairs are shown twice and descent takes time."""
        if (source, target) not in self._made:
            self._made[source, target] = outputs(self.hsv(source), self.hsv(target), self.generators)
        return self._made[source, target]

    def three(self, source: str, target: str) -> dict[str, np.ndarray]:
        """Source, target and output by these names."""
        return {"source": self.hsv(source), "target": self.hsv(target), "output": self.painted(source, target)}


Section = Callable[[Evidence], dict[str, Any]]


def render(section: Section, evidence: Evidence) -> Markup:
    """The HTML of a section."""
    return getattr(TEMPLATES.get_template("sections.html").module, section.__name__)(**section(evidence))


def heading(evidence: Evidence) -> dict[str, Any]:
    return {"run": evidence.run, "verdict": evidence.results["verdict"]}


def table1(evidence: Evidence) -> dict[str, Any]:
    return {"rows": tables.table1(evidence.results), "notes": tables.notes(evidence.results)}


def frontier(evidence: Evidence) -> dict[str, Any]:
    """The network's curve beside what needs no training: what the verdict rests on."""
    methods = evidence.results["methods"]
    drawn = [charts.scatter(against(methods, key)) for key in (*REAL, *KEPT) if key in methods["huenet"]]
    rows, count = tables.frontier(evidence.results), len(settings(methods))
    return {"rows": rows, "charts": drawn, "rule": tables.RULE, "settings": count}


def against(methods: Mapping[str, Any], key: str) -> charts.Scene:
    """A figure of the network and of `FRONTIER` against palette distance, from what `results.json` says of methods."""

    def place(name: str) -> charts.Point:
        return methods[name]["palette"]["mean"], methods[name][key]["mean"]

    def family(kind: str) -> dict[str, list[charts.Point]]:
        names = [curve for curve, (method, _) in CURVES.items() if method == kind]
        return {name.split()[-1]: [place("identity"), *map(place, FRONTIER[name])] for name in names}

    return charts.Scene(
        {"Hue-Net" if c is None else f"{c:g}": place(name) for name, c in settings(methods).items()},
        {title: family(kind) for kind, title in FAMILIES.items()},
        {label: place(name) for name, label in SPOTS.items() if name in methods},
        FIGURE_NAMES["palette"],
        FIGURE_NAMES[key],
        "Hue-Net, by closeness",
    )


def baselines(evidence: Evidence) -> dict[str, Any]:
    """Every method in a table, which marks who is reliably better (up) or worse (down)."""
    results = evidence.results
    rows, names = tables.comparison(results), tables.compared(results)
    marks: dict[tuple[int, int], str] = {}
    for i, name in enumerate(names, 1):
        known = results["against"].get(name, {}) if results["pairs"] >= LEAST_PAIRS else {}
        for j, key in enumerate(tables.shown(results), 1):
            if key in known:
                low, high = sorted(known[key][end] * better(key) for end in ("low", "high"))
                marks |= {(i, j): "up"} if high < 0 else {(i, j): "down"} if low > 0 else {}
    own = [i for i, name in enumerate(names, 1) if name.startswith("huenet")]
    return {"rows": rows, "marks": marks, "own": own, "notes": tables.explanations(results), "least": LEAST_PAIRS}


def figure2(evidence: Evidence) -> dict[str, Any]:
    pairs = []
    for (source, target), row in zip(evidence.pairs[:SHOWN], evidence.rows, strict=False):
        three = evidence.three(source, target)
        pictures = {name: photograph(hsv) for name, hsv in three.items()}
        hues = {f"{name}'s hue": hue_channel(hsv[0]) for name, hsv in three.items()}
        before, after = (decimal(row[name]["emd_hard"], 3) for name in ("identity", "huenet"))
        chart = charts.histograms([hue_histogram(hsv[0], bins=BINS) for hsv in three.values()], "hue histograms")
        pairs.append({"pictures": pictures | hues, "chart": chart, "before": before, "after": after})
    return {"pairs": pairs, "bins": BINS}


def figure3(evidence: Evidence) -> dict[str, Any]:
    pairs = []
    for (source, target), row in zip(evidence.pairs[: SHOWN - 1], evidence.rows, strict=False):
        hsv, goal = evidence.hsv(source), evidence.hsv(target)
        made = {"target": goal, **evidence.made(source, target)}
        pairs.append(
            {
                tables.name_of(name): (joint_histogram(hsv[0], made[name][0]), decimal(row[name]["mi_hard"], 3))
                for name in ("target", "huenet", "without_mi", "smooth 16")
                if name in made
            }
        )
    return {"pairs": pairs}


def figure6(evidence: Evidence) -> dict[str, Any]:
    pairs = []
    for (source, target), row in zip(evidence.pairs[:SHOWN], evidence.rows, strict=False):
        hsv, goal = evidence.hsv(source), evidence.hsv(target)
        made = evidence.made(source, target)
        cells: dict[str, Any] = {"source": (photograph(hsv), ()), "target": (photograph(goal), ())}
        for name in (name for name in GALLERY if name in made):
            far, rough = (decimal(row[name][key], 4) for key in ("palette", "incoherence"))
            cells[tables.name_of(name)] = photograph(made[name]), (f"palette {far}", f"incoh. {rough}")
        pairs.append(cells)
    return {"pairs": pairs}


def training(evidence: Evidence) -> dict[str, Any]:
    drawn = plots.panels([dict(line) for line in evidence.curves], evidence.config)
    return {
        "charts": {title: charts.lines(curves, title) for title, curves in drawn.items()},
        "run": evidence.results["run"],
    }


def matrix(evidence: Evidence) -> dict[str, Any]:
    sources, targets = (list(dict.fromkeys(names))[:MATRIX] for names in zip(*evidence.pairs, strict=True))
    return {
        "sources": {name: photograph(evidence.hsv(name)) for name in sources},
        "targets": {name: photograph(evidence.hsv(name)) for name in targets},
        "painted": {one: {two: photograph(evidence.painted(one, two)) for two in targets} for one in sources},
    }


def itself(evidence: Evidence) -> dict[str, Any]:
    """What the network turns, in degrees on average, where nothing should change."""
    pictures = {}
    for name in list(dict.fromkeys(source for source, _ in evidence.pairs))[: SHOWN + 2]:
        hsv, made = evidence.hsv(name), evidence.painted(name, name)
        turn = made[0] - hsv[0]
        turn = np.abs(turn - np.round(turn))
        weight = chroma(hsv)
        mean = 360 * float((turn * weight).sum() / max(weight.sum(), 1e-9))
        pictures[name] = photograph(hsv), photograph(made), decimal(mean, 1)
    return {"pictures": pictures}


def worst(evidence: Evidence) -> dict[str, Any]:
    rows, half = evidence.rows, WORST // 2
    far = sorted(range(len(rows)), key=lambda i: -rows[i]["huenet"]["palette"])[:half]
    parted = sorted(set(range(len(rows))) - set(far), key=lambda i: -rows[i]["huenet"]["parting"])[:half]

    def pair(i: int) -> dict[str, Any]:
        source, target = evidence.pairs[i]
        before, after = rows[i]["identity"], rows[i]["huenet"]
        return {
            "source": source,
            "target": target,
            "pictures": {name: photograph(hsv) for name, hsv in evidence.three(source, target).items()},
            "palette": f"{decimal(before['palette'], 4)} to {decimal(after['palette'], 4)}",
            "parting": decimal(after["parting"], 3),
        }

    kinds = {"Farthest from the target's colours": far, "Most parted": parted}
    return {
        "count": len(far) + len(parted),
        "kinds": {title: [pair(i) for i in numbers] for title, numbers in kinds.items()},
    }


def configuration(evidence: Evidence) -> dict[str, Any]:
    results = evidence.results
    without = f", without the MI loss {results['ablation']}" if results["ablation"] else ""
    return {"measured": evidence.run + without, "results": results, "choices": describe(evidence.config)}


SECTIONS: tuple[Section, ...] = (
    heading, frontier, baselines, table1, figure2, figure3, figure6, training, matrix, itself, worst, configuration,
)  # fmt: skip

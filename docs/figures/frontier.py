"""The network's dial beside what needs no training: the charts of the report, from the figures of one evaluation."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib import rc_context

from huenet.report.charts import STYLE, draw_scatter
from huenet.report.sections import against

# the page is built in the folder of this file
methods = json.loads(Path("../evaluation/oxford102.json").read_text(encoding="utf-8"))
for key in ("kid", "auc", "undone", "parting", "incoherence"):
    with rc_context({**STYLE, "figure.facecolor": "white"}):
        draw_scatter(plt.figure(figsize=(5.3, 4.3), layout="constrained"), against(methods, key))

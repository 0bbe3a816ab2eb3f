"""The evaluation: methods beside each other on fixed pairs, figures of each, what they say together, as tables.

The page that shows them is `huenet.report`; formulas of single figures are in `huenet.metrics`.
"""

from huenet.evaluate.run import evaluate, main

__all__ = ["evaluate", "main"]

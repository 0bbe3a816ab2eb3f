"""The report: one HTML page made of an evaluation, with its charts and pictures.

It measures nothing; the figures come from `huenet.evaluate`.
"""

from huenet.report.page import main, report

__all__ = ["main", "report"]

"""Reading finished runs: fronts as tables and figures, and the operating point under declared limits."""

from evo_fair.report.compare import Comparison, compare
from evo_fair.report.compare_text import comparison_markdown, write_comparison
from evo_fair.report.operating_point import operating_point
from evo_fair.report.plots import pareto
from evo_fair.report.run import Run, load_run
from evo_fair.report.table import front_markdown, front_table

__all__ = [
    "Comparison",
    "Run",
    "compare",
    "comparison_markdown",
    "front_markdown",
    "front_table",
    "load_run",
    "operating_point",
    "pareto",
    "write_comparison",
]

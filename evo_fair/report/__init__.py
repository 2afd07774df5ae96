"""Reading finished runs: fronts as tables and figures, and the operating point under declared limits."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evo_fair.report.compare import Comparison, compare
from evo_fair.report.operating_point import operating_point
from evo_fair.report.run import Run, load_run
from evo_fair.report.table import front_markdown, front_table

if TYPE_CHECKING:
    from evo_fair.report.compare_text import comparison_markdown, write_comparison
    from evo_fair.report.plots import pareto

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

_DRAWING = {
    "comparison_markdown": "evo_fair.report.compare_text",
    "pareto": "evo_fair.report.plots",
    "write_comparison": "evo_fair.report.compare_text",
}
"""What needs Matplotlib, which is imported when one of them is first used: a search draws at its very end."""


def __getattr__(name: str) -> Any:
    if name not in _DRAWING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_DRAWING[name]), name)

"""The report of an audit: tables as CSV, figures, and Markdown that names who loses, how sure that is, and what is
not known."""

from pathlib import Path
from typing import Any

import pandas as pd

from evo_fair.auditing.figures import draw_effects, draw_forecast, draw_losses, draw_pareto
from evo_fair.auditing.findings import LOSSES, Findings
from evo_fair.auditing.report_text import report_text
from evo_fair.auditing.store import AuditFolder, write_table
from evo_fair.files import write_text

__all__ = ["write_report"]


def write_report(folder: AuditFolder, findings: Findings) -> Path:
    """Writes `report.md` with its figures (PNG and PDF) and tables into the audit's folder; returns its path.

    Args:
        folder: The audit's folder.
        findings: What the audit found.
    """
    path = folder.path
    groupings = tuple(findings.effects)
    draw_losses(findings.losses, groupings, _both(path, "losses"))
    draw_pareto(findings.networks, findings.axes, _both(path, "pareto"))
    estimated = [(name, table) for name, (table, _) in findings.effects.items() if table is not None]
    if estimated:
        draw_effects(estimated, _both(path, "effects"))
        write_table(path / "effects.csv", _effects(findings))
    if findings.forecast is not None:
        draw_forecast(findings.forecast, _both(path, "forecast"))
        write_table(path / "forecast.csv", findings.forecast.quality)
        write_table(path / "risk.csv", findings.forecast.risk)
    write_table(path / "losses.csv", findings.losses)
    write_table(path / "losses_by_factor.csv", _by_factor(findings))
    write_table(path / "front.csv", findings.front)
    write_text(path / "report.md", report_text(folder, findings))
    return path / "report.md"


def _both(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.png", folder / f"{name}.pdf"]


def _by_factor(findings: Findings) -> pd.DataFrame:
    tables = {"criterion": findings.by_criterion, "scope": findings.by_scope}
    named = [table.rename(columns={name: "level"}).assign(factor=name) for name, table in tables.items()]
    return pd.concat(named, ignore_index=True)[["factor", "level", "band", "networks", *LOSSES]]


def _effects(findings: Findings) -> pd.DataFrame:
    rows: list[pd.DataFrame] = []
    for grouping, (by_network, by_base) in findings.effects.items():
        for table in (by_network, by_base):
            if table is not None:
                facts: dict[str, Any] = {key: table.attrs[key] for key in ("cluster", "clusters", "rows", "r_squared")}
                rows.append(table.assign(grouping=grouping, **facts))
    return pd.concat(rows, ignore_index=True)

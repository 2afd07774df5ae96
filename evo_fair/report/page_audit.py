"""The report of an audit: what pruning takes from each class and group, by what, and how sure that is."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evo_fair.csv_tables import check_filled, check_numbers, number_in, parse_table, read_table_of_numbers
from evo_fair.errors import AuditError, quote
from evo_fair.files import read_text
from evo_fair.job_folder import AUDITS
from evo_fair.report.page_figures import Series, points_figure, rows_figure
from evo_fair.report.page_sheet import (
    Sheet,
    SheetTable,
    between,
    change,
    check_finished,
    facts_of,
    number,
    percent,
    points,
    section,
    text_at,
)
from evo_fair.show import shell_word

__all__ = ["audit_sheet"]

_MEND = "run 'evo-fair audit' again with --resume"
_ALL = "all"
_LOSSES = {
    "accuracy_loss": "accuracy",
    "worst_group_loss": "worst group",
    "worst_class_loss": "worst class",
    "loss_gap": "gap",
}
_MOST_ROWS = 200
"""Networks of the front at most that its table shows."""


def audit_sheet(folder: Path) -> Sheet:
    """The page of an audit's folder; raises `AuditError` where something is missing or damaged."""
    configuration = AUDITS.read(folder)
    group = text_at(configuration, "group")
    check_finished(folder / "losses.csv", "audit", AuditError)
    losses = _table(folder / "losses.csv", ("grouping", "group", "band"), ("networks", "samples", "loss", "worst"))
    parts = {
        "losses": ("Who loses", _who_loses(losses, group)),
        "criteria": ("By criterion and scope", _by_factor(folder)),
        "effects": ("What the losses depend on", _effects(folder)),
        "forecast": ("Who will suffer, told from the dense network", _forecast(folder)),
        "front": ("Networks to choose from", _front(folder)),
        "made": ("What was measured", section(facts=_facts(configuration, losses))),
        "caveats": ("What the figures can't say", section(lines=_caveats(configuration, losses))),
    }
    source = "networks of a supernet" if configuration.get("source") == "proxy" else "versions of one network"
    return Sheet.of_parts(
        title=f"What pruning costs whom: {text_at(configuration, 'data', 'name') or folder.resolve().name}",
        lead=f"Report of an audit of {source}, by class and by {group}, on the {text_at(configuration, 'part')} part.",
        parts=parts,
    )


def _table(path: Path, texts: tuple[str, ...], filled: tuple[str, ...]) -> pd.DataFrame:
    """A table of an audit, whose `texts` may look like a missing value: a group can be called NA."""
    if not path.is_file():
        raise AuditError(f"{path} is missing: {_MEND}")
    table = parse_table(path, read_text(path, AuditError, "CSV"), AuditError, _MEND, texts, gaps=False)
    numbers = [str(name) for name in table if name not in texts]
    for name in numbers:  # an empty cell is an unknown number
        cells = table[name].replace("", np.nan)
        known = pd.to_numeric(cells, errors="coerce")
        table[name] = known if known.notna().equals(cells.notna()) else cells
    check_numbers(path, table, numbers, AuditError, _MEND)
    check_filled(path, table, (*texts, *filled), AuditError, _MEND)
    return table


# ---- losses by class and group


def _who_loses(losses: pd.DataFrame, group: str) -> dict[str, Any]:
    bands = [band for band in dict.fromkeys(losses["band"]) if band != _ALL]
    figures, tables, lines = [], [], []
    for grouping in dict.fromkeys(losses["grouping"]):
        own = losses[losses["grouping"] == grouping]
        groups = list(dict.fromkeys(own["group"]))
        if grouping in ("class", group):
            series = [_band(own[own["band"] == band], band, groups) for band in bands or [_ALL]]
            title = f"Loss of accuracy by {grouping} and sparsity, in points"
            figures.append(rows_figure("losses", title, groups, "loss, points", series, middle=0.0))
            lines.append(_most(own[own["band"] == (bands[-1] if bands else _ALL)], grouping))
        tables.append(_losses_table(own, grouping, groups, [*bands, _ALL]))
    return section(text=[_LOSS], lines=lines, figures=figures, tables=tables)


_LOSS = (
    "A loss is the dense network's accuracy minus the pruned one's, on the same samples, in points: minus means a "
    "gain. Intervals (95 %) draw whole units of samples, such as all images of a lesion, and leave the networks."
)


def _band(rows: pd.DataFrame, band: str, groups: list[str]) -> Series:
    own = rows.set_index("group").reindex(groups)
    value, low, high = ((100 * own[name]).tolist() for name in ("loss", "low", "high"))
    return Series(f"sparsity {band}", range(len(groups)), value, [f"{name}, {band}" for name in groups], low, high)


def _most(rows: pd.DataFrame, grouping: str) -> str:
    """Who loses most and least in a band, and whether the intervals tell them apart."""
    ordered = rows.sort_values("loss", ascending=False, kind="stable").to_dict("records")
    worst, best = ordered[0], ordered[-1]
    begins = f"By {grouping}, at a sparsity of {worst['band']}: {worst['group']} loses"
    lost = f"{_loss(worst)} points of {percent(worst['dense'])} ({worst['samples']:,.0f} samples)"
    if worst is best:
        return f"{begins} {lost}."
    clear = " The intervals overlap: who loses more is open."
    if np.isnan([worst["low"], best["high"]]).any():
        clear = " No interval is known: who loses more is open."
    elif worst["low"] > best["high"]:
        clear = ""
    return f"{begins} most, {lost}; {best['group']} least, {_loss(best)}.{clear}"


def _losses_table(rows: pd.DataFrame, grouping: str, groups: list[str], bands: list[str]) -> SheetTable:
    by_place = {(str(row["group"]), str(row["band"])): row for row in rows.to_dict("records")}
    cells = []
    for name in groups:
        all_bands = by_place.get((name, _ALL), {})
        found = [by_place.get((name, band)) for band in bands]
        about = [number(all_bands.get("samples")), percent(all_bands.get("dense"))]
        worst = percent(all_bands.get("worst"))
        cells.append([name, *about, *("unknown" if one is None else _loss(one) for one in found), worst])
    heads = ["group", "samples", "dense accuracy", *(f"loss at {band}" for band in bands), "loses most in"]
    counts = rows.drop_duplicates("band").set_index("band")["networks"]
    note = "Networks by band of sparsity: " + ", ".join(f"{band}: {count:,.0f}" for band, count in counts.items()) + "."
    return SheetTable(f"Loss of accuracy by {grouping}, in points", heads, cells, note)


def _loss(row: dict[Any, Any]) -> str:
    return between(*(points(row[name]) for name in ("loss", "low", "high")))


# ---- by criterion and scope


def _by_factor(folder: Path) -> dict[str, Any]:
    table = _table(folder / "losses_by_factor.csv", ("factor", "level", "band"), ("networks", *_LOSSES))
    for row, band in enumerate(table["band"], 1):
        if np.isnan(number_in(band.partition(" ")[0])):
            place = f"{folder / 'losses_by_factor.csv'}, row {row}, column 'band'"
            raise AuditError(f"{place}: {quote(band)} begins with no number: {_MEND}")
    bands = sorted(set(table["band"]), key=lambda band: float(band.split()[0]))
    figures, tables = [], []
    for factor in dict.fromkeys(table["factor"]):
        own = table[table["factor"] == factor]
        series = [_level(rows, str(level), bands) for level, rows in own.groupby("level", sort=False)]
        title = f"Mean loss of the worst group by {factor} and sparsity, in points"
        rulers = ("sparsity, middle of the band, %", "loss of the worst group, points")
        figures.append(points_figure("criteria", title, rulers, series))
        cells = [
            [str(row["level"]), str(row["band"]), number(row["networks"]), *(points(row[name]) for name in _LOSSES)]
            for row in own.to_dict("records")
        ]
        heads = [factor, "sparsity", "networks", *(f"loss: {title}" for title in _LOSSES.values())]
        tables.append(SheetTable(f"Mean losses by {factor}, in points", heads, cells))
    return section(text=[_FACTORS], figures=figures, tables=tables)


_FACTORS = (
    "Means over pruned networks. The worst of several groups loses something by chance alone: compare criteria with "
    "each other, not a single figure with 0."
)


def _level(rows: pd.DataFrame, level: str, bands: list[str]) -> Series:
    own = rows.set_index("band").reindex([band for band in bands if band in set(rows["band"])])
    middles = [sum(map(float, band.removesuffix(" %").split(" to "))) / 2 for band in own.index]
    values = (100 * own["worst_group_loss"]).tolist()
    return Series(level, middles, values, [f"{level}, {band}" for band in own.index], line=True)


# ---- regression and forecast


def _effects(folder: Path) -> dict[str, Any]:
    path = folder / "effects.csv"
    if not path.is_file():
        return section(
            text=["There were not enough pruned networks, or groups with something to lose, for a regression."]
        )
    table = _table(path, ("term", "grouping", "cluster"), ("estimate", "low", "high", "p"))
    figures, tables = [], []
    for (grouping, cluster), own in table.groupby(["grouping", "cluster"], sort=False):
        by = "networks" if cluster == "id" else "architectures"
        title = f"Effects on the change of accuracy by {grouping}, in points (clusters: {by})"
        terms = list(own["term"])
        value, low, high = ((100 * own[name]).tolist() for name in ("estimate", "low", "high"))
        if cluster == "id":
            series = [Series(str(grouping), range(len(terms)), value, terms, low, high)]
            figures.append(rows_figure("effects", title, terms, "effect, points", series, middle=0.0))
        cells = [
            [str(row["term"]), between(*(change(row[name]) for name in ("estimate", "low", "high"))), _p(row["p"])]
            for row in own.to_dict("records")
        ]
        first = own.iloc[0]
        note = (
            f"{number(first['rows'])} rows, {number(first['clusters'])} {by}, R squared {number(first['r_squared'])}."
        )
        tables.append(SheetTable(title, ["term", "effect (95 %)", "p"], cells, note))
    return section(text=[_EFFECTS], figures=figures, tables=tables)


_EFFECTS = (
    "Least squares of the change (pruned minus dense: minus is a loss). Sparsity counts tenths from 50 %; share "
    "doublings of the share in training from an even one; complexity tenths from the mean. p tests whether a term has "
    "no effect; with so many terms one in twenty falls below 0.05 by chance."
)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _forecast(folder: Path) -> dict[str, Any]:
    quality, risk = folder / "forecast.csv", folder / "risk.csv"
    if not (quality.is_file() and risk.is_file()):
        return section(
            text=["There were not enough flips of predictions for a forecast, or all samples are of one unit."]
        )
    aucs = _table(quality, ("grouping", "group", "score"), ("samples",))
    found = {
        (row["grouping"], row["group"]): between(*(number(row[name]) for name in ("auc", "low", "high")))
        for row in aucs[aucs["score"] == "fitted"].to_dict("records")
    }
    rows = [
        [
            f"{row['grouping']}: {row['group']}",
            number(row["samples"]),
            found.get((row["grouping"], row["group"]), "unknown"),
            percent(row["forecast"]),
            percent(row["observed"]),
        ]
        for row in _table(risk, ("grouping", "group"), ("samples", "forecast", "observed")).to_dict("records")
    ]
    heads = ["group", "samples", "AUC (95 %)", "flips forecast", "flips observed"]
    return section(text=[_FLIPS], tables=[SheetTable("Flips of predictions, forecast and observed", heads, rows)])


_FLIPS = (
    "A prediction flips where a pruned network says another label than the dense one. The forecast uses the dense "
    "network's confidence, margin and entropy alone, on samples that were held out. Where more is observed than "
    "forecast, pruning harms a group beyond what uncertainty shows. An AUC of 0.5 tells nothing."
)


# ---- the front


def _front(folder: Path) -> dict[str, Any]:
    texts = ("id", "base", "criterion", "order", "scope", "structure", "treatment", "genome", "dense")
    table = read_table_of_numbers(
        folder / "front.csv", AuditError, _MEND, texts=texts, filled=("id", "sparsity", "accuracy")
    )
    names = [name for name in ("worst_group_loss", "accuracy_loss", "unfairness") if name in table]
    figures = []
    for name in ("accuracy", *names[:1]):
        title = name.replace("_", " ")
        series = [
            Series(str(criterion), rows["sparsity"].tolist(), rows[name].tolist(), rows["id"].tolist())
            for criterion, rows in table.groupby("criterion", sort=False)
        ]
        figures.append(points_figure("front", f"The front: {title} by sparsity", ("sparsity", title), series))
    shown = table.iloc[:_MOST_ROWS].to_dict("records")
    heads = [
        "network",
        "criterion",
        "scope",
        "sparsity",
        "parameters",
        "accuracy",
        *(name.replace("_", " ") for name in names),
    ]
    rows = [
        [str(row["id"]), str(row["criterion"]), str(row["scope"]), percent(row["sparsity"]), number(row["params"])]
        + [number(row[name]) for name in ("accuracy", *names)]
        for row in shown
    ]
    left = f"The first {_MOST_ROWS} of {len(table):,} are listed; front.csv has all." if len(table) > _MOST_ROWS else ""
    name = shell_word(folder.resolve().name)
    command = f"evo-fair operating-point {name} --maximise sparsity --constraint 'worst_group_loss <= 0.02'"
    text = [
        "Networks that none beats in sparsity, accuracy and the imbalance together.",
        f"The sparsest within limits: {command}",
    ]
    return section(text=text, figures=figures, tables=[SheetTable("The front", heads, rows, left)])


# ---- what was measured


def _facts(configuration: dict[str, Any], losses: pd.DataFrame) -> list[tuple[str, str]]:
    grid = configuration.get("grid", {})
    lists = {
        name: ", ".join(map(str, grid[name]))
        for name in ("criteria", "scopes", "structures", "treatments", "sparsities", "seeds")
        if isinstance(grid, dict) and isinstance(grid.get(name), list)
    }
    pruned = losses.loc[losses["band"] == _ALL, "networks"].max()
    return facts_of(
        [
            ("data", text_at(configuration, "data", "name")),
            ("licence of the data", text_at(configuration, "data", "licence")),
            ("network", text_at(configuration, "network", "name")),
            ("pruned networks", number(pruned)),
            *lists.items(),
            ("epochs of what trains", text_at(configuration, "grid", "epochs")),
            ("evo_fair", text_at(configuration, "evo_fair")),
        ]
    )


def _caveats(configuration: dict[str, Any], losses: pd.DataFrame) -> list[str]:
    of_supernet = configuration.get("source") == "proxy"
    own = [
        "Nothing was trained after pruning: training can mend losses, or move them to others.",
        "All networks share the weights of one supernet, of one training.",
    ]
    found = own if of_supernet else ["All figures are of one dense network: other networks and trainings can differ."]
    few = losses[losses["samples"] < 30].drop_duplicates(["grouping", "group"])
    if len(few):
        named = ", ".join(f"{row['group']} ({row['samples']:,.0f})" for row in few.head(12).to_dict("records"))
        found.append(f"Groups of few samples say little: {named}.")
    return [
        *found,
        f"The figures are of the {text_at(configuration, 'part')} part: judge what they choose on the test part.",
        "Intervals of losses draw samples and those of effects draw networks: neither speaks for both.",
    ]

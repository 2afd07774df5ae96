"""The report of a pruning: accuracy and fairness by sparsity and method, and which groups and classes pay for it."""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from evo_fair.csv_tables import read_table_of_numbers
from evo_fair.errors import RunError
from evo_fair.files import inside
from evo_fair.job_folder import PRUNINGS
from evo_fair.report.network_cards import Figure, read_as
from evo_fair.report.page_figures import Series, points_figure, rows_figure
from evo_fair.report.page_sheet import (
    Sheet,
    SheetTable,
    between,
    change,
    check_finished,
    facts_of,
    groups_in,
    number,
    percent,
    plain,
    section,
    text_at,
)
from evo_fair.show import counted, shell_word

__all__ = ["pruning_sheet"]

_MEND = "run 'evo-fair prune' again with --resume"
_TEXTS = ("name", "network", "method", "structure", "scope", "group")
_NEEDED = ("name", "method", "target", "sparsity", "accuracy", "worst_group_accuracy", "unfairness")
_DENSE = "dense"
_MOST_IN_A_FIGURE = 8
"""Networks at most whose groups one figure shows; the table shows all."""
_SHARES = {
    "accuracy": "accuracy",
    "worst_group_accuracy": "accuracy of the worst group",
    "unfairness": "unfairness",
}


class _Card(BaseModel):
    """What is read of a pruned network's card; cards of an earlier version have no intervals."""

    model_config = ConfigDict(strict=True, frozen=True)

    figures: dict[str, Figure] = {}
    changes: dict[str, Figure] = {}


def pruning_sheet(folder: Path) -> Sheet:
    """The page of a folder of pruned networks; raises `RunError` where something is missing or damaged."""
    facts = PRUNINGS.read(folder)
    path = folder / "pruned.csv"
    check_finished(path, "pruning", RunError)
    table = read_table_of_numbers(path, RunError, _MEND, texts=_TEXTS, filled=_NEEDED)
    if table[table["method"] != _DENSE].empty:
        raise RunError(f"{folder} lists no pruned network: {_MEND}")
    cards = {name: read_as(_Card, inside(folder, f"{name}.json"), _MEND) for name in table["name"]}
    group = text_at(facts, "group")
    parts = {
        "sparsity": ("What pruning costs", _by_sparsity(table, cards, group, folder.resolve().name)),
        "payers": ("Who pays", _who_pays(table, cards)),
        "made": ("How they were made", section(facts=_facts(facts))),
        "caveats": ("What the figures can't say", section(lines=_CAVEATS)),
    }
    return Sheet.of_parts(
        title=text_at(facts, "problem", "title") or folder.resolve().name,
        lead=f"Report of a pruning of {text_at(facts, 'network')}: {counted(len(table) - 1, 'pruned network')}, "
        f"measured on the test part, fairness between groups of {group}.",
        parts=parts,
    )


# ---- by sparsity and method


def _by_sparsity(table: pd.DataFrame, cards: dict[str, _Card], group: str, name: str) -> dict[str, Any]:
    called = {figure: f"{figure}[{group}]" if figure != "accuracy" else figure for figure in _SHARES}
    figures = [
        points_figure(
            "sparsity",
            f"{title} by sparsity",
            ("sparsity (share that left)", title),
            [_series(str(method), rows, figure, called[figure], cards) for method, rows in _methods(table)],
        )
        for figure, title in _SHARES.items()
    ]
    sizes = [column for column in ("params", "nonzero_params", "bytes", "latency_ms") if column in table]
    validation = [column for column in ("validation_accuracy", "validation_worst_group_accuracy") if column in table]
    fairness = [column for column in ("performance_fairness", "degradation_fairness") if column in table]
    heads = ["sparsity", *_SHARES.values(), *map(plain, (*fairness, *sizes, *validation))]
    rows = [
        [str(row["name"]), percent(row["sparsity"])]
        + [_with_interval(row[figure], cards[row["name"]].figures.get(called[figure])) for figure in _SHARES]
        + [number(row[column]) for column in (*fairness, *sizes, *validation)]
        for row in table.to_dict("records")
    ]
    text = [_LINES if any(card.figures for card in cards.values()) else f"{_NO_INTERVALS}: {_MEND}, into a new folder."]
    if "validation_accuracy" in table:
        text.append(
            f"Choose by the validation part: evo-fair operating-point {shell_word(name)} --maximise sparsity "
            "--constraint 'accuracy >= …' takes its figures from there."
        )
    note = "Performance and degradation fairness: the largest difference between groups in accuracy and in its loss."
    return section(text=text, figures=figures, tables=[SheetTable("All networks", ["network", *heads], rows, note)])


_LINES = "Each point is a network. Its bar is a 95 % interval over test samples; lines join the means over seeds."
_NO_INTERVALS = "Each point is a network; lines join the means over seeds. An earlier version left no intervals"


def _methods(table: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    return list(table.groupby("method", sort=False))


def _series(method: str, rows: pd.DataFrame, figure: str, called: str, cards: dict[str, _Card]) -> Series:
    own = rows[rows[figure].notna()]
    found = [cards[name].figures.get(called) for name in own["name"]]
    low, high = ([_end(one, end) for one in found] for end in ("low", "high"))
    means = own.groupby("target")[["sparsity", figure]].mean().to_numpy(float)
    return Series(
        method,
        own["sparsity"].tolist(),
        own[figure].tolist(),
        own["name"].tolist(),
        low,
        high,
        line=method != _DENSE,
        along=means,
    )


def _end(figure: Figure | None, end: str) -> float:
    value = None if figure is None else getattr(figure, end)
    return float("nan") if value is None else float(value)


def _with_interval(value: Any, figure: Figure | None) -> str:
    if figure is None:
        return number(value)
    return between(*map(number, (value, figure.low, figure.high)))


# ---- who pays


def _who_pays(table: pd.DataFrame, cards: dict[str, _Card]) -> dict[str, Any]:
    """By grouping: the change of every group's accuracy against the dense network, in points."""
    pruned = table[table["method"] != _DENSE]
    known = [name for name in pruned["name"] if cards[name].changes]
    if not known:
        return section(
            text=[f"How accuracy changed by group, with intervals, is not in these cards: {_MEND}, into a new folder."]
        )
    target = dict(zip(table["name"], table["target"], strict=True))
    figures, tables = [], []
    for grouping, columns in groups_in(cards[known[0]].changes).items():
        title = f"Change of accuracy by {grouping}, in points"
        for aim in sorted({target[name] for name in known}):
            own = [name for name in known if target[name] == aim]
            if len(own) <= _MOST_IN_A_FIGURE:
                series = [_changes(name, cards[name], columns) for name in own]
                heading = f"{title}, at a target of {100 * aim:g} %"
                figures.append(rows_figure("payers", heading, list(columns), "change, points", series, middle=0.0))
        rows = [
            [name, *(_points(cards[name].changes.get(column)) for column in ("accuracy", *columns.values()))]
            for name in known
        ]
        tables.append(SheetTable(title, ["network", "everyone", *columns], rows, _STAR))
    return section(text=[_CHANGES], figures=figures, tables=tables)


_CHANGES = (
    "The change is the pruned network's accuracy minus the dense one's, on the same test samples: minus means that a "
    "group pays. Intervals (95 %) draw whole units, such as persons, for both networks alike."
)
_STAR = "* The interval does not hold 0."


def _changes(name: str, card: _Card, columns: dict[str, str]) -> Series:
    found = [card.changes.get(column) for column in columns.values()]
    value, low, high = ([100 * _end(one, end) for one in found] for end in ("value", "low", "high"))
    return Series(name, range(len(columns)), value, [f"{name}: {group}" for group in columns], low, high)


def _points(found: Figure | None) -> str:
    if found is None:
        return "unknown"
    clear = found.low is not None and found.high is not None and not found.low <= 0 <= found.high
    return between(*map(change, (found.value, found.low, found.high))) + (" *" if clear else "")


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    names = {
        "network": "network",
        "structure": "what leaves",
        "scope": "scope",
        "treatment": "after pruning",
        "rounds": "rounds",
        "epochs": "epochs at most",
        "epsilon": "accuracy that may be lost",
        "distillation": "share of the loss that follows the dense network",
        "group": "fairness between",
        "evo_fair": "evo_fair",
    }
    told = {"structured": "whole channels", "unstructured": "single weights"}
    known = [(title, text_at(facts, key)) for key, title in names.items()]
    problem = ("problem", text_at(facts, "problem", "name"))
    return facts_of([problem, *((title, told.get(value, value)) for title, value in known)])


_CAVEATS = (
    "The test part says what pruning cost. To choose between networks by it would use it up.",
    "Intervals speak for other samples of the same kind. Points of several seeds show what a seed changes.",
    "With many networks and groups some intervals miss the truth by chance, one in twenty on average.",
    "All networks come from one dense network: another training of it could lose other samples.",
    "A group of few samples says little, whatever its change.",
)

"""The report of a deployment: the trained networks, what the search believed of them, and for whom they work."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evo_fair.csv_tables import read_table_of_numbers
from evo_fair.errors import RunError, quote
from evo_fair.evolution import open_run
from evo_fair.fairness.metrics import OPPOSITES
from evo_fair.files import inside, read_cached_json
from evo_fair.report.network_cards import Card, read_as
from evo_fair.report.page_figures import Series, points_figure, rows_figure
from evo_fair.report.page_sheet import (
    Sheet,
    SheetTable,
    between,
    check_finished,
    facts_of,
    groups_in,
    number,
    percent,
    plain,
    searched_metrics,
    section,
    text_at,
)
from evo_fair.show import counted

__all__ = ["deployment_sheet"]

_MEND = "run 'evo-fair deploy' again with --resume"
_TEXTS = ("id", "role", "precision")
_MOST_IN_A_FIGURE = 6
"""Networks at most whose groups one figure shows; tables show all."""


def deployment_sheet(folder: Path) -> Sheet:
    """The page of a folder of deployed networks; raises `RunError` where something is missing or damaged."""
    configuration = open_run(folder).configuration
    path = _table_of(folder)
    check_finished(path, "deployment", RunError)
    table = read_table_of_numbers(path, RunError, _MEND, texts=_TEXTS, filled=(*_TEXTS, "measured_ms"))
    if table.empty:
        raise RunError(f"{folder} lists no deployed network: {_MEND}")
    _check_ends(path, table)
    group = text_at(configuration, "deploy", "group")
    own = table[table["role"] == "front"]
    names = list(dict.fromkeys(own["id"]))
    cards = {name: read_as(Card, inside(folder, f"{name}.json"), _MEND) for name in names}
    before = _before_and_after(own[own["precision"] == "fp32"], cards, group)
    parts = {
        "networks": ("The trained networks", _networks(table, group)),
        "searched": ("Beside what the search believed", before),
        "groups": ("For whom they work", _groups(table, cards)),
        "made": ("How they were made", section(facts=_facts(folder, configuration))),
        "caveats": ("What the figures can't say", section(lines=_CAVEATS)),
    }
    return Sheet.of_parts(
        title=text_at(configuration, "problem", "title") or folder.resolve().name,
        lead=f"Report of a deployment: {counted(len(names), 'trained network')} of the front, measured on the "
        "test part, which chose nothing.",
        parts=parts,
    )


def _check_ends(path: Path, table: pd.DataFrame) -> None:
    """Refuses a table in which a figure lacks an end of its interval."""
    named = dict.fromkeys(str(name).removesuffix("_low").removesuffix("_high") for name in table)
    for name in named:
        ends = [f"{name}_low", f"{name}_high"]
        if name.startswith("accuracy[") or any(end in table for end in ends):
            for column in (name, *ends):
                if column not in table:
                    raise RunError(f"{path} has no column {quote(column)}: {_MEND}")


def _table_of(folder: Path) -> Path:
    """`deployed.csv`: in the folder, or beside it where a run's networks went to `RUN/deployed`."""
    beside = folder.resolve().parent / "deployed.csv"
    own = folder / "deployed.csv"
    return beside if not own.exists() and folder.resolve().name == "deployed" and beside.exists() else own


# ---- the networks


def _networks(table: pd.DataFrame, group: str) -> dict[str, Any]:
    measured = [
        ("accuracy", "accuracy"),
        (f"worst_group_accuracy[{group}]", "accuracy of the worst group"),
        (f"unfairness[{group}]", "unfairness"),
        *((column, plain(column)) for column in searched_metrics(table)),
    ]
    figures = [
        points_figure("networks", f"{title} and measured time", ("measured ms, one thread", title), series, log=True)
        for name, title in measured
        if (series := _by_kind(table, name))
    ]
    sizes = [name for name in ("measured_ms", "params", "onnx_bytes") if name in table]
    predicted = [str(name) for name in table if str(name).startswith("predicted_ms[") and table[name].notna().any()]
    shown = [name for name, _ in measured if name in table]
    head = ["network", "role", "precision", *(plain(name) for name in (*sizes, *predicted, *shown))]
    rows = [
        [str(row["id"]), str(row["role"]), str(row["precision"])]
        + [number(row[name]) for name in (*sizes, *predicted)]
        + [_with_interval(row, name) for name in shown]
        for row in table.to_dict("records")
    ]
    note = "In brackets: 95 % intervals, for which whole units, such as persons, are drawn."
    if predicted:
        note += " A device's profile predicts files of its own precision alone, and only layers that it knows."
    return section(figures=figures, tables=[SheetTable("The trained networks and references", head, rows, note)])


def _by_kind(table: pd.DataFrame, name: str) -> list[Series]:
    """The networks of the front by precision, and the references, over their measured time."""
    if name not in table or not table[name].notna().any():
        return []
    kinds = [(f"of the front, {precision}", rows) for precision, rows in _fronts(table)]
    kinds.append(("references", table[table["role"] != "front"]))
    found = []
    for title, rows in kinds:
        rows = rows[rows[name].notna()]
        if len(rows):
            found.append(_series(title, rows["measured_ms"], rows, name))
    return found


def _fronts(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    own = table[table["role"] == "front"]
    return [(str(precision), rows) for precision, rows in own.groupby("precision", sort=False)]


def _series(title: str, x: Any, rows: pd.DataFrame, name: str) -> Series:
    low, high = (rows[f"{name}_{end}"].tolist() if f"{name}_{end}" in rows else None for end in ("low", "high"))
    return Series(title, list(x), rows[name].tolist(), rows["id"].tolist(), low, high)


def _with_interval(row: dict[Any, Any], name: str) -> str:
    ends = (row.get(f"{name}_{end}") for end in ("low", "high"))
    return between(number(row[name]), *map(number, ends))


# ---- before and after training


def _before_and_after(table: pd.DataFrame, cards: dict[str, Card], group: str) -> dict[str, Any]:
    """What the search measured or believed of each objective beside the same figure of the trained network."""
    known = {name: card.searched for name, card in cards.items() if card.searched is not None}
    rows = table[table["id"].isin(list(known))].reset_index(drop=True)
    if rows.empty:
        return section(text=[f"The networks' cards don't say what the search believed: {_MEND}."])
    names = list(rows["id"])
    objectives = dict.fromkeys(name for searched in known.values() if searched for name in searched.objectives)
    figures, tables, texts = [], [], [_SEARCHED]
    for objective in objectives:
        after = _after(rows, objective, group)
        if after is None:
            continue
        before = np.array([_ends_before(known[name], objective) for name in names])
        title = plain(objective)
        pair = [
            Series("the search", range(len(names)), *_columns(before, names)),
            Series("after training, test part", range(len(names)), *_columns(after, names)),
        ]
        figures.append(rows_figure("searched", f"{title}, by network", names, title, pair))
        cells = [
            [name, *(between(*map(number, line)) for line in (old, new)), number(new[0] - old[0])]
            for name, old, new in zip(names, before, after, strict=True)
        ]
        tables.append(SheetTable(f"{title}: the search and after training", _HEAD, cells))
        if len(rows) > 1:
            texts.append(_order(title, before[:, 0], after[:, 0]))
    return section(text=texts, figures=figures, tables=tables)


_SEARCHED = (
    "The search looked at the validation part, with weights that were not trained further. Its intervals are two "
    "standard errors of what it believed to each side, where it believed something. The trained networks are measured "
    "on the test part. Latency is not compared: training does not change it."
)
_HEAD = ("network", "the search", "after training", "difference")


def _after(rows: pd.DataFrame, objective: str, group: str) -> Any:
    """The figure of the test part that is an objective, `[networks, 3]` with its ends; None where there is none."""
    name = OPPOSITES.get(objective, objective)
    column = name if name in rows else f"{name}[{group}]"
    if f"{column}_low" not in rows or not rows[column].notna().any():
        return None
    values = rows[[column, f"{column}_low", f"{column}_high"]].to_numpy(float)
    return 1 - values[:, [0, 2, 1]] if objective in OPPOSITES else values


def _ends_before(searched: Any, objective: str) -> tuple[float, float, float]:
    believed = searched.believed.get(objective)
    if believed is None:
        return searched.objectives.get(objective, np.nan), np.nan, np.nan
    return believed.value, believed.value - 2 * believed.uncertainty, believed.value + 2 * believed.uncertainty


def _columns(values: Any, names: Sequence[str]) -> tuple[list[float], Sequence[str], list[float], list[float]]:
    value, low, high = values.T.tolist()
    return value, names, low, high


def _order(title: str, before: Any, after: Any) -> str:
    """In how many pairs of networks the search's order held; pairs that tie in either say nothing."""
    pairs = [np.sign((before[a] - before[b]) * (after[a] - after[b])) for a, b in combinations(range(len(before)), 2)]
    kept, told = sum(sign > 0 for sign in pairs), sum(sign != 0 for sign in pairs)
    if not told:
        return f"{title}: no two networks can be put in order."
    tied = len(pairs) - told
    ties = f"; {counted(tied, 'pair')} more {'ties' if tied == 1 else 'tie'}" if tied else ""
    return f"{title}: {kept} of {told} pairs of networks are in the order that the search put them in{ties}."


# ---- groups


def _groups(table: pd.DataFrame, cards: Mapping[str, Card]) -> dict[str, Any]:
    """By grouping: the accuracy of every group for every network, and its samples where the cards know them."""
    figures, tables = [], []
    known = _samples(cards)
    rows = table[table["accuracy"].notna()].reset_index(drop=True) if "accuracy" in table else table[:0]
    called = [f"{row['id']}, {row['precision']}" for row in rows.to_dict("records")]
    for grouping, columns in groups_in(table).items():
        if len(rows) <= _MOST_IN_A_FIGURE:
            series = [
                _by_group(title, row, columns) for title, row in zip(called, rows.to_dict("records"), strict=True)
            ]
            title = f"Accuracy by {grouping}, test part"
            figures.append(rows_figure("groups", title, list(columns), "accuracy", series))
        cells = [[_percents(row, column) for row in rows.to_dict("records")] for column in columns.values()]
        title = f"Accuracy by {grouping}, test part"
        samples = [number(known.get(column)) for column in columns.values()] if known else []
        tables.append(_narrow(title, list(columns), samples, called, cells))
    return section(text=[_GROUPS] if known else [], figures=figures, tables=tables)


_GROUPS = (
    "A group of few samples says little, whatever its accuracy. Intervals of groups that are all right or all wrong "
    "are Wilson's, for which samples of one unit, such as a person, count once."
)


def _samples(cards: Mapping[str, Card]) -> dict[str, int]:
    """How many samples of the test part each accuracy is of; the same for all networks, and unknown to old cards."""
    figures = (figures for card in cards.values() for figures in card.test.values())
    return {name: one.samples for each in figures for name, one in each.items() if one.samples is not None}


def _narrow(
    title: str, groups: list[str], samples: list[str], networks: list[str], cells: list[list[str]]
) -> SheetTable:
    """A table of groups by networks, `cells` `[groups, networks]`, with what is fewer side by side.

    `samples` are those of each group, or empty where they are not known.
    """
    if len(networks) <= len(groups):
        lines = [[one, *line] for one, line in zip(samples, cells, strict=True)] if samples else cells
        rows = [[name, *line] for name, line in zip(groups, lines, strict=True)]
        return SheetTable(title, ["group", *(["samples"] if samples else []), *networks], rows)
    rows = [[name, *line] for name, line in zip(networks, zip(*cells, strict=True), strict=True)]
    if samples:
        groups = [f"{name} ({one} samples)" for name, one in zip(groups, samples, strict=True)]
    return SheetTable(title, ["network", *groups], rows)


def _by_group(title: str, row: dict[Any, Any], columns: dict[str, str]) -> Series:
    value, low, high = ([row[f"{column}{end}"] for column in columns.values()] for end in ("", "_low", "_high"))
    return Series(title, range(len(columns)), value, [f"{title}: {name}" for name in columns], low, high)


def _percents(row: dict[Any, Any], column: str) -> str:
    return between(*(percent(row[f"{column}{end}"]) for end in ("", "_low", "_high")))


# ---- how they were made


def _facts(folder: Path, configuration: dict[str, Any]) -> list[tuple[str, str]]:
    timing = read_cached_json(folder / "timing.json")
    anew = text_at(configuration, "deploy", "from_scratch") == "True"
    return facts_of(
        [
            ("problem", text_at(configuration, "problem", "name")),
            ("data", text_at(configuration, "data", "name")),
            ("licence of the data", text_at(configuration, "data", "licence")),
            ("fairness between", text_at(configuration, "deploy", "group")),
            ("training begins with", "random weights" if anew else "the weights of the search"),
            ("epochs", text_at(configuration, "deploy", "epochs") or "the recipe's"),
            ("weight of fairness in the loss", text_at(configuration, "deploy", "fairness_weight")),
            ("share of the loss that follows the whole network", text_at(configuration, "deploy", "distillation")),
            ("accuracy given for even groups", text_at(configuration, "deploy", "even_groups")),
            ("seed", text_at(configuration, "deploy", "seed")),
            ("timed on", timing.get("machine")),
            ("timed with", timing.get("runtime")),
            ("rounds of timing", timing.get("rounds")),
            ("evo_fair", text_at(configuration, "versions", "evo_fair")),
        ]
    )


_CAVEATS = (
    "The test part says how good these networks are. Choose between them by the validation part, from the search.",
    "Intervals speak for other samples of the same kind, not for another training: each network was trained once.",
    "With many networks and groups some intervals miss the truth by chance, one in twenty on average.",
    "Measured times are of the machine that deployed, on one thread; predicted ones come from fitted profiles.",
)

"""The report of `search_gain`: what finished trainings reach on the test part, compared at equal latency."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from headline_units import labels_of
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from provenance import made_by
from rich.console import Console
from rich.table import Table
from search_gain_statistics import (
    Difference,
    Floats,
    Trained,
    hypervolume_difference,
    interpolated_difference,
    paired_difference,
)
from search_gain_units import FRONT, RANDOM, Candidate, Unit, Workplace

from evo_fair.errors import RunError
from evo_fair.evolution import box_around
from evo_fair.export.examine import Examiner
from evo_fair.fairness import METRICS
from evo_fair.fairness.bootstrap import ends
from evo_fair.files import write_text
from evo_fair.report.style import common_legend, grid, looks, save_figure
from evo_fair.show import counted, figure_label

__all__ = ["report"]

METRIC_NAMES = ("accuracy", "worst_group_accuracy", "unfairness")
HIGHER = {"accuracy": True, "worst_group_accuracy": True, "unfairness": False, "hypervolume": True}
LEAST_PAIRS = 3
REPLICATES = 2000

Row = dict[str, Any]


def report(
    place: Workplace,
    candidates: list[Candidate],
    units: list[tuple[Unit, Candidate]],
    device: str,
    beside: Mapping[Candidate, list[Row]],
) -> None:
    """Writes table, comparison and figure of the networks of which all units are finished; says what is missing.

    `device` names whose latency it is; `beside` are networks of another space with the facts of their units. While
    fewer than three pairs are finished nothing is written; raises `RunError` where nothing more can be finished.
    """
    finished, missing, diverged = sorted_out(place, candidates, units)
    whole = paired(candidates, set(finished))
    if diverged:
        print(f"diverged, and left out with the other one of a pair: {', '.join(diverged)}")
    if missing:
        print(f"{missing} of {len(units)} trainings are not finished: the same command goes on")
    pairs = sum(candidate.role == FRONT for candidate in whole)
    if pairs < LEAST_PAIRS:
        found = f"{pairs} pairs of the front and random networks are finished, a comparison needs {LEAST_PAIRS}"
        if missing:
            print(found)
            return
        raise RunError(f"{found}: give more --networks, or see why trainings diverge")
    whole += beside
    finished |= {candidate.name: facts for candidate, facts in beside.items()}
    trained = measured(place, whole, finished)
    table, comparison = table_of(whole, trained), comparisons(whole, trained)
    seeds = trained["accuracy"].points.shape[1]
    given = f"{place.problem.name} --run RUN{' --beside RESULTS' if beside else ''}"
    head = made_by(
        f"python benchmarks/search_gain.py {given}; test part, {counted(seeds, 'seed')}, {units[0][0].epochs} epochs, "
        f"group {place.problem.fairness.group}, milliseconds predicted for {device}",
        ("numpy", "torch"),
    )
    for name, rows in (("table", table), ("comparison", comparison)):
        write_text(place.out / f"{name}.csv", f"# {head}\n" + rows.to_csv(index=False, lineterminator="\n"))
    files = [place.out / f"gain{ending}" for ending in (".png", ".pdf")]
    save_figure(lambda: _figure(table, place.problem.fairness.group, device), files)
    _show(comparison, place.out)


def sorted_out(
    place: Workplace, candidates: list[Candidate], units: list[tuple[Unit, Candidate]]
) -> tuple[dict[str, list[Row]], int, list[str]]:
    """The facts of networks of which every unit is finished, how many units are not, and which networks diverged."""
    finished: dict[str, list[Row]] = {candidate.name: [] for candidate in candidates}
    lacking, diverged, missing = set(), [], 0
    for unit, candidate in units:
        facts = place.find(unit, candidate)
        missing += facts is None
        if facts is None or "diverged" in facts:
            lacking.add(candidate.name)
            diverged += [unit.name] if facts else []
        else:
            finished[candidate.name].append(facts)
    return {name: facts for name, facts in finished.items() if name not in lacking}, missing, diverged


def paired(candidates: list[Candidate], finished: set[str]) -> list[Candidate]:
    """The finished candidates, without those whose other one of the pair is not finished."""
    done = [candidate for candidate in candidates if candidate.name in finished]
    roles = {(candidate.role, candidate.pair) for candidate in done}
    return [one for one in done if one.pair is None or {(FRONT, one.pair), (RANDOM, one.pair)} <= roles]


def measured(place: Workplace, candidates: list[Candidate], finished: dict[str, list[Row]]) -> dict[str, Trained]:
    """Every metric on the test part, the networks in the order of `candidates`."""
    group = place.problem.fairness.group
    examiner = Examiner(place.dataset, "test", [group], seed=0, replicates=REPLICATES)
    points: dict[str, list[Floats]] = {name: [] for name in METRIC_NAMES}
    resampled: dict[str, list[Floats]] = {name: [] for name in METRIC_NAMES}
    for candidate in candidates:
        for facts in finished[candidate.name]:
            labels = labels_of(facts, "test")
            counts = place.dataset.counts(labels[None], "test", group)
            drawn = examiner.resampled(labels, group)
            if drawn is None:
                raise RunError(
                    f"{place.problem.name}: a group of {group} has too few units in the test part to compare"
                )
            for name in METRIC_NAMES:
                points[name].append(METRICS[name](counts))
                resampled[name].append(METRICS[name](drawn))
    shape = (len(candidates), -1)
    return {
        name: Trained(
            np.concatenate(points[name]).reshape(shape), np.stack(resampled[name], axis=1).reshape(REPLICATES, *shape)
        )
        for name in METRIC_NAMES
    }


def table_of(candidates: list[Candidate], trained: dict[str, Trained]) -> pd.DataFrame:
    """A row a network, the fastest first: means over seeds with intervals over samples and seeds."""
    rows = []
    for number, candidate in enumerate(candidates):
        row: Row = {
            "network": candidate.name,
            "role": candidate.role,
            "pair": candidate.pair,
            "latency_ms": candidate.latency_ms,
            "params": candidate.params,
            "macs": candidate.macs,
        }
        for name, metric in trained.items():
            own = metric.only([number])
            value = own.means[0]
            replicates = np.zeros((len(own.resampled), 1), np.int64)
            low, high = ends(value, own.drawn(replicates, np.random.default_rng(0))[:, 0])
            row |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
            row |= {f"{name}_seed{seed}": float(one) for seed, one in enumerate(metric.points[number])}
        rows.append(row)
    return pd.DataFrame(rows).astype({"pair": "Int64"}).sort_values("latency_ms", ignore_index=True)


def comparisons(candidates: list[Candidate], trained: dict[str, Trained]) -> pd.DataFrame:
    """The front less random networks of the same latencies, and less the line through known ones; a row a metric."""
    latency = np.array([candidate.latency_ms for candidate in candidates])
    roles = np.array([candidate.role for candidate in candidates])
    ours, theirs = (_by_pair(candidates, role) for role in (FRONT, RANDOM))
    rows = []
    for name, metric in trained.items():
        rows.append(_row("random, paired", name, paired_difference(metric.only(ours), metric.only(theirs))))
    # Hypervolume is of what is minimised.
    error, unfair = trained["accuracy"].complement(), trained["unfairness"]
    both = [*ours, *theirs]
    box = box_around(np.column_stack([error.means[both], unfair.means[both], latency[both]]))
    sides = [([error.only(side), unfair.only(side)], latency[side]) for side in (ours, theirs)]
    rows.append(_row("random, paired", "hypervolume", hypervolume_difference(*sides[0], *sides[1], box)))
    for family in dict.fromkeys(roles):
        known = np.flatnonzero(roles == family)
        if family in (FRONT, RANDOM) or len(known) < 2:
            continue
        for name, metric in trained.items():
            found = interpolated_difference(metric.only(ours), latency[ours], metric.only(known), latency[known])
            rows.append(_row(f"{family} of the same latency", name, found))
    return pd.DataFrame(rows)


def _by_pair(candidates: list[Candidate], role: str) -> list[int]:
    chosen = [number for number, candidate in enumerate(candidates) if candidate.role == role]
    return sorted(chosen, key=lambda number: candidates[number].pair or 0)


def _row(against: str, metric: str, difference: Difference) -> Row:
    return {
        "front_minus": against,
        "metric": metric,
        "better": "higher" if HIGHER[metric] else "lower",
        "networks": difference.networks,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
    }


def _show(comparison: pd.DataFrame, out: Path) -> None:
    table = Table("the front less", "metric", "networks", "difference", "95 %", "better is")
    for row in comparison.itertuples():
        cells = (f"{row.difference:+.4f}", f"{row.low:+.4f} to {row.high:+.4f}")
        table.add_row(row.front_minus, row.metric, str(row.networks), *cells, row.better)
    Console(width=120).print(table)
    print(f"{out / 'table.csv'}, comparison.csv, gain.png")


def _figure(table: pd.DataFrame, group: str, device: str) -> Figure:
    """The three metrics against latency; networks that are scaled in width are joined by a line."""
    figure, panels, columns = grid(len(METRIC_NAMES))
    roles = [role for role in dict.fromkeys([FRONT, RANDOM, *table["role"]]) if (table["role"] == role).any()]
    for panel, metric in zip(panels, METRIC_NAMES, strict=True):
        for role, (marker, colour, line, filled) in zip(roles, looks(len(roles)), strict=True):
            rows = table[table["role"] == role]
            spread = np.abs(rows[[f"{metric}_low", f"{metric}_high"]].to_numpy().T - rows[metric].to_numpy())
            panel.errorbar(
                rows["latency_ms"],
                rows[metric],
                yerr=spread,
                fmt=marker,
                linestyle="none" if role in (FRONT, RANDOM) else line,
                color=colour,
                markerfacecolor=colour if filled else "white",
                ms=3.5,
                lw=0.6,
                elinewidth=0.4,
                label=role,
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(f"latency on {device}\n(ms, predicted)")
        title = "accuracy" if metric == "accuracy" else f"{metric.replace('_', ' ')} ({figure_label(group)})"
        panel.set_ylabel(f"{title}\ntest part, {'higher' if HIGHER[metric] else 'lower'} is better")
    common_legend(figure, panels, columns)
    return figure

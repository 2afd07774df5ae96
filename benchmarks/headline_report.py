"""The report of the headline: what validation chooses, what the test part says of it, as table, text and figure."""

import os
import platform
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from headline_gain import finished_trainings
from headline_text import headline_markdown
from headline_units import REFERENCE_NAMES, Workplace
from headline_variants import (
    BASELINE,
    BY_GROUP,
    DEVICES,
    GROUPS,
    OVERALL,
    Bench,
    Variant,
    choose,
    like_of,
    read_timing,
    read_variants,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from provenance import made_by
from rich.console import Console
from seed_noise import Ends, Mean, difference, interval, ratio

from evo_fair.errors import RunError
from evo_fair.export.report import Deployed, time_networks
from evo_fair.files import write_json, write_text
from evo_fair.report.style import common_legend, grid, save_figure

Values = dict[str, Mean]  # by column of the table
UNKNOWN = (np.nan, np.nan, np.nan)

NAMED_ROLES = ("small", "accurate", "for all groups")
"""Roles that the figure names."""

NAMES_APART = 1.14
"""The least ratio of latencies at which names stand beside each other."""


def time_all(place: Workplace) -> None:
    """Times every network of a finished unit, interleaved in one run, and keeps the medians."""
    names = dict.fromkeys(unit.network for unit, _ in finished_trainings(place))
    files = {name: place.architecture(name) for name in names}
    if not files:
        raise RunError(f"no training is finished in {place.units}: run the stage train first")
    networks = [Deployed(name, "", "fp32", path, path, None) for name, path in files.items()]
    timings = time_networks(networks, lambda _done, _rounds: None, seed=0)
    medians = dict(zip(files, timings.latency_ms.tolist(), strict=True))
    facts = {
        "runtime": f"ONNX Runtime {version('onnxruntime')}, 1 thread",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": str(date.today()),
        "rounds": len(timings.rounds),
        "repeatability": timings.repeatability,
        "drift": timings.drift,
        "latency_ms": medians,
    }
    write_json(place.out / "timing.json", facts)
    Console().print(
        f"{len(medians)} networks timed, drift {timings.drift:.1%}, repeatability {timings.repeatability:.1%}"
    )


def report(place: Workplace, epochs: int) -> None:
    """Chooses, tests, writes; raises `RunError` while the baseline has no finished training."""
    variants = read_variants(place, epochs)
    base = next((v for v in variants if (v.network, v.start, v.option) == (BASELINE, "scratch", "plain")), None)
    if base is None:
        raise RunError(f"{BASELINE} has no finished training of {epochs} epochs in {place.units}: train it first")
    out = place.out
    roles = choose(variants, base, place)
    bench = Bench(place, variants)
    values = {variant.title: _values(variant, bench) for variant in variants}
    table = pd.DataFrame([_row(variant, base, like_of(variant, variants), roles, values) for variant in variants])
    timing = read_timing(place)
    made = made_by(f"python benchmarks/headline.py --data DIR --epochs {epochs}", ("numpy", "torch", "onnxruntime"))
    write_text(out / "table.csv", f"# {made}\n" + table.to_csv(index=False, lineterminator="\n"))
    text = headline_markdown(table, variants, base, roles, epochs, timing, place)
    write_text(out / "README.md", text)
    save_figure(lambda: _figure(table), [out / "pareto.png", out / "pareto.pdf"])
    Console().print(text, soft_wrap=True)


def _values(variant: Variant, bench: Bench) -> Values:
    """Every metric of the table, by its column."""
    named = [(metric, metric, GROUPS[0]) for metric in OVERALL]
    named += [(f"{metric}[{group}]", metric, group) for group in GROUPS for metric in BY_GROUP]
    return {name: bench.values(variant, metric, group) for name, metric, group in named}


def _row(
    variant: Variant, base: Variant, like: Variant | None, roles: dict[str, Variant], values: dict[str, Values]
) -> dict[str, Any]:
    """A row of the table; `base` is MobileNetV2 trained plainly, `like` what was trained like the variant."""
    row: dict[str, Any] = {
        "network": variant.title,
        "roles": ", ".join(role for role, chosen in roles.items() if chosen is variant),
        "ours": variant.ours,
        "seeds": len(variant.units),
        "labels_predicted": len(np.unique(variant.predictions["test"])),
        "params": variant.facts["params"],
        "onnx_bytes": variant.facts["onnx_bytes"],
        "macs": variant.facts["macs"],
        "measured_ms": variant.measured_ms,
        **{f"predicted_ms[{device}]": ms for device, ms in variant.predicted_ms.items()},
    }
    for name, mean in values[variant.title].items():
        row |= _told(name, interval(mean), least=0.0)
        for against, other in (("mobilenet", base), ("like", like)):
            compared = values[other.title][name] if other else None
            if name == "accuracy":
                row |= _told(f"{name}_minus_{against}", difference(mean, compared) if compared else UNKNOWN)
            elif name.startswith("unfairness"):
                row |= _told(f"{name}_to_{against}", ratio(mean, compared) if compared else UNKNOWN, least=0.0)
    row["times_smaller"] = base.facts["params"] / variant.facts["params"]
    row["times_faster_here"] = base.measured_ms / variant.measured_ms
    for device in DEVICES:
        row[f"times_faster[{device}]"] = base.predicted_ms[device] / variant.predicted_ms[device]
    return row


def _told(name: str, ends: Ends, least: float = -np.inf) -> dict[str, float]:
    """The columns of a value that is never below `least`."""
    value, low, high = ends
    return {name: value, f"{name}_low": float(np.maximum(low, least)), f"{name}_high": high}


def _figure(table: pd.DataFrame) -> Figure:
    """Accuracy and unfairness on the test part against predicted latency, without what answers one label only."""
    table = table[table["labels_predicted"] > 1]
    figure, panels, columns = grid(2)
    latency = f"predicted_ms[{DEVICES[0]}]"
    ours = table["ours"].to_numpy(bool)
    sides = (("known networks", table[~ours], "D", "#d06f00"), ("networks of the front", table[ours], "o", "#0b3c5d"))
    for panel, y in zip(panels, ("accuracy", f"unfairness[{GROUPS[0]}]"), strict=True):
        for label, rows, marker, colour in sides:
            if rows.empty:
                continue
            spread = np.maximum(np.abs(rows[[f"{y}_low", f"{y}_high"]].to_numpy().T - rows[y].to_numpy()), 0)
            panel.errorbar(
                rows[latency], rows[y], yerr=spread, fmt=marker, ms=3.5, lw=0.5, color=colour, label=label, capsize=0
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(f"latency on {DEVICES[0]} (ms, predicted)")
        panel.set_ylabel("accuracy, test part" if y == "accuracy" else "unfairness (age bands), test part")
    _name_networks(panels[0], table, latency)
    common_legend(figure, panels, columns)
    return figure


def _name_networks(panel: Axes, table: pd.DataFrame, latency: str) -> None:
    """Writes above their intervals the names of the known networks, trained plainly, and of the first roles."""
    names = {name: name for name in REFERENCE_NAMES}
    for role in reversed(NAMED_ROLES):
        names |= {str(row["network"]): role for _, row in table.iterrows() if role in row["roles"].split(", ")}
    shown = table[table["network"].isin(list(names))].sort_values(latency)
    place = 0.0
    for _, row in shown.iterrows():
        place = max(row[latency], place * NAMES_APART)
        at, text = (place, row["accuracy_high"]), names[row["network"]]
        panel.annotate(text, at, (0, 2), textcoords="offset points", rotation=90, fontsize=5, ha="center", va="bottom")
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.35 * (high - low))

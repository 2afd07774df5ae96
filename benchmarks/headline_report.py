"""The report of the headline: what validation chooses, what the test part says of it, as table, text and figure."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from headline_units import REFERENCE_NAMES, Unit, Workplace, finished_units, read_predictions
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from rich.console import Console

from evo_fair.deploy.examine import Examiner
from evo_fair.deploy.report import Deployed, time_networks
from evo_fair.errors import RunError
from evo_fair.fairness import METRICS
from evo_fair.fairness.bootstrap import Interval, ends
from evo_fair.files import read_json, write_json, write_text
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.report.style import common_legend, grid, save_figure

DEVICES = ("raspberry-pi-4", "odroid-xu4", "odroid-n2-plus")
GROUPS = ("age_band", "sex")
OVERALL = ("accuracy", "balanced_accuracy")
BY_GROUP = ("worst_group_accuracy", "unfairness")
SMALLER, FASTER, SLOWEST = 5.28, 5.75, 5.0  # FaHaNa's figures (arXiv 2202.11317), and the fifth of 'fair'
REPLICATES = 2000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """A network, its start and option, with the units that are finished and what is known of its graph."""

    network: str
    start: str
    option: str
    units: tuple[Unit, ...]
    facts: dict[str, Any]
    predicted_ms: dict[str, float]
    measured_ms: float

    @property
    def ours(self) -> bool:
        """Whether it is of the front."""
        return self.network not in REFERENCE_NAMES

    @property
    def title(self) -> str:
        """What the table calls it."""
        how = {"plain": "", "fair": ", fairness term", "balanced": ", balanced groups"}[self.option]
        return f"{self.network}{', from the supernet' if self.start == 'tuned' else ''}{how}"


def time_all(place: Workplace) -> None:
    """Times one file of every network, interleaved in one run, and keeps the medians in the work folder."""
    files: dict[str, Path] = {}
    for unit, _ in finished_units(place.work):
        files.setdefault(unit.network, place.work / unit.name / "network.onnx")
    if not files:
        raise RunError(f"no training is finished in {place.work}: run the stage train first")
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
    write_json(place.work / "timing.json", facts)
    Console().print(
        f"{len(medians)} networks timed, drift {timings.drift:.1%}, repeatability {timings.repeatability:.1%}"
    )


def report(place: Workplace, out: Path, epochs: int, baseline: str) -> None:
    """Chooses, tests, writes; raises `RunError` while the baseline has no finished training."""
    variants = _variants(place, epochs)
    base = next((v for v in variants if (v.network, v.option) == (baseline, "plain")), None)
    if base is None:
        raise RunError(f"{baseline} has no finished training of {epochs} epochs in {place.work}: train it first")
    roles = choose(variants, base, place)
    bench = Bench(place)
    table = pd.DataFrame([_row(variant, base, roles, bench) for variant in variants])
    timing = _timing(place)
    head = f"# python benchmarks/headline.py --epochs {epochs}; {_versions()}; {date.today()}\n"
    write_text(out / "table.csv", head + table.to_csv(index=False, lineterminator="\n"))
    text = _readme(table, variants, base, roles, epochs, timing, place)
    write_text(out / "README.md", text)
    save_figure(lambda: _figure(table), [out / "pareto.png", out / "pareto.pdf"])
    Console().print(text, soft_wrap=True)


def _variants(place: Workplace, epochs: int) -> list[Variant]:
    grouped: dict[tuple[str, str, str], list[tuple[Unit, dict[str, Any]]]] = {}
    for unit, facts in finished_units(place.work):
        if unit.epochs == epochs:
            grouped.setdefault((unit.network, unit.start, unit.option), []).append((unit, facts))
    measured = _timing(place).get("latency_ms", {})
    profiles = [load_profile(device) for device in DEVICES]
    variants = []
    for (network, start, option), found in grouped.items():
        units = tuple(unit for unit, _ in sorted(found, key=lambda item: item[0].seed))
        graph = read_onnx(place.work / units[0].name / "network.onnx")
        predicted = {profile.name: predict(graph, profile).latency_ms for profile in profiles}
        variants.append(
            Variant(network, start, option, units, found[0][1], predicted, float(measured.get(network, np.nan)))
        )
    order = {name: i for i, name in enumerate(REFERENCE_NAMES)}
    return sorted(variants, key=lambda v: (order.get(v.network, 99), v.facts["params"], v.network, v.start, v.option))


def choose(variants: Sequence[Variant], base: Variant, place: Workplace) -> dict[str, Variant]:
    """The variants of ours with a role, by means over seeds on the validation part alone.

    Only variants with as many seeds as the baseline take part; a role that none fulfils is missing.
    """
    device = DEVICES[0]
    means = {v.title: _validation(v, place) for v in variants}
    ours = [v for v in variants if v.ours and len(v.units) >= len(base.units)]
    floor, size, pace = means[base.title]["accuracy"], base.facts["params"], base.predicted_ms[device]
    as_accurate = [v for v in ours if means[v.title]["accuracy"] >= floor]
    quick = [v for v in ours if v.predicted_ms[device] <= pace / SLOWEST]
    compact = [v for v in ours if v.facts["params"] <= size / SMALLER and v.predicted_ms[device] <= pace / FASTER]

    def unfair(variant: Variant) -> float:
        return means[variant.title]["unfairness"]

    candidates = {
        "small": min(as_accurate, key=lambda v: (v.facts["params"], unfair(v)), default=None),
        "fair": min(quick, key=unfair, default=None),
        "accurate": max(compact, key=lambda v: means[v.title]["accuracy"], default=None),
        "fast": min(as_accurate, key=lambda v: (v.predicted_ms[device], unfair(v)), default=None),
        "for all groups": max(ours, key=lambda v: means[v.title]["worst_group_accuracy"], default=None),
        "for all diagnoses": max(ours, key=lambda v: means[v.title]["balanced_accuracy"], default=None),
        "tiny": min(ours, key=lambda v: (v.facts["params"], unfair(v)), default=None),
    }
    return {role: variant for role, variant in candidates.items() if variant is not None}


def _validation(variant: Variant, place: Workplace) -> dict[str, float]:
    predictions = np.stack([read_predictions(place.work, unit, "validation") for unit in variant.units])
    counts = place.dataset.counts(predictions, "validation", GROUPS[0])
    return {name: float(METRICS[name](counts).mean()) for name in (*OVERALL, *BY_GROUP)}


@dataclass(frozen=True)
class Bench:
    """Metrics on the test part, by seed and resample; lesions are drawn alike for all variants, seeds for each."""

    place: Workplace

    @cached_property
    def examiner(self) -> Examiner:
        """Draws the lesions, once."""
        return Examiner(self.place.dataset, "test", GROUPS, seed=0, replicates=REPLICATES)

    def values(self, variant: Variant, metric: str, group: str) -> tuple[float, Floats]:
        """A metric's mean over seeds, and on each resample of lesions and seeds: float64 `[replicates]`."""
        points, resampled = [], []
        for unit in variant.units:
            predictions = read_predictions(self.place.work, unit, "test")
            points.append(METRICS[metric](self.place.dataset.counts(predictions[None], "test", group))[0])
            counts = self.examiner.resampled(predictions, group)
            assert counts is not None
            resampled.append(METRICS[metric](counts))
        seeds = len(points)
        rng = np.random.default_rng([seeds, *variant.title.encode()])
        drawn = rng.integers(0, seeds, (REPLICATES, seeds))
        by_seed = np.stack(resampled, axis=1)
        return float(np.mean(points)), np.take_along_axis(by_seed, drawn, axis=1).mean(axis=1)


def _row(variant: Variant, base: Variant, roles: dict[str, Variant], bench: Bench) -> dict[str, Any]:
    row: dict[str, Any] = {
        "network": variant.title,
        "roles": ", ".join(role for role, chosen in roles.items() if chosen is variant),
        "ours": variant.ours,
        "seeds": len(variant.units),
        "params": variant.facts["params"],
        "onnx_bytes": variant.facts["onnx_bytes"],
        "macs": variant.facts["macs"],
        "measured_ms": variant.measured_ms,
        **{f"predicted_ms[{device}]": ms for device, ms in variant.predicted_ms.items()},
    }
    named = [(metric, metric, GROUPS[0]) for metric in OVERALL]
    named += [(f"{metric}[{group}]", metric, group) for group in GROUPS for metric in BY_GROUP]
    for name, metric, group in named:
        value, resampled = bench.values(variant, metric, group)
        low, high = ends(np.float64(value), resampled)
        row |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
        other, others = bench.values(base, metric, group)
        if metric == "unfairness":
            low, high = ends(np.float64(value / other), resampled / others)
            ratio = Interval(value / other, float(low), float(high))
            row |= _three(f"{name}_to_mobilenet", ratio)
        elif metric == "accuracy":
            low, high = 2 * (value - other) - np.percentile(resampled - others, [97.5, 2.5])
            row |= _three(f"{name}_minus_mobilenet", Interval(value - other, float(low), float(high)))
    row["times_smaller"] = base.facts["params"] / variant.facts["params"]
    row["times_faster_here"] = base.measured_ms / variant.measured_ms
    for device in DEVICES:
        row[f"times_faster[{device}]"] = base.predicted_ms[device] / variant.predicted_ms[device]
    return row


def _three(name: str, found: Interval) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _timing(place: Workplace) -> dict[str, Any]:
    path = place.work / "timing.json"
    found: dict[str, Any] = read_json(path, RunError) if path.is_file() else {}
    return found


def _versions() -> str:
    names = " ".join(f"{name} {version(name)}" for name in ("evo-fair", "numpy", "torch", "onnxruntime"))
    return f"{names}; Python {platform.python_version()}"


def _readme(
    table: pd.DataFrame,
    variants: Sequence[Variant],
    base: Variant,
    roles: dict[str, Variant],
    epochs: int,
    timing: dict[str, Any],
    place: Workplace,
) -> str:
    seeds = sorted({len(variant.units) for variant in variants})
    shown = table[~table["ours"].to_numpy(bool) | (table["roles"] != "").to_numpy(bool)]
    about = (
        f"Test part, {len(place.dataset.part('test')):,} images, none of whose lesions training or choice saw. Every "
        f"network was trained at {place.dataset.input_shape[-1]} pixels by the problem's recipe for {epochs} epochs, "
        "no weights pretrained on either side; means over "
        f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seed(s), 95 % intervals by bootstrap over "
        "lesions and seeds. Roles were given by the validation part alone."
    )
    explained = (
        "`table.csv` holds every variant that was trained, with its intervals, `sex` beside `age_band`. Roles: small, "
        "the smallest not less accurate than MobileNetV2; fair, the fairest not slower than a fifth of it on "
        f"{DEVICES[0]}; accurate, the most accurate of at most 1/{SMALLER} of its size and 1/{FASTER} of its latency; "
        "fast, the fastest not less accurate; for all groups, the best worst age band; for all diagnoses, the best "
        "balanced accuracy; tiny, the smallest."
    )
    lines = [
        "# Networks of the front against known ones on HAM10000",
        "",
        "```",
        f"python benchmarks/headline.py --data path/to/HAM10000 --epochs {epochs}",
        "```",
        "",
        about,
        "",
        _markdown(shown),
        "",
        *_aims(table, roles, base),
        *_missing(variants, base),
        "",
        _conditions(timing),
        "",
        explained,
        "",
        "![Pareto figure](pareto.png)",
        "",
        f"Data: {place.dataset.licence}.",
        "",
    ]
    return "\n".join(lines)


def _markdown(table: pd.DataFrame) -> str:
    headings = ["network", "role", "seeds", "accuracy", "balanced accuracy"]
    headings += [f"{metric.replace('_', ' ')}, {group}" for group in GROUPS for metric in BY_GROUP]
    headings += ["params", "ONNX bytes", "MACs", "here ms", *(f"{device} ms" for device in DEVICES)]
    names = [*OVERALL, *(f"{metric}[{group}]" for group in GROUPS for metric in BY_GROUP)]
    rows = []
    for row in table.to_dict("records"):
        cells = [row["network"], row["roles"], str(row["seeds"])]
        cells += [f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]" for name in names]
        cells += [f"{row[name]:,}" for name in ("params", "onnx_bytes", "macs")]
        times = [row["measured_ms"], *(row[f"predicted_ms[{device}]"] for device in DEVICES)]
        rows.append([*cells, *("-" if np.isnan(ms) else f"{ms:.2f}" for ms in times)])
    rule = ["---", "---", *["---:"] * (len(headings) - 2)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [headings, rule, *rows])


def _aims(table: pd.DataFrame, roles: dict[str, Variant], base: Variant) -> list[str]:
    """A line a role on what it is to MobileNetV2."""
    lines = []
    for role in ("small", "fair", "accurate", "fast"):
        if role not in roles:
            lines.append(f"- **{role}**: no network that was trained fulfils it on the validation part.")
            continue
        row = table[table["network"] == roles[role].title].iloc[0]
        name = f"unfairness[{GROUPS[0]}]_to_mobilenet"
        less, most, least = (100 * (1 - row[key]) for key in (name, f"{name}_low", f"{name}_high"))
        points = [100 * row[f"accuracy_minus_mobilenet{end}"] for end in ("", "_low", "_high")]
        faster = ", ".join(f"{row[f'times_faster[{device}]']:.1f} on {device}" for device in DEVICES)
        lines.append(
            f"- **{role}** ({roles[role].title}) to {base.title}: accuracy {points[0]:+.1f} points "
            f"[{points[1]:+.1f}, {points[2]:+.1f}], unfairness {less:+.1f} % lower [{least:+.1f}, {most:+.1f}], "
            f"{row['times_smaller']:.1f} times smaller, times faster: {row['times_faster_here']:.1f} measured here, "
            f"predicted {faster}."
        )
    return lines


def _missing(variants: Sequence[Variant], base: Variant) -> list[str]:
    """A line that names what has fewer seeds than the baseline, or none."""
    seeds = {variant.title: len(variant.units) for variant in variants}
    wanted = [*REFERENCE_NAMES, f"{base.network}, fairness term", f"{base.network}, balanced groups", *seeds]
    lacking = [name for name in dict.fromkeys(wanted) if seeds.get(name, 0) < len(base.units)]
    return ["", f"Not finished yet: {'; '.join(f'{n} ({seeds.get(n, 0)} seeds)' for n in lacking)}."] if lacking else []


def _conditions(timing: dict[str, Any]) -> str:
    if not timing:
        return "Latency was not measured yet: run the stage `time`."
    return (
        f"Measured latency: {timing['runtime']}, {timing['machine']}, all networks interleaved, median of "
        f"{timing['rounds']} rounds, drift {timing['drift']:.1%}, {timing['date']}. The other latencies are predicted."
    )


def _figure(table: pd.DataFrame) -> Figure:
    """Accuracy and unfairness on the test part against parameters and predicted latency."""
    figure, panels, columns = grid(2)
    sides = (
        ("known networks", table[~table["ours"].to_numpy(bool)], "D", "#d06f00"),
        ("networks of the front", table[table["ours"].to_numpy(bool)], "o", "#0b3c5d"),
    )
    pairs = ((f"predicted_ms[{DEVICES[0]}]", "accuracy"), (f"predicted_ms[{DEVICES[0]}]", f"unfairness[{GROUPS[0]}]"))
    for panel, (x, y) in zip(panels, pairs, strict=True):
        for label, rows, marker, colour in sides:
            if rows.empty:
                continue
            spread = np.maximum(np.abs(rows[[f"{y}_low", f"{y}_high"]].to_numpy().T - rows[y].to_numpy()), 0)
            panel.errorbar(
                rows[x], rows[y], yerr=spread, fmt=marker, ms=3.5, lw=0.5, color=colour, label=label, capsize=0
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(f"latency on {DEVICES[0]} (ms, predicted)")
        panel.set_ylabel({"accuracy": "accuracy, test part"}.get(y, "unfairness (age bands), test part"))
    common_legend(figure, panels[0], columns)
    return figure

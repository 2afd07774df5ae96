"""The headline as text: the README of `results/headline/`, with the table, the roles and what is missing."""

from collections import Counter
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from headline_units import REFERENCE_NAMES, Unit, Workplace, diverged_units
from headline_variants import (
    BASELINE_WAYS,
    BY_GROUP,
    DEVICES,
    FAIRER,
    FASTER,
    GROUPS,
    OVERALL,
    SMALLER,
    Variant,
    like_of,
    seeds_needed,
    title_of,
)

_ROLES = (
    "- small: the smallest network that is not less accurate than MobileNetV2;",
    f"- small and fair: the smallest of these that is also {FAIRER:.2%} less unfair;",
    f"- fair: the fairest that is 5 times as fast on {DEVICES[0]};",
    f"- accurate: the most accurate that is {SMALLER} times smaller and {FASTER} times as fast;",
    "- fast: the fastest that is not less accurate;",
    "- for all groups: the best worst age band;",
    "- for all diagnoses: the best balanced accuracy;",
    "- tiny: the smallest.",
)
"""What each role is, compared with MobileNetV2 on the validation part."""


def headline_markdown(
    table: pd.DataFrame,
    variants: Sequence[Variant],
    base: Variant,
    roles: dict[str, Variant],
    epochs: int,
    timing: dict[str, Any],
    place: Workplace,
) -> str:
    """The whole text; `table` has a row a variant."""
    seeds = sorted({len(variant.units) for variant in variants})
    shown = table[~table["ours"].to_numpy(bool) | (table["roles"] != "").to_numpy(bool)]
    means = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    images, pixels = len(place.dataset.part("test")), place.dataset.input_shape[-1]
    about = (
        f"All figures are of the test part, {images:,} images. Neither training nor choice saw any of their lesions. "
        f"Every network was trained at {pixels} pixels by the problem's recipe for {epochs} epochs. No weights were "
        "pretrained. Networks 'from the supernet' go on from its weights, which had as many epochs before, for all "
        "networks of the space at once. A network 'trained further' goes on from its own weights (seed 0), which had "
        "as many epochs before. MobileNetV2 and ResNet-18 in other widths, such as mobilenet-v2-0.25, and the front of "
        "a search with trainings, from nothing alone, were trained by `benchmarks/search_gain.py`. Figures are means "
        f"over {means} seed(s), with 95 % intervals by bootstrap over lesions and seeds. The validation part alone "
        "decided the roles."
    )
    explained = (
        "`table.csv` holds every variant that was trained, with its intervals, `sex` beside `age_band`. The figure "
        "leaves out networks that answer one label only. The roles:"
    )
    lines = [
        "# Networks of the front against known ones on HAM10000",
        "",
        "```",
        f"python benchmarks/headline.py --data path/to/HAM10000 --epochs {epochs}",
        "```",
        "",
        _wrapped(about),
        "",
        _markdown(shown),
        "",
        *map(_wrapped, _aims(table, roles, base, variants)),
        *map(_wrapped, _missing(variants, base, diverged_units(place.units, epochs))),
        "",
        _wrapped(_conditions(timing)),
        "",
        _wrapped(explained),
        "",
        *_ROLES,
        "",
        "![Pareto figure](pareto.png)",
        "",
        _wrapped(f"Data: {place.dataset.licence}."),
        "",
    ]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    """A paragraph or an item of a list in lines of 88 characters."""
    indent = "  " if text.startswith("- ") else ""
    return fill(text, 88, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


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


def _aims(table: pd.DataFrame, roles: dict[str, Variant], base: Variant, variants: Sequence[Variant]) -> list[str]:
    """A line a role on what it is to MobileNetV2, trained plainly and trained like it."""
    lines = []
    for role in ("small", "small and fair", "fair", "accurate", "for all groups", "fast"):
        if role not in roles:
            lines.append(f"- **{role}**: no network that was trained fulfils it on the validation part.")
            continue
        row = table[table["network"] == roles[role].title].iloc[0]
        faster = ", ".join(f"{row[f'times_faster[{device}]']:.1f} on {device}" for device in DEVICES)
        here = "" if np.isnan(row["times_faster_here"]) else f"{row['times_faster_here']:.1f} measured here, "
        like = like_of(roles[role], variants)
        also = f" To {like.title}: {_differences(row, 'like')}." if like and like.title != base.title else ""
        lines.append(
            f"- **{role}** ({roles[role].title}) to {base.title}: {_differences(row, 'mobilenet')}, "
            f"{row['times_smaller']:.1f} times smaller, times faster: {here}predicted {faster}.{also}"
        )
    return lines


def _differences(row: pd.Series, against: str) -> str:
    """Accuracy and unfairness beside another network's, with intervals."""
    points = [100 * row[f"accuracy_minus_{against}{end}"] for end in ("", "_low", "_high")]
    percent = [100 * (row[f"unfairness[{GROUPS[0]}]_to_{against}{end}"] - 1) for end in ("", "_low", "_high")]
    return (
        f"accuracy {points[0]:+.1f} points [{points[1]:+.1f}, {points[2]:+.1f}], "
        f"unfairness {percent[0]:+.1f} % [{percent[1]:+.1f}, {percent[2]:+.1f}]"
    )


def _missing(variants: Sequence[Variant], base: Variant, diverged: Sequence[Unit]) -> list[str]:
    """A line on the trainings that diverged, and one that names what has too few seeds; or none."""
    seeds = Counter({variant.title: len(variant.units) for variant in variants})
    broken = {unit: title_of(unit.network, unit.start, unit.option) for unit in diverged}
    tried = seeds + Counter(broken.values())
    wanted = [*REFERENCE_NAMES, *(title_of(base.network, *way) for way in BASELINE_WAYS), *seeds]
    lacking = [name for name in dict.fromkeys(wanted) if tried[name] < seeds_needed(base)]
    lines = []
    if broken:
        lines.append(f"Diverged: {'; '.join(f'{name} (seed {unit.seed})' for unit, name in broken.items())}.")
    if lacking:
        lines.append(f"Not finished yet: {'; '.join(f'{name} ({tried[name]} seeds)' for name in lacking)}.")
    return [text for line in lines for text in ("", line)]


def _conditions(timing: dict[str, Any]) -> str:
    if not timing:
        return "Latency was not measured yet: run the stage `time`."
    return (
        f"Measured latency: {timing['runtime']}, {timing['machine']}, all networks interleaved, median of "
        f"{timing['rounds']} rounds, drift {timing['drift']:.1%}, {timing['date']}. The other latencies are predicted."
    )

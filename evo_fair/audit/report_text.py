"""The words of an audit's report."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd

from evo_fair.audit.store import AuditFolder

if TYPE_CHECKING:
    from evo_fair.audit.report import Findings

__all__ = ["report_text"]

WORTH_A_ROW = 0.02
"""A band of sparsity with a smaller share of the networks is not shown in tables."""


def report_text(folder: AuditFolder, findings: "Findings") -> str:
    """The report as Markdown."""
    parts = [
        _what(folder, findings),
        _who(findings),
        _factors(findings),
        _regression(findings),
        _forecast(findings),
        _points(findings),
        _not_measured(folder, findings),
    ]
    return "\n".join(parts)


def _what(folder: AuditFolder, findings: "Findings") -> str:
    about = folder.configuration
    networks, facts = findings.networks, findings.facts
    pruned = networks[~networks["dense"].to_numpy(bool)]
    whole = networks["base"].nunique()
    timing = folder.timing
    speed = f", {timing['rate']:.1f} networks a second with {timing['jobs']} worker(s)" if timing else ""
    lines = [
        f"# What pruning costs whom: {about['data']['name']}",
        "",
        f"{len(networks):,} networks were measured{speed}: {len(pruned):,} pruned ones and the {whole:,} dense ones",
        f"that they come from. The measure is accuracy on the {len(facts.target):,} samples of the {about['part']}",
        f"part, by class and by {', '.join(about['groupings'])}; a loss is the dense network's accuracy minus the",
        "pruned one's, in points (hundredths of accuracy); minus means a gain.",
        "",
        _source(about),
        "",
        _grid(about["grid"], pruned),
        "",
        f"Intervals are 95 %. Those of losses draw the {len(set(facts.units.tolist())):,} units of samples (all",
        "images of a lesion, a patient) and leave the networks as they are; those of the regression draw networks and",
        "leave the samples. All networks saw the same samples, so neither speaks for both.",
        "",
    ]
    return "\n".join(lines)


def _grid(grid: dict[str, Any], pruned: pd.DataFrame) -> str:
    aims = ", ".join(f"{100 * sparsity:g}" for sparsity in grid["sparsities"])
    least, most = 100 * pruned["sparsity"].min(), 100 * pruned["sparsity"].max()
    return (
        f"Criteria: {', '.join(grid['criteria'])}. Scopes: {', '.join(grid['scopes'])}. Sparsities aimed at: {aims} %; "
        f"reached: {least:.0f} to {most:.0f} %, as shares of parameters. Seeds: {', '.join(map(str, grid['seeds']))}"
        + (f"; seed of the plan: {grid['seed']}." if "seed" in grid else ".")
        + (f" Structures: {', '.join(grid['structures'])}." if "structures" in grid else "")
        + (f" Treatments: {', '.join(grid['treatments'])}." if "treatments" in grid else "")
    )


def _source(about: dict[str, Any]) -> str:
    if about["source"] == "proxy":
        return (
            "**What was pruned.** Architectures of the problem's search space at full width, cut from one frozen "
            "supernet, and the same architectures with fewer channels, as the criterion orders them. Nothing was "
            "trained after pruning: batch-norm statistics alone were taken anew (treatment `statistics`). So this "
            "measures what removing channels takes away before any training mends it, for networks that share one set "
            "of weights; the criterion `trained` keeps the channels that the supernet learned to work with alone, a "
            "help that no ordinary network has."
        )
    return (
        f"**What was pruned.** One trained network, {about['network']['name']}, by every combination of criterion, "
        f"structure, scope, treatment, sparsity and seed. Those that train spend {about['grid']['epochs']} epochs. "
        "Sparsities aimed at are shares of channels or of single weights; those reached count the parameters that are "
        "gone or 0."
    )


def _who(findings: "Findings") -> str:
    losses = findings.losses
    text = ["## Who loses", "", "![Losses by group](losses.png)", ""]
    bands = [band for band in dict.fromkeys(losses["band"]) if band != "all" and _worth(losses, band)]
    hardest = bands[-1]
    for grouping in findings.facts.groups:
        rows = losses[(losses["grouping"] == grouping) & (losses["band"] == hardest)]
        first: list[Any] = rows.sort_values("loss", ascending=False).to_dict("records")
        worst, best = first[0], first[-1]
        often = max(first, key=lambda row: float(row["worst"]))
        clear = "" if worst["low"] > best["high"] else " The intervals overlap: who loses more is open."
        text.append(
            f"- By {grouping}, at a sparsity of {hardest}: **{worst['group']}** loses most, {_points_of(worst)} of a "
            f"dense {100 * worst['dense']:.1f} (n = {worst['samples']}); {best['group']} least, {_points_of(best)} "
            f"(n = {best['samples']}). {often['group']} loses most in {100 * often['worst']:.0f} % of the networks."
            + clear
        )
    text.append("")
    for grouping in findings.effects:
        table = losses[losses["grouping"] == grouping]
        heads = [grouping, "samples", "dense accuracy", *(f"loss at {band}" for band in bands), "loss, all", "worst in"]
        rows_of = []
        for group, rows in table.groupby("group", sort=False):
            by_band = {str(row["band"]): row for row in rows.to_dict("records")}
            every: Any = by_band["all"]
            rows_of.append(
                [str(group), str(every["samples"]), f"{100 * every['dense']:.1f}"]
                + [_points_of(by_band[band]) for band in [*bands, "all"]]
                + [f"{100 * every['worst']:.0f} %"]
            )
        text += [_table(heads, rows_of)]
    counts = losses[losses["grouping"] == "class"].drop_duplicates("band").set_index("band")["networks"]
    text.append("Networks by band: " + ", ".join(f"{band}: {counts[band]:,}" for band in counts.index) + ".")
    text.append(
        f"All groupings are in `losses.csv`. Bands with less than {100 * WORTH_A_ROW:.0f} % of the networks are"
    )
    text += ["not in the tables.", ""]
    return "\n".join(text)


def _factors(findings: "Findings") -> str:
    heads = ["criterion", "sparsity", "networks", "accuracy", "worst group", "worst class", "gap", "CWV", "MCD"]
    losses = ("accuracy_loss", "worst_group_loss", "worst_class_loss", "loss_gap")
    rows = [
        [str(row["criterion"]), str(row["band"]), f"{row['networks']:,}"]
        + [f"{100 * row[name]:.1f}" for name in losses]
        + [f"{row['cwv']:.3f}", f"{row['mcd']:.3f}"]
        for row in findings.by_criterion.to_dict("records")
    ]
    text = [
        "## By criterion",
        "",
        "Mean losses in points over the pruned networks; CWV and MCD as they are. By scope: `losses_by_factor.csv`.",
        "",
        _table(heads, rows),
        f"Worst group and gap are over {findings.group}; the gap is the most minus the least that a group loses.",
        "The worst of several groups loses something by chance alone: compare rows, not single figures with 0.",
        "",
    ]
    return "\n".join(text)


def _regression(findings: "Findings") -> str:
    text = ["## What the losses depend on", "", "![Effects](effects.png)", ""]
    for grouping, (by_network, by_base) in findings.effects.items():
        attrs = by_network.attrs
        names = len(findings.facts.names[grouping])
        text += [
            f"### By {grouping}",
            "",
            f"`{attrs['formula']}`: least squares over {attrs['rows']:,} rows (a row a pruned network and group), "
            f"R squared {attrs['r_squared']:.2f}. The change is pruned minus dense, so minus is a loss; in points. "
            "`sparsity` counts tenths from 50 %; `share` doublings of the share in training, from an even one; "
            "`complexity` tenths from the mean, where 1 is the dense network guessing evenly on the group's training "
            "samples (mean entropy)."
            + "".join(f" Reference {name}: {level}." for name, level in attrs["references"].items()),
            "",
        ]
        if left := findings.left_out[grouping]:
            text += [f"Left out, because dense networks get less than a tenth of it right: {', '.join(left)}.", ""]
        heads = ["term", "effect", "95 %, by network"] + (["95 %, by architecture"] if by_base is not None else [])
        rows = []
        for number, row in enumerate(by_network.to_dict("records")):
            cells = [str(row["term"]), f"{100 * row['estimate']:+.2f}", _range(row)]
            rows.append(cells + ([_range(by_base.iloc[number])] if by_base is not None else []))
        text.append(_table(heads, rows))
        clusters = f"{attrs['clusters']:,} networks"
        if by_base is not None:
            clusters += f" or {by_base.attrs['clusters']:,} architectures"
        text += [
            (
                f"Standard errors are robust to {clusters} as clusters. Share and complexity vary over {names} "
                "groups only: their effects tell these groups apart, and are no law for others."
            ),
            "",
        ]
    return "\n".join(text)


def _forecast(findings: "Findings") -> str:
    quality, risk = findings.forecast.quality, findings.forecast.risk
    everyone = quality[quality["grouping"] == "all"].set_index("score")
    names = {"fitted": "logistic regression on all three"}
    told = "; ".join(
        f"{names.get(score, f'{score} alone')} {_auc(everyone.loc[score])}" for score in everyone.index[::-1]
    )
    rows = []
    for row in quality[(quality["score"] == "fitted") & (quality["grouping"] != "all")].to_dict("records"):
        same = risk[(risk["grouping"] == row["grouping"]) & (risk["group"] == row["group"])].iloc[0]
        rows.append(
            [
                str(row["grouping"]),
                str(row["group"]),
                f"{row['samples']}",
                _auc(row),
                f"{100 * same['forecast']:.1f}",
                f"{100 * same['observed']:.1f}",
            ]
        )
    return "\n".join(
        [
            "## Who will suffer, told from the dense network alone",
            "",
            "![Forecast](forecast.png)",
            "",
            "A prediction flips where the pruned network says another label than the dense one. From the dense",
            "network's confidence, margin and entropy on a sample, without its label, the chance of a flip was",
            f"forecast for samples that were held out. AUC over all: {told}.",
            "",
            _table(["grouping", "group", "samples", "AUC within", "flips forecast (%)", "flips observed (%)"], rows),
            "Where more flips are observed than forecast, a group is harmed beyond what uncertainty shows.",
            "",
        ]
    )


def _points(findings: "Findings") -> str:
    choice, front = findings.choice, findings.front
    text = [
        "## Operating points",
        "",
        "![Pareto front](pareto.png)",
        "",
        f"{len(front):,} networks are on the front of sparsity, accuracy and {findings.imbalance.title} (`front.csv`).",
        "",
    ]
    limits = " and ".join(f"`{cost.limit}`" for cost in choice.costs)
    if choice.point is None:
        text.append(f"None is within {limits}.")
    else:
        p = choice.point
        text.append(
            f"The sparsest within {limits}: {p['id']}, sparsity {100 * p['sparsity']:.1f} %, {int(p['params']):,} "
            f"parameters, accuracy {p['accuracy']:.4f}, worst group's loss {100 * p['worst_group_loss']:.1f} points."
        )
    for cost in choice.costs:
        best = "still none" if cost.best is None else f"{100 * cost.best:.1f} % sparsity would be open"
        price = "" if cost.cost is None else f" (it costs {100 * cost.cost:.1f} points of sparsity)"
        text.append(f"Without `{cost.limit}` {best}{price}.")
    text += [
        "The part that was measured also chose the point: judge it on the test part before relying on it.",
        "",
        "`evo-fair operating-point FOLDER --constraint 'worst_group_loss<=0.02' --maximise sparsity` asks for others.",
        "",
    ]
    return "\n".join(text)


def _not_measured(folder: AuditFolder, findings: "Findings") -> str:
    about = folder.configuration
    networks = findings.networks
    points = [f"the test part, and samples of unknown {' or '.join(about['groupings'])} in the figures by group"]
    if about["source"] == "proxy":
        points += [
            "training after pruning (fine-tuning, rewinding, starting anew), after which losses can fall on others",
            "single weights (unstructured pruning), and networks that were trained alone",
            "other trainings of the supernet: all figures are of one, with one seed",
        ]
    else:
        points.append("other networks, and other trainings of this one: all figures are of one dense network")
    points.append(f"sparsities above {100 * networks['sparsity'].max():.0f} % of the parameters")
    few = findings.losses[
        (findings.losses["samples"] < 30) & (findings.losses["grouping"].isin(["class", findings.group]))
    ]
    if len(few):
        names = ", ".join(
            f"{row['group']} ({row['samples']})" for row in few.drop_duplicates("group").to_dict("records")
        )
        points.append(f"small groups with any certainty: {names} samples")
    return "\n".join(
        [
            "## What was not measured",
            "",
            *(f"- {point};" for point in points[:-1]),
            f"- {points[-1]}.",
            "",
            (
                f"Made by evo_fair {about['evo_fair']}, statsmodels {version('statsmodels')}, scikit-learn "
                f"{version('scikit-learn')}. Data: {about['data']['name']}, {about['data']['licence']}."
            ),
            "",
        ]
    )


def _worth(losses: pd.DataFrame, band: str) -> bool:
    counts = losses.drop_duplicates("band").set_index("band")["networks"]
    return bool(counts[band] >= WORTH_A_ROW * counts["all"])


def _points_of(row: Any) -> str:
    return f"{100 * row['loss']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _range(row: Any) -> str:
    return f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"


def _auc(row: Any) -> str:
    return f"{row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(heads), ["---"] + ["---:"] * (len(heads) - 1), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)

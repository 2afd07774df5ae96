"""The sections of an audit's report that say what was found: who loses, by which criterion, by what, and who will."""

from typing import Any

import numpy as np
import pandas as pd

from evo_fair.auditing.findings import FEWEST_CLUSTERS, Findings
from evo_fair.show import markdown, markdown_code, markdown_table

__all__ = ["by_criterion", "forecast", "regression", "who_loses"]

WORTH_A_ROW = 0.02
"""A band of sparsity with a smaller share of the networks is not shown in tables."""


def who_loses(findings: Findings) -> str:
    """The losses of each class and group by band of sparsity, and who loses most, as Markdown.

    Args:
        findings: What the audit found.
    """
    losses = findings.losses
    text = ["## Who loses", "", "![Losses by group](losses.png)", ""]
    bands = [band for band in dict.fromkeys(losses["band"]) if band != "all" and _worth(losses, band)]
    hardest = bands[-1] if bands else "all"
    where = f"at a sparsity of {hardest}" if bands else "over all pruned networks"
    for grouping in findings.facts.groups:
        rows = losses[(losses["grouping"] == grouping) & (losses["band"] == hardest)]
        text.append(_most(rows, grouping, where))
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
        text += [markdown_table(heads, rows_of)]
    counts = losses[losses["grouping"] == "class"].drop_duplicates("band").set_index("band")["networks"]
    text.append("Networks by band: " + ", ".join(f"{band}: {counts[band]:,}" for band in counts.index) + ".")
    text.append(
        f"All groupings are in `losses.csv`. Bands with less than {100 * WORTH_A_ROW:.0f} % of the networks are"
    )
    text += ["not in the tables.", ""]
    return "\n".join(text)


def _most(rows: pd.DataFrame, grouping: str, where: str) -> str:
    """Who loses most and least in a band, and whether the intervals tell them apart."""
    ordered: list[Any] = rows.sort_values("loss", ascending=False).to_dict("records")
    worst, best = ordered[0], ordered[-1]
    often = max(ordered, key=lambda row: float(row["worst"]))
    clear = " The intervals overlap: it is not known who loses more."
    if np.isnan([worst["low"], best["high"]]).any():
        clear = " No interval is known, nor who loses more."
    elif worst["low"] > best["high"]:
        clear = ""
    names = [markdown(row["group"]) for row in (worst, best, often)]
    return (
        f"- By {markdown(grouping)}, {where}: **{names[0]}** loses most, {_points_of(worst)} of a "
        f"dense {100 * worst['dense']:.1f} (n = {worst['samples']}); {names[1]} least, {_points_of(best)} "
        f"(n = {best['samples']}). {names[2]} loses most in {100 * often['worst']:.0f} % of the networks." + clear
    )


def by_criterion(findings: Findings) -> str:
    """Mean losses by criterion and band of sparsity, as Markdown.

    Args:
        findings: What the audit found.
    """
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
        markdown_table(heads, rows),
        f"Worst group and gap are over {markdown(findings.group)}; the gap is the most minus the least that a group",
        "loses.",
        "The worst of several groups loses something by chance alone: compare rows, not single figures with 0.",
        "",
    ]
    return "\n".join(text)


def regression(findings: Findings) -> str:
    """The effects of a regression by grouping, with intervals, as Markdown.

    Args:
        findings: What the audit found.
    """
    text = ["## What the losses depend on", ""]
    if any(by_network is not None for by_network, _ in findings.effects.values()):
        text += ["![Effects](effects.png)", ""]
    for grouping, (by_network, by_base) in findings.effects.items():
        if by_network is None:
            few = (
                f"Fewer than {FEWEST_CLUSTERS} pruned networks, or no group that has something to lose: no regression."
            )
            text += [f"### By {markdown(grouping)}", "", few, ""]
            continue
        attrs = by_network.attrs
        names = len(findings.facts.names[grouping])
        text += [
            f"### By {markdown(grouping)}",
            "",
            f"{markdown_code(attrs['formula'])}: least squares over {attrs['rows']:,} rows (a row a pruned network and "
            f"group), R squared {attrs['r_squared']:.2f}. The change is pruned minus dense, so minus is a loss; in "
            "points. `sparsity` counts tenths from 50 %; `share` doublings of the share in training, from an even one; "
            "`complexity` tenths from the mean, where 1 is the dense network guessing evenly on the group's training "
            "samples (mean entropy)."
            + "".join(
                f" Reference {markdown(name)}: {markdown(level)}." for name, level in attrs["references"].items()
            ),
            "",
        ]
        if left := findings.left_out[grouping]:
            why = "because dense networks get less than a tenth of it right or no training sample of it was looked at"
            text += [f"Left out, {why}: {', '.join(map(markdown, left))}.", ""]
        if same := attrs["left_out"]:
            text += [f"Not told apart from the terms above them, and left out: {', '.join(map(markdown, same))}.", ""]
        heads = ["term", "effect", "95 %, by network"] + (["95 %, by architecture"] if by_base is not None else [])
        rows = []
        for number, row in enumerate(by_network.to_dict("records")):
            cells = [str(row["term"]), f"{100 * row['estimate']:+.2f}", _range(row)]
            rows.append(cells + ([_range(by_base.iloc[number])] if by_base is not None else []))
        text.append(markdown_table(heads, rows))
        clusters = f"{attrs['clusters']:,} networks"
        if by_base is not None:
            clusters += f" or {by_base.attrs['clusters']:,} architectures"
        text += [
            (
                f"Standard errors are robust to {clusters} as clusters. Share and complexity vary over {names} "
                "groups only: their effects tell these groups apart, and say nothing about other groups."
            ),
            "",
        ]
    return "\n".join(text)


def forecast(findings: Findings) -> str:
    """How well flips are told from the dense network alone, by group, as Markdown.

    Args:
        findings: What the audit found.
    """
    if findings.forecast is None:
        few = (
            "Not enough flips for a forecast, or samples of one unit alone: it needs networks that flip some "
            "predictions and not all, and two units."
        )
        return "\n".join(["## Which predictions will flip, forecast from the dense network alone", "", few, ""])
    quality, risk = findings.forecast.quality, findings.forecast.risk
    everyone = quality[quality["grouping"] == "all"].set_index("score")
    names = {"fitted": "logistic regression on all three"}
    told = "; ".join(
        f"{names.get(score, f'{markdown(score)} alone')} {_auc(everyone.loc[score])}" for score in everyone.index[::-1]
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
            "## Which predictions will flip, forecast from the dense network alone",
            "",
            "![Forecast](forecast.png)",
            "",
            "A prediction flips where the pruned network says another label than the dense one. From the dense",
            "network's confidence, margin and entropy on a sample, without its label, the chance of a flip was",
            f"forecast for samples that were held out. AUC over all: {told}.",
            "",
            markdown_table(
                ["grouping", "group", "samples", "AUC within", "flips forecast (%)", "flips observed (%)"], rows
            ),
            "Where more flips are observed than forecast, a group is harmed beyond what uncertainty shows.",
            "",
        ]
    )


def _worth(losses: pd.DataFrame, band: str) -> bool:
    counts = losses.drop_duplicates("band").set_index("band")["networks"]
    return bool(counts[band] >= WORTH_A_ROW * counts["all"])


def _points_of(row: Any) -> str:
    """A loss with its interval; without it where a class or group has too few units for one."""
    if np.isnan([row["low"], row["high"]]).any():
        return f"{100 * row['loss']:.1f}"
    return f"{100 * row['loss']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _range(row: Any) -> str:
    return f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"


def _auc(row: Any) -> str:
    if np.isnan(row["auc"]):  # nothing in the group flips, or everything
        return "-"
    if np.isnan([row["low"], row["high"]]).any():
        return f"{row['auc']:.3f}"
    return f"{row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"

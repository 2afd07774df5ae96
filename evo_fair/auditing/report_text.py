"""The words of an audit's report: what was measured, the sections of findings, operating points, what is not known."""

from importlib.metadata import version
from typing import Any

import pandas as pd

from evo_fair.auditing.findings import Findings
from evo_fair.auditing.report_sections import by_criterion, forecast, regression, who_loses
from evo_fair.auditing.store import AuditFolder
from evo_fair.show import markdown, markdown_code

__all__ = ["report_text"]


def report_text(folder: AuditFolder, findings: Findings) -> str:
    """The report as Markdown.

    Args:
        folder: The audit's folder.
        findings: What the audit found.
    """
    parts = [
        _what(folder, findings),
        who_loses(findings),
        by_criterion(findings),
        regression(findings),
        forecast(findings),
        _points(findings),
        _not_measured(folder, findings),
    ]
    return "\n".join(parts)


def _what(folder: AuditFolder, findings: Findings) -> str:
    about = folder.configuration
    networks, facts = findings.networks, findings.facts
    pruned = networks[~networks["dense"].to_numpy(bool)]
    whole = networks["base"].nunique()
    groupings = " and by ".join(map(markdown, ("class", *about["groupings"])))
    origin = "the dense one" if whole == 1 else f"the {whole:,} dense ones"
    lines = [
        f"# Whom pruning harms: {markdown(about['data']['name'])}",
        "",
        f"{len(networks):,} networks were measured: {len(pruned):,} pruned ones and {origin}",
        f"that they come from. The measure is accuracy on the {len(facts.target):,} samples of the {about['part']}",
        f"part, by {groupings}; a loss is the dense network's accuracy minus the",
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
    names = {
        key: ", ".join(map(markdown, grid.get(key, ()))) for key in ("criteria", "scopes", "structures", "treatments")
    }
    return (
        f"Criteria: {names['criteria']}. Scopes: {names['scopes']}. Target sparsities: {aims} %; "
        f"reached: {least:.0f} to {most:.0f} %, as shares of parameters. Seeds: {', '.join(map(str, grid['seeds']))}"
        + (f"; seed of the plan: {grid['seed']}." if "seed" in grid else ".")
        + (f" Structures: {names['structures']}." if "structures" in grid else "")
        + (f" Treatments: {names['treatments']}." if "treatments" in grid else "")
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
        f"**What was pruned.** One trained network, {markdown(about['network']['name'])}, by every combination of "
        f"criterion, structure, scope, treatment, sparsity and seed. Those that train spend {about['grid']['epochs']} "
        "epochs. Target sparsities are shares of channels or of single weights; those reached count the parameters "
        "that are gone or 0."
    )


def _points(findings: Findings) -> str:
    choice, front = findings.choice, findings.front
    text = [
        "## Operating points",
        "",
        "![Pareto front](pareto.png)",
        "",
        f"{len(front):,} networks are on the front of sparsity, accuracy and {markdown(findings.imbalance.title)}",
        "(`front.csv`).",
        "",
    ]
    limits = " and ".join(markdown_code(cost.limit) for cost in choice.costs)
    if choice.point is None:
        text.append(f"None is within {limits}.")
    else:
        p = choice.point
        text.append(
            f"The sparsest within {limits}: {markdown(p['id'])}, sparsity {100 * p['sparsity']:.1f} %, "
            f"{int(p['params']):,} parameters, accuracy {p['accuracy']:.4f}, worst group's loss "
            f"{100 * p['worst_group_loss']:.1f} points."
        )
    for cost in choice.costs:
        best = "still none" if cost.best is None else f"{100 * cost.best:.1f} % sparsity would be possible"
        price = "" if cost.cost is None else f" (it costs {100 * cost.cost:.1f} points of sparsity)"
        text.append(f"Without {markdown_code(cost.limit)} {best}{price}.")
    text += [
        "The part that was measured also chose the point: judge it on the test part before relying on it.",
        "",
        "`evo-fair operating-point FOLDER --constraint 'worst_group_loss<=0.02' --maximise sparsity` asks for others.",
        "",
    ]
    return "\n".join(text)


def _not_measured(folder: AuditFolder, findings: Findings) -> str:
    about = folder.configuration
    networks = findings.networks
    points = ["the test part"]
    if about["groupings"]:
        points[0] += (
            f", and samples of unknown {' or '.join(map(markdown, about['groupings']))} in the figures by group"
        )
    if about["source"] == "proxy":
        points += [
            "training after pruning (fine-tuning, rewinding, starting again), after which losses can fall on others",
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
            f"{markdown(row['group'])} ({row['samples']})" for row in few.drop_duplicates("group").to_dict("records")
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
                f"{version('scikit-learn')}. Data: {markdown(about['data']['name'])}, "
                f"{markdown(about['data']['licence'])}."
            ),
            "",
        ]
    )

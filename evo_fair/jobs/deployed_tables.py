"""What a deployment says of its networks: times, figures on the test part, and the end of each network's card."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from evo_fair.evolution import Objective
from evo_fair.export.examine import Examiner
from evo_fair.export.reference import Reference
from evo_fair.export.report import Deployed, deployed_table, time_networks
from evo_fair.export.workshop import Workshop
from evo_fair.files import write_json
from evo_fair.jobs.listener import Listener
from evo_fair.latency import Profile
from evo_fair.report import Run

__all__ = ["complete_cards", "write_timings_and_table"]


def write_timings_and_table(
    workshop: Workshop,
    chosen: Sequence[str],
    references: Sequence[Reference],
    profiles: Sequence[Profile],
    objectives: Sequence[Objective],
    listener: Listener,
) -> pd.DataFrame:
    """Times the deployed networks and the references, and examines them on the test part; writes `timing.json`.

    Returns the table of a deployment, a row a network and precision, with what the search's predictive `objectives`
    say of the test part.
    """
    networks = [
        Deployed(name, "front", precision, path, workshop.files(name)["fp32"], workshop.scaling)
        for name in chosen
        for precision, path in workshop.files(name).items()
    ]
    networks += [
        Deployed(other.name, "reference", other.precision, other.path, other.path, other.scaling)
        for other in references
    ]
    timings = time_networks(networks, listener.timing, workshop.seed)
    conditions = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "runtime": f"ONNX Runtime {version('onnxruntime')}, 1 thread",
        "rounds": len(timings.rounds),
        "repeatability": timings.repeatability,
        "spread": timings.spread,
        "drift": timings.drift,
    }
    write_json(workshop.folder / "timing.json", conditions)
    table = deployed_table(networks, timings, profiles, _examiner(workshop, objectives))
    if workshop.even_groups is not None:
        _add_evenness(workshop, table)
    return table


def _examiner(workshop: Workshop, objectives: Sequence[Objective] = ()) -> Examiner:
    groupings = dict.fromkeys((workshop.grouping, *workshop.problem.fairness.groupings))
    return Examiner(workshop.dataset, "test", tuple(groupings), workshop.seed, objectives=objectives)


def _add_evenness(workshop: Workshop, table: pd.DataFrame) -> None:
    """Adds to the table what moving the outputs was allowed, and did on validation samples it was not fitted to.

    `even_groups` is the accuracy that it might cost, `even_strength` how far it went, from 0 (not at all) to 1,
    `held_out_accuracy_lost` and `held_out_group_variance_lost` what accuracy and the variance of the groups' fell by.
    References have NaN.
    """
    columns = ("even_groups", "even_strength", "held_out_accuracy_lost", "held_out_group_variance_lost")
    found = {name: np.full(len(table), np.nan) for name in columns}
    for row, (network, role) in enumerate(zip(table["id"], table["role"], strict=True)):
        if role != "front":
            continue
        evened = workshop.piece(str(network)).content["even_groups"]
        held = evened["held_out"]
        lost = (held[f"{name}_without"] - held[name] for name in ("accuracy", "group_variance"))
        for name, value in zip(columns, (evened["epsilon"], evened["strength"], *lost), strict=True):
            found[name][row] = value
    for name, values in found.items():
        table[name] = values


def complete_cards(workshop: Workshop, run: Run, rows: pd.DataFrame) -> None:
    """Completes each network's card by what the search said of it, and by what the test part says.

    `searched` has each objective's measured value, and what was believed of it where that is known. `test` has, by
    precision, the figures with their intervals, and of accuracies the number of samples.
    """
    believed, axes = run.believed(), [axis.name for axis in run.axes]
    searched = {str(row["id"]): {name: float(row[name]) for name in axes} for row in run.front.to_dict("records")}
    names = [str(name) for name in rows if f"{name}_low" in rows]
    samples = _examiner(workshop).samples()
    for network, own in rows.groupby("id", sort=False):
        piece = workshop.piece(str(network))
        card = piece.content
        card["searched"] = {
            "objectives": searched[str(network)],
            "believed": believed.get(str(network), {}),
        }
        card["test"] = {
            str(row["precision"]): {name: _figure(row, name, samples) for name in names if pd.notna(row[name])}
            for row in own.to_dict("records")
        }
        piece.finish(card)


def _figure(row: Mapping[Any, Any], name: str, samples: Mapping[str, int]) -> dict[str, float | None]:
    ends = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
    found = {end: _plain(row[column]) for end, column in ends.items()}
    return found | ({"samples": samples[name]} if name in samples else {})


def _plain(number: float) -> float | None:
    return None if np.isnan(number) else float(number)

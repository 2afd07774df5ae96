"""What an audit found: losses by group, what they depend on, a forecast, the front, and an operating point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from evo_fair.auditing.dense import DenseFacts
from evo_fair.auditing.effects import changes_of, effects
from evo_fair.auditing.flips import FlipForecast, count_flips, forecast_flips
from evo_fair.auditing.losses import losses_by_factor, losses_by_group
from evo_fair.auditing.store import AuditFolder
from evo_fair.data import Dataset
from evo_fair.errors import AuditError, ConstraintError, UnknownNameError
from evo_fair.evolution import Axis, non_dominated, parse_limit, to_minimise
from evo_fair.fairness import METRICS
from evo_fair.report.operating_point import Choice, choose, table_axes

__all__ = ["FEWEST_CLUSTERS", "IMBALANCES", "LIMITS", "LOSSES", "Findings", "check_groups", "check_wishes", "find"]

IMBALANCES = ("worst_group_loss", "worst_class_loss", "loss_gap", "cwv", "mcd", "unfairness", "accuracy_gap")
"""What can be the third objective of the front: of each of them less is better."""
LIMITS = ("worst_group_loss <= 0.02", "accuracy_loss <= 0.01")
FEWEST_CLUSTERS = 20
"""Intervals that are robust to fewer clusters are too narrow to be shown."""
LOSSES = ("accuracy_loss", "worst_group_loss", "worst_class_loss", "loss_gap", "cwv", "mcd")

Estimate = TypeVar("Estimate")


@dataclass(frozen=True)
class Findings:
    """What an audit found; `effects` by grouping, once with a cluster a network and once with one an architecture.

    Effects and forecast are None where there are too few networks, or flips, to estimate them.
    """

    networks: pd.DataFrame
    facts: DenseFacts
    group: str
    imbalance: Axis
    losses: pd.DataFrame
    by_criterion: pd.DataFrame
    by_scope: pd.DataFrame
    effects: dict[str, tuple[pd.DataFrame | None, pd.DataFrame | None]]
    left_out: dict[str, list[str]]
    forecast: FlipForecast | None
    front: pd.DataFrame
    choice: Choice

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Sparsity, accuracy and the imbalance."""
        return (Axis("sparsity", "max"), Axis("accuracy", "max"), self.imbalance)


def check_wishes(imbalance: str, limits: Sequence[str] = LIMITS, source: str = "proxy") -> None:
    """Raises, before anything is measured, what `find` would raise of them; `source` is `proxy` or `network`.

    `UnknownNameError` for an imbalance that audits don't measure, `ConstraintError` for
    a limit that can't be read or is not of a figure that audits measure.

    Args:
        imbalance: The third objective.
        limits: Limits such as `worst_group_loss <= 0.02`. Default: `LIMITS`.
        source: `proxy` or `network`, what is audited. Default: `proxy`.
    """
    if imbalance not in IMBALANCES:
        raise UnknownNameError("imbalance", imbalance, list(IMBALANCES))
    known = sorted({"sparsity", "params", *(["macs"] if source == "proxy" else []), *METRICS, *LOSSES})
    for limit in map(parse_limit, limits):
        if limit.name not in known and not limit.name.startswith("accuracy["):
            raise ConstraintError(
                f"can't use the limit {limit.text!r}: {UnknownNameError('metric', limit.name, known)}"
            )


def check_groups(limits: Sequence[str], dataset: Dataset, groupings: Sequence[str]) -> None:
    """Raises `ConstraintError` for a limit on the accuracy of a group that no class and none of `groupings` is.

    Args:
        limits: Limits such as `worst_group_loss <= 0.02`.
        dataset: The data set.
        groupings: The groupings' names.
    """
    names = dict.fromkeys((*groupings, "class"))
    known = [f"accuracy[{name}:{group}]" for name in names for group in dataset.grouping(name).names]
    for limit in map(parse_limit, limits):
        if limit.name.startswith("accuracy[") and limit.name not in known:
            raise ConstraintError(
                f"can't use the limit {limit.text!r}: {UnknownNameError('metric', limit.name, known)}"
            )


def find(
    folder: AuditFolder, imbalance: str = "worst_group_loss", limits: Sequence[str] = LIMITS, seed: int = 0
) -> Findings:
    """Works out what a finished audit says; `seed` is that of the bootstrap.

    Args:
        folder: The finished audit.
        imbalance: The third objective. Default: `worst_group_loss`.
        limits: Limits such as `worst_group_loss <= 0.02`. Default: `LIMITS`.
        seed: The seed, 0 or more. Default: 0.
    """
    networks = folder.read_table()
    check_wishes(imbalance, limits, str(folder.configuration["source"]))
    facts = DenseFacts.read(folder.path / "dense.npz")
    predictions = folder.predictions[folder.networks["id"].isin(networks["id"]).to_numpy(bool)]
    group = str(folder.configuration["group"])
    groupings = tuple(dict.fromkeys(("class", group)))
    fitted: dict[str, tuple[pd.DataFrame | None, pd.DataFrame | None]] = {}
    left_out = {}
    for grouping in groupings:
        changes = changes_of(networks, facts, grouping)
        groups = len(facts.names[grouping])
        by_network, by_base = (
            _or_none(effects, changes, cluster, groups=groups)
            if changes[cluster].nunique() >= FEWEST_CLUSTERS
            else None
            for cluster in ("id", "base")
        )
        fitted[grouping] = (by_network, by_base)
        left_out[grouping] = list(changes.attrs["left_out"])
    flips, counts = count_flips(networks, predictions, facts)
    axes = (Axis("sparsity", "max"), Axis("accuracy", "max"), Axis(imbalance, "min"))
    points = to_minimise(networks[[axis.name for axis in axes]].to_numpy(float), axes)
    return Findings(
        networks=networks,
        facts=facts,
        group=group,
        imbalance=axes[2],
        losses=losses_by_group(networks, predictions, facts, np.random.default_rng(seed)),
        by_criterion=losses_by_factor(networks, "criterion", LOSSES),
        by_scope=losses_by_factor(networks, "scope", LOSSES),
        effects=fitted,
        left_out=left_out,
        forecast=_or_none(forecast_flips, facts, flips, counts, groupings, np.random.default_rng(seed)),
        front=networks[non_dominated(points)].sort_values(["sparsity", "id"]).reset_index(drop=True),
        choice=choose(networks, limits, maximise="sparsity", axes=table_axes(networks, limits, "sparsity", "max")),
    )


def _or_none(estimate: Callable[..., Estimate], *given: Any, **named: Any) -> Estimate | None:
    """What `estimate` returns of these arguments; None where it says that they are too few."""
    try:
        return estimate(*given, **named)
    except AuditError:
        return None

"""The figures of a pruned network beside its dense one: accuracy, fairness, degradation, size."""

from collections.abc import Mapping

import numpy as np
from torch import nn

from evo_fair.errors import DataError, UndefinedMetricError
from evo_fair.fairness import METRICS, Counts, group_accuracy
from evo_fair.pruning.selection import count_kept
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Pruned, Task

__all__ = ["check_groups", "degradation_fairness", "metrics_of", "performance_fairness", "size_of"]


def check_groups(task: Task, part: str) -> None:
    """Raises `DataError` naming the groups and labels without a sample in a part of the data."""
    samples = task.dataset.part(part)
    for name in ("class", task.group):
        grouping = task.dataset.grouping(name)
        held = set(grouping.index[samples].tolist())
        lacking = [group for number, group in enumerate(grouping.names) if number not in held]
        if lacking:
            what = "label" if name == "class" else name
            raise DataError(
                f"{task.dataset.name}: {what} {', '.join(map(repr, lacking))} has no sample in the {part} part: "
                "give some, use a coarser grouping, or other fractions"
            )


def metrics_of(counts: Counts) -> dict[str, float | None]:
    """Every metric of one network; None where it has no value on these samples."""
    found: dict[str, float | None] = {}
    for name, metric in METRICS.items():
        try:
            found[name] = float(metric(counts)[0])
        except UndefinedMetricError:
            found[name] = None
    return found


def performance_fairness(counts: Counts) -> float:
    """max |A(D+) - A(D-)| over pairs of groups, after BiFP (arXiv 2312.10181)."""
    return float(np.ptp(group_accuracy(counts)[0]))


def degradation_fairness(dense: Counts, pruned: Counts) -> float:
    """max |R(D+) - R(D-)| over pairs of groups with R = A(dense) - A(pruned) of a group, after BiFP."""
    return float(np.ptp(group_accuracy(dense)[0] - group_accuracy(pruned)[0]))


def size_of(pruned: Pruned, structure: Structure, network: nn.Module) -> Mapping[str, int | float]:
    """The share that left, and the parameters of the network that is deployed, all and those that are not 0."""
    kept, of = count_kept(pruned.mask, structure)
    parameters = [parameter.detach() for parameter in network.parameters()]
    return {
        "sparsity_reached": 1 - kept / of,
        "params": sum(parameter.numel() for parameter in parameters),
        "nonzero_params": sum(int(parameter.count_nonzero()) for parameter in parameters),
    }

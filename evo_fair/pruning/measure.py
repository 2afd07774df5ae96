"""The figures of a pruned network beside its dense one: accuracy, fairness, degradation, size."""

from collections.abc import Mapping

import numpy as np
from torch import nn

from evo_fair.fairness import Counts, group_accuracy, measure_all
from evo_fair.pruning.selection import count_kept
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Pruned

__all__ = ["degradation_fairness", "metrics_of", "parameters_of", "performance_fairness", "size_of"]


def metrics_of(counts: Counts) -> dict[str, float | None]:
    """Every metric of one network; None where it has no value on these samples."""
    return {name: None if value is None else float(value[0]) for name, value in measure_all(counts).items()}


def performance_fairness(counts: Counts) -> float:
    """max |A(D+) - A(D-)| over pairs of groups, after BiFP (arXiv 2312.10181)."""
    return float(np.ptp(group_accuracy(counts)[0]))


def degradation_fairness(dense: Counts, pruned: Counts) -> float:
    """max |R(D+) - R(D-)| over pairs of groups with R = A(dense) - A(pruned) of a group, after BiFP."""
    return float(np.ptp(group_accuracy(dense)[0] - group_accuracy(pruned)[0]))


def size_of(pruned: Pruned, structure: Structure, network: nn.Module) -> Mapping[str, int | float]:
    """`sparsity`, the share of channels or single weights that left, and `parameters_of` the `network` deployed."""
    kept, of = count_kept(pruned.mask, structure)
    return {"sparsity": 1 - kept / of, **parameters_of(network)}


def parameters_of(network: nn.Module) -> dict[str, int]:
    """How many parameters there are, `params`, and how many are not 0, `nonzero_params`."""
    parameters = [parameter.detach() for parameter in network.parameters()]
    return {
        "params": sum(parameter.numel() for parameter in parameters),
        "nonzero_params": sum(int(parameter.count_nonzero()) for parameter in parameters),
    }

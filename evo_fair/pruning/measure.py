"""The figures of a pruned network beside its dense one: accuracy, fairness, degradation, size."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

from evo_fair.fairness import Counts, group_accuracy, measure_all
from evo_fair.latency.onnx_graph import GraphLayers
from evo_fair.pruning.selection import count_kept
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Pruned

__all__ = [
    "degradation_fairness",
    "metrics_of",
    "parameters_in",
    "parameters_of",
    "performance_fairness",
    "sparsity_of",
]


def metrics_of(counts: Counts) -> dict[str, float | None]:
    """Every metric of one network; None where it has no value on these samples.

    Args:
        counts: Counts of one network.
    """
    return {name: None if value is None else float(value[0]) for name, value in measure_all(counts).items()}


def performance_fairness(counts: Counts) -> float:
    """max |A(D+) - A(D-)| over pairs of groups, after BiFP (arXiv 2312.10181).

    Args:
        counts: Counts of one network.
    """
    return float(np.ptp(group_accuracy(counts)[0]))


def degradation_fairness(dense: Counts, pruned: Counts) -> float:
    """max |R(D+) - R(D-)| over pairs of groups with R = A(dense) - A(pruned) of a group, after BiFP.

    Args:
        dense: Counts of the dense network.
        pruned: Counts of the pruned network.
    """
    return float(np.ptp(group_accuracy(dense)[0] - group_accuracy(pruned)[0]))


def sparsity_of(pruned: Pruned, structure: Structure) -> float:
    """The share of channels or single weights that left.

    Args:
        pruned: The pruned network.
        structure: The weights and channels that can leave.
    """
    kept, of = count_kept(pruned.mask, structure)
    return 1 - kept / of


def parameters_in(path: Path, graph: GraphLayers | None) -> dict[str, int]:
    """How many parameters an ONNX file has, as its `graph` counts them, and how many of them are not 0.

    Without a graph, every stored number is one.

    Args:
        path: The file.
        graph: What the file holds.
    """
    stored = [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer]
    floats = [tensor for tensor in stored if tensor.dtype.kind == "f"]
    params = sum(tensor.size for tensor in floats) if graph is None else graph.params
    return {"params": params, "nonzero_params": params - sum(int((t == 0).sum()) for t in floats if t.ndim > 1)}


def parameters_of(network: nn.Module) -> dict[str, int]:
    """How many parameters there are, `params`, batch norm's among them, and how many are not 0, `nonzero_params`.

    Args:
        network: The network.
    """
    parameters = [parameter.detach() for parameter in network.parameters()]
    return {
        "params": sum(parameter.numel() for parameter in parameters),
        "nonzero_params": sum(int(parameter.count_nonzero()) for parameter in parameters),
    }

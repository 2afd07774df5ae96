"""Offsets of a finished network's outputs with which it is right for groups more evenly, put into its biases."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.nets import Network
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.inputs import Scaling
from evo_fair.proxy import predict_logits
from evo_fair.pruning.offsets import FOLDS, Outputs, held_offsets, log_shares

__all__ = ["check_even_groups", "even_outputs"]

CHUNK = 1024
"""How many samples are normalised at a time: a training part in float32 would not fit everywhere."""


def check_even_groups(epsilon: float | None) -> None:
    """Raises `EvoFairError` unless `epsilon` is None or a share of accuracy, at least 0 and below 1."""
    if epsilon is not None and not 0 <= epsilon < 1:
        raise EvoFairError(
            f"even groups {epsilon:g} is outside [0, 1): give the share of accuracy that may be lost, such as 0.01"
        )


def even_outputs(
    network: nn.Module,
    dataset: Dataset,
    grouping: str,
    scaling: Scaling,
    epsilon: float,
    bias: nn.Parameter | None = None,
    device: TorchDevice = CPU,
) -> dict[str, Any]:
    """Moves the biases of a network's outputs in place, and says for its card how, and what that does.

    They are `bias`, by default those of a `Network`'s classifier. The offsets, one a
    label, are fitted to the validation part and, with less weight, the training part;
    how far they are taken is decided on validation samples that they were not fitted
    to, at most `epsilon` of whose accuracy may be lost (`held_offsets`). The test part
    is not looked at. `held_out` are the figures of those samples: accuracy and the
    variance of the groups', for which training samples count too.

    Args:
        network: The network.
        dataset: The data set.
        grouping: The grouping's name.
        scaling: How raw inputs are normalised.
        epsilon: The accuracy that may be lost, 0.01 for a point.
        bias: The biases of the outputs. Default: those of a `Network`'s classifier.
        device: Where the network is evaluated. Default: the CPU.
    """
    parts = {name: _outputs(network, dataset, name, grouping, scaling, device) for name in ("validation", "train")}
    validation, training = parts["validation"], parts["train"]
    labels = len(dataset.label_names)
    found = held_offsets(
        validation,
        training,
        dataset.units[dataset.part("validation")],
        log_shares(training.labels, labels),
        validation.right(np.zeros(labels)),
        epsilon,
    )
    if bias is None:
        assert isinstance(network, Network)
        bias = network.classifier.bias
    with torch.no_grad():
        bias.add_(torch.from_numpy(found.offsets).float().to(bias.device))
    return {
        "grouping": grouping,
        "epsilon": epsilon,
        "strength": found.strength,
        "offsets": dict(zip(dataset.label_names, map(float, found.offsets), strict=True)),
        "part": "validation",
        "folds": FOLDS,
        "held_out": {
            "accuracy": found.accuracy,
            "accuracy_without": found.without[0],
            "group_variance": found.spread,
            "group_variance_without": found.without[1],
        },
    }


def _outputs(
    network: nn.Module, dataset: Dataset, part: str, grouping: str, scaling: Scaling, device: TorchDevice
) -> Outputs:
    samples = dataset.part(part)
    chunks: list[npt.NDArray[np.float32]] = [
        predict_logits(network, scaling(dataset.inputs[samples[start : start + CHUNK]]), device)
        for start in range(0, len(samples), CHUNK)
    ]
    return Outputs(np.concatenate(chunks), dataset.labels[samples], dataset.grouping(grouping).index[samples])

"""A broken-off training as one safetensors file: its tensors, and how far it is as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from evo_fair.errors import RunError
from evo_fair.files import write_bytes

__all__ = [
    "Checkpoint",
    "momentum_tensors",
    "read_checkpoint",
    "restore_momentum",
    "stored_tensors",
    "write_checkpoint",
]


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stood after an epoch: what it wrote of its progress, and its tensors by name."""

    progress: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def stored_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """All that a network's state dictionary holds, as safetensors take it: contiguous, and no memory shared.

    A layer under two names has its tensors under both.
    """
    contiguous = torch.contiguous_format
    return {name: tensor.detach().clone(memory_format=contiguous) for name, tensor in network.state_dict().items()}


def write_checkpoint(
    path: Path, identity: str, progress: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Writes a checkpoint, atomically; `identity` is a hash of all that the weights depend on, `progress` JSON."""
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, {"progress": json.dumps({"identity": identity, **progress})}))


def read_checkpoint(path: Path, identity: str) -> Checkpoint | None:
    """The checkpoint at `path`, None where there is none; `RunError` for a damaged one or one of another training."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads((file.metadata() or {}).get("progress", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"cannot read the checkpoint {path}: {error}; remove it to train from the start") from error
    if not isinstance(progress, dict) or progress.get("identity") != identity:
        raise RunError(f"the checkpoint {path} is of another training: remove it, or name another file")
    return Checkpoint(progress, tensors)


def momentum_tensors(sgd: torch.optim.SGD, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The optimiser's momentum as `momentum.<name>`; there is none before the first step, or without it in the recipe.

    Each has its weight's shape.
    """
    found = {name: sgd.state[weight].get("momentum_buffer") for name, weight in weights.items()}
    return {f"momentum.{name}": momentum for name, momentum in found.items() if momentum is not None}


def restore_momentum(
    sgd: torch.optim.SGD, weights: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Gives the optimiser what `momentum_tensors` took from it, in each weight's own memory layout."""
    for name, weight in weights.items():
        if f"momentum.{name}" in tensors:
            sgd.state[weight]["momentum_buffer"] = torch.empty_like(weight.detach()).copy_(tensors[f"momentum.{name}"])

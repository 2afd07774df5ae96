"""Reading safetensors files that may be damaged: every fault is one kind of error, and tensors are held to a form."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open

from evo_fair.errors import in_a_line

__all__ = ["check_tensors", "read_tensors"]


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata; raises `ValueError` saying why it can't be read."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file, but a folder, a pipe or a device")
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except Exception as error:  # besides SafetensorError, kinds of numbers that torch lacks fail in ways of their own
        raise ValueError(in_a_line(error)) from error


def check_tensors(tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Size | tuple[int, ...]]) -> None:
    """Raises `ValueError` unless `tensors` are just the `wanted` names with those shapes, float32 and finite."""
    for name, shape in wanted.items():
        if name not in tensors:
            raise ValueError(f"it has no tensor {name!r}")
        tensor = tensors[name]
        if tuple(tensor.shape) != tuple(shape) or tensor.dtype != torch.float32:
            raise ValueError(f"its tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, not float32 {list(shape)}")
        if not math.isfinite(float(tensor.sum())) and not bool(tensor.isfinite().all()):
            raise ValueError(f"its tensor {name!r} holds numbers that are not finite")
    if extra := next((name for name in tensors if name not in wanted), None):
        raise ValueError(f"it has a tensor {extra[:80]!r} that does not belong there")

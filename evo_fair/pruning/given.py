"""Networks that users bring: a function in a file of theirs, and weights as safetensors."""

import importlib.util
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from evo_fair.errors import PruningError, in_a_line
from evo_fair.files import user_path

__all__ = ["load_module", "load_weights"]


def load_module(place: str) -> nn.Module:
    """The network that the function of `file.py:function` returns; the file is run as Python, as its owner wants.

    Raises `PruningError` where there is no such file or function, where it fails, or returns anything else.
    """
    file, colon, function = place.rpartition(":")
    path = user_path(file, PruningError)
    if not colon or not function.isidentifier() or path.suffix != ".py":
        raise PruningError(f"{place!r} names no network: write file.py:function, where the function returns it")
    if not path.is_file():
        raise PruningError(f"{path} does not exist: name the Python file whose {function}() returns the network")
    spec = importlib.util.spec_from_file_location(f"_evo_fair_given_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        made = getattr(module, function, None)
        if not callable(made):
            raise PruningError(f"{path} has no function {function!r}: define one that returns the network")
        network = made()
    except PruningError:
        raise
    except Exception as error:  # the user's own code can fail in any way
        raise PruningError(f"{place} fails with {type(error).__name__}: {in_a_line(error)}; mend it") from error
    if not isinstance(network, nn.Module):
        raise PruningError(f"{place} returns {type(network).__name__}: it has to return a torch.nn.Module")
    return network


def load_weights(network: nn.Module, path: Path) -> None:
    """Fills `network` from safetensors; raises `PruningError` where they can't be read or don't fit."""
    if not path.is_file():
        raise PruningError(f"the weights {path} do not exist: name a .safetensors file")
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise PruningError(f"{path} is no safetensors file ({in_a_line(error)}): save the weights again") from error
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise PruningError(f"{path} does not fit the network: {in_a_line(error)}") from error

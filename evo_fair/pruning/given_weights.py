"""Weights that users bring for networks of theirs: safetensors, under the names that their tensors have there."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from evo_fair.errors import PruningError, in_a_line, quote

__all__ = ["load_weights"]

_WRAPPERS = ("module.", "_orig_mod.")
"""What `DataParallel` and `torch.compile` put before the names of a network's tensors."""

_PICKLES = (b"PK\x03\x04", b"\x80")
"""How files of `torch.save` begin: a zip file, or, long ago, a bare pickle."""

_MOST_NAMED = 4
"""Tensors that a message names of those that only the file has, or only the network."""


def load_weights(network: nn.Module, path: Path) -> None:
    """Fills `network` from safetensors; raises `PruningError` where they can't be read or don't fit.

    Names may begin as those of a `DataParallel` or compiled network do, and a tensor
    with two names be there once, as `safetensors.torch.save_model` has it.

    Args:
        network: The network.
        path: The file.
    """
    if not path.is_file():
        fault = "are a folder" if path.is_dir() else "do not exist"
        raise PruningError(f"the weights {path} {fault}: name a .safetensors file")
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        _refuse_pickle(path)
        raise PruningError(f"{path} is no safetensors file ({in_a_line(error)}): save the weights again") from error
    known, stored = network.state_dict(keep_vars=True), tensors
    for prefix in _WRAPPERS:
        if (
            tensors
            and all(name.startswith(prefix) for name in tensors)
            and not any(n.startswith(prefix) for n in known)
        ):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    tensors = _under_all_names(tensors, known)
    for own, tensor in tensors.items():
        if own in known:
            _check_kind(path, own, tensor, known[own])
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        why = in_a_line(error).removeprefix(f"Error(s) in loading state_dict for {type(network).__name__}: ")
        misfits = (name for name, own in known.items() if name in tensors and tensors[name].shape != own.shape)
        if tensors.keys() == known.keys() and (name := next(misfits, None)):
            why = f"{name} has the shape {[*tensors[name].shape]}, in the network {[*known[name].shape]}"
        elif tensors.keys() != known.keys():
            _refuse_names(path, stored, known)
            why = _other_names(tensors, known)
        raise PruningError(f"{path} does not fit the network: {why}; give the weights of this very network") from error


def _check_kind(path: Path, name: str, tensor: torch.Tensor, own: torch.Tensor) -> None:
    """Refuses a tensor that the network's own could only hold as something else; real numbers may be rounded."""
    kind, kept = (str(one.dtype).removeprefix("torch.") for one in (tensor, own))
    if own.is_floating_point() and not tensor.is_floating_point():
        raise PruningError(f"{path}: {quote(name)} is {kind}, and the network's is of real numbers: convert it")
    whole = not own.is_floating_point() and not own.is_complex()
    if whole and not torch.equal(tensor.to(own.dtype).to(tensor.dtype), tensor):
        raise PruningError(
            f"{path}: {quote(name)} is {kind}, with values that the network's, {kept}, can't hold: convert it"
        )


def _under_all_names(tensors: dict[str, torch.Tensor], known: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors, and again under the other names that the network has for them."""
    by_place = {id(known[name]): tensor for name, tensor in tensors.items() if name in known}
    return tensors | {n: by_place[id(own)] for n, own in known.items() if n not in tensors and id(own) in by_place}


def _other_names(tensors: Mapping[str, object], known: Mapping[str, object]) -> str:
    """Which names only the file has, and which only the network."""
    told = [
        f"{what} {', '.join(map(quote, names[:_MOST_NAMED]))}"
        + (f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else "")
        for what, names in (
            ("the network has no", [name for name in tensors if name not in known]),
            ("the file has no", [name for name in known if name not in tensors]),
        )
        if names
    ]
    return "; ".join(told)


def _refuse_names(path: Path, stored: Mapping[str, torch.Tensor], known: Mapping[str, torch.Tensor]) -> None:
    """Raises `PruningError` with the command that mends it where all names lack a beginning, or have one too much."""
    for start in _beginnings(stored):
        named = {name.removeprefix(start): tensor for name, tensor in stored.items()}
        told = f"begin with {start!r}, and the network's do not"
        _refuse_renamed(path, named, known, told, f"k.removeprefix({start!r})")
    for start in _beginnings(known):
        named = {start + name: tensor for name, tensor in stored.items()}
        _refuse_renamed(path, named, known, f"lack {start!r}, with which the network's begin", f"{start!r} + k")


def _beginnings(names: Collection[str]) -> list[str]:
    """What all names begin with, up to each of its dots."""
    first = next(iter(names), "")
    starts = [first[:end] for end, letter in enumerate(first, 1) if letter == "."]
    return [start for start in starts if all(name.startswith(start) for name in names)]


def _refuse_renamed(
    path: Path, named: dict[str, torch.Tensor], known: Mapping[str, torch.Tensor], told: str, key: str
) -> None:
    """Raises `PruningError` if the tensors fit under their new names; `key` makes one of the old name `k`."""
    fitting = _under_all_names(named, known)
    if fitting.keys() != known.keys() or any(fitting[name].shape != own.shape for name, own in known.items()):
        return
    script = (
        "from safetensors.torch import load_file, save_file; "
        f"save_file({{{key}: v for k, v in load_file({path.name!r}).items()}}, "
        f"{f'{path.stem}-named.safetensors'!r})"
    )
    raise PruningError(
        f"{path} does not fit the network by the names of its tensors alone: they {told}; "
        f'rename them once with python -c "{script}", and give that file'
    )


def _refuse_pickle(path: Path) -> None:
    """Raises `PruningError` with the command that converts it for a file of `torch.save`."""
    with path.open("rb") as file:
        begin = file.read(4)
    if begin.startswith(_PICKLES):
        script = (
            "import torch; from safetensors.torch import save_file; "
            f"s = torch.load({path.name!r}, weights_only=True, map_location='cpu'); s = s.get('state_dict', s); "
            "save_file({k: v.clone().contiguous() for k, v in s.items()}, "
            f"{path.with_suffix('.safetensors').name!r})"
        )
        raise PruningError(
            f"{path} is a pickle of torch.save, which can run any code and is not opened: convert it once with "
            f'python -c "{script}"'
        )

"""Networks that users bring: a function in a file of theirs, and weights as safetensors."""

import contextlib
import copy
import importlib.util
import inspect
import io
import os
import re
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.parameter import is_lazy

from evo_fair.errors import PruningError, in_a_line, quote
from evo_fair.files import digest, user_path
from evo_fair.nets.layout import give_own_inputs
from evo_fair.show import say
from evo_fair.sources import source_hash

__all__ = ["copy_of_module", "given_modules", "load_module", "load_weights", "settings_of", "source_of"]

_WRAPPERS = ("module.", "_orig_mod.")
"""What `DataParallel` and `torch.compile` put before the names of a network's tensors."""

_PICKLES = (b"PK\x03\x04", b"\x80")
"""How files of `torch.save` begin: a zip file, or, long ago, a bare pickle."""

_MOST_NAMED = 4
"""Tensors that a message names of those that only the file has, or only the network."""

_MODULE = "_evo_fair_given_"
"""How the modules of such files are called."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies in memory, as in the text that stands for a function."""

_beside: set[str] = set()
"""Modules that were imported from beside the file that was loaded last; the next one may have others of their names."""


def load_module(place: str) -> nn.Module:
    """The network that the function of `file.py:function` returns; the file is run as Python, as its owner wants.

    It runs as `python file.py` would, without arguments and with the files beside it at
    hand; only `__name__` differs. `package.module:function` is imported, with the
    working directory at hand. In every call the network gets inputs of its own, see
    `give_own_inputs`. Raises `PruningError` where there is no such file, module or
    function, where it fails, or returns anything else.

    Args:
        place: `file.py:function` or `package.module:function`.
    """
    file, colon, function = place.rpartition(":")
    if not colon and place.endswith(".py"):
        raise PruningError(
            f"{place!r} names a file without a function: write {place}:network where its network() returns the network"
        )
    dotted = all(part.isidentifier() for part in file.split(".")) and not file.endswith(".py")
    path = Path.cwd() / f"{file}.py" if dotted else user_path(file, PruningError)
    if not colon or not function.isidentifier() or path.suffix != ".py":
        raise PruningError(
            f"{place!r} names no network: write file.py:function or package.module:function, where the function "
            "returns it"
        )
    if not dotted and not path.is_file():
        raise PruningError(f"{path} does not exist: name the Python file whose {function}() returns the network")
    said = io.StringIO()
    try:
        with torch.enable_grad(), _as_a_script(path), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch's old functions, which is their owner's affair
            warnings.simplefilter("ignore", DeprecationWarning)
            if dotted:
                network = _made(importlib.import_module(file), Path(file), function)
            else:
                network = _made(_run(path), path, function)
    except PruningError:
        raise
    except ImportError as error:
        mend = "install what it imports, or put it beside the file"
        if "relative import" in str(error):
            mend = "import what lies beside it by its plain name, or name the network as package.module:function"
        raise PruningError(f"{place} fails with {type(error).__name__}: {in_a_line(error)}; {mend}") from error
    except Exception as error:  # the user's own code can fail in any way
        raise PruningError(f"{place} fails with {type(error).__name__}: {in_a_line(error)}; fix it") from error
    except SystemExit as error:
        why = said.getvalue().strip().rpartition("\n")[2] or f"exit {error.code}"
        mend = "put what reads arguments or ends the process under if __name__ == '__main__'"
        raise PruningError(f"{place} ends the process ({why[:200]}): {mend}") from error
    say(*said.getvalue().splitlines(), err=True)
    return give_own_inputs(_plain(network, place))


def copy_of_module(module: nn.Module) -> nn.Module:
    """A copy of a network that was handed over, out of its wrappers and on the CPU, with inputs of its own.

    Raises `PruningError` for one that can't be copied, or is compiled.

    Args:
        module: The network.
    """
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # a user's module can hold anything
        raise PruningError(
            f"the {type(module).__name__} can't be copied ({in_a_line(error)}): keep no tensor with a gradient, open "
            "file or lock in its attributes"
        ) from error
    return give_own_inputs(_plain(copied, f"the {type(module).__name__} that was given"))


def given_modules() -> tuple[str, ...]:
    """The modules of files that were loaded, and what they imported from beside them, by name in `sys.modules`."""
    return tuple(sorted({name for name in sys.modules if name.startswith(_MODULE)} | _beside))


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
        if own in known and known[own].is_floating_point() and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise PruningError(f"{path}: {quote(own)} is {kind}, and the network's is of real numbers: convert it")
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


def source_of(network: nn.Module) -> str:
    """A hash of what a network's layers are, and of the source of those that are not torch's or evo_fair's own.

    Args:
        network: The network.
    """
    named = sorted((kind.__qualname__, source_hash(kind)) for kind in _own_kinds(network))
    return digest(_ADDRESS.sub("", repr(network)), repr(named))


def settings_of(network: nn.Module) -> str:
    """A hash of what else a network's training may depend on: plain attributes, and the files that its layers are in.

    Args:
        network: The network.
    """
    kept = [
        (name, key, value)
        for name, module in network.named_modules()
        for key, value in sorted(vars(module).items())
        if not key.startswith("_") and isinstance(value, bool | int | float | str | tuple)
    ]
    files = sorted({file for kind in _own_kinds(network) if (file := _file_of(kind)) is not None})
    return digest(_ADDRESS.sub("", repr(kept)), *files)


def _own_kinds(network: nn.Module) -> set[type[nn.Module]]:
    kinds = {type(module) for module in network.modules()}
    return {kind for kind in kinds if kind.__module__.partition(".")[0] not in ("torch", "evo_fair")}


def _file_of(kind: type[nn.Module]) -> Path | None:
    """The file that a class is written in; None where it is in none, as in a notebook."""
    try:
        path = Path(inspect.getsourcefile(kind) or "")
    except (OSError, TypeError):
        return None
    return path if path.is_file() else None


@contextlib.contextmanager
def _as_a_script(path: Path) -> Iterator[None]:
    """A block in which Python is set up as for `python path`; what lies beside the file stays within reach."""
    folder = str(path.resolve().parent)
    for name in _beside:
        sys.modules.pop(name, None)
    _beside.clear()
    sys.path[:] = [folder, *(known for known in sys.path if known != folder)]
    importlib.invalidate_caches()
    before, arguments, place = set(sys.modules), sys.argv, Path.cwd()
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    sys.argv = [str(path)]
    try:
        yield
    finally:
        sys.argv = arguments
        os.chdir(place)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        sys.path[:] = [*(known for known in sys.path if known != folder), folder]  # ours go first from here on
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and Path(origin).resolve().is_relative_to(folder):
                _beside.add(name)


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{_MODULE}{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _made(module: ModuleType, path: Path, function: str) -> Any:
    """What the function returns; a network may be there under its name, too."""
    made = getattr(module, function, None)
    if isinstance(made, nn.Module):
        return made
    if not callable(made):
        raise PruningError(f"{path} has no function {function!r}: define one that returns the network")
    needed = _needed_arguments(made)
    if needed:
        raise PruningError(
            f"{path}:{function} needs the argument(s) {', '.join(needed)}: write a function without any that returns "
            f"{function}(...) with your values, and name that"
        )
    return made()


def _needed_arguments(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some of those written in C tell none
        return []
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in free]


def _plain(network: Any, place: str) -> nn.Module:
    """The module itself, on the CPU and out of its wrappers; raises `PruningError` for anything else."""
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    if not isinstance(network, nn.Module):
        raise PruningError(f"{place} returns {type(network).__name__}: it has to return a torch.nn.Module")
    if isinstance(network, torch.jit.ScriptModule) or type(network).__name__ == "OptimizedModule":
        raise PruningError(
            f"{place} returns a compiled {type(network).__name__}: return the module that it is made from"
        )
    try:
        tensors = [*network.parameters(), *network.buffers()]
        found = network.cpu() if not any(tensor.is_meta for tensor in tensors) else None
    except Exception as error:  # a user's module can override anything, and hold itself
        why = "it holds itself" if isinstance(error, RecursionError) else in_a_line(error)
        raise PruningError(
            f"{place} returns a network whose layers can't be gone through ({why}): keep no layer among the layers "
            "that it has itself, and leave torch's own methods as they are"
        ) from error
    if found is None:
        raise PruningError(f"{place} returns a network on the device 'meta', without weights: make it on the CPU")
    if any(not is_lazy(tensor) and tensor.is_inference() for tensor in tensors):
        raise PruningError(
            f"{place} makes its network under torch.inference_mode(), so that it can't be trained: make it outside"
        )
    return found

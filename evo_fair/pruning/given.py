"""Networks that users bring: a function in a file of theirs, or a module in hand."""

import contextlib
import copy
import importlib.util
import inspect
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod

from evo_fair.blame import is_theirs, set_default_device
from evo_fair.errors import PruningError, in_a_line, quote
from evo_fair.files import digest, user_path
from evo_fair.nets.layout import give_own_inputs
from evo_fair.show import say
from evo_fair.sources import source_hash

__all__ = ["copy_of_module", "given_modules", "load_module", "settings_of", "source_of"]

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
    place = f"the {type(module).__name__} that was given"
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # a user's module can hold anything
        _check_unmasked(module, place)
        raise PruningError(
            f"the {type(module).__name__} can't be copied ({in_a_line(error)}): keep no tensor with a gradient, open "
            "file or lock in its attributes"
        ) from error
    return give_own_inputs(_plain(copied, place))


def given_modules() -> tuple[str, ...]:
    """The modules of files that were loaded, and what they imported from beside them, by name in `sys.modules`."""
    return tuple(sorted({name for name in sys.modules if name.startswith(_MODULE)} | _beside))


def source_of(network: nn.Module) -> str:
    """A hash of what a network's layers are, and of the source of those that are not torch's or evo_fair's own.

    Args:
        network: The network.
    """
    named = sorted((kind.__qualname__, source_hash(kind)) for kind in _own_kinds(network))
    return digest(_ADDRESS.sub("", repr(network)), repr(named))


def settings_of(network: nn.Module) -> str:
    """A hash of what else a network's training may depend on: plain attributes, its layers' files and those beside.

    Args:
        network: The network.
    """
    kept = [
        (name, key, value)
        for name, module in network.named_modules()
        for key, value in sorted(vars(module).items())
        if not key.startswith("_") and isinstance(value, bool | int | float | str | tuple)
    ]
    kinds = _own_kinds(network)
    files = {file for kind in kinds if (file := _file_of(kind)) is not None}
    if any(kind.__module__ in given_modules() for kind in kinds):
        beside = (getattr(sys.modules.get(name), "__file__", None) for name in _beside)
        files |= {path for file in beside if file and (path := Path(file)).is_file()}
    return digest(_ADDRESS.sub("", repr(kept)), *sorted(files))


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
        set_default_device(torch, device)
        sys.path[:] = [*(known for known in sys.path if known != folder), folder]  # ours go first from here on
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if not origin or not (file := Path(origin).resolve()).is_relative_to(folder):
                continue
            if is_theirs(file, Path(folder)):  # libraries can't be imported twice nor sent, as torchvision can't
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
    try:
        compiled = next(((name, layer) for name, layer in network.named_modules() if _is_compiled(layer)), None)
        tensors = [*network.parameters(), *network.buffers()]
        found = network.cpu() if not any(tensor.is_meta for tensor in tensors) else None
    except Exception as error:  # a user's module can override anything, and hold itself
        why = "it holds itself" if isinstance(error, RecursionError) else in_a_line(error)
        raise PruningError(
            f"{place} returns a network whose layers can't be gone through ({why}): keep no layer among the layers "
            "that it has itself, and leave torch's own methods as they are"
        ) from error
    if compiled is not None:
        name, layer = compiled
        what = f"network whose layer {quote(name)} is a " if name else ""
        mend = "make the network of" if name else "return"
        raise PruningError(
            f"{place} returns a {what}compiled {type(layer).__name__}: {mend} the module that it is made from"
        )
    if found is None:
        raise PruningError(f"{place} returns a network on the device 'meta', without weights: make it on the CPU")
    _check_unmasked(found, place)
    for name, tensor in found.named_parameters():
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise PruningError(
                f"{place} returns a network whose {quote(name)} is {str(tensor.dtype).removeprefix('torch.')}: return "
                "network.float(), as networks are trained and exported in float32"
            )
    if any(not is_lazy(tensor) and tensor.is_inference() for tensor in tensors):
        raise PruningError(
            f"{place} makes its network under torch.inference_mode(), so that it can't be trained: make it outside"
        )
    return found


def _check_unmasked(network: Any, place: str) -> None:
    """Raises `PruningError` for weights under masks of torch's own pruning, which are neither stored nor copied."""
    for name, layer in network.named_modules() if isinstance(network, nn.Module) else ():
        masked = [
            hook._tensor_name for hook in layer._forward_pre_hooks.values() if isinstance(hook, BasePruningMethod)
        ]
        if masked:
            raise PruningError(
                f"{place} has masks of torch.nn.utils.prune in layer {quote(name)}: make them permanent with "
                f"torch.nn.utils.prune.remove(layer, {masked[0]!r})"
            )


def _is_compiled(layer: nn.Module) -> bool:
    """Whether a layer with tensors was scripted, or one compiled, so that it can't be pruned or exported."""
    scripted = isinstance(layer, torch.jit.ScriptModule) and any(True for _ in (*layer.parameters(), *layer.buffers()))
    return scripted or type(layer).__name__ == "OptimizedModule"

"""What a failure within a user's network says: the reason, the layer and the line of the user's file, on one line."""

import sysconfig
from pathlib import Path
from types import TracebackType

import torch
from torch import nn

from evo_fair.errors import in_a_line

__all__ = ["failure"]

_LIBRARIES = tuple(
    Path(place).resolve()
    for place in (Path(torch.__file__).parent, Path(__file__).parents[1], sysconfig.get_path("stdlib"))
)


def failure(error: BaseException) -> str:
    """The reason of an `error`, and where it happened in a network that ran: `why, in layer 'c2', mine.py:12`."""
    modules: list[nn.Module] = []
    line = ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        own = trace.tb_frame.f_locals.get("self")
        if isinstance(own, nn.Module):
            modules.append(own)
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_file() and "site-packages" not in path.parts and not _of_a_library(path.resolve()):
            line = f", {path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{in_a_line(error)}{_layer(modules)}{line}"


def _of_a_library(path: Path) -> bool:
    return any(path.is_relative_to(library) for library in _LIBRARIES)


def _layer(modules: list[nn.Module]) -> str:
    """The innermost layer by its name in the outermost."""
    if not modules:
        return ""
    name = next((name for name, module in modules[0].named_modules() if module is modules[-1]), "")
    return f", in layer {name!r}" if name else ""

"""What a failure within a user's network says: the reason, the layer and the line of the user's file, on one line."""

from types import TracebackType

from torch import nn

from evo_fair.blame import place_of
from evo_fair.errors import in_a_line

__all__ = ["failure"]


def failure(error: BaseException) -> str:
    """The reason of an `error`, and where it happened in a network that ran: `why, in layer 'c2', mine.py:12`."""
    modules: list[nn.Module] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        own = trace.tb_frame.f_locals.get("self")
        if isinstance(own, nn.Module):
            modules.append(own)
        trace = trace.tb_next
    place = place_of(error)
    return f"{in_a_line(error)}{_layer(modules)}{f', {place}' if place else ''}"


def _layer(modules: list[nn.Module]) -> str:
    """The innermost layer by its name in the outermost."""
    if not modules:
        return ""
    name = next((name for name, module in modules[0].named_modules() if module is modules[-1]), "")
    return f", in layer {name!r}" if name else ""

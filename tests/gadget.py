"""A device that is not the CPU, on a machine that has none: it computes what the CPU does, and mixes with nothing.

Tensors on the gadget hold a CPU tensor. What is computed from them, or asked for there, comes out there. An operation
on tensors of both devices raises, as a GPU's does, and so does `.numpy()` without `.cpu()` before it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from evo_fair.nets.device import TorchDevice

__all__ = ["GADGET", "gadget"]

NAME = "meta"
"""What torch calls it: its own device without values, which here has some. Any other has to be built into torch."""

GADGET = TorchDevice(NAME, accelerated=True)

_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class _Held(torch.Tensor):
    """A tensor that says it is on the gadget."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "_Held":
        with torch.inference_mode(False):  # in which no views can be made of tensors from outside of it
            made: _Held = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=torch.device(NAME),
            )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with _Gadget():  # threads of torch's own, such as that which goes backwards, know of no block
            return func(*args, **(kwargs or {}))


def _plain(value: Any) -> Any:
    return value.held if isinstance(value, _Held) else value


class _Gadget(TorchDispatchMode):
    """Operations of the gadget, while it is entered; `made` counts those that it has done."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        tensors = [value for value in tree_leaves((args, given)) if isinstance(value, torch.Tensor)]
        ours = [tensor for tensor in tensors if isinstance(tensor, _Held)]
        there = bool(ours)
        if (wanted := given.get("device")) is not None:
            there = torch.device(wanted).type == NAME
            given["device"] = torch.device("cpu") if there else wanted
        if func is torch.ops.aten.copy_.default:
            there = isinstance(args[0], _Held)
        strays = [tensor for tensor in tensors if not isinstance(tensor, _Held) and tensor.dim()]
        if ours and strays and func not in _MOVES:
            raise RuntimeError(f"{func}: a tensor {list(strays[0].shape)} of the CPU among those of the gadget")
        self.made += there
        made = func(*tree_map(_plain, args), **tree_map(_plain, given))
        known = {id(tensor.held): tensor for tensor in ours}  # what works in place returns what it was given

        def on_it(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or (wanted is not None and not there):
                return value
            return known[id(value)] if id(value) in known else _Held(value) if there else value

        return tree_map(on_it, made)


@contextmanager
def gadget() -> Iterator[_Gadget]:
    """A block in which the gadget is there."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # parameters that move stay the same objects
    try:
        with _Gadget() as there:
            yield there
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)

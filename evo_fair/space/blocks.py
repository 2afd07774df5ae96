"""One block of an architecture, and the units that it is made of."""

from typing import NamedTuple

from evo_fair.space.kinds import Channels, Kind, KindUnit, Shortcut, squeezed_width

__all__ = ["Block", "Unit", "units_of"]


class Block(NamedTuple):
    """One block of an architecture; `name` is its place, such as `stem` or `stage2.slot1`."""

    name: str
    kind: Kind
    c_in: int
    hidden: int
    c_out: int
    kernel: int
    stride: int
    shortcut: int
    h_in: int
    w_in: int


class Unit(NamedTuple):
    """A convolution (kernel 0: a linear layer) followed by batch norm.

    One that `squeezes` takes the mean over the map; the one behind it `excites`: it weighs what was squeezed.
    """

    name: str
    c_in: int
    c_out: int
    kernel: int
    stride: int
    depthwise: bool = False
    squeezes: bool = False
    excites: bool = False

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weight, as torch has it."""
        if self.kernel == 0:
            return (self.c_out, self.c_in)
        return (self.c_out, 1 if self.depthwise else self.c_in, self.kernel, self.kernel)


def units_of(block: Block) -> list[Unit]:
    """The units of a block in the order in which `evo_fair.space.decode` lays out its layers, the shortcut's first.

    Args:
        block: The block.
    """
    units = [_unit_of(block, unit) for unit in block.kind.units]
    if block.shortcut == Shortcut.PROJECTION:
        return [Unit("shortcut", block.c_in, block.c_out, 1, block.stride), *units]
    return units


def _unit_of(block: Block, unit: KindUnit) -> Unit:
    widths = {Channels.IN: block.c_in, Channels.HIDDEN: block.hidden, Channels.OUT: block.c_out}
    squeezes, excites = unit.gives == Channels.SQUEEZED, unit.takes == Channels.SQUEEZED
    return Unit(
        unit.name,
        squeezed_width(widths[unit.gives]) if excites else widths[unit.takes],
        squeezed_width(widths[unit.takes]) if squeezes else widths[unit.gives],
        block.kernel if unit.kernel is None else unit.kernel,
        block.stride if unit.strided else 1,
        unit.depthwise,
        squeezes,
        excites,
    )

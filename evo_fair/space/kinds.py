"""What each block kind is, said once: its units, the rule of its hidden width, its shortcut and its end.

Decoding, counting, the supernet, the proxy and the audits read it from here. A kind of your own is one `Kind`, given
to `add_kind`; one of evo_fair's own is a file beside this one, `kind_NAME.py`, which registers it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from numbers import Integral

from numba import njit

from evo_fair.errors import ProblemError, UnknownNameError
from evo_fair.registries import BLOCK_KINDS as KINDS

__all__ = [
    "BUILT_IN",
    "CB",
    "DB",
    "FC",
    "ID",
    "IR",
    "KINDS",
    "MB",
    "PC",
    "RB",
    "UNPRUNED",
    "Channels",
    "Hidden",
    "Kind",
    "KindUnit",
    "Shortcut",
    "add_kind",
    "definitions",
    "find_kind",
    "squeezed_width",
]

UNPRUNED = 2**30
"""More channels than any layer has: the one keep level of a stage whose channels are not pruned."""


class Channels(IntEnum):
    """Which of a block's widths a unit takes or gives; the values are columns of block tables.

    `SQUEEZED` has no column: see `squeezed_width`. The unit that gives it takes the
    mean of each channel over the map. The unit that takes it gives the channel weights
    (squeeze-and-excite, Hu et al. 2018): by their hard sigmoid those channels are
    multiplied that were squeezed.

    Example:
        >>> from evo_fair.extend import Channels
        >>> [one.name for one in Channels]
        ['IN', 'HIDDEN', 'OUT', 'SQUEEZED']
    """

    IN = 1
    HIDDEN = 2
    OUT = 3
    SQUEEZED = -1


class Hidden(IntEnum):
    """How wide a block is inside, given a keep level.

    `NONE`: no hidden width. `EXPANSION`: min(keep, expansion * c_in). `WIDTH`:
    min(keep, c_out). `UNITS`: no hidden width; keep is how many channels the block
    gives.

    Example:
        >>> from evo_fair.extend import Hidden
        >>> Hidden.WIDTH.value
        2
    """

    NONE = 0
    EXPANSION = 1  # min(keep, expansion * c_in)
    WIDTH = 2  # min(keep, c_out)
    UNITS = 3  # no hidden width; keep is how many channels the block gives


class Shortcut(IntEnum):
    """What is added to a block's result; the values are the column `shortcut` of block tables.

    `NONE`: nothing. `IDENTITY`: the block's input. `PROJECTION`: a 1x1 convolution of
    it with batch norm, shared by the kinds of a slot.

    Example:
        >>> from evo_fair.extend import Shortcut
        >>> Shortcut.IDENTITY.value
        1
    """

    NONE = 0
    IDENTITY = 1
    PROJECTION = 2  # a 1x1 convolution with batch norm, shared by the kinds of a slot


@dataclass(frozen=True)
class KindUnit:
    """A convolution, or with `kernel` 0 a linear layer, with its batch norm.

    Args:
        name: The unit's name, another one for each unit of a kind; not `shortcut`.
        takes: The channels that it takes; with `SQUEEZED` it gives channel weights, see
            `Channels`.
        gives: The channels that it gives; with `SQUEEZED` it squeezes. A depthwise unit
            gives what it takes.
        kernel: Side of its window in pixels, an odd number; None for the kernel that
            the block's gene chooses. Default: 1.
        strided: Whether it has the block's stride. Default: False.
        depthwise: Whether each channel is convolved alone. Default: False.

    Example:
        >>> from evo_fair.extend import Channels, KindUnit
        >>> KindUnit("expand", Channels.IN, Channels.HIDDEN).kernel
        1
    """

    name: str
    takes: Channels
    gives: Channels
    kernel: int | None = 1
    strided: bool = False
    depthwise: bool = False


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of block: units one after the other, ReLU between them, but for channel weights: see `Channels`.

    Two kinds are equal where they are the same object.

    Args:
        name: The kind's name, capital letters.
        units: Its units, a chain from `Channels.IN` to `Channels.OUT`.
        hidden: The rule of its hidden width. Default: `Hidden.NONE`.
        shortcuts: What is added to the last unit's result in the first slot of a stage,
            and in its later ones. The first slot's input belongs to another stage, so
            it can't be the identity there. Default: projection and identity.
        activated: Whether ReLU follows at the end, behind the shortcut. Default: True.
        identity: Whether it is no block at all in later slots of its stage, as a
            skipped slot. Default: False.
        kernel: The side of its window in pixels, where that is the kind's own. Default:
            None, a gene chooses it, if a unit has the block's.
        expansion: Its expansion, where that is the kind's own. Default: None, a gene
            chooses it.

    Example:
        >>> from evo_fair.extend import Channels, Hidden, Kind, KindUnit
        >>> narrow = KindUnit("narrow", Channels.IN, Channels.HIDDEN)
        >>> wide = KindUnit("wide", Channels.HIDDEN, Channels.OUT, kernel=None, strided=True)
        >>> Kind("NW", (narrow, wide), Hidden.WIDTH).tabular
        False
    """

    name: str
    units: tuple[KindUnit, ...]
    hidden: Hidden = Hidden.NONE
    shortcuts: tuple[Shortcut, Shortcut] = (Shortcut.PROJECTION, Shortcut.IDENTITY)
    activated: bool = True
    identity: bool = False
    kernel: int | None = None
    expansion: int | None = None

    @property
    def tabular(self) -> bool:
        """Whether it is made of linear layers, for tables of features."""
        return any(unit.kernel == 0 for unit in self.units)

    @property
    def excited(self) -> bool:
        """Whether it weighs channels: squeeze-and-excite."""
        return any(self.giving(Channels.SQUEEZED))

    @property
    def chooses_kernel(self) -> bool:
        """Whether a gene may choose its kernel: it has none of its own, and a unit has the block's."""
        return self.kernel is None and any(unit.kernel is None for unit in self.units)

    def giving(self, channels: Channels) -> Iterator[KindUnit]:
        """Its units that give these channels.

        Args:
            channels: One of `Channels`.

        Returns:
            The units, in order.
        """
        return (unit for unit in self.units if unit.gives == channels)

    def mixing(self, channels: Channels) -> Iterator[KindUnit]:
        """Its units whose every output depends on all of these channels: all that take them but the depthwise ones.

        Args:
            channels: One of `Channels`.

        Returns:
            The units, in order.
        """
        return (unit for unit in self.units if unit.takes == channels and not unit.depthwise)

    def __reduce__(self) -> tuple[object, ...]:
        return find_kind, (self.name,)


_IN, _HIDDEN, _OUT = Channels.IN, Channels.HIDDEN, Channels.OUT
_NEVER = (Shortcut.NONE, Shortcut.NONE)

_INVERTED = (
    KindUnit("expand", _IN, _HIDDEN),
    KindUnit("depthwise", _HIDDEN, _HIDDEN, None, strided=True, depthwise=True),
    KindUnit("project", _HIDDEN, _OUT),
)

MB = Kind("MB", _INVERTED, Hidden.EXPANSION)
"""Inverted residual: expand 1x1, depthwise, project 1x1; with ReLU at its end."""

DB = Kind("DB", (KindUnit("depthwise", _IN, _IN, None, strided=True, depthwise=True), KindUnit("pointwise", _IN, _OUT)))
"""Depthwise separable: depthwise, pointwise 1x1 (after Howard et al. 2017, MobileNets)."""

RB = Kind(
    "RB",
    (KindUnit("first", _IN, _HIDDEN, None, strided=True), KindUnit("second", _HIDDEN, _OUT, None)),
    Hidden.WIDTH,
)
"""Residual: two convolutions (after He et al. 2016)."""

CB = Kind("CB", (KindUnit("conv", _IN, _OUT, None, strided=True),))
"""One convolution; a network's stem is one, without a shortcut."""

FC = Kind("FC", (KindUnit("linear", _IN, _OUT, 0),), Hidden.UNITS, _NEVER, kernel=1)
"""One linear layer, for tables of features."""

IR = Kind("IR", _INVERTED, Hidden.EXPANSION, (Shortcut.NONE, Shortcut.IDENTITY), activated=False)
"""Inverted residual with a linear end, and no shortcut where a stage begins (Sandler et al. 2018, MobileNetV2)."""

PC = Kind("PC", (KindUnit("conv", _IN, _OUT, strided=True),), shortcuts=_NEVER, kernel=1)
"""One 1x1 convolution without a shortcut, as MobileNets have before pooling."""

ID = Kind("ID", PC.units, shortcuts=_NEVER, activated=False, identity=True, kernel=1)
"""Nothing; where a stage begins a 1x1 convolution without ReLU, which brings about its width and stride."""

BUILT_IN = {kind.name: kind for kind in (MB, DB, RB, CB, FC, IR, PC, ID)}
"""The kinds of evo_fair's own, which `KINDS` holds beside those that users add."""

_VARIANTS: dict[tuple[Kind, str], Kind] = {}
_VARIANT = re.compile(r"(?P<base>[A-Z]+)(?P<expansion>[1-9][0-9]?)?(?:_(?P<kernel>[35])x(?P=kernel))?")


def add_kind(kind: Kind) -> Kind:
    """Makes a kind of block known by its name, for problem files.

    The same kind may be added again, as by a notebook's cell.

    Args:
        kind: The kind. Its name is of capital letters. Its units are a chain from
            `Channels.IN` to `Channels.OUT`, which the last unit alone gives.

    Returns:
        The kind, or the equal one that was added before.

    Raises:
        ProblemError: The kind is none that can be built, or another kind has its name.

    Example:
        >>> from evo_fair.extend import Channels, Hidden, Kind, KindUnit, add_kind
        >>> narrow = KindUnit("narrow", Channels.IN, Channels.HIDDEN)
        >>> wide = KindUnit("wide", Channels.HIDDEN, Channels.OUT, kernel=None, strided=True)
        >>> add_kind(Kind("NW", (narrow, wide), Hidden.WIDTH)).name
        'NW'
        >>> ef.forget("NW", "block kind")
    """
    if fault := _fault(kind):
        raise ProblemError(f"block kind {kind.name}: {fault}")
    if kind.name in KINDS:
        known: Kind = KINDS[kind.name]
        if not KINDS.is_built_in(kind.name) and _definition(known) == _definition(kind):
            return known
        raise ProblemError(
            f"there is a block kind {kind.name!r} already: choose another name"
            + ("" if KINDS.is_built_in(kind.name) else f", or forget({kind.name!r}, 'block kind') the first")
        )
    KINDS.add(kind.name, kind)
    return kind


def definitions(kinds: tuple[Kind, ...]) -> list[str]:
    """What kinds say that are not evo_fair's own: what their name alone doesn't tell.

    Args:
        kinds: The kinds of a space.

    Returns:
        A text for each kind that is not evo_fair's own.
    """
    return [_definition(kind) for kind in kinds if not KINDS.is_built_in(_base(kind.name))]


def _definition(kind: Kind) -> str:
    return repr([getattr(kind, field.name) for field in fields(kind)])


def _base(name: str) -> str:
    found = _VARIANT.fullmatch(name)
    return found["base"] if found else name


def _fault(kind: Kind) -> str:
    """What is wrong with the chain of a kind's units; nothing where it is right."""
    channels = Channels.IN
    for unit in kind.units:
        if unit.takes != channels:
            return f"unit {unit.name} takes {unit.takes.name}, and what reaches it is {channels.name}"
        if unit.depthwise and unit.gives != unit.takes:
            return f"depthwise unit {unit.name} gives {unit.gives.name}: make it give what it takes"
        channels = unit.gives
    names = [unit.name for unit in kind.units]
    if not all(map(_squeezes_well, kind.units, [*kind.units[1:], None], [*kind.units[2:], None, None])):
        return "a unit that gives SQUEEZED is followed by one that takes it and gives what was squeezed, then another"
    if (
        channels != Channels.OUT
        or kind.units[-1].depthwise
        or [unit.gives for unit in kind.units].count(Channels.OUT) > 1
    ):
        return "its last unit, and no other, must give OUT, and not be depthwise"
    if len(list(kind.giving(Channels.SQUEEZED))) > 1:
        return "one unit at most gives SQUEEZED"
    if sum(unit.strided for unit in kind.units) > 1 or len(set(names)) < len(names) or "shortcut" in names:
        return "one unit at most is strided, names differ, and none is 'shortcut'"
    if (kind.hidden in (Hidden.EXPANSION, Hidden.WIDTH)) != any(kind.giving(Channels.HIDDEN)):
        return "a hidden width needs a rule (Hidden.EXPANSION or Hidden.WIDTH), and a rule a unit that gives HIDDEN"
    if len(kind.shortcuts) != 2 or kind.shortcuts[0] == Shortcut.IDENTITY or kind.shortcuts[1] == Shortcut.PROJECTION:
        return "shortcuts are none or the projection in a stage's first slot, none or the identity in later ones"
    kernels = [kind.kernel, *(unit.kernel for unit in kind.units)]
    for kernel in kernels:
        if kernel and (not isinstance(kernel, Integral) or kernel < 0 or kernel % 2 == 0):
            return f"a kernel is {kernel}: give an odd one, whose centre is a pixel, or 0 for a linear layer"
    if kind.expansion is not None and (not isinstance(kind.expansion, Integral) or kind.expansion < 1):
        return f"its expansion is {kind.expansion}: give a whole number, 1 or more, or leave it to a gene"
    return _table_fault(kind)


def _table_fault(kind: Kind) -> str:
    """What is wrong with a kind of linear layers; nothing where it is right, or of convolutions."""
    if not kind.tabular:
        return "Hidden.UNITS is the rule of linear layers, whose kernel is 0" if kind.hidden == Hidden.UNITS else ""
    alone = all((unit.kernel, unit.depthwise) == (0, False) for unit in kind.units) and not kind.excited
    if not alone or kind.hidden != Hidden.UNITS or kind.shortcuts != _NEVER:
        return "linear layers (kernel 0) are for tables: give no other units, no shortcuts, and the rule Hidden.UNITS"
    return ""


def _squeezes_well(unit: KindUnit, excites: KindUnit | None, behind: KindUnit | None) -> bool:
    """Whether a unit squeezes nothing, or the two behind it go on as they have to."""
    if unit.gives != Channels.SQUEEZED:
        return True
    return (
        excites is not None
        and behind is not None
        and (excites.takes, excites.gives) == (Channels.SQUEEZED, unit.takes)
        and all((part.kernel, part.strided, part.depthwise) == (1, False, False) for part in (unit, excites))
    )


@njit(cache=True)
def squeezed_width(channels: int) -> int:
    """How many channels so many are squeezed into: a quarter, as a multiple of 8 (Howard et al. 2019, MobileNetV3).

    Args:
        channels: The channels that are squeezed, 1 or more.

    Returns:
        8 or more.
    """
    return -(-channels // 32) * 8


def find_kind(name: str) -> Kind:
    """The kind of a name, or one with its expansion and kernel in the name: `IR6_5x5` is IR with 6 and 5x5.

    Such a kind has weights of its own in a supernet.

    Args:
        name: The name.

    Returns:
        The kind.

    Raises:
        UnknownNameError: It names no kind.
        ProblemError: Its kind doesn't let the expansion or the kernel be chosen.
    """
    if name in KINDS:
        known: Kind = KINDS[name]
        return known
    found = _VARIANT.fullmatch(name)
    if not found or found["base"] not in KINDS:
        raise UnknownNameError("block kind", name, list(KINDS), ", and such as IR6_5x5")
    kind = KINDS[found["base"]]
    if (kind, name) not in _VARIANTS:
        _VARIANTS[kind, name] = _variant(kind, name, found["expansion"], found["kernel"])
    return _VARIANTS[kind, name]


def _variant(kind: Kind, name: str, expansion: str | None, kernel: str | None) -> Kind:
    if expansion and (kind.hidden != Hidden.EXPANSION or kind.expansion):
        raise ProblemError(f"{name!r}: {kind.name} has no expansion to choose; leave the {expansion} out")
    if kernel and not kind.chooses_kernel:
        raise ProblemError(f"{name!r}: {kind.name} has no kernel to choose; leave the _{kernel}x{kernel} out")
    return replace(
        kind,
        name=name,
        expansion=int(expansion) if expansion else kind.expansion,
        kernel=int(kernel) if kernel else kind.kernel,
    )

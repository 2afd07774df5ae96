"""What a problem file says of its search space: a stem, stages of slots, and the choices of each."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from evo_fair.arguments import only_number
from evo_fair.errors import UnknownNameError, quote
from evo_fair.space.kinds import UNPRUNED, Hidden, Kind, find_kind

__all__ = ["Number", "Section", "SpaceSchema", "Stage", "Stem", "Whole"]

Whole = Annotated[int, BeforeValidator(only_number)]
Number = Annotated[float, BeforeValidator(only_number)]
"""What stands in a problem file for a number, which neither `true` nor a number in quotes is."""


def _known(name: str) -> str:
    try:
        return find_kind(name).name
    except UnknownNameError as error:
        raise ValueError(str(error)) from None


KindName = Annotated[str, Field(max_length=20), AfterValidator(_known)]
ChannelCount = Annotated[Whole, Field(ge=1, le=8192)]
"""More than any layer of a network for small devices has; a supernet of such layers would not fit into memory."""
ChannelChoices = Annotated[tuple[ChannelCount, ...], Field(min_length=1, max_length=32)]
Expansions = Annotated[tuple[Annotated[Whole, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=32)]


class Section(BaseModel):
    """A section of a problem file: nothing unknown in it, nothing infinite, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _one_or_both(given: object) -> object:
    if given not in (1, 2, [1, 2], (1, 2)) or isinstance(given, bool | float):
        raise ValueError(f"expected 1, 2, or [1, 2] where the search is to choose, got {quote(given)}")
    return given


Stride = Annotated[Literal[1, 2] | tuple[Literal[1], Literal[2]], BeforeValidator(_one_or_both)]
"""A stride, or both for a search to choose from."""


def _by_kind_or_for_all(given: object) -> object:
    if not isinstance(given, dict | list | tuple):
        raise ValueError(
            f"expected a list in brackets, such as [3, 5], or a table by kind, such as {{ MB = [3, 5] }}, got "
            f"{quote(given)}"
        )
    return given


Kernels = Annotated[dict[KindName, tuple[Literal[3, 5], ...]], BeforeValidator(_by_kind_or_for_all)]


def _coarsest_first(stride: Stride) -> tuple[int, ...]:
    """The strides to choose from, in the order of a gene's values: a larger value is a larger network."""
    return (2, 1) if isinstance(stride, tuple) else (stride,)


def _ascending(name: str, values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"{name} = {list(values)} must be strictly ascending; use {sorted(set(values))}")
    return values


class Stem(Section):
    """The first convolution of a network on images.

    Args:
        widths: How many channels it can give, ascending.
        kernel: Its kernel in pixels, 3 or 5. Default: 3.
        stride: Its stride, 1 or 2, or both to choose from. Default: 1.
    """

    widths: ChannelChoices
    kernel: Literal[3, 5] = 3
    stride: Stride = 1

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides to choose from, as its gene counts them."""
        return _coarsest_first(self.stride)

    @field_validator("widths")
    @classmethod
    def _check_widths(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        return _ascending("widths", widths)


class Stage(Section):
    """Slots that share one output width, so that shortcuts between them fit; the first can't be skipped.

    Args:
        slots: How many slots, 1 to 16.
        kinds: Names of `evo_fair.space.kinds`, or such with an expansion and a kernel
            of their own (`IR6_5x5`).
        widths: The stage's possible output channels, ascending. Default: none, for
            tables.
        stride: The stride of its first block, 1 or 2, or both to choose from. Default:
            1.
        kernels: A list of kernels for all kinds, or a table by kind: 3 and 5. Default:
            3.
        expansions: By how much blocks can widen inside, ascending. Default: 4.
        keep_channels: How many channels pruning can leave inside a block (MB, MBSE, RB,
            IR), or how many units a layer can have (FC), ascending. Default: nothing is
            pruned.
    """

    slots: Annotated[Whole, Field(ge=1, le=16)]
    kinds: Annotated[tuple[KindName, ...], Field(min_length=1)]
    widths: Annotated[tuple[ChannelCount, ...], Field(max_length=32)] = ()
    stride: Stride = 1
    kernels: Kernels = {}
    expansions: Expansions = (4,)
    keep_channels: Annotated[tuple[ChannelCount, ...], Field(max_length=32)] = ()

    @model_validator(mode="before")
    @classmethod
    def _spread_kernels(cls, stage: Any) -> Any:
        if isinstance(stage, dict) and isinstance(stage.get("kernels"), list):
            open_to = [name for name in stage.get("kinds", ()) if _chooses_kernel(name)]
            return {**stage, "kernels": dict.fromkeys(open_to, stage["kernels"])}
        return stage

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("widths", "expansions", "keep_channels"):
            _ascending(name, getattr(self, name))
        if len(set(self.kinds)) != len(self.kinds):
            raise ValueError(f"kinds = {list(self.kinds)} repeats a kind; list each once")
        empty = [kind.name for kind in self.blocks if kind.identity]
        if len(empty) == len(self.kinds):
            raise ValueError(f"kinds = {list(self.kinds)} leaves every slot empty; list another kind, too")
        if len(empty) > 1:
            raise ValueError(f"kinds = {list(self.kinds)}: {empty[0]} and {empty[1]} both leave a slot empty; list one")
        for kind, kernels in self.kernels.items():
            _ascending(f"kernels of {kind}", kernels)
            if kind not in self.kinds or not kernels:
                raise ValueError(f"kernels = {{{kind} = {list(kernels)}}}: list at least one, for a kind of the stage")
            if not find_kind(kind).chooses_kernel:
                raise ValueError(
                    f"kernels = {{{kind} = {list(kernels)}}}: {kind} has no kernel to choose; leave it out"
                )
        still = [kind.name for kind in self.blocks if not any(unit.strided for unit in kind.units)]
        if still and 2 in self.strides and not self.tabular:
            raise ValueError(
                f"stride = {self.stride}: no unit of {still[0]} is strided; use stride = 1 or another kind"
            )
        if self.tabular and (len(self.kinds) > 1 or self.widths or self.stride != 1):
            raise ValueError("FC stands alone: kinds = ['FC'], no widths and no stride; its units are keep_channels")
        if not self.tabular and not self.widths:
            raise ValueError("widths is missing: list the possible output channels of the stage")
        if self.tabular and not self.keep_channels:
            raise ValueError("keep_channels is missing: list the possible numbers of units of a layer")
        return self

    @property
    def blocks(self) -> tuple[Kind, ...]:
        """Its kinds."""
        return tuple(find_kind(name) for name in self.kinds)

    @property
    def tabular(self) -> bool:
        """Whether its layers are for tables of features."""
        return any(kind.tabular for kind in self.blocks)

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides to choose from, as its gene counts them."""
        return _coarsest_first(self.stride)

    @property
    def levels(self) -> tuple[int, ...]:
        """Its keep levels: the one that prunes nothing where `keep_channels` is left out."""
        return self.keep_channels or (UNPRUNED,)

    @property
    def outputs(self) -> tuple[int, ...]:
        """The channels or units that its slots can give."""
        return self.widths or self.keep_channels

    def kernels_of(self, kind: Kind) -> tuple[int, ...]:
        """The kernel sizes open to a kind; 3 where neither it nor the problem names one.

        Args:
            kind: One of the stage's kinds.

        Returns:
            The kernels in pixels, ascending.
        """
        return (kind.kernel,) if kind.kernel else tuple(sorted(self.kernels.get(kind.name, ()))) or (3,)

    def expansions_of(self, kind: Kind) -> tuple[int, ...]:
        """The expansions open to a kind.

        Args:
            kind: One of the stage's kinds.

        Returns:
            The expansions, ascending.
        """
        return (kind.expansion,) if kind.expansion else self.expansions

    def hidden_levels(self, kind: Kind, c_in: tuple[int, ...], c_out: tuple[int, ...]) -> tuple[int, ...]:
        """Every hidden width that blocks of a kind can have.

        Args:
            kind: One of the stage's kinds.
            c_in: The input's possible channels.
            c_out: The output's possible channels.

        Returns:
            The widths, ascending; () for a kind without a hidden width.
        """
        if kind.hidden == Hidden.EXPANSION:
            full = {ratio * width for ratio in self.expansions_of(kind) for width in c_in}
        elif kind.hidden == Hidden.WIDTH:
            full = set(c_out)
        else:
            return ()
        return tuple(sorted({min(level, width) for level in self.levels for width in full}))


def _chooses_kernel(name: object) -> bool:
    try:
        return find_kind(str(name)).chooses_kernel
    except (UnknownNameError, ValueError):  # said when the kinds themselves are read
        return True


class SpaceSchema(Section):
    """The `[space]` section of a problem file.

    Args:
        channel_multiple: Every width and keep level is a multiple of it: 1, 4, 8 or 16.
            Default: 8.
        stem: The first convolution. Default: None, for tables.
        stage: The stages, 1 to 16, from the input on.
    """

    channel_multiple: Literal[1, 4, 8, 16] = 8
    stem: Stem | None = None
    stage: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stem is None and not all(stage.tabular for stage in self.stage):
            raise ValueError("stem is missing: a space of convolutions starts with [space.stem]")
        if self.stem is not None and any(stage.tabular for stage in self.stage):
            raise ValueError("FC stages are for tabular problems, which have no [space.stem]; use MB, DB, RB or CB")
        named = [("width", "the stem", "widths", self.stem.widths)] if self.stem else []
        for number, stage in enumerate(self.stage, 1):
            named.append(("width", f"stage {number}", "widths", stage.widths))
            named.append(("keep level", f"stage {number}", "keep_channels", stage.keep_channels))
        for what, where, key, values in named:
            for value in values:
                self._check_multiple(what, where, key, value, values)
        return self

    def _check_multiple(self, what: str, where: str, key: str, value: int, values: tuple[int, ...]) -> None:
        step = self.channel_multiple
        if value % step:
            lower, upper = value // step * step, -(-value // step) * step
            use = f"{lower} or {upper}" if lower else f"{upper}"
            listed = f"{where} lists {key} = {list(values)}"
            raise ValueError(f"{what} {value} is not a multiple of {step}: {listed}; use {use}")

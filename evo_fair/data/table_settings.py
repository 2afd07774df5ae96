"""What `[data.table]` of a problem file says of a table: its file, label, groups, inputs, split and units."""

from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from evo_fair.arguments import only_number

__all__ = ["Column", "TableSettings"]


ShortText = Annotated[str, Field(min_length=1, max_length=200)]
ShortTexts = Annotated[tuple[ShortText, ...], Field(max_length=1000)]
Cuts = Annotated[tuple[Annotated[float, BeforeValidator(only_number)], ...], Field(max_length=100)]


class _Settings(BaseModel):
    """A part of a problem file, as `evo_fair.space.schema.Section` is one: nothing unknown or infinite in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Column(_Settings):
    """A column whose values are classes or groups, or a number that is cut into bands.

    Args:
        column: The column's name.
        above: Cuts that belong to the band below them ("up to 50000", "above 50000"),
            ascending. Default: none.
        at_least: Cuts that belong to the band above them ("under 30", "30 or more"),
            ascending. Default: none.
        names: The names of the bands in order, or a name for each value: values of one
            name are joined, and a group's value without a name is unknown. Default:
            made of the cuts, or the values themselves.
    """

    column: ShortText
    above: Cuts = ()
    at_least: Cuts = ()
    names: ShortTexts | Annotated[dict[ShortText, ShortText], Field(max_length=1000)] = ()

    @property
    def cuts(self) -> tuple[float, ...]:
        """Where the number is cut; empty for a column of categories."""
        return self.above or self.at_least

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.above and self.at_least:
            raise ValueError("above and at_least are two ways to cut a number: give one of them")
        cuts = self.cuts
        if list(cuts) != sorted(set(cuts)):
            raise ValueError(f"the cuts {list(cuts)} must be strictly ascending; use {sorted(set(cuts))}")
        if not cuts and isinstance(self.names, tuple) and self.names:
            raise ValueError(
                'names give values their names, as in { "1" = "male", "2" = "female" }; a list is for cuts'
            )
        if cuts and (isinstance(self.names, dict) or len(self.names) not in (0, len(cuts) + 1)):
            raise ValueError(f"{len(cuts)} cut(s) make {len(cuts) + 1} bands: give a list of as many names, or none")
        if isinstance(self.names, tuple) and len(set(self.names)) < len(self.names):
            raise ValueError(f"names = {list(self.names)} has one twice: name each band differently")
        return self

    def band_names(self) -> tuple[str, ...]:
        """The names of the bands that `cuts` make.

        Returns:
            The names, in order.
        """
        if isinstance(self.names, tuple) and self.names:
            return self.names
        cuts = [f"{cut:.12g}" for cut in self.cuts]
        pairs = list(pairwise(cuts))
        if self.above:
            return (f"up to {cuts[0]}", *(f"above {low} up to {high}" for low, high in pairs), f"above {cuts[-1]}")
        return (f"under {cuts[0]}", *(f"{low} to under {high}" for low, high in pairs), f"{cuts[-1]} or more")


def _in_full(given: Any) -> Any:
    return {"column": given} if isinstance(given, str) else given


ColumnOrName = Annotated[Column, BeforeValidator(_in_full)]
"""A column, of which the bare name is enough where nothing else is to be said of it."""


class TableSettings(_Settings):
    """`[data.table]`: which columns of a CSV or Parquet file mean what.

    Args:
        file: The file in the data's folder.
        label: The column of the label, or a number that is cut into labels; it is never
            an input.
        groups: The groupings' columns by the groupings' names. Default: none.
        numbers: Columns of numbers that are inputs. Default: none.
        categories: Columns of categories that are inputs, one-hot. Default: none.
        target_encoded: Columns of many categories that are inputs, as the label's rates
            among their training samples. Default: none.
        described: Columns among `target_encoded` whose categories are inputs as what
            their training samples are like, too: the mean of each number, and how many
            there are. Default: none.
        also_inputs: Columns that make a group and are inputs as well; else a group's
            column is no input. Default: none.
        split: A column of train, validation and test. Default: the parts are drawn.
        unit: A column of units that no split tears apart. Default: every row is one.
        weight: Refused, since counts are of samples. Default: none.
    """

    file: Annotated[str, Field(min_length=1, max_length=1000)]
    label: ColumnOrName
    groups: Annotated[dict[ShortText, ColumnOrName], Field(max_length=100)] = {}
    numbers: ShortTexts = ()
    categories: ShortTexts = ()
    target_encoded: ShortTexts = ()
    described: ShortTexts = ()
    also_inputs: ShortTexts = ()
    split: ShortText | None = None
    unit: ShortText | None = None
    weight: ShortText | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weight is not None:
            raise ValueError(
                "weight can't be carried: accuracy and fairness count samples, each once; leave the column out"
            )
        self._check_inputs()
        for name in self.groups:
            if name == "class" or "*" in name or ":" in name:
                raise ValueError(
                    f"{name!r} can't name a group ('class' are the labels, '*' joins groupings, ':' stands between a "
                    "grouping and its group): rename it"
                )
        return self

    @model_serializer(mode="wrap")
    def _leave_out_what_is_usual(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Runs are known by their problem: one that was begun before columns could be described goes on."""
        written: dict[str, Any] = write(self)
        if not self.described:
            written.pop("described", None)
        return written

    def _check_inputs(self) -> None:
        inputs = self.inputs
        if not inputs:
            raise ValueError("no column is an input: list some under numbers, categories or target_encoded")
        if double := [name for place, name in enumerate(inputs) if name in inputs[:place]]:
            raise ValueError(f"{double[0]!r} is an input twice: list it once in numbers, categories or target_encoded")
        for name, what in ((self.label.column, "label"), (self.split, "split"), (self.unit, "unit")):
            if name in inputs:
                raise ValueError(f"{name!r} is the {what}, so it can't be an input: take it out")
        grouped = {group.column for group in self.groups.values()}
        for name in inputs:
            if name in grouped and name not in self.also_inputs:
                raise ValueError(
                    f"{name!r} makes a group, so it is no input unless also_inputs = [{name!r}] says so: "
                    "add that, or take it out of the inputs"
                )
        for place, name in enumerate(self.described):
            if name not in self.target_encoded:
                raise ValueError(f"described names {name!r}, which target_encoded does not: list it there, too")
            if name in self.described[:place]:
                raise ValueError(f"described names {name!r} twice: name it once")
        for name in self.also_inputs:
            if name not in grouped or name not in inputs:
                raise ValueError(
                    f"also_inputs names {name!r}, which is not both a group's column and an input: take it out there"
                )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that networks see, in order."""
        return (*self.numbers, *self.categories, *self.target_encoded)

    @property
    def number_columns(self) -> tuple[str, ...]:
        """The columns that are read as numbers: inputs, and what is cut into labels or groups."""
        return (*self.numbers, *(one.column for one in (self.label, *self.groups.values()) if one.cuts))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        others = (self.split, self.unit)
        named = (self.label.column, *(group.column for group in self.groups.values()), *self.inputs)
        return tuple(dict.fromkeys((*named, *(name for name in others if name is not None))))

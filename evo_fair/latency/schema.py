"""The form of a profile file: JSON with a schema version, limited in size, validated before anything reads it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evo_fair.arrays import Floats
from evo_fair.errors import ProfileError
from evo_fair.files import read_json
from evo_fair.latency.terms import KINDS, NETWORK_CALLS, TERMS, Work
from evo_fair.latency.uncertainty import LEVEL
from evo_fair.layers import COLUMNS, Op

__all__ = [
    "BYTES_PER_VALUE",
    "LONGEST_TEXT",
    "SCHEMA",
    "CarriedOver",
    "Device",
    "Fitted",
    "HeldBack",
    "Intervals",
    "Precision",
    "ProfileFile",
    "ProfileSource",
    "Validation",
    "check_name",
    "check_profile",
    "read_profile",
    "read_root",
    "write_root",
]

SCHEMA = 1
LARGEST_FILE = 2**20
LONGEST_TEXT = 2000
PRICED = tuple(term.name for term in (*TERMS, NETWORK_CALLS))
PRICING = 1 + len({term.group for term in TERMS}) + len(PRICED)
"""The unknowns of a fit that make prices: overall speed, that of each group of terms, single prices."""
FIRST_PRICED = (*PRICED[: Work.STEM_PATCH_VALUES + 1], NETWORK_CALLS.name)
"""What every profile of this schema prices; what was added to `Work` since, earlier profiles know nothing of."""


Precision = Literal["fp32", "fp16", "int8"]
BYTES_PER_VALUE: dict[str, float] = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0}

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ProfileName = Annotated[str, Field(pattern=f"^{_NAME}$")]
ProfileText = Annotated[str, Field(max_length=LONGEST_TEXT)]
Size = Annotated[int, Field(ge=1, le=2**24)]
Operator = Annotated[int, Field(ge=1, le=max(Op))]
Price = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
_NUMBER = re.compile(r"-?[0-9]{1,4}(\.[0-9]{1,5})?")
ProfileNumber = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Device(_Part):
    """What was measured: the board, its cores, the threads that ran."""

    name: ProfileText
    cores: ProfileText = "not recorded"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None


class Units(_Part):
    """The units of a profile's numbers: the only ones there are, for whoever reads the file."""

    latency: Literal["ms"] = "ms"
    prices: Literal["ns"] = "ns"


class Anchor(_Part):
    """A measured layer at which the model is corrected, and by how much."""

    layer: tuple[Operator, Size, Size, Size, Size, Size, Size, Size]
    weight: ProfileNumber


class Fitted(_Part):
    """What the fit saw: networks, distinct layers, and the least and greatest value of each feature by layer kind."""

    networks: Size
    distinct_layers: Size
    ranges: dict[Literal[KINDS[1:]], dict[Literal[COLUMNS[1:]], tuple[Size, Size]]]  # type: ignore[valid-type]
    never_measured: tuple[ProfileText, ...] = ()


class CarriedOver(_Part):
    """Prices that no measured layer of this device speaks about, and the rule by which other devices supply them."""

    terms: tuple[ProfileText, ...]
    devices: tuple[ProfileName, ...]
    rule: ProfileText


class Validation(_Part):
    """Scores on networks that the fit did not see."""

    method: ProfileText
    networks: Size
    mape: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    within_10_percent: Annotated[float, Field(ge=0, le=100)]
    spearman: Annotated[float, Field(ge=-1, le=1)]
    kendall: Annotated[float, Field(ge=-1, le=1)]


class ProfileSource(_Part):
    """One of several sources of measurements that a profile was fitted to together.

    `scale` is how many times this source's time the profile's own source takes for the same work, and `network_ms`
    the fixed cost of a network there. `measures` are the terms that its layers exercise.
    """

    name: ProfileText
    runtime: ProfileText
    source: ProfileText
    licence: ProfileText
    networks: Size
    distinct_layers: Size
    scale: Price
    network_ms: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
    measures: tuple[ProfileText, ...]


class HeldBack(_Part):
    """How many measurements that neither fit nor width saw lie within their intervals: in percent, and of how many."""

    left_out: ProfileText
    measurements: Size
    percent: Annotated[float, Field(ge=0, le=100)]


class Intervals(_Part):
    """What makes intervals of predictions (`evo_fair.latency.uncertainty`), and how many measurements they held.

    `root` is the lower triangular root of the covariance of the fit's unknowns, a row a text.
    """

    level: Annotated[float, Field(gt=0, lt=1)]
    noise: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
    reach: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    held: tuple[HeldBack, ...] = ()
    root: Annotated[tuple[Annotated[str, Field(max_length=2**14)], ...], Field(max_length=2048)]


class ProfileFile(_Part):
    """A profile as it stands in its file."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: ProfileName
    device: Device
    runtime: ProfileText
    precision: Precision
    units: Units = Units()
    source: ProfileText
    licence: ProfileText
    notes: ProfileText = ""
    fitted: Fitted
    carried_over: CarriedOver | None = None
    validation: Validation | None = None
    channel_block: Annotated[int, Field(ge=1, le=1024)]
    prices: dict[str, Price]
    anchors: Annotated[tuple[Anchor, ...], Field(max_length=1024)] = ()
    sources: Annotated[tuple[ProfileSource, ...], Field(max_length=256)] | None = None
    intervals: Intervals | None = None

    @model_validator(mode="after")
    def _check_prices(self) -> "ProfileFile":
        if missing := [name for name in FIRST_PRICED if name not in self.prices]:
            raise ValueError(f"prices lacks {missing[0]!r}: fit the profile again")
        if unknown := [name for name in self.prices if name not in PRICED]:
            raise ValueError(f"prices names {unknown[0]!r}, which is no term of schema {SCHEMA}: fit the profile again")
        return self

    @model_validator(mode="after")
    def _check_level(self) -> "ProfileFile":
        if self.intervals is not None and self.intervals.level != LEVEL:
            given = f"intervals.level is {self.intervals.level:g}"
            raise ValueError(f"{given}, and intervals are made to hold {LEVEL:g}: write {LEVEL:g}")
        return self

    @model_validator(mode="after")
    def _check_root(self) -> "ProfileFile":
        if self.intervals is not None:
            unknowns = PRICING + len(self.anchors)
            if len(self.intervals.root) != unknowns:
                raise ValueError(f"intervals.root has {len(self.intervals.root)} rows, not {unknowns}: fit it again")
            read_root(self.intervals.root)
        return self

    def plain(self) -> dict[str, Any]:
        """The profile as plain values, without the parts that were added to the form since where they are not there."""
        late = {name for name in ("sources", "intervals") if getattr(self, name) is None}
        return self.model_dump(mode="json", by_alias=True, exclude=late)


def write_root(root: Floats) -> tuple[str, ...]:
    """A lower triangular matrix as a text a row, to five decimals."""
    return tuple(" ".join(_short(value) for value in row[: i + 1]) for i, row in enumerate(root.tolist()))


def read_root(rows: Sequence[str]) -> Floats:
    """The matrix `[n, n]` of `write_root`; raises `ValueError` for anything else."""
    root = np.zeros((len(rows), len(rows)))
    for i, text in enumerate(rows):
        values = text.split(" ")
        if len(values) != i + 1 or not all(_NUMBER.fullmatch(value) for value in values):
            raise ValueError(f"intervals.root, row {i + 1}: expected {i + 1} numbers with blanks between: fit it again")
        root[i, : i + 1] = [float(value) for value in values]
    return root


def _short(value: float) -> str:
    text = f"{value:.5f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def read_profile(path: Path) -> ProfileFile:
    """Reads and validates a profile file; raises `ProfileError`, in one line, for whatever is wrong with it."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror or error}") from error
    if size > LARGEST_FILE:
        raise ProfileError(f"{path} has {size} bytes: a profile has at most {LARGEST_FILE}; fit it again")
    content = read_json(path, ProfileError)
    if not isinstance(content, dict):
        raise ProfileError(f"{path} holds a {type(content).__name__}, no profile: write one with 'evo-fair calibrate'")
    version = content.get("schema")
    if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA:
        raise ProfileError(
            f"{path} has schema {str(version)[:20]}: this evo_fair reads up to {SCHEMA}; update evo_fair, "
            "or fit the profile again"
        )
    return check_profile(content, str(path))


def check_name(name: str) -> None:
    """Raises `ProfileError` for a name that no profile can have."""
    if not re.fullmatch(_NAME, name):
        raise ProfileError(
            f"profile name {name!r}: expected up to 64 letters, digits, '.', '_' and '-', the first a letter or digit; "
            "give another"
        )


def check_profile(content: dict[str, Any], where: str) -> ProfileFile:
    """Validates what a profile file is to say; raises `ProfileError` naming `where` and the first key that is wrong."""
    try:
        return ProfileFile.model_validate(content)
    except ValidationError as error:
        raise ProfileError(f"{where} is not a valid profile: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False)[0]
    place = ".".join(str(part)[:60] for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    given = f", got {str(first['input'])[:60]!r}" if isinstance(first["input"], str | int | float) else ""
    return f"{place}: {message}{given}; fix it or fit it again" if place else message

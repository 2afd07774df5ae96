"""One network's line in the journal: what it is and all that was measured of it."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evo_fair.errors import quote
from evo_fair.files import parse_json

__all__ = ["IntOrFloat", "Record", "is_id", "parse_line"]

IntOrFloat = int | float


@dataclass(frozen=True)
class Record:
    """A network that the search looked at.

    `objectives` and `constraints` (by their written form) hold measured values in their own direction and unit.
    `metrics` are the cheap measures, and for an evaluated network the predictive ones, None where one has no value on
    these samples. `groups` holds the accuracy of each group of each grouping, None for a group without samples; it is
    None for a network that broke a cheap constraint and was never evaluated. `violation` is 0 for a feasible network.
    """

    id: str
    generation: int
    genome: tuple[int, ...]
    violation: float
    objectives: Mapping[str, IntOrFloat]
    constraints: Mapping[str, IntOrFloat]
    metrics: Mapping[str, IntOrFloat | None]
    groups: Mapping[str, Mapping[str, IntOrFloat | None]] | None = None

    @property
    def evaluated(self) -> bool:
        """Whether it was evaluated, at the cost of one unit of the budget."""
        return self.groups is not None

    @property
    def feasible(self) -> bool:
        """Whether it was evaluated and breaks no constraint."""
        return self.evaluated and self.violation == 0.0

    def line(self) -> bytes:
        """Its line in the journal, newline included; floats are written so that they read back exactly."""
        content: dict[str, Any] = {
            "id": self.id,
            "generation": self.generation,
            "genome": self.genome,
            "violation": self.violation,
            "objectives": self.objectives,
            "constraints": self.constraints,
            "metrics": self.metrics,
        }
        if self.groups is not None:
            content["groups"] = self.groups
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def is_id(name: object) -> bool:
    """Whether a value has the form of a network's id: files are called by it, so that it can't be a path.

    Args:
        name: Any value.

    Returns:
        True for an id.
    """
    return isinstance(name, str) and _ID.fullmatch(name) is not None


def parse_line(line: bytes) -> Record:
    """The record of a journal's line.

    Args:
        line: The line.

    Returns:
        The record.

    Raises:
        ValueError: The line is wrong; the message says how.
    """
    content = parse_json(line.decode())  # bytes would be guessed to be UTF-16 or 32, too
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    for key in ("id", "generation", "genome", "violation", "objectives", "constraints", "metrics"):
        if key not in content:
            raise ValueError(f"it has no {key!r}")
    groups = content.get("groups")
    if not is_id(content["id"]):
        raise ValueError(f"its id {quote(content['id'])} is none of a network")
    if not (_whole(content["generation"]) and content["generation"] >= 0):
        raise ValueError(
            f"its generation {quote(content['generation'])} is of the wrong kind: no whole number from 0 on"
        )
    if not (isinstance(content["genome"], list) and all(map(_whole, content["genome"]))):
        raise ValueError(f"its genome {quote(content['genome'])} is of the wrong kind: no list of whole numbers")
    violation = _number("violation", content["violation"])
    if violation < 0:
        raise ValueError(f"its violation {violation} is negative")
    if groups is not None and not isinstance(groups, dict):
        raise ValueError(f"its groups are {quote(groups)}, which is no JSON object")
    return Record(
        id=content["id"],
        generation=content["generation"],
        genome=tuple(content["genome"]),
        violation=float(violation),
        objectives=_numbers("objectives", content["objectives"]),
        constraints=_numbers("constraints", content["constraints"]),
        metrics=_numbers("metrics", content["metrics"], gaps=True),
        groups=None if groups is None else {name: _numbers(name, group, gaps=True) for name, group in groups.items()},
    )


def _numbers(what: str, values: object, gaps: bool = False) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"its {what[:60]} are {quote(values)}, which is no JSON object")
    for name, value in values.items():
        if value is not None or not gaps:
            _number(name, value)
    return values


def _number(name: str, value: object) -> IntOrFloat:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name[:60]} is {quote(value)}, which is no finite number")
    return value


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

"""One network's line in the journal: what it is and all that was measured of it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Number", "Record", "parse_line"]

Number = int | float


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
    objectives: Mapping[str, Number]
    constraints: Mapping[str, Number]
    metrics: Mapping[str, Number | None]
    groups: Mapping[str, Mapping[str, Number | None]] | None = None

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


def parse_line(line: bytes) -> Record:
    """The record of a journal's line; raises `ValueError` saying what is wrong with it."""
    content = json.loads(line.decode(), parse_constant=_refuse)  # bytes would be guessed to be UTF-16 or 32, too
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    try:
        groups = content.get("groups")
        record = Record(
            id=content["id"],
            generation=content["generation"],
            genome=tuple(content["genome"]),
            violation=float(content["violation"]),
            objectives=_numbers(content["objectives"]),
            constraints=_numbers(content["constraints"]),
            metrics=_numbers(content["metrics"], gaps=True),
            groups=None if groups is None else {name: _numbers(group, gaps=True) for name, group in groups.items()},
        )
    except KeyError as missing:
        raise ValueError(f"it has no {missing}") from None
    except (TypeError, AttributeError) as reason:
        raise ValueError(f"it has a value of the wrong kind ({reason})") from None
    if not (isinstance(record.id, str) and _whole(record.generation) and all(map(_whole, record.genome))):
        raise ValueError("its id, generation or genome is of the wrong kind")
    return record


def _numbers(values: Any, gaps: bool = False) -> Any:
    for name, value in values.items():
        if value is None and gaps:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, which is no finite number")
    return values


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")

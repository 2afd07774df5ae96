"""Constraints: declared limits such as `latency_ms <= 5`, and by how much a network breaks them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from evo_fair.errors import OWN_PARTS, ConstraintError, UnknownNameError
from evo_fair.evolution.devices import Devices, Latency, device_named, plain_name
from evo_fair.evolution.objectives import Objective, built_in, objective_names, resolve

__all__ = ["Constraint", "Limit", "parse_limit", "resolve_constraints"]

Relation = Literal["<=", ">="]

_NUMBER = r"[-+]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LIMIT = re.compile(rf"\s*(?P<name>\S.*?)\s*(?P<relation><=|>=)\s*(?P<number>{_NUMBER})\s*", re.DOTALL)
_STRICT = re.compile(rf"\s*(?P<name>[^<>=!\s]+)\s*(?P<relation><|>|==?|!=)\s*(?P<number>{_NUMBER})\s*")

_ROUNDING, _LEAST_ROUNDING = 1e-12, 1e-9
"""What rounding puts a computed share beyond a limit that it equals, at most, and as a part of small limits: the error
of a network that gets 0.85 right is 1 - 0.85, a little more than 0.15."""

_ALSO = re.compile(r"(?:[,;]|&+|\band\b)(?![^\[]*\])", re.IGNORECASE)
"""What stands between two limits; within brackets it is a part of a group's name."""
_BETWEEN = re.compile(rf"\s*(?P<least>{_NUMBER})\s*<=?\s*(?P<name>[^<>=!\s]+)\s*<=?\s*(?P<most>{_NUMBER})\s*")


@dataclass(frozen=True)
class Limit:
    """`name <= number` or `name >= number`; a value equal to the number, but for rounding, meets it.

    Args:
        name: What is limited, such as `latency_ms`.
        relation: `<=` or `>=`.
        number: The limit, in the objective's unit.
    """

    name: str
    relation: Relation
    number: float

    @property
    def text(self) -> str:
        """The limit in its one written form."""
        number = float(self.number)  # given as an integer, or as one of NumPy's
        whole = number.is_integer() and abs(number) < 1e15
        return f"{self.name} {self.relation} {int(number) if whole else repr(number)}"

    def met(self, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether values meet it; NaN never does.

        Args:
            values: Values, of any shape.

        Returns:
            bool of the same shape.
        """
        return np.asarray(self._excess(values) <= 0.0)

    def violation(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """How far values are beyond the limit.

        With r the excess over the limit's own size it is r / (1 + r): no constraint
        outweighs the others by its unit.

        Args:
            values: Finite values, of any shape.

        Returns:
            float64 of the same shape, from 0 (met) up to below 1.
        """
        excess = np.maximum(self._excess(values), 0.0)
        return np.asarray(excess / ((abs(self.number) or 1.0) + excess))

    def _excess(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """By how much values are beyond the number; at most 0 where they meet it."""
        array = np.asarray(values, np.float64)
        excess = array - self.number if self.relation == "<=" else self.number - array
        rounding = min(_ROUNDING, _LEAST_ROUNDING * abs(self.number))
        return np.where(excess <= rounding, np.minimum(excess, 0.0), excess)


@dataclass(frozen=True)
class Constraint(Limit):
    """A limit together with the objective that measures its name; cheap if that is.

    Args:
        name: What is limited, such as `latency_ms`.
        relation: `<=` or `>=`.
        number: The limit, in the objective's unit.
        objective: What measures it.
    """

    objective: Objective

    @property
    def cheap(self) -> bool:
        """Whether the layer table is enough to tell."""
        return self.objective.cheap


def parse_limit(text: str) -> Limit:
    """Reads a limit such as `latency_ms <= 5`.

    Args:
        text: The limit.

    Returns:
        The limit.

    Raises:
        ConstraintError: It can't be read; the message says what to write instead.
    """
    if several := _several(text):
        each = [f"'{one}'" for one in several]
        raise ConstraintError(
            f"the constraint {text!r} is {len(each)} in one: give each by its own, "
            f"--constraint {' --constraint '.join(each)}; in Python and in problem files [{', '.join(each)}]"
        )
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise ConstraintError(f"can't read the constraint {text!r}: {_mend(text)}")
    number = float(match["number"])
    if not math.isfinite(number):
        raise ConstraintError(f"the limit of the constraint {text!r} is not a finite number: write a smaller one")
    relation: Relation = "<=" if match["relation"] == "<=" else ">="
    return Limit(match["name"], relation, number)


def resolve_constraints(
    given: Sequence[str | Constraint],
    latency: Latency | Devices | None = None,
    device: str = "",
    objectives: Sequence[Objective] = (),
) -> tuple[Constraint, ...]:
    """Reads constraints on objectives; a repeated one counts once.

    Args:
        given: Texts such as `latency_ms <= 5`, or constraints, which stand for
            themselves.
        latency: The latency model of one device, or several `Devices`, as in `resolve`.
            Default: none.
        device: The name of the one device. Default: none.
        objectives: Objectives that can be limited beside the registered ones. Default:
            none.

    Returns:
        The constraints, in order.

    Raises:
        ConstraintError: One can't be read, names nothing that is measured, or needs a
            device.
    """
    found: dict[str, Constraint] = {}
    known = {objective.name: objective for objective in objectives if not built_in(objective.name)}
    for one in given:
        limit = parse_limit(one.text if isinstance(one, Constraint) else one)
        text = limit.text if isinstance(one, Constraint) else one
        if isinstance(one, Constraint) and plain_name(one.objective.name) != plain_name(one.name):
            raise ConstraintError(
                f"the constraint {text!r} is on {one.name!r}, and its objective is called {one.objective.name!r}: "
                "give both one name"
            )
        own = one.objective if isinstance(one, Constraint) else known.get(limit.name, limit.name)
        if built_in(limit.name):
            own = limit.name
        try:
            (measured,) = resolve([own], latency, device)
        except UnknownNameError as reason:
            named = device_named(limit.name) is not None
            unknown = reason if named else UnknownNameError("name", limit.name, objective_names(), OWN_PARTS)
            raise ConstraintError(f"can't use the constraint {text!r}: {unknown}") from None
        except ValueError as reason:
            raise ConstraintError(f"can't use the constraint {text!r}: {reason}") from reason
        _check_attainable(limit, measured, text)
        name = measured.name if built_in(limit.name) else limit.name
        constraint = Constraint(name, limit.relation, limit.number, measured)
        found.setdefault(constraint.text, constraint)
    return tuple(found.values())


def _check_attainable(limit: Limit, measured: Objective, text: str) -> None:
    """Raises `ConstraintError` for accuracies that are to be above 1, and for built-in measures to be below 0."""
    if not built_in(limit.name):
        return
    if measured.direction == "max" and limit.relation == ">=" and limit.number > 1:
        raise ConstraintError(
            f"no network can meet the constraint {text!r}: {limit.name} is a share, at most 1; "
            f"write {limit.name} >= 0.75 for 75 %"
        )
    if limit.relation == "<=" and limit.number < 0:
        raise ConstraintError(f"no network can meet the constraint {text!r}: {limit.name} is never below 0")


def _several(text: str) -> list[str]:
    """The limits that a text joins, as in `a >= 1, b <= 2` or `1 <= a <= 2`; none where it is one, or no limit."""
    if between := _BETWEEN.fullmatch(text):
        return [f"{between['name']} >= {between['least']}", f"{between['name']} <= {between['most']}"]
    parts = [part.strip() for part in _ALSO.split(text)]
    limits = [part for part in parts if _LIMIT.fullmatch(part) or _STRICT.fullmatch(part)]
    return [_with_equality(part) for part in parts] if len(limits) == len(parts) > 1 else []


def _with_equality(text: str) -> str:
    """A strict limit as one that can be given; any other text as it is."""
    strict = _STRICT.fullmatch(text)
    if strict is None or strict["relation"] not in "<>":
        return text
    return f"{strict['name']} {strict['relation']}= {strict['number']}"


def _mend(text: str) -> str:
    strict = _STRICT.fullmatch(text)
    if strict is not None and strict["relation"] in "<>":
        return f"a value equal to the limit counts as met, so write {_with_equality(text)}"
    if strict is not None:
        return "only <= and >= are known"
    written = "write a name, <= or >=, and a plain number without a unit, as in 'latency_ms <= 5'"
    if not set(text) & set("<>="):
        return f"{written}; on the command line in quotes, since a shell takes < and > for itself"
    return written

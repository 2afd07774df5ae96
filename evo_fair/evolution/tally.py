"""What a search knows of its journal: who was looked at, how much of the budget is spent, how good the front is."""

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from evo_fair.errors import ConstraintError
from evo_fair.evolution.constraints import Constraint
from evo_fair.evolution.hypervolume import HypervolumeTracker
from evo_fair.evolution.objectives import Objective, to_minimise
from evo_fair.evolution.record import Record

__all__ = ["Tally"]


class Tally:
    """Adds up records by generation; depends on the journal alone, so that a resume comes to the same."""

    def __init__(self, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> None:
        self._objectives = objectives
        self._limits = [_LimitTally(constraint) for constraint in constraints]
        self.seen: dict[str, Record] = {}
        self.evaluated = 0
        self.feasible = 0
        self.idle_generations = 0
        self.hypervolume = HypervolumeTracker(len(objectives))

    @property
    def looked_at(self) -> int:
        """How many records there were."""
        return len(self.seen)

    def add(self, records: Sequence[Record]) -> None:
        """Takes whole generations of records.

        Args:
            records: The records, in order.
        """
        for _, part in groupby(records, lambda record: record.generation):
            self._add_generation(list(part))

    def minimised(self, records: Sequence[Record]) -> npt.NDArray[np.float64]:
        """The records' objectives, less being better.

        Args:
            records: The records.

        Returns:
            float64 `[networks, objectives]`; NaN where not measured.
        """
        names = [objective.name for objective in self._objectives]
        values = [[record.objectives.get(name, np.nan) for name in names] for record in records]
        return to_minimise(np.array(values, np.float64).reshape(len(records), len(names)), self._objectives)

    def nothing_feasible(self) -> ConstraintError:
        """The error that says which constraint is the tightest and how near any network came to it."""
        seen = [tally for tally in self._limits if tally.measured]
        looked = f"no feasible network among {self.looked_at} ({self.evaluated} evaluated)"
        if not seen:
            return ConstraintError(f"{looked}: loosen the constraints")
        tightest = min(seen, key=lambda tally: tally.met / tally.measured)
        limit = tightest.constraint
        extreme = "smallest" if limit.relation == "<=" else "largest"
        return ConstraintError(
            f"{looked}: '{limit.text}' is the tightest constraint, met by {tightest.met} of {tightest.measured}, "
            f"and the {extreme} {limit.name} seen is {tightest.nearest:.6g}; loosen it and choose another --out"
        )

    def _add_generation(self, records: list[Record]) -> None:
        self.seen.update((record.id, record) for record in records)
        evaluated = [record for record in records if record.evaluated]
        self.evaluated += len(evaluated)
        self.idle_generations = 0 if evaluated else self.idle_generations + 1
        feasible = np.array([record.feasible for record in evaluated], np.bool_)
        self.feasible += int(feasible.sum())
        self.hypervolume.add(self.minimised(evaluated), feasible)
        for limit in self._limits:
            limit.add(records)


class _LimitTally:
    """How often a constraint was met, and the value nearest to its better end."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self.measured = 0
        self.met = 0
        self.nearest = math.inf if constraint.relation == "<=" else -math.inf

    def add(self, records: Sequence[Record]) -> None:
        text = self.constraint.text
        values = [record.constraints[text] for record in records if text in record.constraints]
        best = min if self.constraint.relation == "<=" else max
        self.nearest = best([self.nearest, *values])
        self.measured += len(values)
        self.met += int(self.constraint.met(values).sum())

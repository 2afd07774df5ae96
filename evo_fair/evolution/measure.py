"""From genomes to records: cheap measures first, an evaluation only for what keeps the cheap constraints."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evo_fair.errors import NonFiniteError
from evo_fair.evolution.constraints import Constraint
from evo_fair.evolution.evaluator import Evaluator, Genomes, Space
from evo_fair.evolution.objectives import Objective, ObjectiveValues
from evo_fair.evolution.record import IntOrFloat, Record
from evo_fair.fairness import Counts, measure_all
from evo_fair.fairness.summary import group_summary

__all__ = ["Measurer"]

_ROUNDING = 1e-6
"""By which a measure may differ between processors."""

_LARGEST = 1e50
"""Of a predictive objective: products of what is much larger are beyond floats, and with them its errors."""

_GROUP_DIGITS = 6
"""Decimals of the accuracies by group in the journal: finer than one sample in a million."""


class Measurer:
    """Measures genomes for one search.

    `group` names the grouping whose counts the predictive objectives get. `also` are cheap measures that are recorded
    without being objectives.
    """

    def __init__(
        self,
        space: Space,
        evaluator: Evaluator,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        group: str,
        also: Sequence[Objective] = (),
    ) -> None:
        self._space = space
        self._evaluator = evaluator
        self._objectives = objectives
        self._constraints = constraints
        self._group = group
        measures = {measure.name: measure for measure in [*also, *objectives, *(c.objective for c in constraints)]}
        self._cheap = [measure for measure in measures.values() if measure.cheap]
        self._predictive = [measure for measure in measures.values() if not measure.cheap]

    def records(self, genomes: Genomes, generation: int, allowance: int, known: Mapping[str, Record]) -> list[Record]:
        """The records of new genomes.

        Args:
            genomes: Canonical genomes, int16 `[networks, genes]`.
            generation: The generation's number.
            allowance: How many may be evaluated; those after the last one allowed are
                left out.
            known: Records by id; such a network is not evaluated again.

        Returns:
            The records, in the genomes' order.

        Raises:
            NonFiniteError: A measure is NaN or infinite.
        """
        ids = self._space.ids(genomes)
        cheap, keeps = self.cheap(genomes)
        taken = np.flatnonzero(np.cumsum(keeps) <= allowance)
        new = [int(i) for i in taken if keeps[i] and not (ids[i] in known and known[ids[i]].evaluated)]
        counts = self._evaluate(genomes[new]) if new else {}
        place = {number: at for at, number in enumerate(new)}

        records = []
        for i in map(int, taken):
            values: dict[str, IntOrFloat] = {name: _plain(column[i]) for name, column in cheap.items()}
            if i in place:
                own = {name: part[place[i]] for name, part in counts.items()}
                records.append(self._record(ids[i], generation, genomes[i], values, own))
            elif keeps[i]:
                records.append(known[ids[i]])
            else:
                records.append(self._record(ids[i], generation, genomes[i], values, None))
        return records

    def cheap(self, genomes: Genomes) -> tuple[dict[str, ObjectiveValues], npt.NDArray[np.bool_]]:
        """What is known without evaluating canonical `genomes` `[networks, genes]`.

        The cheap measures by name, each `[networks]`, and whether all cheap constraints are kept, bool `[networks]`.
        Raises `NonFiniteError` for a measure that is NaN or infinite.
        """
        table = self._space.decode(genomes)
        columns = {}
        for measure in self._cheap:
            columns[measure.name] = measure.measure(table)
            for number in np.flatnonzero(~np.isfinite(columns[measure.name])):
                name = self._space.ids(genomes[number : number + 1])[0]
                raise _unfit(measure.name, columns[measure.name][number], name, genomes[number])
        keeps = np.ones(len(genomes), np.bool_)
        for constraint in self._constraints:
            if constraint.cheap:
                keeps &= constraint.met(columns[constraint.name])
        return columns, keeps

    def wrong_record(self, records: Sequence[Record]) -> tuple[int, str] | None:
        """The first record whose cheap measures are not its network's own, and what is wrong; None if all are right.

        Args:
            records: Records of networks of the space.
        """
        if not records:
            return None
        columns, _ = self.cheap(np.array([record.genome for record in records], np.int16))
        for number, record in enumerate(records):
            for name, column in columns.items():
                for there in (record.objectives.get(name), record.metrics.get(name)):
                    if there is not None and not math.isclose(there, column[number], rel_tol=_ROUNDING):
                        return number, f"{name} of network {record.id} is {column[number]:g}, not {there:g}"
        return None

    def _evaluate(self, genomes: Genomes) -> Mapping[str, Counts]:
        counts = self._evaluator.evaluate(genomes)
        if self._group not in counts:
            raise ValueError(f"the evaluator counts {', '.join(counts)}, but not the run's group {self._group!r}")
        for name, part in counts.items():
            if len(part) != len(genomes):
                raise ValueError(f"the evaluator was given {len(genomes)} genomes and counted {len(part)} for {name!r}")
        return counts

    def _record(
        self,
        name: str,
        generation: int,
        genome: Genomes,
        cheap: dict[str, IntOrFloat],
        counts: dict[str, Counts] | None,
    ) -> Record:
        values = dict(cheap)
        metrics: dict[str, IntOrFloat | None] = dict(cheap)
        groups = None
        if counts is not None:
            # One network at a time, so that no value can depend on what it was evaluated together with.
            own = counts[self._group]
            for measure in self._predictive:
                values[measure.name] = _plain(measure.measure(own)[0])
                if not abs(values[measure.name]) <= _LARGEST:
                    raise _unfit(measure.name, values[measure.name], name, genome)
            metrics |= _metrics(own)
            groups = {grouping: _group_accuracy(part) for grouping, part in counts.items()}
        violation = 0.0
        for constraint in self._constraints:
            # What was not measured counts as broken in full: every evaluated network goes before it.
            measured = constraint.name in values
            violation += float(constraint.violation(values[constraint.name])) if measured else 1.0
        return Record(
            id=name,
            generation=generation,
            genome=tuple(genome.tolist()),
            violation=violation,
            objectives={o.name: values[o.name] for o in self._objectives if o.name in values},
            constraints={c.text: values[c.name] for c in self._constraints if c.name in values},
            metrics=metrics,
            groups=groups,
        )


def _metrics(counts: Counts) -> dict[str, IntOrFloat | None]:
    """All metrics of one network's counts; None for one that has no value on these samples."""
    return {name: None if value is None else _plain(value[0]) for name, value in measure_all(counts).items()}


def _group_accuracy(counts: Counts) -> dict[str, IntOrFloat | None]:
    accuracies = {name: group["accuracy"] for name, group in group_summary(counts).items()}
    return {name: None if value is None else round(value, _GROUP_DIGITS) for name, value in accuracies.items()}


def _plain(value: Any) -> IntOrFloat:
    """A NumPy scalar as the Python number that JSON writes: integers stay integers, and -0.0 becomes 0.0."""
    number: IntOrFloat = value.item()
    return number + 0.0 if isinstance(number, float) else number


def _unfit(measure: str, value: Any, network: str, genome: npt.NDArray[np.int16]) -> NonFiniteError:
    genes = " ".join(map(str, genome.tolist()))
    mend = "finite for every network; fix its function"
    if np.isfinite(value):
        mend = f"at most {_LARGEST:g} in size; divide it by a constant"
    return NonFiniteError(f"objective {measure!r} is {value} for network {network} (genome {genes}): it must be {mend}")

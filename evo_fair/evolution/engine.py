"""The search loop: ask, sort out, measure, write down, tell, save; the same journal after any kill and resume."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np

from evo_fair.arguments import check_seeds
from evo_fair.errors import EvoFairError, ObjectiveError
from evo_fair.evolution.algorithms import Algorithm, algorithm_name, check_algorithm, make_strategy
from evo_fair.evolution.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from evo_fair.evolution.constraints import Constraint
from evo_fair.evolution.evaluator import Evaluator, Genomes, KnowingSpace, Space
from evo_fair.evolution.hypervolume import Box
from evo_fair.evolution.journal import Journal, check_records, damaged
from evo_fair.evolution.measure import Measurer
from evo_fair.evolution.objectives import Objective
from evo_fair.evolution.proposals import Proposals, fresh_genomes
from evo_fair.evolution.record import Record
from evo_fair.evolution.start import Initial
from evo_fair.evolution.strategy import Strategy
from evo_fair.evolution.tally import Tally

__all__ = ["Outcome", "Progress", "Reason", "SearchPlan", "search"]

Reason = Literal["budget", "exhausted", "stalled"]
_MOST = {"budget": 10**9, "population": 100_000}
"""As in problem files: a generation is held in memory."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search is to do.

    `group` names the grouping that predictive objectives are about; `budget` is how many different networks may be
    evaluated; `also` are cheap measures to record beside the objectives. After `patience` generations in a row
    in which every network broke a cheap constraint the search ends. `initial` says how a search begins.
    """

    objectives: Sequence[Objective]
    group: str
    budget: int
    constraints: Sequence[Constraint] = ()
    algorithm: Algorithm = "nsga2"
    population: int = 48
    seed: int = 0
    also: Sequence[Objective] = ()
    patience: int = 50
    initial: Initial = "spread"

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ObjectiveError("a search needs at least one objective: name one, such as error")
        check_algorithm(self.algorithm, self.objectives)
        counts = (("budget", self.budget, 1), ("population", self.population, 2), ("seed", self.seed, 0))
        for name, value, least in counts:
            if not isinstance(value, Integral):
                raise EvoFairError(f"{name} {value!r} is no whole number: give one of at least {least}")
        for name, value, least in counts[:2]:
            if value < least:
                raise EvoFairError(f"{name} {value} is too small: it must be at least {least}")
            if value > _MOST[name]:
                raise EvoFairError(f"{name} {value} is too large: it must be at most {_MOST[name]:,}")
        check_seeds([self.seed])

    @property
    def algorithm_name(self) -> str:
        """What the strategy is called in the run's folder."""
        return algorithm_name(self.algorithm)


@dataclass(frozen=True)
class Progress:
    """Where a search stands after a generation.

    Args:
        generation: How many generations have ended.
        evaluated: How many networks were evaluated.
        budget: How many are to be.
        proposed: How many were looked at, those that break cheap limits included.
        feasible: How many of them keep every limit.
        hypervolume: The front's hypervolume, as a share of its box.
        networks_per_second: The speed of this process.
        seconds_left: This process's guess; None while there is none.
        drawn: How many of the generation's networks were drawn at random, as the
            strategy proposed too few new ones. Default: 0.
    """

    generation: int
    evaluated: int
    budget: int
    proposed: int
    feasible: int
    hypervolume: float
    networks_per_second: float
    seconds_left: float | None
    drawn: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Args:
        records: The journal: every network that was looked at, in order.
        generations: How many generations there were.
        evaluated: How many networks were evaluated.
        reason: Why it ended: by its budget, an exhausted space, or stalled for want of
            networks within the limits.
        hypervolume: The front's hypervolume, as a share of `box`.
        box: The box that hypervolumes are shares of; None where no network is feasible.
    """

    records: list[Record]
    generations: int
    evaluated: int
    reason: Reason
    hypervolume: float
    box: Box | None


def search(
    plan: SearchPlan,
    space: Space,
    evaluator: Evaluator,
    journal: Path,
    checkpoint: Path,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Searches until the budget is spent, taking up what journal and checkpoint hold already.

    The journal depends on the plan, the space and the evaluator's counts alone.

    Args:
        plan: What is searched for, and how.
        space: The genomes there are.
        evaluator: Tells what their networks predict.
        journal: The journal's file.
        checkpoint: The checkpoint's file.
        progress: Hears of each generation. Default: nobody.

    Returns:
        How the search ended.

    Raises:
        ConstraintError: It ends without a feasible network.
        NonFiniteError: An objective gave NaN or infinity.
        RunError: The journal is damaged, or of another search.
        StorageError: A file can't be written.
    """
    with Journal(journal) as book:
        check_records(journal, book.records, space, plan.objectives)
        loop = _Loop(plan, space, evaluator, book, checkpoint)
        reason = loop.run(progress)
    if not loop.tally.feasible:
        raise loop.tally.nothing_feasible()
    tracker = loop.tally.hypervolume
    return Outcome(book.records, loop.generation, loop.tally.evaluated, reason, tracker.value, tracker.box)


class _Loop:
    """One process's part of a search, from the last checkpoint on."""

    def __init__(
        self, plan: SearchPlan, space: Space, evaluator: Evaluator, journal: Journal, checkpoint: Path
    ) -> None:
        self.plan = plan
        self.space = space
        self.journal = journal
        self.checkpoint = checkpoint
        self.measurer = Measurer(space, evaluator, plan.objectives, plan.constraints, plan.group, plan.also)
        if fault := self.measurer.wrong_record(journal.records):
            raise damaged(journal.path, fault[0] + 1, fault[1])
        self.tally = Tally(plan.objectives, plan.constraints)
        self.generation = 0
        self.rng, self.strategy = self._begin()
        self._restore()
        # What was journalled after the checkpoint, or all of it without one: its values are taken, not its place.
        self.known: Mapping[str, Record] = {record.id: record for record in journal.records[self.tally.looked_at :]}

    def _begin(self) -> tuple[np.random.Generator, Strategy]:
        rng = np.random.default_rng(self.plan.seed)
        return rng, make_strategy(
            self.plan.algorithm, self.space, rng, self.plan.population, self.plan.objectives, self.plan.initial
        )

    def _restore(self) -> None:
        saved = read_checkpoint(self.checkpoint)
        if saved is None or not saved.fits(self.plan.algorithm_name, self.journal.records):
            return
        try:
            self.rng.bit_generator.state = saved.random
            self.strategy.restore(saved.state)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            self.rng, self.strategy = self._begin()
            return
        self.generation = saved.generation
        self.tally.add(self.journal.records[: saved.lines])
        self.journal.skip(saved.lines)

    def run(self, progress: Callable[[Progress], None] | None) -> Reason:
        started, before = time.monotonic(), self.tally.evaluated
        while self.tally.evaluated < self.plan.budget:
            if self.tally.idle_generations >= self.plan.patience:
                return "stalled"
            first = self._first()
            wanted = self.plan.population
            if self.generation == 0 and self.plan.initial != "random":
                # A spread goes from the smallest network to the largest: one that is cut has small networks alone.
                wanted = min(wanted, self.plan.budget - (0 if first is None else len(first)))
            proposals = fresh_genomes(self.strategy, self.space, self.rng, wanted, self.tally.seen, first)
            if not len(proposals.new):
                return "exhausted"
            records = self._generation(proposals)
            if progress is not None:
                rate = (self.tally.evaluated - before) / max(time.monotonic() - started, 1e-9)
                progress(self._progress(len(records), rate, proposals.drawn))
        return "budget"

    def _first(self) -> Genomes | None:
        """What the first generation holds beside the strategy's proposals; half of the budget is left for others."""
        begins = self.generation == 0 and self.plan.initial == "known"
        if not begins or not isinstance(self.space, KnowingSpace):
            return None
        return self.space.known_genomes()[: self.plan.budget // 2]

    def _generation(self, proposals: Proposals) -> list[Record]:
        allowance = self.plan.budget - self.tally.evaluated
        records = self.measurer.records(proposals.new, self.generation, allowance, self.known)
        self.journal.append(records)
        self.tally.add(records)
        told = [*records, *(self.tally.seen[name] for name in proposals.known)] if self.strategy.reviews else records
        genomes = np.array([record.genome for record in told], np.int16)
        violations = np.array([record.violation for record in told])
        self.strategy.tell(genomes, self.tally.minimised(told), violations)
        self.generation += 1
        # Only now: a checkpoint taken before tell would ask for the same generation again and never find it new.
        state = Checkpoint(
            algorithm=self.plan.algorithm_name,
            generation=self.generation,
            lines=self.tally.looked_at,
            last=records[-1].id,
            random=dict(self.rng.bit_generator.state),
            state=self.strategy.state(),
        )
        write_checkpoint(self.checkpoint, state)
        return records

    def _progress(self, proposed: int, rate: float, drawn: int) -> Progress:
        left = self.plan.budget - self.tally.evaluated
        return Progress(
            generation=self.generation,
            evaluated=self.tally.evaluated,
            budget=self.plan.budget,
            proposed=proposed,
            feasible=self.tally.feasible,
            hypervolume=self.tally.hypervolume.value,
            networks_per_second=rate,
            seconds_left=left / rate if rate else None,
            drawn=drawn,
        )

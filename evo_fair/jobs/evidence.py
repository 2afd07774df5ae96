"""What frozen weights say of a search's networks, how noisy that is, and what trainings make of it.

From it come the beliefs of a run (`evo_fair.belief`), which networks to train next, and which networks that nobody
looked at yet are worth an evaluation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.arrays import Bools, Floats, Ints
from evo_fair.belief import (
    BELIEVED,
    UNCERTAINTY,
    Belief,
    Noise,
    Resamples,
    TrainingResult,
    Trainings,
    gene_features,
    next_trainings,
    own_noise,
)
from evo_fair.data import Dataset
from evo_fair.evolution import Objective, Record, SearchPlan, Space, non_dominated, to_minimise
from evo_fair.evolution.measure import Measurer
from evo_fair.evolution.proposals import new_candidates

__all__ = ["Evidence", "gather"]


_ASKED = 24
"""Networks whose sampling noise is looked at."""

_COSTS = ("macs", "params", "latency_ms")

_CHILDREN, _SAMPLES = 600, 200
"""Networks that nobody looked at yet among which those worth an evaluation are: children of the front, and samples."""

_GENERATIONS = 8
"""How often such networks have children before some are chosen."""

_UNKNOWN = 3.0
"""The standard error of the frozen scores of such a network, in ranges of all scores: they may be anything."""


@dataclass(frozen=True)
class _Candidates:
    """Networks that nobody looked at yet, and what is known of them all the same.

    `genomes` are int16 `[networks, genes]`, `cheap` the measures by name, each `[networks]`.
    """

    genomes: npt.NDArray[np.int16]
    cheap: dict[str, Floats]

    @classmethod
    def none(cls, genes: int) -> "_Candidates":
        return cls(np.empty((0, genes), np.int16), {})

    @classmethod
    def measured(cls, genomes: npt.NDArray[np.int16], measurer: Measurer) -> "_Candidates":
        """Those of the canonical `genomes` that keep the limits on what is cheap."""
        cheap, keeps = measurer.cheap(genomes)
        return cls(genomes, {name: np.asarray(column, np.float64) for name, column in cheap.items()}).only(keeps)

    def and_more(self, others: "_Candidates") -> "_Candidates":
        if not len(self.genomes):
            return others
        columns = {name: np.concatenate([column, others.cheap[name]]) for name, column in self.cheap.items()}
        return _Candidates(np.concatenate([self.genomes, others.genomes]), columns)

    def only(self, chosen: Ints | Bools) -> "_Candidates":
        return _Candidates(self.genomes[chosen], {name: column[chosen] for name, column in self.cheap.items()})


@dataclass(frozen=True)
class Evidence:
    """What frozen weights say of a search's evaluated networks `records`, and how noisy that is.

    The noise is known of some networks: their objectives on the same resamples, `resampled`
    `[asked, replicates, objectives]`, and the logarithms of their multiply-accumulates, `asked` `[asked]`. `resamples`
    are those of the validation part that trained networks are resampled on, too.
    """

    plan: SearchPlan
    space: Space
    records: tuple[Record, ...]
    resampled: Floats
    asked: Floats
    resamples: Resamples

    @property
    def goals(self) -> tuple[Objective, ...]:
        """The predictive objectives, which are believed about; the others are known."""
        return _predictive(self.plan)

    @cached_property
    def noise(self) -> Noise:
        """The noise of every network's scores; where resamples tell none, all that scores differ by may be noise."""
        noise = own_noise(self.resampled, self.asked, _sizes(self.records))
        most = _scores(self.records, self.goals).std(axis=0)
        return noise._replace(errors=np.where(np.isnan(noise.errors), most, noise.errors))

    @cached_property
    def before(self) -> Belief:
        """What is believed without any training."""
        scores, costs = _scores(self.records, self.goals), _costs(self.records)
        return Belief.fit(scores, self.noise.errors, costs, genes=self._genes(self._genomes))

    def believe(self, trainings: Sequence[TrainingResult]) -> Belief:
        """What is believed once these are known."""
        told = self._trainings(trainings)
        return self.before if told is None else self.before.after(told)

    def table(self, belief: Belief) -> pd.DataFrame:
        """The beliefs as `beliefs.csv` has them."""
        columns: dict[str, list[str] | Floats] = {"id": [record.id for record in self.records]}
        for place, goal in enumerate(self.goals):
            columns[f"{goal.name}{BELIEVED}"] = belief.mean[:, place]
            columns[f"{goal.name}{UNCERTAINTY}"] = belief.error[:, place]
        return pd.DataFrame(columns)

    def next(self, belief: Belief, n: int) -> list[Record]:
        """The networks to train next: feasible ones only, those that tell most first."""
        points, errors = self._points(belief, self._known)
        chosen = next_trainings(points, errors, belief.trained, n, self._feasible)
        return [self.records[row] for row in chosen]

    def propose(
        self, trainings: Sequence[TrainingResult], n: int, measurer: Measurer, rng: np.random.Generator
    ) -> npt.NDArray[np.int16]:
        """At most `n` networks worth an evaluation that are no records: those that are to enlarge the front, then may.

        Canonical genomes `[networks, genes]`. What is believed of them is from genes, size and `trainings` alone; it is
        followed for some generations, each the children of the front that is believed of all before.
        """
        before = len(self.records)
        candidates = _Candidates.none(len(self.space.gene_names))
        points, errors = self._points(self.believe(trainings), self._known)
        usable = self._feasible
        for _ in range(_GENERATIONS):
            leading = np.flatnonzero(usable)[non_dominated(points[usable])]
            genomes = np.concatenate([self._genomes, candidates.genomes])
            parents = genomes[leading[_evenly(points[leading], errors, rng, _CHILDREN)]]
            candidates = candidates.only(leading[leading >= before] - before)
            known = np.concatenate([self._genomes, candidates.genomes])
            found = _Candidates.measured(new_candidates(self.space, parents, known, rng, _CHILDREN, _SAMPLES), measurer)
            candidates = candidates.and_more(found)
            if not len(candidates.genomes):
                return candidates.genomes
            points, errors = self._points_of(candidates, trainings)
            usable = np.concatenate([self._feasible, self._may_keep_limits(candidates)])

        there = np.concatenate([self._feasible, np.zeros(len(candidates.genomes), np.bool_)])
        new = usable & (np.arange(len(points)) >= before)
        chosen = next_trainings(points, errors, there, n, new, hope=False)
        there[chosen] = True
        rest = next_trainings(points, errors, there, n - len(chosen), new)
        return np.asarray(candidates.genomes[np.concatenate([chosen, rest]) - before])

    def _points_of(self, candidates: "_Candidates", trainings: Sequence[TrainingResult]) -> tuple[Floats, Floats]:
        """The expected objectives of the records and, after them, of networks that were not evaluated."""
        scores = _scores(self.records, self.goals)
        belief = self._belief_with(candidates, scores, self.noise.errors, self._trainings(trainings))
        known = {name: np.concatenate([column, candidates.cheap[name]]) for name, column in self._known.items()}
        return self._points(belief, known)

    def _may_keep_limits(self, candidates: "_Candidates") -> Bools:
        """Which candidates would keep the limits on what frozen weights read, were they one standard error better.

        Feasible are networks whose frozen readings keep the limits, and so it is those that are foretold.
        """
        limits = [limit for limit in self.plan.constraints if not limit.cheap]
        kept = np.ones(len(candidates.genomes), np.bool_)
        if not limits:
            return kept
        readings = np.array([[record.constraints[limit.text] for limit in limits] for record in self.records], float)
        belief = self._belief_with(candidates, readings, np.zeros_like(readings))
        for limit, mean, error in zip(limits, belief.mean.T, belief.error.T, strict=True):
            hoped = mean - error if limit.relation == "<=" else mean + error
            kept &= limit.met(hoped[len(self.records) :])
        return kept

    def _belief_with(
        self, candidates: "_Candidates", scores: Floats, errors: Floats, trainings: Trainings | None = None
    ) -> Belief:
        """What is believed of the records, with these frozen `scores`, and after them of networks that have none."""
        unknown = np.broadcast_to(np.median(scores, axis=0), (len(candidates.genomes), scores.shape[1]))
        unsure = np.broadcast_to(_UNKNOWN * np.ptp(scores, axis=0), unknown.shape)
        more = np.column_stack([candidates.cheap[name] for name in _cost_names(self.records)])
        return Belief.fit(
            np.concatenate([scores, unknown]),
            np.concatenate([errors, unsure]),
            np.concatenate([_costs(self.records), more]),
            genes=self._genes(np.concatenate([self._genomes, candidates.genomes])),
            trainings=trainings,
            read=np.arange(len(scores) + len(unknown)) < len(scores),
        )

    def enlarged(self, records: Sequence[Record]) -> "Evidence":
        """The same with more networks."""
        return replace(self, records=(*self.records, *(record for record in records if record.evaluated)))

    @cached_property
    def _genomes(self) -> npt.NDArray[np.int16]:
        return np.array([record.genome for record in self.records], np.int16)

    @cached_property
    def _feasible(self) -> Bools:
        return np.array([record.feasible for record in self.records], np.bool_)

    @cached_property
    def _known(self) -> dict[str, Floats]:
        """The cheap objectives of the records."""
        names = [goal.name for goal in self.plan.objectives if goal.cheap]
        return {name: np.array([record.objectives[name] for record in self.records], np.float64) for name in names}

    def _genes(self, genomes: npt.NDArray[np.int16]) -> Floats:
        return gene_features(genomes, self.space.cardinalities, self.space.ordered)

    def _trainings(self, trainings: Sequence[TrainingResult]) -> Trainings | None:
        if not trainings:
            return None
        place = {record.id: row for row, record in enumerate(self.records)}
        names = [goal.name for goal in self.goals]
        values = [[one.values[name] for name in names] for one in trainings]
        errors = np.array([[one.uncertainties[name] for name in names] for one in trainings])
        rows = [place[one.id] for one in trainings]
        return Trainings.of(rows, values, errors * np.sqrt(self.noise.own_share))

    def _points(self, belief: Belief, known: dict[str, Floats]) -> tuple[Floats, Floats]:
        """The expected objectives, all minimised, and their errors, 0 for those that are known."""
        expected, errors = np.zeros((2, len(belief.mean), len(self.plan.objectives)))
        goals = [goal.name for goal in self.goals]
        for place, objective in enumerate(self.plan.objectives):
            if objective.name in goals:
                expected[:, place] = belief.mean[:, goals.index(objective.name)]
                errors[:, place] = belief.error[:, goals.index(objective.name)]
            else:
                expected[:, place] = known[objective.name]
        return to_minimise(expected, self.plan.objectives), errors


def _evenly(points: Floats, errors: Floats, rng: np.random.Generator, n: int) -> Ints:
    """Rows of a front `[networks, objectives]`, `[n]`, drawn evenly by ratio along what is known of it (latency).

    Most networks of a front are where there are most to choose from; drawn one by one, the others have no children.
    Where nothing is known without an error all rows are equally likely.
    """
    known = np.flatnonzero((errors == 0).all(axis=0) & (points > 0).all(axis=0))
    if not len(known):
        return rng.integers(len(points), size=n)
    place = np.log(points[:, known])[:, rng.integers(len(known), size=n)]
    wanted = rng.uniform(place.min(axis=0), place.max(axis=0))
    return np.asarray(np.abs(place - wanted).argmin(axis=0))


def gather(
    plan: SearchPlan,
    space: Space,
    dataset: Dataset,
    records: Sequence[Record],
    predict: Callable[[npt.NDArray[np.int16]], npt.NDArray[np.uint8]],
) -> Evidence | None:
    """What the frozen weights say; `predict` gives labels `[networks, samples]` of genomes on the validation part.

    None where all objectives are cheap: nothing is to be believed then.
    """
    goals = _predictive(plan)
    if not goals:
        return None
    evaluated = tuple(record for record in records if record.evaluated)
    resamples = Resamples(dataset, plan.group)
    size = _sizes(evaluated)
    order = np.argsort(size, kind="stable")
    asked = np.unique(order[np.linspace(0, len(order) - 1, min(_ASKED, len(order))).round().astype(np.int64)])
    predictions = predict(np.array([evaluated[row].genome for row in asked], np.int16))
    resampled = np.stack([resamples.values(row, goals) for row in predictions])
    return Evidence(plan, space, evaluated, resampled, size[asked], resamples)


def _predictive(plan: SearchPlan) -> tuple[Objective, ...]:
    return tuple(objective for objective in plan.objectives if not objective.cheap)


def _scores(records: Sequence[Record], goals: Sequence[Objective]) -> Floats:
    return np.array([[record.objectives[goal.name] for goal in goals] for record in records], np.float64)


def _cost_names(records: Sequence[Record]) -> list[str]:
    """Multiply-accumulates, parameters and latency, those of them that are known of all."""
    return [name for name in _COSTS if all(record.metrics.get(name) is not None for record in records)]


def _costs(records: Sequence[Record]) -> Floats:
    """What networks cost, `[networks, costs]`."""
    names = _cost_names(records)
    return np.array([[record.metrics[name] for name in names] for record in records], np.float64)


def _sizes(records: Sequence[Record]) -> Floats:
    """The logarithms of their first cost, `[networks]`."""
    return np.log1p(_costs(records)[:, 0])

"""A strategy that learns: Gaussian processes of the objectives propose what would enlarge the front most.

A Gaussian process is fitted to each predictive objective, from genomes and from what is cheap to know of a network.
Candidates are children of the front and samples of the space. Proposals are chosen one after another by Thompson
sampling, as in TSEMO (Bradford, Schweidtmann and Lapkin 2018): values are drawn from each process, and the candidate
is taken that would enlarge the dominated hypervolume most if they were true. Cheap objectives are measured, not
modelled; one proposal in five counts them by ratio, so that the fast end of a front gets its share: from 1 to 2 ms is
as far then as from 20 to 40.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import moocore
import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evo_fair.arrays import Bools, Floats
from evo_fair.evolution.evaluator import Genomes, Space
from evo_fair.evolution.hypervolume import box_around, hypervolume_gains, non_dominated
from evo_fair.evolution.objectives import Objective, to_minimise
from evo_fair.evolution.process import Process, Scale
from evo_fair.evolution.proposals import new_candidates
from evo_fair.evolution.start import Initial, spread_sample
from evo_fair.evolution.strategy import State
from evo_fair.layers import macs, params
from evo_fair.registries import strategy

__all__ = ["Surrogate"]


_FIRST = 24
"""Networks to measure before the models are asked."""

_CHILDREN, _SAMPLES = 2000, 1000
"""Candidates of a generation: children of the front, and samples of the space."""

_SHORTLIST = 400
"""Candidates that values are drawn for: those with the largest gain if they were `_HOPE` deviations better."""

_HOPE = 1.0

_BY_RATIO = 5
"""One in so many proposals counts costs by ratio."""

_MODELLED = 1000
"""Networks that a process is fitted to at most, those on the best fronts: its cost grows with their cube."""

_TREES = 100
"""Trees that tell which candidates keep the limits."""


class _Yardstick:
    """What measures gains: a box around known objectives `[networks, objectives]`, those in `places` by ratio.

    By ratio, going from 40 to 36 % of errors is worth as much as from 10 to 9 %. The box is around all that is known:
    one around the front alone would see no gain beyond the front's own ends.
    """

    def __init__(self, known: Floats, places: Iterable[int]) -> None:
        self._scales = {place: Scale(known[:, place]) for place in places}
        scaled = self._scaled(known)
        self._box = box_around(scaled)
        self._front = scaled[non_dominated(scaled)]

    def gains(self, points: Floats) -> Floats:
        """By how much each of `points` `[n, objectives]` would enlarge the front's hypervolume, `[n]`."""
        return hypervolume_gains(self._scaled(points), self._front, self._box)

    def add(self, point: Floats) -> None:
        """Takes a point `[objectives]` into the front."""
        self._front = np.concatenate([self._front, self._scaled(point[None])])

    def _scaled(self, points: Floats) -> Floats:
        scaled = points.copy()
        for place, scale in self._scales.items():
            scaled[:, place] = scale(points[:, place])
        return scaled


@strategy("surrogate")
class Surrogate:
    """Models every predictive objective; works with categories, ordered genes, limits and noise.

    What it remembers is what it was told and the kernels' parameters, so a resumed search proposes the same.
    """

    reviews: ClassVar[bool] = False

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        population: int,
        objectives: Sequence[Objective],
        initial: Initial = "spread",
    ) -> None:
        del population
        self._space = space
        self._rng = rng
        self._objectives = objectives
        self._initial = initial
        self._genomes = np.empty((0, len(space.gene_names)), np.int16)
        self._values = np.empty((0, len(objectives)))
        self._violations = np.empty(0)
        self._processes = {place: Process() for place, goal in enumerate(objectives) if not goal.cheap}

    def ask(self, n: int) -> Genomes:
        """`n` genomes, or as many as there are candidates: at first as `initial` says, then by the models."""
        measured: Bools = np.asarray(np.isfinite(self._values).all(axis=1))
        if measured.sum() < _FIRST or not (self._violations[measured] == 0).any():
            return self._begin(n)
        with threadpool_limits(1):  # sums depend on the number of threads
            return self._propose(n, measured)

    def tell(self, genomes: Genomes, objectives: Floats, violations: Floats) -> None:
        """Remembers; the models are fitted when they are asked next.

        Args:
            genomes: Canonical genomes, int16 `[networks, genes]`.
            objectives: Their minimised objectives, float64 `[networks, objectives]`.
            violations: How far each breaks the constraints, float64 `[networks]`.
        """
        self._genomes = np.concatenate([self._genomes, np.asarray(genomes, np.int16)])
        self._values = np.concatenate([self._values, objectives])
        self._violations = np.concatenate([self._violations, violations])

    def state(self) -> State:
        """All that was told, and the kernels' parameters."""
        arrays: State = {"genomes": self._genomes, "objectives": self._values, "violations": self._violations}
        return arrays | {f"process{place}": process.state() for place, process in self._processes.items()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up what `state` gave; raises `KeyError` or `ValueError` for arrays that don't fit the space."""
        genomes, values, violations = state["genomes"], state["objectives"], state["violations"]
        known = len(genomes)
        shapes = (genomes.shape, values.shape, violations.shape)
        if shapes != ((known, self._genomes.shape[1]), (known, self._values.shape[1]), (known,)):
            raise ValueError(f"networks of shapes {shapes} do not fit the space")
        for place, process in self._processes.items():
            process.restore(state[f"process{place}"])
        self._genomes = genomes.astype(np.int16)
        self._values, self._violations = values.astype(np.float64), violations.astype(np.float64)

    def _begin(self, n: int) -> Genomes:
        samples = self._space.sample(self._rng, n)
        if self._initial == "random":
            return samples
        # A spread alone would show the models hardly anything of the middle, where most networks are.
        spread = spread_sample(self._space, self._rng, (n + 1) // 2, self._objectives)
        return np.concatenate([spread, samples[: n // 2]])

    def _propose(self, n: int, measured: Bools) -> Genomes:
        feasible = measured & (self._violations == 0)
        on_front = non_dominated(self._values[feasible])
        front = self._genomes[feasible][on_front]
        candidates = new_candidates(self._space, front, self._genomes, self._rng, _CHILDREN, _SAMPLES)
        if not len(candidates):
            return self._begin(n)
        features, cheap = self._fit(measured, candidates)
        chances = self._chances(candidates)
        known = self._values[feasible]
        yardsticks = [_Yardstick(known, places) for places in (self._processes, range(known.shape[1]))]

        expected, hoped = cheap.copy(), cheap.copy()
        for place, process in self._processes.items():
            mean, deviation = process.predict(features)
            expected[:, place] = process.scale.inverse(mean)
            hoped[:, place] = process.scale.inverse(mean - _HOPE * deviation)
        best = [np.argsort(-yardstick.gains(hoped) * chances, kind="stable") for yardstick in yardsticks]
        shortlist = np.unique(np.concatenate([order[: _SHORTLIST // 2] for order in best]))

        features, chances, expected = features[shortlist], chances[shortlist], expected[shortlist]
        drawn = np.repeat(cheap[shortlist][None], n, axis=0)  # [proposals, candidates, objectives]
        for place, process in self._processes.items():
            drawn[:, :, place] = process.scale.inverse(process.draw(features, n, self._rng))
        free = np.ones(len(shortlist), np.bool_)
        chosen: list[int] = []
        for number, values in enumerate(drawn[: len(shortlist)]):
            yardstick = yardsticks[number % _BY_RATIO == 0]
            gains = np.where(free, yardstick.gains(values) * chances, -1.0)
            chosen.append(int(gains.argmax()))
            free[chosen[-1]] = False
            # The next proposals take this one's value as it is expected: they look for gains elsewhere.
            for each in yardsticks:
                each.add(expected[chosen[-1]])
        proposals: Genomes = candidates[shortlist[chosen]]
        return proposals

    def _fit(self, measured: Bools, candidates: Genomes) -> tuple[Floats, Floats]:
        """Fits the processes; returns the candidates' features and objectives, 0 where a process is to tell."""
        rows = np.flatnonzero(measured)
        if len(rows) > _MODELLED:
            order = np.argsort(moocore.pareto_rank(self._values[rows]), kind="stable")
            rows = np.sort(rows[order[:_MODELLED]])
        known, _ = self._costs(self._genomes[rows])
        costs, objectives = self._costs(candidates)
        scaler = StandardScaler().fit(known)
        features = np.hstack([self._genes(self._genomes[rows]), scaler.transform(known)])
        for place, process in self._processes.items():
            process.fit(features, self._values[rows, place], known.shape[1])
        return np.hstack([self._genes(candidates), scaler.transform(costs)]), objectives

    def _genes(self, genomes: Genomes) -> Floats:
        """What genes say, `[networks, columns]`: one from 0 to 1 for an ordered gene, one for each value of a category.

        Categories with equally many values are taken to have the same ones, as the kinds of the slots have: how often
        a network has each, at whatever place, tells more than the places do while few networks are known.
        """
        columns = [np.empty((len(genomes), 0))]
        for gene, count in enumerate(self._space.cardinalities):
            own = genomes[:, gene, None]
            columns.append(own / max(count - 1, 1) if self._space.ordered[gene] else own == np.arange(count))
        for count in np.unique(self._space.cardinalities[~self._space.ordered]):
            alike = genomes[:, ~self._space.ordered & (self._space.cardinalities == count)]
            columns.append((alike[:, :, None] == np.arange(count)).sum(axis=1) / 2)
        return np.concatenate(columns, axis=1)

    def _costs(self, genomes: Genomes) -> tuple[Floats, Floats]:
        """Logarithms of what networks cost `[networks, costs]`, and the minimised objectives `[networks, objectives]`.

        Costs are multiply-accumulates, parameters and the cheap objectives; objectives that aren't cheap are 0.
        """
        table = self._space.decode(genomes)
        none = np.zeros(len(table))
        values = np.stack([goal.measure(table) if goal.cheap else none for goal in self._objectives], axis=1)
        costs = np.column_stack([macs(table), params(table), values])
        return np.sign(costs) * np.log1p(np.abs(costs)), to_minimise(values, self._objectives)

    def _chances(self, candidates: Genomes) -> Floats:
        """How likely each candidate is to keep the limits, `[candidates]`."""
        kept = self._violations == 0
        if kept.all():
            return np.ones(len(candidates))
        trees = ExtraTreesClassifier(_TREES, min_samples_leaf=2, random_state=int(self._rng.integers(2**31)))
        trees.fit(self._genes(self._genomes), kept)
        return np.asarray(trees.predict_proba(self._genes(candidates))[:, 1])

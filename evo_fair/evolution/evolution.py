"""What NSGA-II and NSGA-III share: a population that survives and mates by pymoo's operators, saved as plain arrays."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pymoo.config import Config
from pymoo.core.mating import Mating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.selection import Selection
from pymoo.core.survival import Survival

from evo_fair.evolution.evaluator import Genomes, Space
from evo_fair.evolution.objectives import Objective
from evo_fair.evolution.operators import GeneMutation, gene_crossover
from evo_fair.evolution.start import Initial, spread_sample
from evo_fair.evolution.strategy import State

__all__ = ["Evolution"]

# pymoo prints to stdout where its compiled modules are missing; they are only faster.
Config.warnings["not_compiled"] = False

_MARKS = ("rank", "crowding")
"""What NSGA-II's survival leaves on a member for the next mating: it can't be told from the survivors afterwards."""

_NUMBERS = ("objectives", "violations", *_MARKS)


class Evolution(ABC):
    """A generational strategy from pymoo's parts: feasible members go before infeasible ones, those by violation.

    pymoo's own algorithm objects aren't used: they own their termination, clock and random state, and can't be saved
    without pickle.
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
        self._space = space
        self._rng = rng
        self._size = population
        self._objectives = objectives
        self._initial = initial
        self._problem = Problem(
            n_var=len(space.gene_names),
            n_obj=len(objectives),
            n_ieq_constr=1,
            xl=0,
            xu=space.cardinalities - 1,
            vtype=int,
        )
        self._mating = Mating(self._selection(), gene_crossover(), GeneMutation(space), n_max_iterations=1)
        self._survival = self._make_survival(len(objectives))
        self._members = Population()

    @abstractmethod
    def _selection(self) -> Selection: ...

    @abstractmethod
    def _make_survival(self, objectives: int) -> Survival: ...

    def ask(self, n: int) -> Genomes:
        """`n` offspring of the population; before there is one, genomes as `initial` says."""
        if not len(self._members):
            if self._initial == "random":
                return self._space.sample(self._rng, n)
            return spread_sample(self._space, self._rng, n, self._objectives)
        children = self._mating.do(self._problem, self._members, n, algorithm=self, random_state=self._rng)
        return np.asarray(children.get("X"), np.int16)

    def tell(self, genomes: Genomes, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]) -> None:
        """Joins new members and lets the best survive.

        Args:
            genomes: Canonical genomes, int16 `[networks, genes]`.
            objectives: Their minimised objectives, float64 `[networks, objectives]`.
            violations: How far each breaks the constraints, float64 `[networks]`.
        """
        if not len(genomes):
            return
        members = Population.merge(self._members, _population(genomes, objectives, violations))
        self._members = self._survival.do(
            self._problem, members, n_survive=self._size, algorithm=self, random_state=self._rng
        )

    def state(self) -> State:
        """The members with all that pymoo keeps on them."""
        if not len(self._members):
            return {}
        arrays: State = {"genomes": np.asarray(self._members.get("X"), np.int16)}
        arrays["objectives"] = np.asarray(self._members.get("F"), np.float64)
        arrays["violations"] = np.asarray(self._members.get("G"), np.float64)[:, 0]
        for mark in _MARKS:
            values = [member.get(mark) for member in self._members]
            arrays[mark] = np.array([np.nan if value is None else value for value in values], np.float64)
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up what `state` gave; raises `KeyError` or `ValueError` for arrays that don't fit the space."""
        if not state:
            self._members = Population()
            return
        genomes, objectives, violations = state["genomes"], state["objectives"], state["violations"]
        members = len(genomes)
        shapes = (genomes.shape, objectives.shape, violations.shape)
        if shapes != ((members, self._problem.n_var), (members, self._problem.n_obj), (members,)):
            raise ValueError(f"a population of shapes {shapes} does not fit the space")
        if genomes.dtype.kind not in "iu" or any(state[name].dtype.kind != "f" for name in _NUMBERS):
            raise ValueError("a population's genomes are integers, and all else of it are numbers")
        self._space.canonical(genomes)  # raises for genes out of range
        population = _population(genomes, objectives, violations)
        for mark in _MARKS:
            for member, value in zip(population, state[mark], strict=True):
                if not np.isnan(value):
                    member.set(mark, value)
        self._members = population


def _population(
    genomes: npt.NDArray[Any], objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]
) -> Population:
    """pymoo's form of evaluated genomes; unmeasured objectives, which no comparison of pymoo's may see, become inf."""
    known = np.where(np.isnan(objectives), np.inf, objectives)
    return Population.new("X", genomes.astype(np.int16), "F", known, "G", violations[:, None])

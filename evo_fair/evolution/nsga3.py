"""NSGA-III (Deb and Jain 2014): survival by reference directions, for three objectives and more."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
from pymoo.core.population import Population
from pymoo.core.selection import Selection
from pymoo.core.survival import Survival
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.ref_dirs import get_reference_directions

from evo_fair.evolution.evaluator import Genomes
from evo_fair.evolution.evolution import Evolution
from evo_fair.evolution.strategy import State
from evo_fair.registries import strategy

__all__ = ["Nsga3", "reference_directions"]

_NORM = ("ideal_point", "worst_point", "nadir_point", "extreme_points")


@strategy("nsga3")
class Nsga3(Evolution):
    """pymoo's NSGA-III on genomes."""

    def _selection(self) -> Selection:
        return TournamentSelection(func_comp=_feasible_then_random)

    def _make_survival(self, objectives: int) -> Survival:
        return ReferenceDirectionSurvival(reference_directions(objectives, self._size))

    def tell(self, genomes: Genomes, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]) -> None:
        """Joins new members and lets the best survive.

        Args:
            genomes: Canonical genomes, int16 `[networks, genes]`.
            objectives: Their minimised objectives, float64 `[networks, objectives]`.
            violations: How far each breaks the constraints, float64 `[networks]`.
        """
        # pymoo's survival switches all warnings off for the whole process; this gives them back.
        with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
            super().tell(genomes, objectives, violations)

    def state(self) -> State:
        """The members, and the normalisation that survival has learnt from all that came before."""
        norm = {name: getattr(self._survival.norm, name) for name in _NORM}
        return super().state() | {f"norm.{name}": value for name, value in norm.items() if value is not None}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up what `state` gave; raises `KeyError` or `ValueError` for arrays that don't fit."""
        super().restore({name: value for name, value in state.items() if not name.startswith("norm.")})
        learnt = "norm.nadir_point" in state
        for name in _NORM if learnt else _NORM[:2]:
            if state[f"norm.{name}"].shape[-1] != self._problem.n_obj:
                raise ValueError(f"norm.{name} does not fit {self._problem.n_obj} objectives")
            setattr(self._survival.norm, name, state[f"norm.{name}"].copy())


def reference_directions(objectives: int, population: int) -> npt.NDArray[np.float64]:
    """The finest even grid of directions (Das and Dennis 1998).

    Args:
        objectives: How many objectives there are.
        population: The most directions.

    Returns:
        float64 `[directions, objectives]`.
    """
    if objectives == 1:
        return np.ones((1, 1))
    partitions = 1
    while math.comb(partitions + objectives, objectives - 1) <= population:
        partitions += 1
    directions: npt.NDArray[np.float64] = get_reference_directions("das-dennis", objectives, n_partitions=partitions)
    return directions


def _feasible_then_random(
    pop: Population,
    P: npt.NDArray[np.int64],  # noqa: N803
    random_state: np.random.Generator,
    **_: Any,
) -> npt.NDArray[np.int64]:
    """The winner of each pair `P` `[tournaments, 2]`: the smaller violation, else either, as `[tournaments, 1]`.

    pymoo's own comparison draws ties between infeasible members from the operating system's entropy.
    """
    violation = pop.get("CV")[:, 0][P]
    either = random_state.integers(2, size=len(P))
    better = np.where(violation[:, 0] < violation[:, 1], 0, np.where(violation[:, 1] < violation[:, 0], 1, either))
    return np.asarray(P[np.arange(len(P)), better][:, None])

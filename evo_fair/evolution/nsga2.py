"""NSGA-II (Deb et al. 2002): survival by rank and crowding distance, parents by binary tournament."""

from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.selection import Selection
from pymoo.core.survival import Survival
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from evo_fair.evolution.evolution import Evolution
from evo_fair.registries import strategy

__all__ = ["Nsga2"]


@strategy("nsga2")
class Nsga2(Evolution):
    """pymoo's NSGA-II on genomes."""

    # What pymoo's tournament reads from the algorithm that it is handed.
    tournament_type = "comp_by_dom_and_crowding"

    @property
    def random_state(self) -> object:
        """The Generator, where pymoo's tournament looks for it."""
        return self._rng

    def _selection(self) -> Selection:
        return TournamentSelection(func_comp=binary_tournament)

    def _make_survival(self, objectives: int) -> Survival:
        del objectives
        return RankAndCrowding()

"""What a search strategy is to the engine: asked for genomes, told their worth, saved and restored as arrays."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evo_fair.evolution.evaluator import Genomes

__all__ = ["State", "Strategy"]

State = dict[str, npt.NDArray[Any]]


class Strategy(Protocol):
    """Proposes genomes. All its randomness comes from the Generator it was built with, whose state the engine keeps.

    Example:
        >>> from evo_fair.evolution import make_strategy, resolve
        >>> from evo_fair.testing import small_space
        >>> space, goals = small_space(), resolve(["error", "params"])
        >>> strategy = make_strategy("random", space, np.random.default_rng(0), 12, goals)
        >>> strategy.ask(12).shape[1] == len(space.gene_names)
        True
    """

    @property
    def reviews(self) -> bool:
        """Whether it is also told networks that were known when it proposed them, with what was recorded of them."""

    def ask(self, n: int) -> Genomes:
        """Proposes genomes to look at; known and repeated ones are sorted out elsewhere.

        It can be asked several times before it is told, when too many of its proposals
        were known.

        Args:
            n: About how many genomes are wanted.

        Returns:
            The genomes, int16 `[networks, genes]`.
        """

    def tell(self, genomes: Genomes, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]) -> None:
        """Learns what canonical genomes are worth.

        They are the generation's new networks, and if it `reviews`, then also the known
        ones that it proposed since it was last told, once each. A network is feasible
        where its violation is 0. Objectives that were not measured, as the network
        broke a cheap constraint, are NaN; its violation is then larger than that of any
        network that was evaluated.

        Args:
            genomes: The genomes, int16 `[networks, genes]`.
            objectives: Their objectives, all minimised, float64 `[networks,
                objectives]`.
            violations: How far each breaks the constraints, float64 `[networks]`, 0 or
                more.
        """

    def state(self) -> State:
        """All that it has learnt.

        Returns:
            Arrays without Python objects, by name.
        """

    def restore(self, state: State) -> None:
        """Takes up a state.

        Args:
            state: What `state` returned.

        Raises:
            KeyError: The state lacks an array, so it is not this strategy's.
            ValueError: An array does not fit this strategy.
        """

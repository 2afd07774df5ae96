"""Random search: genomes as the space samples them, the baseline of every other strategy."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from evo_fair.evolution.evaluator import Genomes, Space
from evo_fair.evolution.objectives import Objective
from evo_fair.evolution.start import Initial
from evo_fair.evolution.strategy import State
from evo_fair.registries import strategy

__all__ = ["RandomSearch"]


@strategy("random")
class RandomSearch:
    """Learns nothing."""

    reviews: ClassVar[bool] = False

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        population: int,
        objectives: Sequence[Objective],
        initial: Initial = "spread",
    ) -> None:
        del population, objectives, initial
        self._space = space
        self._rng = rng

    def ask(self, n: int) -> Genomes:
        """`n` samples."""
        return self._space.sample(self._rng, n)

    def tell(self, genomes: Genomes, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]) -> None:
        """Learns nothing.

        Args:
            genomes: Not looked at.
            objectives: Not looked at.
            violations: Not looked at.
        """

    def state(self) -> State:
        """Nothing to keep."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up an empty state.

        Args:
            state: What `state` returned.

        Raises:
            ValueError: The state isn't empty.
        """
        if state:
            raise ValueError("random search has no state")

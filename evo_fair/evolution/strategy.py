"""What a search strategy is to the engine: asked for genomes, told their worth, saved and restored as arrays."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evo_fair.evolution.evaluator import Genomes

__all__ = ["State", "Strategy"]

State = dict[str, npt.NDArray[Any]]


class Strategy(Protocol):
    """Proposes genomes. All its randomness comes from the Generator it was built with, whose state the engine keeps."""

    @property
    def reviews(self) -> bool:
        """Whether it is also told networks that were known when it proposed them, with what was recorded of them."""

    def ask(self, n: int) -> Genomes:
        """About `n` genomes to look at, int16 `[networks, genes]`; known and repeated ones are sorted out elsewhere.

        Can be asked several times before it is told, when too many of its proposals were known.
        """

    def tell(self, genomes: Genomes, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]) -> None:
        """Learns the minimised objectives `[networks, objectives]` and violations `[networks]` of canonical genomes.

        They are the generation's new networks, and if it `reviews`, then also the known ones that it proposed since it
        was last told, once each.

        A network is feasible where its violation is 0. Objectives that were not measured, as the network broke a
        cheap constraint, are NaN; its violation is then larger than that of any network that was evaluated.
        """

    def state(self) -> State:
        """All that it has learnt, as arrays without Python objects."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up a state; raises `KeyError` or `ValueError` for one that is not its own."""

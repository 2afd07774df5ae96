"""An objective and a search strategy of your own, checked by the conformance kit and used in a search.

python examples/own_parts.py [--budget 100] [--out results/example-parts]
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import evo_fair as ef
from evo_fair.testing import check_objective, check_strategy


@ef.objective(direction="min")
def worst_class_error(counts: ef.Counts) -> npt.NDArray[np.float64]:
    """One less the share of the worst class that is right, `[networks]`."""
    confusion = counts.overall  # [networks, labels, predictions]
    right = confusion.diagonal(axis1=1, axis2=2) / confusion.sum(axis=2)
    return np.asarray(1 - right.min(axis=1))


@ef.strategy()
class Walk:
    """Changes one gene of the best network so far."""

    reviews = False

    def __init__(
        self, space: Any, rng: np.random.Generator, population: int, objectives: Sequence[ef.Objective]
    ) -> None:
        self.space, self.rng = space, rng
        self.best = np.zeros(len(space.gene_names), np.int16)
        self.worth = np.array(np.inf)

    def ask(self, n: int) -> npt.NDArray[np.int16]:
        """`n` neighbours of the best network."""
        genomes = np.tile(self.best, (n, 1))
        genes = self.rng.integers(len(self.best), size=n)
        genomes[np.arange(n), genes] = self.rng.integers(self.space.cardinalities[genes])
        return genomes

    def tell(self, genomes: npt.NDArray[np.int16], objectives: npt.NDArray[Any], violations: npt.NDArray[Any]) -> None:
        """Keeps the best network in the first objective."""
        worth = np.where(violations > 0, np.inf, objectives[:, 0])
        if worth.min() < self.worth:
            self.worth, self.best = np.array(worth.min()), genomes[worth.argmin()]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that was learnt."""
        return {"best": self.best, "worth": self.worth}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up what was learnt."""
        self.best, self.worth = state["best"], state["worth"]


def main() -> None:
    """Checks both parts, then searches with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", default="digits")
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--out", default="results/example-parts")
    arguments = parser.parse_args()

    check_objective("worst_class_error")
    check_strategy("Walk")
    goals = ["worst_class_error", "latency_ms"]
    run = ef.search(arguments.problem, algorithm="Walk", objectives=goals, budget=arguments.budget, out=arguments.out)
    print(run.front[["id", *goals]])


if __name__ == "__main__":
    main()

"""The search strategies by name."""

from collections.abc import Callable, Sequence

import numpy as np

from evo_fair.errors import UnknownNameError
from evo_fair.search.evaluator import Space
from evo_fair.search.nsga2 import Nsga2
from evo_fair.search.nsga3 import Nsga3
from evo_fair.search.objectives import Objective
from evo_fair.search.random_search import RandomSearch
from evo_fair.search.reinforce import Reinforce, Reward
from evo_fair.search.start import Initial
from evo_fair.search.strategy import Strategy
from evo_fair.search.surrogate import Surrogate

__all__ = ["ALGORITHMS", "check_algorithm", "make_strategy"]

ALGORITHMS: dict[str, Callable[[Space, np.random.Generator, int, Sequence[Objective], Initial], Strategy]] = {
    "nsga2": Nsga2,
    "nsga3": Nsga3,
    "random": RandomSearch,
    "reinforce": Reinforce,
    "surrogate": Surrogate,
}
"""Each is built from the space, the one Generator, the population's size the objectives, and how
an evolution begins."""


def check_algorithm(name: str, objectives: Sequence[Objective]) -> None:
    """Raises `UnknownNameError`, listing those there are, if no strategy is called `name`.

    Raises `ObjectiveError` if it can't work on these objectives.
    """
    if name not in ALGORITHMS:
        raise UnknownNameError("algorithm", name, sorted(ALGORITHMS))
    if name == "reinforce":
        Reward(objectives)


def make_strategy(
    name: str,
    space: Space,
    rng: np.random.Generator,
    population: int,
    objectives: Sequence[Objective],
    initial: Initial = "spread",
) -> Strategy:
    """The strategy called `name`; raises as `check_algorithm` does."""
    check_algorithm(name, objectives)
    return ALGORITHMS[name](space, rng, population, objectives, initial)

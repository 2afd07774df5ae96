"""The search strategies by name."""

from collections.abc import Callable

import numpy as np

from evo_fair.errors import UnknownNameError
from evo_fair.search.evaluator import Space
from evo_fair.search.nsga2 import Nsga2
from evo_fair.search.nsga3 import Nsga3
from evo_fair.search.random_search import RandomSearch
from evo_fair.search.strategy import Strategy

__all__ = ["ALGORITHMS", "check_algorithm", "make_strategy"]

ALGORITHMS: dict[str, Callable[[Space, np.random.Generator, int, int], Strategy]] = {
    "nsga2": Nsga2,
    "nsga3": Nsga3,
    "random": RandomSearch,
}
"""Each is built from the space, the one Generator, the population's size and the number of objectives."""


def check_algorithm(name: str) -> None:
    """Raises `UnknownNameError`, listing those there are, if no strategy is called `name`."""
    if name not in ALGORITHMS:
        raise UnknownNameError("algorithm", name, sorted(ALGORITHMS))


def make_strategy(name: str, space: Space, rng: np.random.Generator, population: int, objectives: int) -> Strategy:
    """The strategy called `name`; raises `UnknownNameError` listing those there are."""
    check_algorithm(name)
    return ALGORITHMS[name](space, rng, population, objectives)

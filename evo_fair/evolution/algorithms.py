"""The search strategies by name, and those that users hand over as a class, a function or an object."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evo_fair.blame import blamed, check_takes
from evo_fair.errors import EvoFairError, quote
from evo_fair.evolution.evaluator import Genomes, Space
from evo_fair.evolution.objectives import Objective
from evo_fair.evolution.start import Initial
from evo_fair.evolution.strategy import State, Strategy
from evo_fair.registries import STRATEGIES, STRATEGY_TAKES

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "StrategyFactory",
    "algorithm_name",
    "check_algorithm",
    "make_strategy",
    "own_code",
]

StrategyFactory = Callable[..., Strategy]
"""Makes a strategy of the space, the one Generator, the population's size and the objectives."""


class StrategySettings(Protocol):
    """An object with settings, whose method `begin` makes a strategy."""

    @property
    def begin(self) -> StrategyFactory:
        """Makes it, as a class or function would."""


Algorithm = str | StrategyFactory | StrategySettings
"""A name; or a class or function that makes a strategy; or an object whose `begin` does."""

ALGORITHMS = STRATEGIES

_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What `restore` raises for a state that is not its own."""


def algorithm_name(algorithm: Algorithm) -> str:
    """What a strategy is called in runs.

    Args:
        algorithm: A strategy's name, or a class, function or object that makes one.

    Returns:
        The name.

    Raises:
        EvoFairError: It is no strategy, or has the name of another one.
    """
    if isinstance(algorithm, str):
        return algorithm
    maker = _maker(algorithm)
    for known in STRATEGIES.own_names():
        if STRATEGIES[known] is algorithm:
            return known
    inner = getattr(algorithm, "func", algorithm)  # of a functools.partial
    name = str(getattr(inner, "name", None) or getattr(inner, "__name__", type(inner).__name__))
    STRATEGIES.check_name(name)
    if name in STRATEGIES:
        raise EvoFairError(f"there is an algorithm {name!r} already: give {quote(algorithm)} another name")
    check_takes("algorithm", name, maker, STRATEGY_TAKES, EvoFairError)
    return name


def own_code(algorithm: Algorithm) -> Any:
    """What a strategy of the user's own is made of.

    Args:
        algorithm: A strategy's name, or a class, function or object that makes one.

    Returns:
        The class, function or object; None for a strategy of evo_fair's own.
    """
    if not isinstance(algorithm, str):
        return None if _is_ours(algorithm_name(algorithm)) else algorithm
    return None if algorithm not in STRATEGIES or _is_ours(algorithm) else STRATEGIES.code(algorithm)


def check_algorithm(algorithm: Algorithm, objectives: Sequence[Objective]) -> None:
    """Refuses a strategy that can't work on these objectives, which its `check_objectives` says.

    Args:
        algorithm: A strategy's name, or a class, function or object that makes one.
        objectives: The objectives of the search.

    Raises:
        UnknownNameError: No strategy has this name; the message lists those there are.
        ObjectiveError: It can't work on these objectives.
    """
    name = algorithm_name(algorithm)
    maker = STRATEGIES[algorithm] if isinstance(algorithm, str) else algorithm
    check = getattr(maker, "check_objectives", None)
    if check is None:
        return
    if _is_ours(name):
        check(objectives)
    else:
        with blamed("algorithm", name, EvoFairError):
            check(objectives)


def make_strategy(
    algorithm: Algorithm,
    space: Space,
    rng: np.random.Generator,
    population: int,
    objectives: Sequence[Objective],
    initial: Initial = "spread",
) -> Strategy:
    """Makes the strategy of a search.

    Args:
        algorithm: A strategy's name, or a class, function or object that makes one.
        space: The space to search.
        rng: The Generator that all its randomness comes from.
        population: Networks a generation.
        objectives: The objectives, in the order of the columns that `tell` gets.
        initial: How the first generation is drawn. Default: `spread`, networks of all
            sizes.

    Returns:
        A strategy that has not been told anything yet.

    Raises:
        EvoFairError: As `check_algorithm` raises.
    """
    check_algorithm(algorithm, objectives)
    name = algorithm_name(algorithm)
    maker = STRATEGIES[algorithm] if isinstance(algorithm, str) else _maker(algorithm)
    if _is_ours(name):
        made: Strategy = maker(space, rng, population, objectives, initial)
        return made
    with blamed("algorithm", name, EvoFairError):
        return _Checked(name, maker(space, rng, population, objectives), space)


def _is_ours(name: str) -> bool:
    return name in STRATEGIES and STRATEGIES.is_built_in(name)


def _maker(algorithm: Any) -> StrategyFactory:
    begin = None if isinstance(algorithm, type) else getattr(algorithm, "begin", None)
    if begin is None and not callable(algorithm):
        raise EvoFairError(
            f"algorithm {quote(algorithm)} is no text, and no strategy: give a name, a class or function that makes "
            f"one of ({', '.join(STRATEGY_TAKES)}), or an object whose begin(...) does"
        )
    maker: StrategyFactory = begin or algorithm
    return maker


class _Checked:
    """A strategy of the user's own: what it gives is checked, and what it raises names it and its line."""

    def __init__(self, name: str, strategy: Strategy, space: Space) -> None:
        self._name, self._strategy, self._space = name, strategy, space
        lacking = [what for what in ("ask", "tell", "state", "restore") if not callable(getattr(strategy, what, None))]
        if lacking:
            raise EvoFairError(
                f"algorithm {name!r} makes {quote(strategy)}, which has no {', '.join(lacking)}: "
                "a strategy has ask, tell, state and restore"
            )
        self.reviews = bool(getattr(strategy, "reviews", False))

    def ask(self, n: int) -> Genomes:
        """Its genomes as int16; raises `EvoFairError` for what are none."""
        with blamed("algorithm", self._name, EvoFairError):
            genomes = np.asarray(self._strategy.ask(n))
            genes, cardinalities = len(self._space.gene_names), self._space.cardinalities
            if genomes.ndim != 2 or genomes.shape[1] != genes or genomes.dtype.kind not in "iu":
                raise EvoFairError(
                    f"algorithm {self._name!r} asks for {genomes.dtype} {list(genomes.shape)}: "
                    f"genomes are int16 [networks, {genes}]"
                )
            if not len(genomes):
                raise EvoFairError(
                    f"algorithm {self._name!r} asks for no network: ask({n}) has to return genomes, about {n}; "
                    "repeat some where there is nothing new"
                )
            wrong = np.argwhere((genomes < 0) | (genomes >= cardinalities))
            if len(wrong):
                row, gene = wrong[0]
                raise EvoFairError(
                    f"algorithm {self._name!r} asks for {genomes[row, gene]} in gene "
                    f"{self._space.gene_names[gene]!r}, which goes from 0 to {cardinalities[gene] - 1}"
                )
        return genomes.astype(np.int16)

    def tell(self, genomes: Genomes, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]) -> None:
        """Tells it."""
        with blamed("algorithm", self._name, EvoFairError):
            self._strategy.tell(genomes, objectives, violations)

    def state(self) -> State:
        """Its arrays; raises `EvoFairError` for what a checkpoint can't hold."""
        with blamed("algorithm", self._name, EvoFairError):
            state = {str(key): np.asarray(value) for key, value in dict(self._strategy.state()).items()}
        for key, value in state.items():
            if value.dtype.hasobject:
                raise EvoFairError(
                    f"algorithm {self._name!r} keeps Python objects in the state {key!r}: a state is arrays of numbers"
                )
        return state

    def restore(self, state: State) -> None:
        """Takes up a state, or raises what says that it is not its own."""
        try:
            self._strategy.restore(state)
        except _DAMAGED:
            raise
        except Exception:
            with blamed("algorithm", self._name, EvoFairError):
                raise

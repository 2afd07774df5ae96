"""Evolutionary multi-objective search for small, fast and fair neural networks."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Counts",
    "EvoFairError",
    "Listener",
    "Problem",
    "Profile",
    "Run",
    "forget",
    "load_problem",
    "load_profile",
    "load_run",
    "objective",
    "read_layers",
    "search",
    "train",
]

if TYPE_CHECKING:
    from evo_fair.api import Listener, search, train
    from evo_fair.errors import EvoFairError
    from evo_fair.fairness import Counts
    from evo_fair.latency import Profile, load_profile, read_layers
    from evo_fair.problem import Problem, load_problem
    from evo_fair.report import Run, load_run
    from evo_fair.search import forget, objective

_HOMES = {
    "Counts": "evo_fair.fairness",
    "EvoFairError": "evo_fair.errors",
    "Listener": "evo_fair.api",
    "Problem": "evo_fair.problem",
    "Profile": "evo_fair.latency",
    "Run": "evo_fair.report",
    "forget": "evo_fair.search",
    "load_problem": "evo_fair.problem",
    "load_profile": "evo_fair.latency",
    "load_run": "evo_fair.report",
    "objective": "evo_fair.search",
    "read_layers": "evo_fair.latency",
    "train": "evo_fair.api",
}


class _Package(ModuleType):
    """Imports a public name when it is first used: `import evo_fair` and the command line answer at once.

    `search` is a property because importing the subpackage of that name would otherwise take the function's place.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})

    @property
    def search(self) -> Any:
        return import_module("evo_fair.api").search

    @search.setter
    def search(self, value: ModuleType) -> None:
        """The import system offers the subpackage here; `from evo_fair.search import ...` finds it all the same."""


sys.modules[__name__].__class__ = _Package

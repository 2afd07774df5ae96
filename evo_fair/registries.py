"""The registries: all that is chosen by name, and decorators that add parts of your own.

`evo_fair.extend` says what each part is called with and what it returns. Nothing heavy is imported here: a part of
evo_fair's own is imported when it is first asked for. A further one is a file of its own, found by its name:
`evolution/strategy_NAME.py`, `pruning/criterion_NAME.py`, `pruning/method_NAME.py`, `data/source_NAME.py`,
`latency/onnx_op_NAME.py`, `space/kind_NAME.py`. The decorators of objectives, data sources and ONNX operators, which
make something of the user's function, stand beside what they make.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal, TypeVar

from evo_fair.blame import check_takes
from evo_fair.errors import (
    DataError,
    EvoFairError,
    ObjectiveError,
    ProblemError,
    ProfileError,
    PruningError,
    UnknownNameError,
)
from evo_fair.registry import Registry, modules_in

__all__ = [
    "BLOCK_KINDS",
    "CRITERIA",
    "CRITERION_TAKES",
    "DATA_SOURCES",
    "DIRECTIONS",
    "METHODS",
    "METHOD_TAKES",
    "OBJECTIVES",
    "OPERATORS",
    "STRATEGIES",
    "STRATEGY_TAKES",
    "CriterionTraits",
    "Direction",
    "MethodTraits",
    "criterion",
    "forget",
    "method",
    "name_of",
    "objective_names",
    "strategy",
    "without_brackets",
]

F = TypeVar("F", bound=Callable[..., Any])

CRITERION_TAKES = ("network", "structure", "samples", "rng")
METHOD_TAKES = ("dense", "task", "request")
STRATEGY_TAKES = ("space", "rng", "population", "objectives")


Direction = Literal["min", "max"]

DIRECTIONS: Mapping[str, Direction] = {
    "accuracy": "max",
    "error": "min",
    "balanced_accuracy": "max",
    "balanced_error": "min",
    "unfairness": "min",
    "accuracy_gap": "min",
    "worst_group_accuracy": "max",
    "worst_group_error": "min",
    "demographic_parity_difference": "min",
    "equal_opportunity_difference": "min",
    "equalized_odds_difference": "min",
    "average_odds_difference": "min",
    "cwv": "min",
    "mcd": "min",
    "latency_ms": "min",
    "latency_ms_low": "min",
    "latency_ms_high": "min",
    "worst_latency": "min",
    "params": "min",
    "macs": "min",
    "peak_memory_bytes": "min",
}
"""Which way each of evo_fair's own objectives is better."""


@dataclass(frozen=True)
class CriterionTraits:
    """What a criterion declares of itself.

    Args:
        seedless: It looks at weights alone, so that neither samples nor a seed change
            its scores. Default: False.
        compares_groups: Its samples need at least two groups. Default: False.
        orders_alike: Another criterion that puts the channels of a layer in the same
            order; an audit needs only one of them. Default: none.
    """

    seedless: bool = False
    compares_groups: bool = False
    orders_alike: str = ""


@dataclass(frozen=True)
class MethodTraits:
    """What a pruning method declares of itself.

    Args:
        weights_alone: It takes out single weights, never channels. Default: False.
        takes_shares: It follows a request's shares by layer. Default: True.
        own_scope: What stands in the place of the request's scope, where that is not
            followed. Default: none.
    """

    weights_alone: bool = False
    takes_shares: bool = True
    own_scope: str = ""


def _objectives() -> Mapping[str, str]:
    return dict.fromkeys(DIRECTIONS, "evo_fair.evolution.objectives")


def _strategies() -> Mapping[str, str]:
    home = "evo_fair.evolution"
    return {
        "nsga2": f"{home}.nsga2",
        "nsga3": f"{home}.nsga3",
        "random": f"{home}.random_search",
        "reinforce": f"{home}.reinforce",
        "surrogate": f"{home}.surrogate",
        **modules_in(home, "strategy_"),
    }


def _criteria() -> Mapping[str, str]:
    home = "evo_fair.pruning"
    names = (
        "random",
        "magnitude_l1",
        "magnitude_l2",
        "lamp",
        "bn_scale",
        "taylor",
        "fairprune",
        "fairgrape",
        "conflict",
    )
    return {**dict.fromkeys(names, f"{home}.criteria"), **modules_in(home, "criterion_")}


def _methods() -> Mapping[str, str]:
    home = "evo_fair.pruning"
    return {
        "magnitude": f"{home}.methods",
        "lottery-ticket": f"{home}.tickets",
        "safecompress": f"{home}.tickets",
        "fair-scratch": f"{home}.tickets",
        "bifp": f"{home}.bifp",
        "ballot": f"{home}.ballot",
        "evo": f"{home}.evo",
        "magnitude-refined": f"{home}.methods",
        **modules_in(home, "method_"),
    }


def _sources() -> Mapping[str, str]:
    home = "evo_fair.data"
    own = ("digits", "ham10000", "adult", "cifar10", "cifar10_lt", "image_folder", "table", "given")
    return {**dict.fromkeys(own, f"{home}.sources"), **modules_in(home, "source_")}


def _operators() -> Mapping[str, str]:
    home = "evo_fair.latency"
    modules = (f"{home}.onnx_rows", *modules_in(home, "onnx_op_").values())
    return {name: f"{module}:ROWS" for module in modules for name in import_module(module).ROWS}


_COLUMNS = {"id", "generation", "genome", "evaluated", "feasible", "front", "violation"}


def _refused_objective(name: str) -> str:
    taken = name in _COLUMNS or name.endswith(("_believed", "_uncertainty"))
    return "means something else in journals and fronts" if taken else ""


def _refused_criterion(name: str) -> str:
    return "is a pruning method already" if name in METHODS else ""


def _refused_method(name: str) -> str:
    return "is a criterion already" if name in CRITERIA else ""


def _block_kinds() -> Mapping[str, str]:
    names = ("MB", "DB", "RB", "CB", "FC", "IR", "PC", "ID")
    files = modules_in("evo_fair.space", "kind_")
    return {**dict.fromkeys(names, "evo_fair.space.kinds:BUILT_IN"), **{key.upper(): files[key] for key in files}}


def _refused_block_kind(name: str) -> str:
    return "is what an empty slot is called" if name == "SKIP" else ""


BLOCK_KINDS: Registry[Any, None] = Registry(
    "block kind",
    ProblemError,
    None,
    _block_kinds,
    pattern=re.compile(r"[A-Z]{1,8}"),
    example="BN, of capital letters alone",
    refuse=_refused_block_kind,
)
OBJECTIVES: Registry[Any, None] = Registry(
    "objective",
    ObjectiveError,
    None,
    _objectives,
    pattern=re.compile(r"[^\W\d]\w{0,99}"),
    example="worst_class_error",
    refuse=_refused_objective,
)
STRATEGIES: Registry[Callable[..., Any], None] = Registry(
    "algorithm", EvoFairError, None, _strategies, example="tournament"
)
CRITERIA: Registry[Callable[..., Any], CriterionTraits] = Registry(
    "criterion",
    PruningError,
    CriterionTraits(),
    _criteria,
    pattern=re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}"),
    example="smallest_first",
    refuse=_refused_criterion,
)
METHODS: Registry[Callable[..., Any], MethodTraits] = Registry(
    "method", PruningError, MethodTraits(), _methods, example="cut_and_train", refuse=_refused_method
)
DATA_SOURCES: Registry[Any, None] = Registry("data source", DataError, None, _sources, example="hospital_scans")
OPERATORS: Registry[Any, None] = Registry(
    "ONNX operator",
    ProfileError,
    None,
    _operators,
    pattern=re.compile(r"(?:[A-Za-z_][\w.-]*\.)?[A-Za-z_]\w{0,99}"),
    example="my.domain.MyOperator",
)
"""By the operator's name, with its domain before it unless that is ONNX's own."""


def strategy(name: str = "") -> Callable[[F], F]:
    """Registers the class or function below it as a search strategy.

    Args:
        name: What `--algorithm` calls it. Default: the name of the class or function.

    Returns:
        A decorator; what it decorates is called as `evo_fair.extend.StrategyFactory` says.

    Raises:
        EvoFairError: The name is taken or malformed, or the arguments are others; when it decorates.

    Example:
        >>> @ef.strategy()
        ... def like_random(space, rng, population, objectives):
        ...     from evo_fair.evolution.random_search import RandomSearch
        ...
        ...     return RandomSearch(space, rng, population, objectives)
        >>> ef.forget("like_random", "algorithm")
    """
    return _adding(STRATEGIES, name, STRATEGY_TAKES, None, "strategy")


def criterion(
    name: str = "", *, seedless: bool = False, compares_groups: bool = False, orders_alike: str = ""
) -> Callable[[F], F]:
    """Registers the function below it as a pruning criterion, called as `evo_fair.extend.Criterion` says.

    Args:
        name: What `--method` and `--criterion` call it. Default: the function's name.
        seedless: It looks at weights alone: neither samples nor a seed change its
            scores. Default: False.
        compares_groups: Its samples need at least two groups. Default: False.
        orders_alike: Another criterion that orders the channels of a layer alike, of
            which an audit needs but one. Default: none.

    Returns:
        A decorator.

    Raises:
        UnknownNameError: There is no criterion `orders_alike`.
        PruningError: The name is taken or malformed, or the arguments are others; when
            it decorates.

    Example:
        >>> from evo_fair.pruning.criteria import magnitude_l1
        >>> @ef.criterion(seedless=True)
        ... def large_weights_first(network, structure, samples, rng):
        ...     return magnitude_l1(network, structure, samples, rng)
        >>> ef.forget("large_weights_first", "criterion")
    """
    if orders_alike and orders_alike not in CRITERIA:  # an audit would leave out this one, and have no other for it
        raise UnknownNameError("criterion", str(orders_alike), CRITERIA.names())
    traits = CriterionTraits(seedless, compares_groups, orders_alike)
    return _adding(CRITERIA, name, CRITERION_TAKES, traits, "criterion")


def method(
    name: str = "", *, weights_alone: bool = False, takes_shares: bool = True, own_scope: str = ""
) -> Callable[[F], F]:
    """Registers the function below it as a pruning method, called as `evo_fair.extend.Method` says.

    Args:
        name: What `--method` calls it. Default: the function's name.
        weights_alone: It takes out single weights, never channels. Default: False.
        takes_shares: It follows a request's shares by layer. Default: True.
        own_scope: What stands in the place of the request's scope, where that is not
            followed. Default: none.

    Returns:
        A decorator.

    Raises:
        PruningError: The name is taken or malformed, or the arguments are others; when
            it decorates.

    Example:
        >>> from dataclasses import replace
        >>> from evo_fair.pruning.methods import choose_method
        >>> @ef.method()
        ... def twice_as_long(dense, task, request):
        ...     longer = replace(request, epochs=2 * request.epochs)
        ...     return choose_method("magnitude").prune(dense, task, longer)
        >>> ef.forget("twice_as_long", "method")
    """
    return _adding(METHODS, name, METHOD_TAKES, MethodTraits(weights_alone, takes_shares, own_scope), "method")


def _adding(
    registry: Registry[Any, Any], name: str, takes: tuple[str, ...], traits: Any, decorator: str
) -> Callable[[F], F]:
    if callable(name):
        raise without_brackets(decorator)

    def add(part: F) -> F:
        own = name or name_of(part)
        registry.check_name(own)
        check_takes(registry.kind, own, part, takes, registry.error)
        registry.add(own, part, traits, again=True)
        return part

    return add


def name_of(part: object) -> str:
    """What a function or class is called that registers without a name of its own.

    Args:
        part: The function, class, partial or object.

    Returns:
        Its name.
    """
    if isinstance(part, partial):
        return name_of(part.func)
    return str(getattr(part, "__name__", type(part).__name__))


def without_brackets(decorator: str, example: str = "") -> EvoFairError:
    """The error for a decorator that stands without brackets.

    Args:
        decorator: The decorator's name.
        example: What would stand in the brackets. Default: nothing.

    Returns:
        The error, to be raised.
    """
    return EvoFairError(f"@{decorator} stands without brackets: write @{decorator}({example})")


def forget(name: str, kind: str = "objective") -> None:
    """Takes a part of the user's own out of its registry, so that its name is free again.

    Args:
        name: The part's name.
        kind: What it is: `objective`, `algorithm`, `criterion`, `method`, `data
            source`, `ONNX operator` or `block kind`. Default: `objective`.

    Raises:
        EvoFairError: There is no such kind, no such part, or it is one of evo_fair's
            own.

    Example:
        >>> ef.forget("error")
        Traceback (most recent call last):
        evo_fair.errors.ObjectiveError: ...
    """
    kinds = {
        each.kind: each for each in (OBJECTIVES, STRATEGIES, CRITERIA, METHODS, DATA_SOURCES, OPERATORS, BLOCK_KINDS)
    }
    if kind not in kinds:
        raise EvoFairError(f"there are no parts of the kind {kind!r}: give one of {', '.join(kinds)}")
    kinds[kind].remove(name)


def objective_names() -> list[str]:
    """The names of all objectives there are."""
    return OBJECTIVES.names()

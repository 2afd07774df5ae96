"""The pruning methods by name: published ones in our reading, and every criterion with fine-tuning."""

import copy
from collections.abc import Callable, Mapping
from types import MappingProxyType

from evo_fair.errors import PruningError, UnknownNameError
from evo_fair.pruning.ballot import ballot
from evo_fair.pruning.bifp import bifp
from evo_fair.pruning.criteria import CRITERIA, Criterion
from evo_fair.pruning.evo import evo
from evo_fair.pruning.refine import refine
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.pruning.tickets import fair_scratch, lottery_ticket, safecompress
from evo_fair.pruning.treatments import TREATMENTS, Treatment, prune_and_train, select

__all__ = [
    "METHODS",
    "NAMED_METHODS",
    "OWN_SCOPES",
    "OWN_SHARES",
    "PRUNING_CODE",
    "WEIGHTS_ALONE",
    "Method",
    "method_named",
]

PRUNING_CODE = 2
"""Raised when a method's networks come out otherwise, so that a folder of before is not gone on with.

2: `ballot`, `evo` and `magnitude-refined` keep their limit of accuracy on samples that the outputs' offsets were not
fitted to, and the fairness term of `fair-scratch` is bounded. Folders without a code are of 1.
"""

Method = Callable[[Dense, Task, Request], Pruned]


def _by_criterion(criterion: Criterion, treatment: Treatment = "finetune", rounds: int = 1) -> Method:
    def method(dense: Dense, task: Task, request: Request) -> Pruned:
        return prune_and_train(dense, task, request, criterion, treatment, rounds > 1, rounds)

    return method


def _refined(dense: Dense, task: Task, request: Request) -> Pruned:
    """Magnitude pruning with `ballot`'s training: what of its effect is the selection's, what the training's."""
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    mask = select(network, structure, task, request, CRITERIA["magnitude_l1"])
    steps, notes = refine(network, mask, structure, dense, task, request)
    return Pruned(network.eval(), mask, steps, notes)


NAMED_METHODS = ("magnitude", "lottery-ticket", "safecompress", "fair-scratch", "bifp", "ballot", "evo")
"""Those that are compared with each other; only magnitude pruning and the lottery ticket follow a text we have."""

WEIGHTS_ALONE = ("safecompress",)
"""Those that take single weights out, and no channels."""

OWN_SHARES = ("safecompress", "fair-scratch", "bifp", "evo")
"""Those that take no shares by layer."""

OWN_SCOPES: Mapping[str, str] = MappingProxyType(
    {"safecompress": "uniform", "fair-scratch": "uniform", "evo": "searched"}
)
"""What stands in the place of a request's scope for those that don't follow it; evo searches the layers' shares."""

_PLAIN: Mapping[str, Criterion] = MappingProxyType({"magnitude": CRITERIA["magnitude_l1"], **CRITERIA})
"""Methods that are a criterion with a treatment."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "magnitude": _by_criterion(CRITERIA["magnitude_l1"]),
        "lottery-ticket": lottery_ticket,
        "safecompress": safecompress,
        "fair-scratch": fair_scratch,
        "bifp": bifp,
        "ballot": ballot,
        "evo": evo,
        "magnitude-refined": _refined,
        **{name: _by_criterion(criterion) for name, criterion in CRITERIA.items()},
    }
)
"""Methods by name; a criterion's name prunes by it in one shot, and fine-tunes."""


def method_named(name: str, treatment: Treatment | None = None, rounds: int | None = None) -> Method:
    """The method called `name`; `magnitude` and criteria with another treatment than `finetune`, and in rounds.

    In each of at most `rounds` rounds 20 % of what is left leaves, or more where that would take more rounds. Raises
    `UnknownNameError` listing the names there are, and `PruningError` for a method that has a training of its own.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, sorted(METHODS))
    if treatment is None and rounds is None:
        return METHODS[name]
    if treatment is not None and treatment not in TREATMENTS:
        raise UnknownNameError("treatment", treatment, list(TREATMENTS))
    if rounds is not None and rounds < 1:
        raise PruningError(f"rounds {rounds} is less than 1: give 1 for one shot, or more")
    if name not in _PLAIN:
        raise PruningError(
            f"{name} has rounds and a training of its own: leave out --treatment and --rounds, "
            "or use magnitude or a criterion"
        )
    return _by_criterion(_PLAIN[name], treatment or "finetune", rounds or 1)

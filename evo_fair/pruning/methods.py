"""The pruning methods by name: published ones in our reading, and every criterion with fine-tuning."""

import copy
from collections.abc import Callable, Mapping
from types import MappingProxyType

from evo_fair.errors import UnknownNameError
from evo_fair.pruning.ballot import ballot
from evo_fair.pruning.bifp import bifp
from evo_fair.pruning.criteria import CRITERIA, Criterion
from evo_fair.pruning.evo import evo
from evo_fair.pruning.refine import refine
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.pruning.tickets import fair_scratch, lottery_ticket, safecompress
from evo_fair.pruning.treatments import prune_and_train, select

__all__ = ["METHODS", "NAMED_METHODS", "Method", "method_named"]

Method = Callable[[Dense, Task, Request], Pruned]


def _by_criterion(criterion: Criterion) -> Method:
    def method(dense: Dense, task: Task, request: Request) -> Pruned:
        return prune_and_train(dense, task, request, criterion, "finetune")

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


def method_named(name: str) -> Method:
    """The method called `name`; raises `UnknownNameError` listing those there are."""
    if name not in METHODS:
        raise UnknownNameError("method", name, sorted(METHODS))
    return METHODS[name]

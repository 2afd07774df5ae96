"""The pruning methods by name: published ones in our reading, and every criterion with fine-tuning."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from evo_fair.blame import blamed, check_takes
from evo_fair.errors import OWN_PARTS, PruningError, UnknownNameError, quote
from evo_fair.pruning.criteria import Criterion, checked_criterion, criterion_named
from evo_fair.pruning.refine import refine
from evo_fair.pruning.removal import Mask
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.pruning.treatments import TREATMENTS, Treatment, prune_and_train, select
from evo_fair.registries import CRITERIA, CRITERION_TAKES, METHOD_TAKES, METHODS, MethodTraits, method

__all__ = [
    "METHODS",
    "NAMED_METHODS",
    "PRUNING_CODE",
    "ChosenMethod",
    "Method",
    "choose_method",
    "method_names",
]

PRUNING_CODE = 2
"""Raised when a method's networks come out otherwise, so that an earlier folder is not resumed.

2: `ballot`, `evo` and `magnitude-refined` keep their limit of accuracy on samples that the outputs' offsets were not
fitted to, and the fairness term of `fair-scratch` is bounded. Folders without a code are of 1.
"""

Method = Callable[[Dense, Task, Request], Pruned]

MAGNITUDE = "magnitude"


def _by_criterion(criterion: Criterion, treatment: Treatment = "finetune", rounds: int = 1) -> Method:
    def method(dense: Dense, task: Task, request: Request) -> Pruned:
        return prune_and_train(dense, task, request, criterion, treatment, rounds > 1, rounds)

    return method


METHODS.add(MAGNITUDE, _by_criterion(CRITERIA["magnitude_l1"]))


@method("magnitude-refined")
def _refined(dense: Dense, task: Task, request: Request) -> Pruned:
    """Magnitude pruning with `ballot`'s training: what of its effect is the selection's, what the training's."""
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    mask = select(network, structure, task, request, CRITERIA["magnitude_l1"])
    steps, notes = refine(network, mask, structure, dense, task, request)
    return Pruned(network.eval(), mask, steps, notes)


NAMED_METHODS = ("magnitude", "lottery-ticket", "safecompress", "fair-scratch", "bifp", "ballot", "evo")
"""Those that are compared with each other; only magnitude pruning and the lottery ticket follow a text we have."""


@dataclass(frozen=True)
class ChosenMethod:
    """A method that was asked for: its name, what it does and declares, and the criterion that it is, if it is one.

    `code` is the user's own function that it is made of, None for evo_fair's.
    """

    name: str
    prune: Method
    traits: MethodTraits
    criterion: Criterion | None = None
    code: Callable[..., Any] | None = None


def method_names() -> list[str]:
    """The names of all methods; a criterion's name prunes by it in one shot, and fine-tunes."""
    return [*METHODS, *CRITERIA]


def choose_method(
    given: str | Callable[..., Any], treatment: Treatment | None = None, rounds: int | None = None
) -> ChosenMethod:
    """The method of a name, or a function of the user's own: a method of three arguments, a criterion of four.

    `magnitude` and criteria come with another treatment than `finetune`, too, and in
    rounds: in each of at most `rounds` rounds 20 % of what is left leaves, or more
    where that would take more rounds. Raises `UnknownNameError` listing the names there
    are, and `PruningError` for a method that has a training of its own.

    Args:
        given: A name, or a function.
        treatment: What follows pruning: `none`, `finetune`, `rewind` or `reinit`.
            Default: None, `finetune`, or what the method itself does.
        rounds: The most rounds. Default: None, one, or those of the method.
    """
    chosen = _by_name(given) if isinstance(given, str) else _by_function(given)
    if treatment is None and rounds is None:
        return chosen
    if treatment is not None and treatment not in TREATMENTS:
        raise UnknownNameError("treatment", treatment, list(TREATMENTS))
    if rounds is not None and rounds < 1:
        raise PruningError(f"rounds {rounds} is less than 1: give 1 for one shot, or more")
    if chosen.criterion is None:
        raise PruningError(
            f"{chosen.name} has rounds and a training of its own: leave out --treatment and --rounds, "
            "or use magnitude or a criterion"
        )
    return replace(chosen, prune=_by_criterion(chosen.criterion, treatment or "finetune", rounds or 1))


def _by_name(name: str) -> ChosenMethod:
    if name in METHODS:
        traits = METHODS.traits(name)
        if name == MAGNITUDE:
            return ChosenMethod(name, METHODS[name], traits, CRITERIA["magnitude_l1"])
        if METHODS.is_built_in(name):
            return ChosenMethod(name, METHODS[name], traits)
        return ChosenMethod(name, checked_method(name, METHODS[name]), traits, None, METHODS.code(name))
    if name not in CRITERIA:
        raise UnknownNameError("method", name, sorted(method_names()), OWN_PARTS)
    criterion = criterion_named(name)
    code = None if CRITERIA.is_built_in(name) else CRITERIA.code(name)
    return ChosenMethod(name, _by_criterion(criterion), MethodTraits(), criterion, code)


def _by_function(given: Callable[..., Any]) -> ChosenMethod:
    """A function as it was handed over; its name must be no other part's."""
    for registry in (METHODS, CRITERIA):
        for name in registry.own_names():
            if registry[name] is given:
                return _by_name(name)
    if not callable(given):
        raise PruningError(f"method {quote(given)} is neither a name nor a function: give one of them")
    inner = getattr(given, "func", given)  # of a functools.partial
    name = str(getattr(inner, "__name__", type(inner).__name__))
    METHODS.check_name(name)
    if name in METHODS or name in CRITERIA:
        raise PruningError(f"there is a method {name!r} already: give the function another name")
    takes = [arguments for arguments in (METHOD_TAKES, CRITERION_TAKES) if _takes(given, arguments)]
    if len(takes) != 1:
        raise PruningError(
            f"{name} is called neither with ({', '.join(METHOD_TAKES)}), as a method, nor with "
            f"({', '.join(CRITERION_TAKES)}), as a criterion, or with both: register it with @ef.method() or "
            "@ef.criterion()"
        )
    if takes[0] == METHOD_TAKES:
        return ChosenMethod(name, checked_method(name, given), MethodTraits(), None, given)
    criterion = checked_criterion(name, given)
    return ChosenMethod(name, _by_criterion(criterion), MethodTraits(), criterion, given)


def _takes(function: Callable[..., Any], arguments: tuple[str, ...]) -> bool:
    try:
        check_takes("method", "", function, arguments, PruningError)
    except PruningError:
        return False
    return True


def checked_method(name: str, own: Method) -> Method:
    """A method of the user's own, of which every fault becomes a `PruningError` with its name.

    Args:
        name: The name.
        own: The user's function.
    """

    def method(dense: Dense, task: Task, request: Request) -> Pruned:
        spare = Dense(copy.deepcopy(dense.network), dense.early, dense.epochs)  # it may change what it is given
        with blamed("method", name, PruningError):
            pruned = own(spare, task, request)
        return check_result(name, pruned, dense.network, task.structure(dense.network), request)

    return method


def check_result(name: str, pruned: object, dense: nn.Module, structure: Structure, request: Request) -> Pruned:
    """The result in evaluation mode; raises `PruningError` for what can't be measured and written.

    Args:
        name: The name.
        pruned: What the method returned.
        dense: The dense network.
        structure: The weights and channels that can leave.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    if not isinstance(pruned, Pruned):
        raise PruningError(f"method {name!r} returns {type(pruned).__name__}: it has to return a Pruned")
    if not isinstance(pruned.network, nn.Module) or not isinstance(pruned.mask, Mask):
        raise PruningError(f"method {name!r} returns a Pruned without a network or without a Mask: give both")
    if isinstance(pruned.iterations, bool) or not isinstance(pruned.iterations, int) or pruned.iterations < 0:
        raise PruningError(f"method {name!r} counts {quote(pruned.iterations)} iterations: give the steps it trained")
    for key, value in dict(pruned.notes).items():
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise PruningError(f"method {name!r} notes {key} = {quote(value)}: notes are finite numbers")
    if (pruned.mask.keep is not None) != (request.kind == "structured"):
        has = "takes out single weights" if pruned.mask.keep is None else "takes out channels"
        raise PruningError(f"method {name!r} {has}, and {request.kind} pruning was asked for: follow request.kind")
    shapes = {key: tuple(tensor.shape) for key, tensor in dense.named_parameters()}
    if {key: tuple(tensor.shape) for key, tensor in pruned.network.named_parameters()} != shapes:
        raise PruningError(
            f"method {name!r} returns a network with other tensors than the dense one: put what leaves to 0, "
            "its channels are taken out afterwards"
        )
    kinds = {key: tensor.dtype for key, tensor in dense.state_dict().items()}
    for key, tensor in pruned.network.state_dict().items():
        if tensor.dtype != kinds.get(key, tensor.dtype):
            raise PruningError(
                f"method {name!r} returns {quote(key)} as {tensor.dtype}, and it was {kinds[key]}: keep its type"
            )
        if not tensor.isfinite().all():
            raise PruningError(f"method {name!r} returns {quote(key)} with infinity or NaN: fix what it trains")
    for key, left in pruned.mask.values.items():
        if not isinstance(left, torch.Tensor) or shapes.get(key) != tuple(left.shape):
            raise PruningError(f"method {name!r}: its mask of {quote(key)} is no tensor of the shape of a parameter")
    keep = pruned.mask.keep or {}
    for group, stays in keep.items():
        size = structure.groups[group].size if group in structure.groups else -1
        if np.shape(stays) != (size,) or np.asarray(stays).dtype != np.bool_ or not np.any(stays):
            raise PruningError(
                f"method {name!r} keeps {quote(group)} by {np.asarray(stays).dtype} {list(np.shape(stays))}: "
                "a mask says for each channel of a group of the structure whether it stays, and one has to"
            )
    pruned.network.eval()
    return pruned

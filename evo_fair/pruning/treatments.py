"""Treatments: how often a network is pruned on the way to its sparsity, and what happens to the weights that stay."""

import copy
import math
from typing import Literal

import torch
from torch import nn

from evo_fair.errors import PruningError, UnknownNameError
from evo_fair.nets import initialise
from evo_fair.pruning.criteria import Criterion
from evo_fair.pruning.removal import Mask, apply_mask
from evo_fair.pruning.selection import check_sparsity, choose, choose_given
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task

__all__ = [
    "FINETUNE_RATE",
    "TREATMENTS",
    "Treatment",
    "epochs_by_round",
    "prune_and_train",
    "round_sparsities",
    "select",
]

Treatment = Literal["none", "finetune", "rewind", "reinit"]
TREATMENTS: tuple[Treatment, ...] = ("none", "finetune", "rewind", "reinit")

FINETUNE_RATE = 0.3
"""The peak of the learning rate in fine-tuning, as a share of the recipe's; rewinding and starting anew have all."""

ROUND = 0.2
"""The share of what is left that leaves in a round of iterative pruning (Frankle, Carbin 2019)."""


def round_sparsities(sparsity: float, iterative: bool, most: int | None = None) -> list[float]:
    """The sparsity after each round: one round, or 20 % of what is left a round up to `sparsity`.

    With `most` there are at most that many rounds, each of which takes a larger share.

    Args:
        sparsity: The share that leaves, 0 to below 1.
        iterative: Whether it prunes in rounds.
        most: The most rounds. Default: None, as many as it takes.
    """
    check_sparsity(sparsity)
    if not iterative or sparsity == 0:
        return [sparsity]
    rounds = max(1, math.ceil(math.log(1 - sparsity) / math.log(1 - ROUND) - 1e-9))
    if most and rounds > most:
        return [1 - (1 - sparsity) ** (number / most) for number in range(1, most)] + [sparsity]
    return [1 - (1 - ROUND) ** number for number in range(1, rounds)] + [sparsity]


def epochs_by_round(epochs: int, rounds: int) -> list[int]:
    """How `epochs` are spread over rounds: half of them, and the rest of the division, go to the last.

    Args:
        epochs: Epochs of training.
        rounds: How many rounds.
    """
    if rounds == 1:
        return [epochs]
    early = epochs // 2 // (rounds - 1)
    return [early] * (rounds - 1) + [epochs - early * (rounds - 1)]


def select(
    network: nn.Module,
    structure: Structure,
    task: Task,
    request: Request,
    criterion: Criterion,
    sparsity: float | None = None,
    already: Mask | None = None,
    purpose: int = 1,
) -> Mask:
    """The mask that a criterion gives for a request, or for another `sparsity`; what is out `already` stays out.

    Args:
        network: The network.
        structure: The weights and channels that can leave.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
        criterion: The criterion.
        sparsity: The share that leaves, 0 to below 1. Default: None, the request's.
        already: An earlier mask. Default: none.
        purpose: Which of the method's Generators draws. Default: 1.
    """
    rng = request.rng(purpose)
    scores = criterion(network, structure, task.samples(rng), rng)
    if request.ratios is not None:
        return choose_given(network, structure, scores, request.ratios, request.kind)
    wanted = request.sparsity if sparsity is None else sparsity
    return choose(network, structure, scores, wanted, request.kind, request.scope, already)


def prune_and_train(
    dense: Dense,
    task: Task,
    request: Request,
    criterion: Criterion,
    treatment: Treatment = "finetune",
    iterative: bool = False,
    rounds: int | None = None,
) -> Pruned:
    """Prunes by a criterion in one shot or in rounds, with a treatment after each, in `request.epochs` altogether.

    `finetune` trains the weights that are left on, at a lower learning rate; `rewind`
    puts them back to what they were early on, and the learning rate with them (only the
    latter where the early weights are not known: Renda et al. 2020); `reinit` draws
    them anew; `none` leaves them. Of `rewind` and `reinit` there are no more rounds
    than can train an epoch each: the next one would rank weights that are not trained.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
        criterion: The criterion.
        treatment: What follows pruning: `none`, `finetune`, `rewind` or `reinit`.
            Default: `finetune`.
        iterative: Whether it prunes in rounds. Default: False.
        rounds: The most rounds. Default: None, as many as it takes.
    """
    if treatment not in TREATMENTS:
        raise UnknownNameError("treatment", treatment, list(TREATMENTS))
    if request.ratios is not None and iterative:
        raise PruningError("shares by layer are for one shot: leave out the rounds, or the shares")
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    if treatment in ("rewind", "reinit"):
        trained = 1 + request.epochs // 2
        rounds = trained if rounds is None else min(rounds, trained)
    sparsities = round_sparsities(request.sparsity, iterative, rounds)
    mask: Mask | None = None
    steps = 0
    for number, (sparsity, epochs) in enumerate(
        zip(sparsities, epochs_by_round(request.epochs, len(sparsities)), strict=True)
    ):
        mask = select(network, structure, task, request, criterion, sparsity, mask, purpose=10 + number)
        rate = FINETUNE_RATE if treatment == "finetune" else 1.0
        if treatment == "rewind" and dense.early is not None:
            network.load_state_dict(dense.early)
        elif treatment == "reinit":
            initialise(network, torch.Generator().manual_seed(int(request.rng(2).integers(2**63))))
        apply_mask(network, mask)
        if treatment != "none":
            seed = int(request.rng(100 + number).integers(2**31))
            steps += task.train(network, epochs, seed, rate=rate, mask=mask)
    assert mask is not None
    return Pruned(network.eval(), mask, steps, {"rounds": len(sparsities)})

"""Methods that find sparse networks by training from nothing, or from where a dense one began."""

import copy
import math

import numpy as np
import torch
from torch import nn

from evo_fair.errors import PruningError
from evo_fair.nets import initialise
from evo_fair.nets.fair_training import fair_loss
from evo_fair.pruning.criteria import CRITERIA
from evo_fair.pruning.gates import Gates
from evo_fair.pruning.removal import Mask, apply_mask
from evo_fair.pruning.selection import choose
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.pruning.treatments import prune_and_train
from evo_fair.registries import method

__all__ = ["fair_scratch", "lottery_ticket", "safecompress"]

DROPPED = 0.3
"""The share of the living weights that `safecompress` replaces at first (Mocanu et al. 2018 and Evci et al. 2020)."""

FAIRNESS = 1.0
"""What the fairness term weighs in `fair_scratch`'s loss."""


GAIN = 3.0
"""How much faster scores are trained than weights would be: its square times."""


@method("lottery-ticket")
def lottery_ticket(dense: Dense, task: Task, request: Request) -> Pruned:
    """The lottery ticket (Frankle, Carbin 2019): magnitude pruning in rounds, each with weights and rate rewound.

    At most three rounds, and no more than `request.epochs` give some training each.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    return prune_and_train(
        dense, task, request, CRITERIA["magnitude_l1"], "rewind", iterative=request.ratios is None, rounds=3
    )


@method(weights_alone=True, takes_shares=False, own_scope="uniform")
def safecompress(dense: Dense, task: Task, request: Request) -> Pruned:
    """Sparse training from nothing, in SafeCompress's style: once an epoch weak weights die and others are born.

    A random sparse network is trained; the smallest of its living weights, 30 % falling
    to 0 by a cosine over the first three quarters, give way to those with the largest
    gradients (RigL, Evci et al. 2020), layer by layer. It may train for as long as the
    dense network and the other methods' training together.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    if request.kind != "unstructured":
        raise PruningError("safecompress drops and grows single weights: use --structure unstructured")
    network = _anew(dense, request)
    structure = task.structure(network)
    rng = request.rng(1)
    scores = CRITERIA["random"](network, structure, task.samples(rng, 2), rng)
    mask = choose(network, structure, scores, request.sparsity, "unstructured", "uniform")
    living = {name: stays.clone() for name, stays in mask.values.items()}
    epochs = dense.epochs + request.epochs
    batch = min(task.recipe.batch_size, len(task.train_labels))
    an_epoch = len(task.train_labels) // batch
    last = 0.75 * epochs * an_epoch

    def renew(step: int) -> None:
        if step % an_epoch == 0 and step < last:
            _renew(network, living, 0.5 * DROPPED * (1 + math.cos(math.pi * step / last)))

    steps = task.train(network, epochs, int(request.rng(3).integers(2**31)), mask=Mask(living), after_step=renew)
    return Pruned(network.eval(), Mask(living), steps)


@method("fair-scratch", takes_shares=False, own_scope="uniform")
def fair_scratch(dense: Dense, task: Task, request: Request) -> Pruned:
    """A fair mask on random weights, in the style of Fair Scratch Tickets (2023): only the mask's scores are trained.

    Weights stay as they were drawn and batch norms unscaled; scores get
    straight-through gradients (Ramanujan et al. 2020) of a loss with a fairness term.
    It may train as long as `safecompress`.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    network = _anew(dense, request)
    structure = task.structure(network)
    rng = request.rng(1)
    scores = CRITERIA["random"](network, structure, task.samples(rng, 2), rng)
    network.requires_grad_(False)
    gates = Gates(network, structure, scores, request.kind, "uniform", GAIN)
    gates.close(request.sparsity)
    loss = fair_loss(task.train_labels, task.train_groups, FAIRNESS, task.recipe.label_smoothing)

    def close(_step: int) -> None:
        gates.close(request.sparsity)

    steps = task.train(
        network,
        dense.epochs + request.epochs,
        int(request.rng(3).integers(2**31)),
        loss=loss,
        after_step=close,
    )
    mask = gates.remove()
    network.requires_grad_(True)
    apply_mask(network, mask)
    return Pruned(network.eval(), mask, steps)


def _anew(dense: Dense, request: Request) -> nn.Module:
    """A copy of the network with weights drawn from the request's seed."""
    if request.ratios is not None:
        raise PruningError("methods that train from nothing take a sparsity, no shares by layer: leave out --ratio")
    network = copy.deepcopy(dense.network)
    initialise(network, torch.Generator().manual_seed(int(request.rng(2).integers(2**63))))
    return network


@torch.no_grad()
def _renew(network: nn.Module, living: dict[str, torch.Tensor], share: float) -> None:
    """Replaces the share of smallest living weights of each layer by the dead ones with the largest gradients."""
    tensors = dict(network.named_parameters())
    for name, held in living.items():
        alive = held.to(tensors[name].device)
        weight, gradient = tensors[name], tensors[name].grad
        count = min(round(share * int(alive.sum())), int((~alive).sum()))
        if gradient is None or not count:
            continue
        sizes = weight.abs().masked_fill(~alive, np.inf).flatten()
        wishes = gradient.abs().masked_fill(alive, -np.inf).flatten()
        dying, born = sizes.topk(count, largest=False).indices, wishes.topk(count).indices
        flat = alive.view(-1) if alive.is_contiguous() else alive.flatten()
        flat[dying], flat[born] = False, True
        alive.copy_(flat.view(alive.shape))
        weight.mul_(alive)
        held.copy_(alive)

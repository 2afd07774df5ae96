"""Masks and weights trained together with a term of degradation fairness, after BiFP (arXiv 2312.10181)."""

import copy

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from evo_fair.errors import PruningError
from evo_fair.nets.fair_training import squared_gap
from evo_fair.pruning.criteria import CRITERIA
from evo_fair.pruning.gates import Gates
from evo_fair.pruning.removal import apply_mask
from evo_fair.pruning.samples import Samples, sample_losses
from evo_fair.pruning.task import Dense, Loss, Pruned, Request, Task
from evo_fair.registries import method

__all__ = ["bifp", "degradation_loss"]

START = "lamp"
"""The criterion by whose order scores begin. This, `FAIRNESS`, `GAIN` and `RATE` were chosen with
benchmarks/pruning_constants.py, which looks at validation parts alone."""

FAIRNESS = 0.2
"""What the term weighs in the loss."""

GAIN = 0.5
"""How much faster scores are trained than weights: its square times."""

RATE = 0.3
"""The peak of the learning rate, as a share of the recipe's: the dense weights are trained on."""


@method(takes_shares=False)
def bifp(dense: Dense, task: Task, request: Request) -> Pruned:
    """Fair masks and fair weights in one run from the dense network.

    The bi-level problem (masks above, weights below, the fairness term in both) is
    approximated by its single-loop form: each step moves the scores of the masks,
    relaxed to [0, 1], and the weights by the gradient of the same loss. The sparsity
    rises to its end by a cubic over the first half of the steps (Zhu, Gupta 2018); the
    masks stay as they are in the last quarter.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    if request.ratios is not None:
        raise PruningError("bifp finds the layers' shares itself: leave out --ratio")
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    rng = request.rng(1)
    scores = CRITERIA[START](network, structure, task.samples(rng, 2), rng)
    gates = Gates(network, structure, scores, request.kind, request.scope, GAIN)
    loss = degradation_loss(dense, task, FAIRNESS)
    batch = min(task.recipe.batch_size, len(task.train_labels))
    an_epoch = len(task.train_labels) // batch
    rising, settled = max(1, request.epochs * an_epoch // 2), max(1, 3 * request.epochs * an_epoch // 4)

    def after_step(step: int) -> None:
        if step <= settled:
            gates.close(request.sparsity * (1 - (1 - min(1.0, step / rising)) ** 3))

    seed = int(request.rng(3).integers(2**31))
    steps = task.train(network, request.epochs, seed, rate=RATE, loss=loss, after_step=after_step)
    if not steps:
        gates.close(request.sparsity)
    mask = gates.remove()
    apply_mask(network, mask)
    return Pruned(network.eval(), mask, steps)


def degradation_loss(dense: Dense, task: Task, weight: float) -> Loss:
    """Cross-entropy plus `weight` times the spread of what the groups lose against the dense network.

    A group's degradation is its mean loss in the batch less the dense network's on the
    same samples, a differentiable stand-in for R = A(dense) - A(pruned) (BiFP); the
    term is the mean square difference of two groups' degradations.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        weight: The weight of the term.
    """
    before = sample_losses(
        dense.network, Samples(task.normalise(task.train_inputs), task.train_labels, task.train_groups, task.device)
    )
    reference = torch.from_numpy(before).float()
    labels, groups = task.train_labels, task.train_groups
    smoothing = task.recipe.label_smoothing

    def loss(logits: torch.Tensor, samples: npt.NDArray[np.int64], _done: float) -> torch.Tensor:
        target = torch.from_numpy(labels[samples]).to(logits.device)
        accuracy = functional.cross_entropy(logits, target, label_smoothing=smoothing)
        known = reference[torch.from_numpy(samples)].to(logits.device)
        worse = functional.cross_entropy(logits, target, reduction="none") - known
        gap = squared_gap(worse, groups[samples])
        return accuracy if gap is None else accuracy + weight * gap

    return loss

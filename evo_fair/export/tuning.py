"""Training of the networks that are deployed: from the supernet's weights or from scratch, plainly or for groups."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.nets import Step
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.distillation import Teacher, check_distillation
from evo_fair.nets.fair_training import DEFAULT_FAIRNESS_WEIGHT, balanced_draw, fair_loss
from evo_fair.nets.fit import fit
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Training

__all__ = ["Tuning", "train_network"]

FINE_TUNING_EPOCHS = 10
FINE_TUNING_RATE = 0.2  # of the problem's learning rate


@dataclass(frozen=True)
class Tuning:
    """How a network is trained before it is deployed; None stands for what suits the kind of training.

    Fine-tuning goes on for 10 epochs (or the recipe's, if fewer) at a fifth of the recipe's learning rate; from scratch
    it is the problem's own recipe. `fairness_weight` is that of the fairness term in the loss, `balance_groups` draws
    every group equally often; both look at the run's grouping. `distillation` is the share of the loss that follows
    the whole network whose pruned form is trained.
    """

    from_scratch: bool = False
    epochs: int | None = None
    learning_rate: float | None = None
    fairness_weight: float = 0.0
    balance_groups: bool = False
    distillation: float = 0.0

    def __post_init__(self) -> None:
        least = 1 if self.from_scratch else 0
        if self.epochs is not None and self.epochs < least:
            reason = "a network from scratch needs" if least else "give"
            raise EvoFairError(f"epochs {self.epochs} is too few: {reason} {least} or more")
        in_vain = self.learning_rate or self.fairness_weight or self.balance_groups or self.distillation
        if self.epochs == 0 and in_vain:
            raise EvoFairError(
                "epochs 0 means no training, so that a learning rate, a fairness weight, balanced groups or "
                "distillation would do nothing: give 1 or more epochs, or leave those out"
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < np.inf:
            raise EvoFairError(f"learning rate {self.learning_rate:g}: give a number above 0, such as 0.01")
        if not 0 <= self.fairness_weight < np.inf:
            raise EvoFairError(
                f"fairness weight {self.fairness_weight:g}: give 0 (none) or a number above it, such as "
                f"{DEFAULT_FAIRNESS_WEIGHT:g}, the default weight"
            )
        check_distillation(self.distillation)

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen, by name: what is None, and distillation where there is none, is left out."""
        unsaid = None if self.distillation else "distillation"
        return {name: value for name, value in asdict(self).items() if value is not None and name != unsaid}

    @property
    def asked_for(self) -> str | None:
        """What can make a training diverge of what was asked for, as options; None where it is the problem's own."""
        given = [("--learning-rate", self.learning_rate), ("--fairness-weight", self.fairness_weight)]
        return " or ".join(f"{option}, now {value:g}" for option, value in given if value) or None

    def recipe(self, training: Training) -> Training:
        """The problem's recipe with this one's epochs and learning rate; 0 epochs leave the supernet's weights.

        Args:
            training: The problem's recipe.
        """
        scratch = self.from_scratch
        epochs = training.epochs if scratch else min(training.epochs, FINE_TUNING_EPOCHS)
        rate = training.learning_rate * (1.0 if scratch else FINE_TUNING_RATE)
        return training.model_copy(
            update={
                "epochs": epochs if self.epochs is None else self.epochs,
                "learning_rate": rate if self.learning_rate is None else self.learning_rate,
            }
        )


def train_network(
    network: nn.Module,
    dataset: Dataset,
    grouping: str,
    tuning: Tuning,
    recipe: Training,
    seed: int,
    scaling: Scaling,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Step], None] | None = None,
    device: TorchDevice = CPU,
    whole: nn.Module | None = None,
) -> None:
    """Trains a network, of this project or any other, in place on the training part; see `fit` for `checkpoint`.

    Args:
        network: The network.
        dataset: The data set.
        grouping: The grouping's name.
        tuning: How the networks are trained.
        recipe: The recipe.
        seed: The seed, 0 or more.
        scaling: How raw inputs are normalised.
        checkpoint: The file where a broken-off training goes on. Default: none.
        on_epoch: Hears of each epoch. Default: none.
        device: Where it is trained. Default: the CPU.
        whole: The network that it is a pruned form of, which distillation follows.
            Default: none, without distillation.
    """
    train = dataset.part("train")
    groups = dataset.grouping(grouping).index[train]
    labels = dataset.labels[train]
    if not recipe.epochs:
        return
    teacher = None
    if tuning.distillation:
        if whole is None:
            raise ValueError("distillation follows the whole network, which was not given")
        teacher = Teacher.of(whole, tuning.distillation, images=len(dataset.input_shape) == 3)
    fit(
        network,
        dataset.samples("train"),
        labels,
        recipe,
        seed,
        normalise=scaling,
        loss=fair_loss(labels, groups, tuning.fairness_weight, recipe.label_smoothing),
        draw=balanced_draw(groups) if tuning.balance_groups else None,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        device=device,
        lower=tuning.asked_for,
        teacher=teacher,
    )

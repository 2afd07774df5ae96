"""Whether networks only guess: what one that always gives the same answer gets right, and what to do about it."""

import copy
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from torch import nn

from evo_fair.data import Dataset
from evo_fair.jobs.listener import Listener
from evo_fair.nets.predict import predict_logits
from evo_fair.nets.train import networks_a_step, steps_in_epoch
from evo_fair.problem import Training
from evo_fair.pruning.task import Task
from evo_fair.show import counted
from evo_fair.space import SearchSpace

__all__ = ["ConstantAnswer", "how_to_learn_more", "say_doubts", "warn_of_few_steps", "warn_of_probabilities"]

LEAST_STEPS = 700
"""Steps of a training below which it mostly learns little; those of the problems that ship take more."""

_NAMED = 5
"""Labels that a message names."""

_TRIED = 64
"""Samples on which outputs are looked at."""


@dataclass(frozen=True)
class ConstantAnswer:
    """Always giving the commonest `label`: it is `right` for so large a share of `samples` of the validation part."""

    label: str
    right: float
    samples: int

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """That of a data set."""
        labels = dataset.labels[dataset.part("validation")]
        commonest = int(np.bincount(labels).argmax())
        return cls(dataset.label_names[commonest], float((labels == commonest).mean()), len(labels))

    @property
    def clearly(self) -> float:
        """By how much a share has to be larger to be clearly so: two standard errors."""
        return float(2.0 * np.sqrt(self.right * (1.0 - self.right) / self.samples))

    def __str__(self) -> str:
        return (
            f"{self.label!r}, which is right for {100 * self.right:.1f} % of the {self.samples:,} samples of the "
            "validation part"
        )


def how_to_learn_more(training: Training, dataset: Dataset, *, space: SearchSpace | None = None) -> str:
    """What to do where no network that this training made does better than a constant answer, in sentences.

    `space` is that of the supernet, where it was a supernet's.
    """
    samples, schedule = len(dataset.part("train")), _Schedule.of(training, dataset, space)
    if schedule.steps < LEAST_STEPS:
        told = f"The training had {schedule.steps:,} steps, and fewer than {LEAST_STEPS} are mostly too few"
        return f"{told}: raise {schedule.key}, or lower batch_size."
    return (
        f"The training had {schedule.steps:,} steps. If its loss hardly fell, raise {schedule.key}. If it fell well, "
        f"the networks know the {samples:,} training samples by heart, or those of the validation part are too few to "
        "tell: give more."
    )


def warn_of_few_steps(training: Training, dataset: Dataset, space: SearchSpace, listener: Listener) -> None:
    """Warns of a recipe whose supernet, that of `space`, is trained too shortly to learn much."""
    schedule = _Schedule.of(training, dataset, space)
    if schedule.steps < LEAST_STEPS:
        each = f" for each of {schedule.networks} networks" if schedule.networks > 1 else ""
        listener.warned(
            f"the supernet's training has {counted(schedule.steps, 'step')} ({counted(schedule.epochs, 'epoch')}, "
            f"{len(dataset.part('train')):,} training samples in batches of {training.batch_size:,}{each}), and "
            f"fewer than {LEAST_STEPS} are mostly too few: raise {schedule.key}, or lower batch_size, in [training]"
        )


class _Schedule(NamedTuple):
    """How long a training is, the key of `[training]` that says so, and how many networks a step has batches for."""

    steps: int
    epochs: int
    key: str
    networks: int

    @classmethod
    def of(cls, training: Training, dataset: Dataset, space: SearchSpace | None) -> Self:
        """That of the supernet's training, or without a `space` that of a network's."""
        key = "epochs" if training.supernet_epochs is None or space is None else "supernet_epochs"
        epochs, networks = getattr(training, key), 1 if space is None else networks_a_step(space, training)
        return cls(epochs * steps_in_epoch(networks, training, len(dataset.part("train"))), epochs, key, networks)


def warn_of_probabilities(name: str, network: nn.Module, task: Task, listener: Listener) -> None:
    """Warns of a network whose outputs look like probabilities, from which a loss of logits learns little."""
    said = predict_logits(copy.deepcopy(network).eval(), task.normalise(task.train_inputs[:_TRIED]))
    if (said >= 0).all() and (np.allclose(said.sum(1), 1, atol=1e-4) or ((said > 0) & (said < 1)).all()):
        listener.warned(
            f"{name} returns numbers between 0 and 1, as after a softmax or sigmoid: training expects logits, and "
            "learns little from these; leave that layer out"
        )


def say_doubts(name: str, network: nn.Module, task: Task, listener: Listener, *, brought: bool) -> None:
    """Says how often a network that people bring is right, and warns of one that only guesses.

    `brought` are its weights, where they were not trained here.
    """
    dataset, constant = task.dataset, ConstantAnswer.of(task.dataset)
    labels = dataset.labels[dataset.part("validation")]
    right = float((task.predictions(network, "validation") == labels).mean())
    listener.noted(f"{name} is right for {100 * right:.1f} % of the {len(labels):,} samples of the validation part")
    if right > constant.right + constant.clearly:
        return
    if brought:
        names, more = ", ".join(dataset.label_names[:_NAMED]), len(dataset.label_names) - _NAMED
        names += f" and {more} more" if more > 0 else ""
        mend = (
            "Its weights have to be for inputs that are (x - mean) * scale of the raw values, by the training part's "
            f"own mean and deviation, and for labels in this order: {names}."
        )
    else:
        mend = how_to_learn_more(task.recipe, dataset)
    listener.warned(f"{name} does no clearly better than always answering {constant}. {mend}")

"""Training that follows a teacher: what a trained network says of the same inputs counts beside their labels."""

import copy
from dataclasses import dataclass
from typing import Self

import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from evo_fair.errors import EvoFairError
from evo_fair.files import digest
from evo_fair.nets.checkpoint import stored_tensors
from evo_fair.nets.layout import channels_last

__all__ = ["TEMPERATURE", "Teacher", "check_distillation"]

TEMPERATURE = 2.0
"""What logits are divided by before they are compared, so that a teacher's small probabilities count, too."""


def check_distillation(share: float) -> None:
    """Raises `EvoFairError` for what is no share of a loss."""
    if not 0 <= share <= 1:
        raise EvoFairError(
            f"distillation {share:g} is no share of the loss: give 0 (labels alone) to 1 (the whole network alone), "
            "such as 0.5"
        )


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that others follow in training, by a share of their loss.

    This is knowledge distillation (Hinton et al. 2015, arXiv 1503.02531).

    Args:
        network: The network, in evaluation mode; it is not changed.
        share: How much of the loss it makes up, above 0 and up to 1.
    """

    network: nn.Module
    share: float

    @classmethod
    def of(cls, network: nn.Module, share: float, *, images: bool) -> Self:
        """A teacher that is a copy of a network, laid out for `images` or for features.

        Args:
            network: The network.
            share: How much of the loss it makes up, above 0 and up to 1.
            images: Whether it takes images.
        """
        own = copy.deepcopy(network).eval().requires_grad_(False)
        if images:
            channels_last(own)
        return cls(own, share)

    @property
    def sha256(self) -> str:
        """A hash of its weights and share."""
        return digest(repr((self.share, TEMPERATURE)), save(stored_tensors(self.network)))

    def joined(self, loss: torch.Tensor, logits: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        """The loss of a batch: its own `loss`, and how far its logits are from those that the teacher `said`.

        The latter is the Kullback-Leibler divergence of softened probabilities, times the temperature squared, so that
        its gradient does not depend on the temperature; its mean over the batch.

        Args:
            loss: The loss without a teacher, a scalar.
            logits: The network's logits, `[batch, labels]`.
            said: The teacher's of the same inputs, `[batch, labels]`.

        Returns:
            A scalar.
        """
        ours, theirs = (functional.log_softmax(each / TEMPERATURE, dim=1) for each in (logits, said))
        apart = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * TEMPERATURE**2
        return (1 - self.share) * loss + self.share * apart

"""Two ways to train for groups alike, to be handed to `fit`: a differentiable fairness term, and balanced sampling."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

__all__ = ["balanced_draw", "fair_loss", "squared_gap"]

IntArray = npt.NDArray[np.int64]


def fair_loss(
    labels: IntArray, groups: npt.NDArray[np.int16], weight: float, label_smoothing: float = 0.0
) -> Callable[[torch.Tensor, IntArray], torch.Tensor]:
    """The loss `(logits [n, labels], samples [n]) -> scalar`: cross-entropy plus `weight` times a fairness term.

    The term is the squared difference of two groups' mean losses, after BiFP (arXiv 2312.10181), averaged over the
    pairs of groups in the batch; `labels` and `groups` (-1 for unknown: in no group) are those of all samples.
    """

    def loss(logits: torch.Tensor, samples: IntArray) -> torch.Tensor:
        target = torch.from_numpy(labels[samples]).to(logits.device)
        losses = functional.cross_entropy(logits, target, label_smoothing=label_smoothing, reduction="none")
        gap = squared_gap(losses, groups[samples]) if weight else None
        return losses.mean() if gap is None else losses.mean() + weight * gap

    return loss


def squared_gap(values: torch.Tensor, groups: npt.NDArray[np.int16]) -> torch.Tensor | None:
    """The squared difference of two groups' means of `values` `[n]`, averaged over the pairs of groups: a scalar.

    `groups` are int16 `[n]`, -1 for unknown; None where fewer than two groups are there.
    """
    present = np.unique(groups[groups >= 0])
    if len(present) < 2:
        return None
    members = torch.from_numpy(groups == present[:, None]).to(values)
    means = (members @ values) / members.sum(1)
    return (means[:, None] - means[None]).square().sum() / (len(present) * (len(present) - 1))


def balanced_draw(groups: npt.NDArray[np.int16]) -> Callable[[np.random.Generator], IntArray]:
    """Draws an epoch `[n]` in which every group has as many samples as any other, give or take one.

    A small group's samples come several times, each as often as the others of it, give or take once; of a large group
    some stay out. Samples of unknown group come once.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups[groups >= 0])]
    unknown = np.flatnonzero(groups < 0)
    known = len(groups) - len(unknown)
    shares = [known * (i + 1) // len(members) - known * i // len(members) for i in range(len(members))]

    def draw(rng: np.random.Generator) -> IntArray:
        parts = [unknown]
        for samples, share in zip(members, shares, strict=True):
            rounds = -(-share // len(samples))
            parts.append(np.concatenate([rng.permutation(samples) for _ in range(rounds)])[:share])
        return rng.permutation(np.concatenate(parts)).astype(np.int64)

    return draw

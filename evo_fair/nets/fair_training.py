"""Two ways to train for groups alike, to be handed to `fit`: a differentiable fairness term, and balanced sampling."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from evo_fair.arrays import Ints

__all__ = [
    "DEFAULT_FAIRNESS_WEIGHT",
    "FAIR_TRAINING_CODE",
    "balanced_draw",
    "bounded_gap",
    "fair_loss",
    "squared_gap",
    "warmed_up",
]


DEFAULT_FAIRNESS_WEIGHT = 1.0
"""The weight of the fairness term where none is chosen: groups' differences count about as much as the mean loss."""

FAIR_TRAINING_CODE = 2
"""Raised when `fair_loss` changes, so that trainings of before and after are told apart. 1 was the squared difference
of mean losses, at its full weight from the first step; 2 is the bounded difference, brought in slowly."""

WARM_UP = 0.5
"""The share of the steps over which the fairness term comes in."""

LEAST_SCALE = 1e-3
"""The least that differences are measured in, in nats, so that a batch learnt by heart divides nothing by 0."""


def fair_loss(
    labels: Ints, groups: npt.NDArray[np.int16], weight: float, label_smoothing: float = 0.0
) -> Callable[[torch.Tensor, Ints, float], torch.Tensor]:
    """The loss `(logits [n, labels], samples [n], done) -> scalar`: cross-entropy plus `weight` times a fairness term.

    The term is the `bounded_gap` of the samples' losses; it comes in over the first half of training (`warmed_up`), of
    which `done` is the share behind. `labels` and `groups` (-1 for unknown: in no group) are those of all samples.

    The squared difference of mean losses (BiFP, arXiv 2312.10181), which stood here before, runs away: a batch of 64
    has one to three samples of a small group, so their mean loss is mostly chance; its excess over the others' is also
    the factor on its gradient, and at the peak of the learning rate one bad batch makes the next worse. MobileNetV2 on
    HAM10000 is not a number within an epoch, or answers one label for ever after.
    """

    def loss(logits: torch.Tensor, samples: Ints, done: float) -> torch.Tensor:
        target = torch.from_numpy(labels[samples]).to(logits.device)
        losses = functional.cross_entropy(logits, target, label_smoothing=label_smoothing, reduction="none")
        gap = bounded_gap(losses, groups[samples]) if weight else None
        return losses.mean() if gap is None else losses.mean() + weight * warmed_up(done) * gap

    return loss


def warmed_up(done: float) -> float:
    """The share of its weight that the fairness term has, when the share `done` of training is over: up in a line."""
    return min(1.0, done / WARM_UP)


def bounded_gap(values: torch.Tensor, groups: npt.NDArray[np.int16]) -> torch.Tensor | None:
    """How far two groups' means of the losses `values` `[n]` differ, averaged over the pairs of groups: a scalar.

    A difference d counts m (sqrt(1 + (d / m) ** 2) - 1), the pseudo-Huber loss with the batch's mean loss m, taken as
    a constant, for its scale: d ** 2 / 2m where it is small, about |d| where it is large, so that no pair pulls at its
    groups' means with more than its share. Pairs count in proportion to how well the batch knows their difference, the
    inverse of its standard error: sqrt(ab / (a + b)) for groups of a and b samples there. With all pairs alike a group
    of one sample pulled at it 25 times as hard as the mean loss does, which is too much at high learning rates.

    `groups` are int16 `[n]`, -1 for unknown; None where fewer than two groups are there.
    """
    found = _gaps(values, groups)
    if found is None:
        return None
    gaps, sizes = found
    scale = values.detach().mean().clamp_min(LEAST_SCALE)
    precision = (sizes[:, None] * sizes / (sizes[:, None] + sizes)).sqrt().fill_diagonal_(0)
    bounded: torch.Tensor = precision * scale * ((1 + (gaps / scale).square()).sqrt() - 1)
    return bounded.sum() / precision.sum()


def squared_gap(values: torch.Tensor, groups: npt.NDArray[np.int16]) -> torch.Tensor | None:
    """The squared difference of two groups' means of `values` `[n]`, averaged over the pairs of groups: a scalar.

    Its gradient grows with the difference: only for what starts from a trained network at a low learning rate.
    `groups` are int16 `[n]`, -1 for unknown; None where fewer than two groups are there.
    """
    found = _gaps(values, groups)
    if found is None:
        return None
    pairs = len(found[1]) * (len(found[1]) - 1)
    return found[0].square().sum() / pairs


def _gaps(values: torch.Tensor, groups: npt.NDArray[np.int16]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Differences `[groups, groups]` of the means of the groups that are there, and their sizes `[groups]`.

    None where fewer than two groups are there.
    """
    present = np.unique(groups[groups >= 0])
    if len(present) < 2:
        return None
    members = torch.from_numpy(groups == present[:, None]).to(values.device, values.dtype)
    sizes = members.sum(1)
    means = (members @ values) / sizes
    return means[:, None] - means[None], sizes


def balanced_draw(groups: npt.NDArray[np.int16]) -> Callable[[np.random.Generator], Ints]:
    """Draws an epoch `[n]` in which every group has as many samples as any other, give or take one.

    A small group's samples come several times, each as often as the others of it, give or take once; of a large group
    some stay out. Samples of unknown group come once.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups[groups >= 0])]
    unknown = np.flatnonzero(groups < 0)
    known = len(groups) - len(unknown)
    shares = [known * (i + 1) // len(members) - known * i // len(members) for i in range(len(members))]

    def draw(rng: np.random.Generator) -> Ints:
        parts = [unknown]
        for samples, share in zip(members, shares, strict=True):
            rounds = -(-share // len(samples))
            parts.append(np.concatenate([rng.permutation(samples) for _ in range(rounds)])[:share])
        return rng.permutation(np.concatenate(parts)).astype(np.int64)

    return draw

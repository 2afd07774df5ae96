"""Refined training of a sparse network: towards equal groups, for as long as accuracy keeps its limit; Ballot-style."""

import copy
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.fairness import Counts, group_accuracy
from evo_fair.pruning.offsets import HeldOffsets, Outputs, held_offsets, log_shares
from evo_fair.pruning.removal import Mask
from evo_fair.pruning.structure import Structure, training_mode
from evo_fair.pruning.task import Dense, Request, Task, state_of
from evo_fair.pruning.trace import OUTPUTS

__all__ = ["output_bias", "outputs", "refine", "spread", "tempered_draw", "training_log_shares"]

STRENGTH = 0.5
"""How far training leans towards small groups: 0 not at all, 1 to all groups alike. Chosen with
benchmarks/pruning_constants.py, which looks at validation parts alone."""


RATE = 1.0
"""The peak of the learning rate, as a share of the recipe's: rewound, where fine-tuning takes less (Renda et al. 2020).
Chosen as `STRENGTH`."""


LATE_RATE = 0.075
"""The same of the first late epoch: it starts where the learning rate has come down to 0."""


def spread(counts: Counts) -> npt.NDArray[np.float64]:
    """The variance over groups of their accuracy, float64 `[networks]`; CWV where the groups are the classes.

    Args:
        counts: Counts of one network.
    """
    return np.asarray(group_accuracy(counts).var(axis=1), np.float64)


def refine(
    network: nn.Module, mask: Mask, structure: Structure, dense: Dense, task: Task, request: Request
) -> tuple[int, dict[str, float]]:
    """Trains a sparse network in place for `request.epochs`; returns the steps and figures of how it went.

    Training leans half-way towards small groups (`tempered_draw`). The last quarter of
    the epochs goes one by one: what does not make the groups' accuracies more even, or
    takes the validation part's accuracy below its limit and below where it was, is
    rewound, and halves the learning rate (dynamic learning rate and rewinding; in what
    form the paper has them is not known to us). A network is judged with the offsets of
    its outputs that are best for it, on validation samples that the offsets were not
    fitted to (`held_offsets`), within `request.epsilon` of its own best accuracy and,
    where it can be, of the dense network's; last, offsets fitted to all of them go into
    the biases. A network whose last layer has no bias, or whose outputs are not that
    layer's, goes without.

    Args:
        network: The network.
        mask: What stays.
        structure: The weights and channels that can leave.
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    late = request.epochs // 4
    draw = tempered_draw(task.train_groups, STRENGTH)

    def train(epochs: int, number: int, rate: float) -> int:
        seed = int(request.rng(200 + number).integers(2**31))
        return task.train(network, epochs, seed, rate=rate, mask=mask, draw=draw)

    steps = train(request.epochs - late, 0, RATE)
    bias = output_bias(network, structure, task.example)
    right = task.predictions(dense.network, "validation") == task.dataset.labels[task.dataset.part("validation")]
    before = float(right.mean())
    limit = before - request.epsilon
    best, standing = state_of(network), _standing(network, bias, task, right, request.epsilon)
    rate, kept = LATE_RATE, 0
    for epoch in range(late):
        steps += train(1, 1 + epoch, rate)
        now = _standing(network, bias, task, right, request.epsilon)
        if now.spread < standing.spread and now.accuracy >= min(limit, standing.accuracy):
            best, standing = state_of(network), now
            kept += 1
        else:
            network.load_state_dict(best)
            rate /= 2
    if bias is not None:
        with torch.no_grad():
            bias.add_(torch.from_numpy(standing.offsets).float().to(bias.device))
    return steps, {
        "epochs_kept": kept,
        "largest_offset": float(np.ptp(standing.offsets)),
        "offset_strength": standing.strength,
        "held_out_group_variance": standing.spread,
        "held_out_accuracy": standing.accuracy,
        "held_out_accuracy_lost": before - standing.accuracy,
    }


def tempered_draw(
    groups: npt.NDArray[np.int16], strength: float
) -> Callable[[np.random.Generator], npt.NDArray[np.int64]]:
    """Draws an epoch, int64 `[n]`, in which groups of n_g samples come in the shares n_g ** (1 - strength).

    0 leaves the shares as they are, 1 makes groups equal. `groups` are int16 `[n]`;
    samples of unknown group, -1, come as often as they are.

    Args:
        groups: Groups, int16 `[n]`; -1 where unknown.
        strength: How far groups are made equal, 0 to 1.
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


def output_bias(network: nn.Module, structure: Structure, example: torch.Tensor) -> nn.Parameter | None:
    """The bias of the one layer that makes the network's outputs, None where there is none.

    None, too, where what is added to it does not come out as it is for the normalised
    `example` `[n, ...]`: behind a ReLU, say.

    Args:
        network: The network.
        structure: The weights and channels that can leave.
        example: Normalised samples, float32 `[n, ...]`, to run the network on.
    """
    makers = [layer for layer, reason in structure.fixed.items() if reason == OUTPUTS]
    if len(makers) != 1:
        return None
    bias = getattr(network.get_submodule(makers[0]), "bias", None)
    return bias if isinstance(bias, nn.Parameter) and _moves_outputs(network, makers[0], example) else None


@torch.no_grad()
def _moves_outputs(network: nn.Module, layer: str, example: torch.Tensor) -> bool:
    """Whether offsets on the layer's bias are offsets of the logits, upwards and downwards alike."""
    moved = copy.deepcopy(network)
    bias = moved.get_submodule(layer).get_parameter("bias")
    with training_mode(moved, False):
        logits = moved(example)
        if logits.shape[1:] != bias.shape:
            return False
        most = 1 + float(logits.abs().max())
        for size in (most, -most):
            offsets = size * torch.linspace(1, 2, len(bias), device=bias.device)
            bias.add_(offsets)
            same = torch.allclose(moved(example), logits + offsets, rtol=0, atol=1e-3 * most)
            bias.sub_(offsets)
            if not same:
                return False
    return True


def training_log_shares(task: Task) -> npt.NDArray[np.float64]:
    """The logarithms of labels' shares in training, float64 `[labels]`; one that never occurs counts as one sample.

    Args:
        task: Data, groups and recipe.
    """
    return log_shares(task.train_labels, len(task.dataset.label_names))


def outputs(task: Task, name: str, logits: npt.NDArray[np.float32]) -> Outputs:
    """Logits `[n, labels]` of the part called `name` with what is known of its samples.

    Args:
        task: Data, groups and recipe.
        name: The part's name.
        logits: Logits, float32 `[n, labels]`.
    """
    part = task.dataset.part(name)
    return Outputs(logits, task.dataset.labels[part], task.dataset.grouping(task.group).index[part])


def _standing(
    network: nn.Module, bias: nn.Parameter | None, task: Task, before: npt.NDArray[np.bool_], epsilon: float
) -> HeldOffsets:
    """Where the network stands with the best offsets for it; the biases are left as they are.

    `before` `[validation samples]` says what the dense network gets right.
    """
    validation, training = (outputs(task, name, task.logits(network, name)) for name in ("validation", "train"))
    units = task.dataset.units[task.dataset.part("validation")]
    return held_offsets(
        validation, training, units, None if bias is None else training_log_shares(task), before, epsilon
    )

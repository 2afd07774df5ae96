"""Importance criteria: what a channel and a single weight are worth, by rules that look at size, loss or groups.

A criterion is a function `(network, structure, samples, rng) -> Scores`; of all scores, the lowest go first. The
network is left as it is, and runs with batch norm on its running statistics.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.arrays import Floats
from evo_fair.blame import blamed
from evo_fair.errors import EvoFairError, PruningError, in_a_line
from evo_fair.nets.failures import failure
from evo_fair.pruning.greedy import shares_kept
from evo_fair.pruning.samples import Gradients, Samples, batch_gradients, sample_losses, squared_gradients
from evo_fair.pruning.structure import ChannelGroup, Structure
from evo_fair.registries import CRITERIA, criterion

__all__ = [
    "CRITERIA",
    "Criterion",
    "Scores",
    "check_criteria",
    "check_scores",
    "checked_criterion",
    "criterion_named",
    "fairness_weights",
]


BETA = 1 / 3
"""How much the privileged groups' need of a parameter weighs against it in `fairprune`; our choice."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What everything is worth; the lowest go first.

    Scores of different layers can be compared with each other, as `global` scope does.

    Args:
        weights: float64 arrays in the shape of each prunable weight, by its name
            (`structure.weights`).
        channels: float64 `[channels]` by the name of each channel group
            (`structure.groups`).
    """

    weights: Mapping[str, Floats]
    channels: Mapping[str, Floats]


Criterion = Callable[[nn.Module, Structure, Samples, np.random.Generator], Scores]


@criterion()
def random(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """Everything is worth a random number between 0 and 1.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on; not looked at.
        rng: The Generator to draw with.

    Returns:
        The scores.
    """
    del samples
    tensors = dict(network.named_parameters())
    weights = {name: rng.random(tuple(tensors[name].shape)) for name in structure.weights}
    return Scores(weights, {name: rng.random(group.size) for name, group in structure.groups.items()})


@criterion(seedless=True)
def magnitude_l1(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """A weight is worth its absolute value, a channel the mean absolute value of all weights that make or read it.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on; not looked at.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del samples, rng
    sizes = {name: tensor.abs() for name, tensor in _weights(network, structure).items()}
    return Scores(_arrays(sizes), _by_channel(structure, sizes, lambda total, count: total / count))


@criterion(seedless=True)
def magnitude_l2(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """A weight is worth its absolute value, a channel the root mean square of all weights that make or read it.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on; not looked at.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del samples, rng
    weights = _weights(network, structure)
    squares = {name: tensor.square() for name, tensor in weights.items()}
    sizes = {name: tensor.abs() for name, tensor in weights.items()}
    return Scores(_arrays(sizes), _by_channel(structure, squares, lambda total, count: np.sqrt(total / count)))


@criterion(seedless=True, orders_alike="magnitude_l2")
def lamp(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """What a weight's square is of the sum of all squares in its layer that are not smaller (Lee et al. 2021, LAMP).

    The order within a layer is that of magnitudes; between layers it spares those of
    which little is left, where magnitudes can leave a layer almost empty. A channel's
    square is the mean over all weights that make or read it, its layer its group.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on; not looked at.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del samples, rng
    weights = _weights(network, structure)
    squares = {name: tensor.square() for name, tensor in weights.items()}
    channels = _by_channel(structure, squares, lambda total, count: total / count)
    return Scores(
        {name: _share_of_larger(square) for name, square in _arrays(squares).items()},
        {name: _share_of_larger(square) for name, square in channels.items()},
    )


@criterion(seedless=True)
def bn_scale(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """A channel is worth the mean |scale| of its batch norms (Liu et al. 2017, network slimming).

    A single weight, of which they say nothing, is worth its absolute value times the
    |scale| of the channel that it makes, where that has one. Theirs are scales that
    were trained towards 0 by an L1 term; ours are as they are. Raises `PruningError`
    for a network in which a group of channels has no batch norm.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on; not looked at.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del samples, rng
    tensors = dict(network.named_parameters())
    weights = {name: tensor.abs() for name, tensor in _weights(network, structure).items()}
    channels: dict[str, Floats] = {}
    for name, group in structure.groups.items():
        total, count = np.zeros(group.size), np.zeros(group.size)
        for member in group.members:
            if member.role == "scale":
                values = tensors[member.tensor].detach().cpu().abs().double().numpy()[member.slices]
                np.add.at(total, member.channel, values)
                np.add.at(count, member.channel, 1)
        if not count.all():
            raise PruningError(
                f"bn_scale has no value for the channels of {name!r}: no batch norm follows them; "
                "use another criterion, such as magnitude_l1"
            )
        channels[name] = total / count
        for member in group.members:
            if member.role == "weight" and member.makes:
                weight = weights[member.tensor]
                scale = torch.ones(weight.shape[0], dtype=torch.float64)
                scale[torch.from_numpy(member.slices)] = torch.from_numpy(channels[name][member.channel])
                weights[member.tensor] = weight * scale.to(weight.device).view((-1,) + (1,) * (weight.dim() - 1))
    return Scores(_arrays(weights), channels)


@criterion()
def taylor(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """What the loss would change by without it, to first order: (gradient * value)^2 (Molchanov et al. 2019).

    Gradients of the mean loss of a batch; squares are averaged over batches of 64. A
    channel's change is the sum over all its parameters, squared after summing.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del rng
    tensors = _parameters(network)
    uniform = np.concatenate([np.full(b.stop - b.start, 1 / (b.stop - b.start)) for b in samples.batches()])
    weights = {name: torch.zeros_like(tensors[name]) for name in structure.weights}
    channels = {name: np.zeros(group.size) for name, group in structure.groups.items()}
    batches = len(list(samples.batches()))
    for (gradients,) in batch_gradients(network, samples, uniform[None]):
        change = {name: gradients[name].double() * tensor for name, tensor in tensors.items()}
        for name in weights:
            weights[name] += change[name].square() / batches
        for name, group in structure.groups.items():
            channels[name] += _sum_by_channel(group, change)[0] ** 2 / batches
    return Scores(_arrays(weights), channels)


@criterion(compares_groups=True)
def fairprune(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """What the unprivileged groups would lose without it, less what the privileged would, after FairPrune (2022).

    1/2 theta^2 (h_unprivileged - beta * h_privileged), with the diagonal h of a Hessian
    by group; a channel's is the sum over its parameters. First to go is what serves the
    privileged alone. Ours differs: h is the diagonal of the empirical Fisher matrix,
    which needs no second derivatives; beta is 1/3, as theirs is not known to us; of
    more than two groups those with at most the mean of the groups' mean losses are
    privileged together. (The formula is at times cited with the groups the other way
    round; then the unprivileged group's parameters would go first.)

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del rng
    tensors = _parameters(network)
    better = _privileged(network, samples)
    need = {}
    for privileged in (True, False):
        chosen = np.flatnonzero((samples.groups >= 0) & (better == privileged))
        need[privileged] = squared_gradients(network, samples.chosen(chosen))
    saliency = {
        name: 0.5 * tensor.square() * (need[False][name].double() - BETA * need[True][name].double())
        for name, tensor in tensors.items()
    }
    weights = {name: saliency[name] for name in structure.weights}
    channels = {name: _sum_by_channel(group, saliency)[0] for name, group in structure.groups.items()}
    return Scores(_arrays(weights), channels)


@criterion(compares_groups=True)
def fairgrape(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """Keeps each group's share of importance, after FairGRAPE (2022); a score is a place in the order, from 0 to 1.

    Importance to a group is (gradient * value)^2 of the group's mean loss; a channel's
    sums gradient * value over its parameters before squaring, as `taylor` does. What is
    worth most is chosen first: again and again the group that has kept the smallest
    share of its importance so far chooses what matters most to it (`shares_kept`).
    Theirs scores anew while it prunes step by step; ours once, and treatments in rounds
    score anew in each.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del rng
    tensors = _parameters(network)
    numbers = samples.group_numbers()
    rows = np.stack([(samples.groups == number) / (samples.groups == number).sum() for number in numbers])
    totals: list[Gradients] = [{name: torch.zeros_like(t) for name, t in tensors.items()} for _ in numbers]
    for gradients in batch_gradients(network, samples, rows):
        for total, gradient in zip(totals, gradients, strict=True):
            for name in total:
                total[name] += gradient[name]
    changes = [{name: total[name] * tensor for name, tensor in tensors.items()} for total in totals]
    flat = np.stack([np.concatenate([c[name].cpu().numpy().ravel() for name in structure.weights]) for c in changes])
    weights = _split(shares_kept(flat**2), {name: tuple(tensors[name].shape) for name in structure.weights})
    summed = [[_sum_by_channel(group, c)[0] for group in structure.groups.values()] for c in changes]
    channels: dict[str, Floats] = {}
    if structure.groups:
        by_group = np.stack([np.concatenate(parts) for parts in summed])
        channels = _split(shares_kept(by_group**2), {name: (g.size,) for name, g in structure.groups.items()})
    return Scores(weights, channels)


@criterion(compares_groups=True)
def conflict(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
    """The cosine between the accuracy's and the fairness's gradient: parts in conflict, at -1, go first. Ballot-style.

    The accuracy's gradient is that of the mean loss, the fairness's that of the
    variance of the groups' mean losses (`fairness_weights`), a differentiable stand-in
    for CWV. A part's two vectors hold gradient * value on each batch of 64 samples, not
    the gradient alone, so that what is 0 anyway has no say: a channel's for all its
    parameters, a single weight's its own. A reconstruction: the paper's own formula is
    not known to us. A part whose gradients vanish scores 0.

    Args:
        network: The network, in evaluation mode; it stays as it is.
        structure: The weights and channels that can leave.
        samples: The samples to score on.
        rng: The Generator to draw with; not looked at.

    Returns:
        The scores.
    """
    del rng
    tensors = _parameters(network)
    rows = np.stack([np.full(len(samples), 1 / len(samples)), fairness_weights(network, samples)])
    products = {name: tensor.new_zeros((3, *tensor.shape)) for name, tensor in tensors.items()}
    for accuracy, fairness in batch_gradients(network, samples, rows):
        for name, product in products.items():
            a, f = accuracy[name] * tensors[name], fairness[name] * tensors[name]
            product += torch.stack([a * f, a.square(), f.square()])
    weights = {name: _cosine(products[name].cpu().numpy()) for name in structure.weights}
    channels = {}
    for name, group in structure.groups.items():
        parts = [_sum_by_channel(group, {n: p[i] for n, p in products.items()})[0] for i in range(3)]
        channels[name] = _cosine(np.stack(parts))
    return Scores(weights, channels)


def criterion_named(name: str) -> Criterion:
    """The criterion of a name.

    What a criterion of the user's own raises names it and its line, and what it returns
    is checked.

    Args:
        name: The name, of evo_fair's own or one that was registered.

    Returns:
        The criterion.

    Raises:
        UnknownNameError: There is none; the message lists those there are.
    """
    return CRITERIA[name] if CRITERIA.is_built_in(name) else checked_criterion(name, CRITERIA[name])


def checked_criterion(name: str, own: Criterion) -> Criterion:
    """A criterion of the user's own, of which every fault becomes a `PruningError` with its name.

    Args:
        name: What the criterion is called.
        own: The criterion.

    Returns:
        A criterion that gives the same scores.
    """

    def criterion(network: nn.Module, structure: Structure, samples: Samples, rng: np.random.Generator) -> Scores:
        # It may change what it is given.
        spare = Structure(dict(structure.groups), structure.weights, dict(structure.fixed))
        with blamed("criterion", name, PruningError):
            scores = own(copy.deepcopy(network), spare, samples, rng)
        return check_scores(name, scores, network, structure)

    return criterion


def check_scores(name: str, scores: object, network: nn.Module, structure: Structure) -> Scores:
    """Checks that scores fit a network.

    Args:
        name: What the criterion is called.
        scores: What it returned.
        network: The network.
        structure: The weights and channels that can leave.

    Returns:
        The scores as float64.

    Raises:
        PruningError: Names, shapes or kinds don't fit, or a number is not finite.
    """
    if not isinstance(scores, Scores):
        raise PruningError(f"criterion {name!r} returns {type(scores).__name__}: it has to return pruning.Scores")
    tensors = dict(network.named_parameters())
    weights = {weight: tuple(tensors[weight].shape) for weight in structure.weights}
    channels = {group: (known.size,) for group, known in structure.groups.items()}
    return Scores(
        _checked_arrays(name, "weights", scores.weights, weights),
        _checked_arrays(name, "channels", scores.channels, channels),
    )


def _checked_arrays(
    name: str, what: str, given: Mapping[str, object], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Floats]:
    if not isinstance(given, Mapping):
        raise PruningError(f"criterion {name!r}: {what} are {type(given).__name__}, and have to be arrays by name")
    found: dict[str, Floats] = {}
    for key, shape in shapes.items():
        if key not in given:
            raise PruningError(f"criterion {name!r} gives no {what} for {key!r}: score all that the structure names")
        try:
            numbers = np.asarray(given[key])
            if numbers.dtype.kind not in "biuf":
                raise TypeError(f"of the kind {numbers.dtype}")
            values = numbers.astype(np.float64)
        except (TypeError, ValueError) as reason:
            raise PruningError(f"criterion {name!r}: {what} of {key!r} are no numbers ({in_a_line(reason)})") from None
        if values.shape != shape:
            raise PruningError(
                f"criterion {name!r}: {what} of {key!r} have the shape {list(values.shape)}, and need {list(shape)}"
            )
        if not np.isfinite(values).all():
            raise PruningError(f"criterion {name!r}: {what} of {key!r} are not finite: fix what it computes")
        found[key] = values
    return found


def check_criteria(
    criteria: Mapping[str, Criterion], network: nn.Module, structure: Structure, samples: Samples
) -> None:
    """Raises `PruningError` for a criterion that does not suit the network or the samples; a few of them will do.

    Args:
        criteria: The criteria by name.
        network: The network.
        structure: The weights and channels that can leave.
        samples: A few samples.
    """
    rng = np.random.default_rng(0)
    for name, score in criteria.items():
        try:
            score(copy.deepcopy(network), structure, samples, rng)
        except EvoFairError:
            raise
        except Exception as error:  # a user's module can fail in any way, as where it has no gradients in evaluation
            raise PruningError(
                f"{name} can't score the network ({failure(error)}): use another, such as magnitude_l1"
            ) from error


def fairness_weights(network: nn.Module, samples: Samples) -> Floats:
    """What each sample's loss weighs in the gradient of the variance of the groups' mean losses.

    d/dtheta 1/G sum_g (L_g - mean L)^2 = sum_i 2 (L_g(i) - mean L) / (G n_g(i)) d
    loss_i/dtheta; unknown groups have 0.

    Args:
        network: The network.
        samples: The samples, of two groups or more.

    Returns:
        float64 `[n]`.

    Raises:
        PruningError: The samples hold fewer than two groups.
    """
    numbers = samples.group_numbers()
    losses = sample_losses(network, samples)
    means = np.array([losses[samples.groups == number].mean() for number in numbers])
    weights = np.zeros(len(samples))
    for number, mean in zip(numbers, means, strict=True):
        inside = samples.groups == number
        weights[inside] = 2 * (mean - means.mean()) / (len(numbers) * inside.sum())
    return weights


def _privileged(network: nn.Module, samples: Samples) -> npt.NDArray[np.bool_]:
    """Whether each sample's group has a mean loss of at most the mean over groups, bool `[n]`."""
    numbers = samples.group_numbers()
    losses = sample_losses(network, samples)
    means = np.array([losses[samples.groups == number].mean() for number in numbers])
    better = means <= means.mean()
    if better.all():
        better[means.argmax()] = False  # equal losses: any choice will do, but there has to be one
    return np.isin(samples.groups, numbers[better])


def _parameters(network: nn.Module) -> Gradients:
    return {name: tensor.detach().double() for name, tensor in network.named_parameters()}


def _weights(network: nn.Module, structure: Structure) -> Gradients:
    tensors = dict(network.named_parameters())
    return {name: tensors[name].detach().double() for name in structure.weights}


def _arrays(tensors: Gradients) -> dict[str, Floats]:
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def _sum_by_channel(group: ChannelGroup, values: Gradients) -> tuple[Floats, Floats]:
    """Sums of a group's parameters by channel, and how many values each sum has: float64 `[channels]` twice."""
    total, count = np.zeros(group.size), np.zeros(group.size)
    for member in group.members:
        if member.tensor not in values:
            continue
        tensor = values[member.tensor].movedim(member.dim, 0).flatten(1) if values[member.tensor].dim() > 1 else None
        slices = (tensor.sum(1) if tensor is not None else values[member.tensor]).cpu().double().numpy()
        np.add.at(total, member.channel, slices[member.slices])
        np.add.at(count, member.channel, tensor.shape[1] if tensor is not None else 1)
    return total, count


def _by_channel(
    structure: Structure, values: Gradients, combine: Callable[[Floats, Floats], Floats]
) -> dict[str, Floats]:
    return {name: combine(*_sum_by_channel(group, values)) for name, group in structure.groups.items()}


def _share_of_larger(values: Floats) -> Floats:
    """Each value's share of the sum of itself and all that come after it in ascending order; 0 for 0."""
    flat = values.ravel()
    order = np.argsort(flat, kind="stable")
    total = flat[order][::-1].cumsum()[::-1]
    shares = np.empty_like(flat)
    shares[order] = np.divide(flat[order], total, out=np.zeros_like(flat), where=total > 0)
    return shares.reshape(values.shape)


def _cosine(parts: Floats) -> Floats:
    """Cosines `[...]` of `parts` `[3, ...]`: inner products, and both vectors' squared lengths."""
    length = np.sqrt(parts[1] * parts[2])
    cosine: Floats = np.divide(parts[0], length, out=np.zeros_like(parts[0]), where=length > 0)
    return cosine


def _split(flat: Floats, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Floats]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

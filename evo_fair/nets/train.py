"""Training of the supernet, in one of two ways.

`sandwich`: every step trains the largest network on the labels, and the smallest and some random ones on what the
largest says, all on one batch (sandwich rule with in-place distillation, Yu et al. 2020, BigNAS). Widths share weights,
and learn from the largest.

`fair`: every step trains as many networks as a slot has kinds, so that every kind of every slot is trained once, each
network on a batch of its own and on the labels (strict fairness, Chu et al. 2021, FairNAS). No kind gets ahead, and
there is no teacher that some kinds resemble more than others. Every second network has all its widths alike, from the
smallest to the largest: drawn one by one, widths of 20 places are hardly ever all small.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from evo_fair.arrays import RawInputs, Selected
from evo_fair.errors import DataError
from evo_fair.files import digest
from evo_fair.nets.channels import sort_channels
from evo_fair.nets.checkpoint import (
    TrainingCheckpoint,
    check_device,
    check_tensor_names,
    momentum_tensors,
    restore_generator,
    restore_momentum,
    usable_checkpoint,
    write_checkpoint,
)
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.inputs import TrainingInputs, input_statistics
from evo_fair.nets.memory import give_back_surplus
from evo_fair.nets.recipe import Step, check_finite, mean_of, one_cycle, optimiser, step_of
from evo_fair.nets.supernet import Supernet
from evo_fair.nets.threads import torch_threads
from evo_fair.nets.together import fair_gradients_together, gradients_together
from evo_fair.problem import Training
from evo_fair.show import counted
from evo_fair.space import Block, SearchSpace

__all__ = [
    "TRAINING_CODE",
    "fair_gradients",
    "full_size",
    "gradients",
    "networks_a_step",
    "one_of_each_kind",
    "steps_in_epoch",
    "train_supernet",
]

R = TypeVar("R")

_LARGE = 2**23
"""Numbers in a network's batch, 64 images of 209 pixels, from which networks are trained one after the other."""

TRAINING_CODE = 1
"""To be raised with every change that gives other weights: supernets stored earlier are then trained again."""


def train_supernet(
    space: SearchSpace,
    inputs: RawInputs | Selected,
    labels: npt.NDArray[np.int64],
    recipe: Training,
    seed: int,
    on_epoch: Callable[[Step], None] | None = None,
    *,
    checkpoint: Path | None = None,
    on_resume: Callable[[Step], None] | None = None,
    device: TorchDevice = CPU,
) -> Supernet:
    """Trains a supernet on inputs `[n, channels, ...]` and labels `[n]`; the same arguments give the same weights.

    With the sampling `sandwich` the first `recipe.warmup_fraction` of the steps trains networks of full size, whose
    channels are then sorted by importance; from then on steps are as the module says, with `recipe.random_networks`
    random networks each. With `fair` a batch is of `recipe.batch_size` samples for every network, and an epoch still
    takes every sample once; raises `DataError` where there are fewer samples than networks. At the end channels are
    sorted again, within the boundaries of the widths and keep levels that were trained, which leaves every network's
    function as it is.

    With `checkpoint` the state is written there after every epoch, and a second call with the same arguments goes on
    from it to the same weights; `on_resume` hears where. A damaged file, or one of another training, counts as none,
    with a `DataWarning`. Whoever stores the supernet removes it. One that another kind of device wrote raises
    `RunError`.

    On an accelerator weights and samples are there meanwhile; see `nets.together` for the steps. The supernet comes
    back to the CPU.
    """
    rng = np.random.default_rng(seed)
    mean, scale = input_statistics(inputs)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    with device.at_work():
        supernet = Supernet.initialise(space, generator, mean, scale).to(device.where)
        data = TrainingInputs(inputs, recipe.augment, device)
    weights = [tensor.requires_grad_() for tensor in supernet.weights.values()]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    sgd = optimiser(weights, recipe)
    fair = recipe.sampling == "fair"
    batches = networks_a_step(space, recipe)
    steps_an_epoch = steps_in_epoch(batches, recipe, len(labels))
    if not steps_an_epoch:
        raise DataError(
            f'the training part has {counted(len(labels), "sample")}, and sampling = "fair" takes {batches} a step, '
            f'one for each kind of block: give more samples, or set sampling = "sandwich" in the problem\'s [training]'
        )
    batch = min(recipe.batch_size, len(labels) // batches) * batches
    steps = recipe.epochs * steps_an_epoch
    warmup = 0 if fair else round(steps * recipe.warmup_fraction)
    largest, smallest = space.largest(), space.smallest()
    identity, first = "", 0
    if checkpoint:
        identity = _identity(space, inputs, labels, recipe, seed)
        if found := _found(checkpoint, identity, supernet, recipe):
            check_device(checkpoint, found.progress, device)
            reached = _take_up(found, supernet, sgd, rng)
            first = reached.epoch
            if on_resume:
                on_resume(reached)
    with torch_threads(1), device.at_work(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for epoch in range(first, recipe.epochs):
            order = rng.permutation(len(labels))
            losses: list[torch.Tensor] = []
            for number in range(steps_an_epoch):
                step = epoch * steps_an_epoch + number
                if step == warmup and warmup:
                    sort_channels(supernet)
                    sgd.state.clear()  # its momentum belongs to the channels' old order
                chosen = np.sort(order[number * batch : (number + 1) * batch].reshape(batches, -1)).ravel()
                x = supernet.normalise(data.batch(chosen, rng))
                y = torch.from_numpy(labels[chosen]).to(x.device)
                if fair:
                    genomes = one_of_each_kind(space, rng)
                elif step < warmup:
                    genomes = [largest, full_size(space, rng)]
                else:
                    genomes = [largest, *space.sample(rng, recipe.random_networks), smallest]
                for group in sgd.param_groups:
                    group["lr"] = recipe.learning_rate * one_cycle(step, steps)
                if device.accelerated:
                    together = fair_gradients_together if fair else gradients_together
                    losses.append(together(device, supernet, x, y, genomes, recipe.label_smoothing))
                else:
                    compute = fair_gradients if fair else gradients
                    loss = compute(pool, supernet, x, y, genomes, recipe.label_smoothing)
                    losses.append(torch.tensor(loss, dtype=torch.float64))
                sgd.step()
            loss = mean_of(losses)
            check_finite(epoch + 1, loss, weights, recipe)
            done = Step(epoch + 1, recipe.epochs, loss)
            if checkpoint:
                progress = {"step": done, "generator": rng.bit_generator.state, **device.facts()}
                state = {f"weight.{name}": weight for name, weight in supernet.weights.items()}
                write_checkpoint(checkpoint, identity, progress, state | momentum_tensors(sgd, supernet.weights))
            if on_epoch:
                on_epoch(done)
    for weight in weights:
        weight.requires_grad_(False).grad = None
    supernet = supernet.to(CPU.where)
    sort_channels(supernet, within_levels=True)
    return supernet


def _identity(
    space: SearchSpace, inputs: RawInputs | Selected, labels: npt.NDArray[np.int64], recipe: Training, seed: int
) -> str:
    """A hash of all that the weights depend on."""
    samples = Selected.all_of(inputs)
    what = (TRAINING_CODE, seed, samples.shape, str(samples.dtype), torch.__version__)
    return digest(space.fingerprint, recipe.model_dump_json(), repr(what), samples, labels.tobytes())


def _found(path: Path, identity: str, supernet: Supernet, recipe: Training) -> TrainingCheckpoint | None:
    """The checkpoint of just this training, if there is one that is whole."""
    weights = supernet.weights

    def check(found: TrainingCheckpoint) -> None:
        check_tensor_names(found, {f"weight.{name}": weight for name, weight in weights.items()}, weights)
        step_of(found.progress.get("step"), recipe)
        restore_generator(np.random.default_rng(), found.progress.get("generator"))

    return usable_checkpoint(path, identity, check)


@torch.no_grad()
def _take_up(
    checkpoint: TrainingCheckpoint, supernet: Supernet, sgd: torch.optim.SGD, rng: np.random.Generator
) -> Step:
    """Puts weights, momentum and the generator's state back; returns where the training stood."""
    for name, weight in supernet.weights.items():
        weight.copy_(checkpoint.tensors[f"weight.{name}"])
    restore_momentum(sgd, supernet.weights, checkpoint.tensors)
    rng.bit_generator.state = checkpoint.progress["generator"]
    return Step(*checkpoint.progress["step"])


def full_size(space: SearchSpace, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """A network of full width and depth with random kinds, a canonical genome `[genes]`."""
    genome = (space.cardinalities - 1).astype(np.int16)
    for gene in np.flatnonzero(~space.ordered).tolist():
        choices = space.kind_choices(gene)
        genome[gene] = choices[rng.integers(len(choices))]
    full: npt.NDArray[np.int16] = space.canonical(genome[None])[0]
    return full


def networks_a_step(space: SearchSpace, recipe: Training) -> int:
    """How many networks a step of the supernet's training trains on samples of their own."""
    return _most_kinds(space) if recipe.sampling == "fair" else 1


def steps_in_epoch(networks: int, recipe: Training, samples: int) -> int:
    """How many steps an epoch of so many `samples` has, each with a batch for each of its `networks`."""
    batch = max(1, min(recipe.batch_size, samples // networks))
    return samples // (batch * networks)


def _most_kinds(space: SearchSpace) -> int:
    """The most kinds that are open to any slot, none at all counted as one."""
    return int(space.cardinalities[~space.ordered].max())


def one_of_each_kind(space: SearchSpace, rng: np.random.Generator) -> list[npt.NDArray[np.int16]]:
    """Random networks, as many as the most kinds of a slot, among which every slot has each of its kinds.

    Canonical genomes `[genes]`. A slot of fewer kinds has some of them more than once. The ordered genes of every
    second network are all at one place between their ends, which is drawn evenly.
    """
    networks = _most_kinds(space)
    drawn = rng.integers(0, space.cardinalities, (networks, space.cardinalities.size), dtype=np.int16)
    sizes = np.flatnonzero(space.ordered & (space.cardinalities > 1))
    if sizes.size:
        alike = rng.random((len(drawn[::2]), 1)) * space.cardinalities[sizes]
        drawn[::2, sizes] = alike.astype(np.int16)
    for gene in np.flatnonzero(~space.ordered).tolist():
        kinds = rng.permutation(space.cardinalities[gene])
        drawn[:, gene] = np.resize(kinds, networks)
    return list(space.canonical(drawn))


def _in_turn(tasks: Iterable[Callable[[], R]]) -> Iterator[R]:
    """What networks give on a large batch, one after the other: there is no room for the features of several.

    Nor for the holes that those of other sizes have left.
    """
    for task in tasks:
        give_back_surplus()
        yield task()


def fair_gradients(
    pool: ThreadPoolExecutor,
    supernet: Supernet,
    x: torch.Tensor,
    y: torch.Tensor,
    genomes: list[npt.NDArray[np.int16]],
    smoothing: float,
) -> float:
    """Sets every weight's gradient to the mean over the genomes that use it, each on its own part of the batch.

    `x` are normalised inputs `[genomes * n, ...]` with labels `y`, the first n of them the first genome's; every weight
    has a gradient already. The mean does not depend on the number of threads. Returns the mean loss.
    """
    weights = list(supernet.weights.values())

    def part(blocks: list[Block], x: torch.Tensor, y: torch.Tensor) -> tuple[float, tuple[torch.Tensor | None, ...]]:
        loss = functional.cross_entropy(supernet.forward(x, blocks), y, label_smoothing=smoothing)
        return float(loss.detach()), torch.autograd.grad(loss, weights, allow_unused=True)

    architectures = [supernet.space.architecture(genome) for genome in genomes]
    parts = zip(architectures, x.chunk(len(genomes)), y.chunk(len(genomes)), strict=True)
    tasks = [partial(part, *one) for one in parts]
    if x.numel() > _LARGE * len(genomes):
        done = list(_in_turn(tasks))
    else:
        done = [future.result() for future in [pool.submit(task) for task in tasks]]
    for weight, *found in zip(weights, *(gradients for _, gradients in done), strict=True):
        assert weight.grad is not None
        weight.grad.zero_()
        used = [gradient for gradient in found if gradient is not None]
        for gradient in used:
            weight.grad += gradient / len(used)
    return sum(loss for loss, _ in done) / len(done)


def gradients(
    pool: ThreadPoolExecutor,
    supernet: Supernet,
    x: torch.Tensor,
    y: torch.Tensor,
    genomes: list[npt.NDArray[np.int16]],
    smoothing: float,
) -> float:
    """Sets every weight's gradient to the sum over genomes, the first on the labels, the others on its predictions.

    `x` are normalised inputs `[batch, ...]` with labels `y` `[batch]`; every weight has a gradient already. Networks
    are computed beside each other and added up in their order, so the sum does not depend on the number of threads.
    Returns the first one's loss.
    """
    weights = list(supernet.weights.values())
    architectures = [supernet.space.architecture(genome) for genome in genomes]
    logits = supernet.forward(x, architectures[0])
    loss = functional.cross_entropy(logits, y, label_smoothing=smoothing)
    target = logits.detach().softmax(1)

    def student(blocks: list[Block]) -> tuple[torch.Tensor | None, ...]:
        distance = functional.cross_entropy(supernet.forward(x, blocks), target)
        return torch.autograd.grad(distance, weights, allow_unused=True)

    students = [partial(student, blocks) for blocks in architectures[1:]]
    gradients: list[tuple[torch.Tensor | None, ...]]
    if x.numel() > _LARGE:
        gradients = [torch.autograd.grad(loss, weights, allow_unused=True), *_in_turn(students)]
    else:
        running = [pool.submit(task) for task in students]
        gradients = [torch.autograd.grad(loss, weights, allow_unused=True), *(task.result() for task in running)]
    for weight, *parts in zip(weights, *gradients, strict=True):
        assert weight.grad is not None
        weight.grad.zero_()
        for part in parts:
            if part is not None:
                weight.grad += part
    return float(loss.detach())

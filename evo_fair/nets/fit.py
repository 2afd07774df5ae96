"""Trains one network by a problem's recipe, from its present weights, reproducibly and resumably."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from evo_fair.arrays import RawInputs, Selected
from evo_fair.errors import NonFiniteError
from evo_fair.files import digest
from evo_fair.nets.checkpoint import (
    TrainingCheckpoint,
    check_device,
    check_tensor_names,
    momentum_tensors,
    restore_generator,
    restore_momentum,
    stored_tensors,
    usable_checkpoint,
    write_checkpoint,
)
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.distillation import Teacher
from evo_fair.nets.inputs import TrainingInputs
from evo_fair.nets.layout import channels_last
from evo_fair.nets.memory import keep_memory
from evo_fair.nets.randomness import random_numbers_as_before, seed_everything
from evo_fair.nets.recipe import Step, check_finite, epoch_of, mean_of, one_cycle, optimiser
from evo_fair.nets.strides import strides_first
from evo_fair.nets.threads import torch_threads
from evo_fair.one_at_a_time import one_at_a_time
from evo_fair.problem import Training

__all__ = ["fit", "initialise"]

_PREFIX = "network."


@one_at_a_time  # dropout draws from torch's one generator
def fit(
    network: nn.Module,
    inputs: RawInputs | Selected,
    labels: npt.NDArray[np.int64],
    recipe: Training,
    seed: int,
    *,
    normalise: Callable[[RawInputs | torch.Tensor], torch.Tensor],
    loss: Callable[[torch.Tensor, npt.NDArray[np.int64], float], torch.Tensor] | None = None,
    draw: Callable[[np.random.Generator], npt.NDArray[np.int64]] | None = None,
    after_step: Callable[[int], None] | None = None,
    on_epoch: Callable[[Step], None] | None = None,
    checkpoint: Path | None = None,
    device: TorchDevice = CPU,
    lower: str | None = None,
    teacher: Teacher | None = None,
) -> None:
    """Trains `network` in place on inputs `[n, channels, ...]` and labels `[n]`; it ends in evaluation mode.

    `normalise` makes raw inputs, on an accelerator tensors there, what the network takes. `loss` gives a scalar from a
    batch's logits `[batch, labels]`, its samples' indices `[batch]` and the share of all steps that is done, this one
    counted, above 0 and up to 1; by default cross-entropy with the recipe's label smoothing.
    `draw` gives the samples of an epoch in order, by default a permutation of all; every epoch must draw as many.
    `after_step` hears the number of steps done, `on_epoch` every epoch's mean loss. The loss is joined by what a
    `teacher` says of each batch, as it is augmented.

    The same arguments give the same bytes: one thread, all randomness (dropout's too) from `seed`. With `checkpoint`
    the state is written there after every epoch, the last one's, too, and a second call with the same arguments goes on
    from it to the same bytes; functions are not compared. Whoever stores the network removes the file then. One that is
    damaged, or of another training, of other epochs say, counts as none, with a `DataWarning`. Raises `RunError` for
    one that another kind of device wrote, `NonFiniteError` when the loss or a weight is no longer finite: it asks for
    what `lower` names to be lowered, by default the recipe's learning rate.

    On an accelerator the network is there in the meantime; initial weights, samples and their augmentation are the
    CPU's, sums are rounded otherwise, and a checkpoint goes on on the same kind of device alone.
    """
    keep_memory()
    if inputs.ndim == 4:
        channels_last(network)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    sgd = optimiser(weights, recipe)
    rng = np.random.default_rng(seed)
    numbered = {str(number): weight for number, weight in enumerate(weights)}
    epoch, identity, found = 0, "", None
    if checkpoint:
        identity = _identity(network, inputs, labels, recipe, seed, teacher)
        if found := _found(checkpoint, identity, network, numbered, recipe):
            check_device(checkpoint, found.progress, device)
            epoch = epoch_of(found.progress.get("epoch"), recipe)
            restore_generator(rng, found.progress.get("rng"))
            own = {name: tensor for name, tensor in found.tensors.items() if name.startswith(_PREFIX)}
            network.load_state_dict({name.removeprefix(_PREFIX): tensor for name, tensor in own.items()})
    with (
        torch_threads(1),
        device.at_work(),
        random_numbers_as_before(device.gpus),
        strides_first(network),
        device.holding(network),
        device.holding(teacher.network) if teacher else nullcontext(),
    ):
        data = TrainingInputs(inputs, recipe.augment, device)
        if found:
            restore_momentum(sgd, numbered, found.tensors)
        while epoch < recipe.epochs:
            seed_everything(int(rng.integers(2**63)))  # for dropout, which knows no generator of its own
            order = draw(rng) if draw else rng.permutation(len(labels))
            batch = min(recipe.batch_size, len(order))
            steps = len(order) // batch
            network.train()
            losses: list[torch.Tensor] = []
            for number in range(steps):
                step = epoch * steps + number
                for group in sgd.param_groups:
                    group["lr"] = recipe.learning_rate * one_cycle(step, recipe.epochs * steps)
                chosen = np.sort(order[number * batch : (number + 1) * batch])
                x = normalise(data.batch(chosen, rng))
                with device.autocast():
                    logits = network(x)
                logits = logits.float() if device.accelerated else logits
                if loss:
                    value = loss(logits, chosen, (step + 1) / (recipe.epochs * steps))
                else:
                    target = torch.from_numpy(labels[chosen]).to(logits.device)
                    value = functional.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
                if teacher:
                    with torch.no_grad(), device.autocast():
                        said = teacher.network(x)
                    value = teacher.joined(value, logits, said.float() if device.accelerated else said)
                sgd.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                sgd.step()
                if after_step:
                    after_step(step + 1)
                losses.append(value.detach())
            epoch += 1
            mean_loss = mean_of(losses)
            try:
                check_finite(epoch, mean_loss, weights, recipe, lower)
            except NonFiniteError:
                if checkpoint:  # it could only diverge again
                    checkpoint.unlink(missing_ok=True)
                raise
            if checkpoint:
                state = _state(network) | momentum_tensors(sgd, numbered)
                progress = {"epoch": epoch, "rng": rng.bit_generator.state, **device.facts()}
                write_checkpoint(checkpoint, identity, progress, state)
            if on_epoch:
                on_epoch(Step(epoch, recipe.epochs, mean_loss))
    network.eval()


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draws every weight anew from `generator` (He et al. 2015); a `Network`'s come out as a supernet's do.

    Frozen ones stay as they are: training could not put right what was drawn for them.

    Biases start at 0, batch norms as the identity. Convolutions without a bias, because a batch norm follows, count
    their fan-out; the others, whose scale nothing puts right, their fan-in. A linear layer with a bias is taken for a
    classifier, which no ReLU follows, and gets the variance 1 / fan-in.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            channels = module.out_channels if module.bias is None else module.in_channels
            fan = module.kernel_size[0] * module.kernel_size[1] * channels // module.groups
            _fill(module, (2 / fan) ** 0.5, generator)
        elif isinstance(module, nn.Linear):
            gain = 2 if module.bias is None else 1
            _fill(module, (gain / module.in_features) ** 0.5, generator)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not _frozen(module, "weight"):
            module.reset_parameters()


def _fill(module: nn.Conv2d | nn.Linear, deviation: float, generator: torch.Generator) -> None:
    # In one order, whatever the weight's layout, and by the generator wherever the weight is.
    drawn = torch.randn(module.weight.shape, generator=generator, device=generator.device).to(module.weight.device)
    if not _frozen(module, "weight"):
        module.weight.copy_(drawn * deviation)
    if module.bias is not None and not _frozen(module, "bias"):
        module.bias.zero_()


def _frozen(module: nn.Module, name: str) -> bool:
    """Whether a tensor of a module is not trained: a parameter that is said so, or a buffer, as a fixed filter is."""
    tensor = getattr(module, name)
    return name in module._buffers or (isinstance(tensor, nn.Parameter) and not tensor.requires_grad)


def _found(
    path: Path, identity: str, network: nn.Module, weights: dict[str, nn.Parameter], recipe: Training
) -> TrainingCheckpoint | None:
    """The checkpoint of just this training, if there is one that is whole."""

    def check(found: TrainingCheckpoint) -> None:
        check_tensor_names(found, _state(network), weights)
        epoch_of(found.progress.get("epoch"), recipe)
        restore_generator(np.random.default_rng(), found.progress.get("rng"))

    return usable_checkpoint(path, identity, check)


def _identity(
    network: nn.Module,
    inputs: RawInputs | Selected,
    labels: npt.NDArray[np.int64],
    recipe: Training,
    seed: int,
    teacher: Teacher | None = None,
) -> str:
    """A hash of all arguments that can be hashed, the initial weights among them."""
    samples = Selected.all_of(inputs)  # of many there is no room for a copy
    return digest(
        recipe.model_dump_json(),
        str(seed),
        save(_state(network)),
        repr((samples.shape, samples.dtype)),
        samples,
        labels.tobytes(),
        torch.__version__,
        *([teacher.sha256] if teacher else []),
    )


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {_PREFIX + name: tensor for name, tensor in stored_tensors(network).items()}

"""A dry run of all that will be done to a network that people bring, on a few samples, before anything long begins.

Such a network keeps none of the habits of ours: it may return several outputs in training, draw random numbers in
evaluation, mix the samples of a batch, or hold what can't be copied, stored, pruned or exported. Each would otherwise
come to light after hours of training, or not at all.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import nn
from torch.nn.parameter import is_lazy

from evo_fair.errors import EvoFairError, NonFiniteError, PruningError, quote
from evo_fair.export.export import check_parity, export_onnx
from evo_fair.nets import fit, initialise
from evo_fair.nets.failures import failure
from evo_fair.nets.randomness import random_numbers_as_before, random_states, seed_everything
from evo_fair.nets.threads import torch_threads
from evo_fair.proxy import predict_logits
from evo_fair.pruning.removal import remove_channels
from evo_fair.pruning.selection import UNSTRUCTURED
from evo_fair.pruning.structure import training_mode
from evo_fair.pruning.task import Task, content_of
from evo_fair.pruning.trials import awakened
from evo_fair.time_limit import OutOfTime, time_limit

__all__ = ["rehearse"]

SAMPLES = 8
BATCH = 4
MANY = 8
"""How many times the samples make a large batch."""

REPEATS = 200
"""How often a network is evaluated that draws random numbers, which need not have a say in what it computes."""

SECONDS = 60.0
"""For how long an export may take that is only tried."""

SAME = 1e-4
"""By how much of the largest output two evaluations may differ that are to be the same."""

RATE = 0.01
"""The learning rate of the trial, as a share of the recipe's: there is no time to warm up."""


def rehearse(network: nn.Module, task: Task, drawn_anew: bool = False, structured: bool = True) -> None:
    """Evaluates, trains, stores, prunes and exports copies of `network`, which itself stays as it is.

    `drawn_anew` says that it will be trained from random weights, `structured` that whole channels will leave. Raises
    `PruningError` for the first thing that fails, on one line that names the layer where that is known, and a way out.
    """
    rest = _trying("fails a trial of all that will be done to it", "let its forward take batches of any size")
    with rest, random_numbers_as_before(), torch_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed_everything(task.recipe.seed)
        if network.train(network.training) is not network:
            raise PruningError("the network's train() does not return it, as torch's does: end it with return self")
        mend = "keep no tensor with a gradient, open file or lock in its attributes, nor torch's old weight_norm"
        try:
            with time_limit(SECONDS):
                _materialise(network, task)
                with _trying("can't be copied", mend):
                    copy.deepcopy(network)
                task.check_outputs(network)
        except OutOfTime as error:
            raise PruningError(
                f"the network does not answer for two samples within {SECONDS:g} seconds: fix its forward"
            ) from error
        with _trying("can't be stored", "keep nothing but tensors in its state_dict"):
            content_of(network)
        copied = copy.deepcopy(network)
        if drawn_anew:
            with _trying("can't be given random weights", "bring trained ones with --weights"):
                initialise(copied, torch.Generator().manual_seed(task.recipe.seed))
            task.check_outputs(copied)
        x = task.normalise(task.train_inputs[:SAMPLES])
        _check_held(copy.deepcopy(copied), network, x)
        copied.eval()
        awake = awakened(copied)
        _check_repeats(awake, x)
        _check_alone(awake, x)
        trained = _trained_a_little(copied, task)
        _check_stored(copied, trained, x)
        _check_export(trained, task, x)
        if structured:
            _check_pruned(trained, task, x)


def _materialise(network: nn.Module, task: Task) -> None:
    """Runs a network once that learns the sizes of its layers from its first input."""
    if any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        with _trying("does not run", "fix its forward"), torch.no_grad(), training_mode(network, False):
            network(task.example)


@contextmanager
def _trying(what: str, mend: str) -> Iterator[None]:
    """Turns whatever a block raises into a `PruningError`; those of ours, which say all there is to say, pass."""
    try:
        yield
    except EvoFairError:
        raise
    except (Exception, SystemExit) as error:  # a user's module can fail in any way
        raise PruningError(f"the network {what} ({failure(error)}): {mend}") from error


def _check_held(copied: nn.Module, network: nn.Module, x: torch.Tensor) -> None:
    """A copy has to compute with its own parameters alone: others are neither trained nor stored with it."""
    own = {id(tensor) for tensor in (*copied.parameters(), *copied.buffers())}
    try:
        with training_mode(copied, True):
            made = copied(x.clone())
    except (Exception, SystemExit):  # a user's module can fail in any way; what is tried next says how
        return
    strays = [leaf for leaf in _leaves(made) if id(leaf) not in own] if isinstance(made, torch.Tensor) else []
    if not strays:
        return
    for name, parameter in network.named_parameters():
        if any(stray is parameter for stray in strays):
            raise PruningError(
                f"a copy of the network computes with {quote(name)} of the network that it was copied from: a hook or "
                "function in it holds on to that network; let hooks use the module that they are called with"
            )
    where = next((f" (in {quote(name)})" for name in _attributes_with(copied, strays)), "")
    raise PruningError(
        f"the network computes with tensors that are none of its parameters{where}, so that they would be neither "
        "trained nor stored: keep layers in nn.ModuleList or nn.ModuleDict, and tensors in nn.Parameter"
    )


def _leaves(made: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors with a gradient that a tensor was computed from."""
    left = [made.grad_fn] if made.grad_fn is not None else []
    seen = set(left)
    while left:
        step = left.pop()
        if hasattr(step, "variable"):
            yield step.variable
        for before, _ in getattr(step, "next_functions", ()):
            if before is not None and before not in seen:
                seen.add(before)
                left.append(before)


def _attributes_with(network: nn.Module, tensors: Sequence[torch.Tensor]) -> Iterator[str]:
    """The attributes of a network's modules that hold one of some tensors, or an unregistered module with it."""
    sought = set(map(id, tensors))

    def holds(value: object) -> bool:
        if isinstance(value, nn.Module):
            return any(id(parameter) in sought for parameter in value.parameters())
        if isinstance(value, Mapping):
            return any(map(holds, value.values()))
        return any(map(holds, value)) if isinstance(value, list | tuple | set) else id(value) in sought

    for name, module in network.named_modules():
        for key, value in vars(module).items():
            if not key.startswith("_") and holds(value):
                yield f"{name}.{key}" if name else key


def _check_repeats(network: nn.Module, x: torch.Tensor) -> None:
    state = random_states()
    first, outputs = _outputs(network, x)
    repeats = 2 if random_states() == state else REPEATS
    for _ in range(repeats):
        again, others = _outputs(network, x)
        if not _same(first, again):
            raise PruningError(
                f"the network computes something else each time it is evaluated{_first_differing(outputs, others)}: "
                "in evaluation mode it must draw no random numbers (dropout needs training=self.training) and keep no "
                "state"
            )


def _check_alone(network: nn.Module, x: torch.Tensor) -> None:
    """Each sample has to be answered as it is among others: there will be batches of any size."""
    together, outputs = _outputs(network, x)
    mend = "let its forward take batches of any size, and squeeze and reshape no dimension but those it names"
    for chosen in (slice(0, 3), *(slice(i, i + 1) for i in range(min(3, len(x))))):
        part = x[chosen]
        with _trying(f"does not run on a batch of {len(part)}", mend):
            alone, others = _outputs(network, part)
        if getattr(alone, "shape", None) != together[chosen].shape:
            got = list(alone.shape) if isinstance(alone, torch.Tensor) else type(alone).__name__
            wanted = list(together[chosen].shape)
            raise PruningError(f"the network's outputs for a batch of {len(part)} are {got}, not {wanted}: {mend}")
        if not _same(together[chosen], alone):
            layer = _first_differing({name: made[chosen] for name, made in outputs.items()}, others)
            raise PruningError(
                f"the network answers for a sample by what else is in its batch{layer}: in evaluation mode use no "
                "statistics of the batch, and let no operation mix samples"
            )
    many, _ = _outputs(network, x.repeat(MANY, *[1] * (x.dim() - 1)))
    if many.shape[:1] != (MANY * len(x),) or not _same(together, many[: len(x)]):
        raise PruningError(f"the network answers for a sample in a batch of {MANY * len(x)} in another way: {mend}")


def _trained_a_little(network: nn.Module, task: Task) -> nn.Module:
    """A copy after a few steps of the recipe, at a low learning rate."""
    trained = copy.deepcopy(network)
    weights = list(trained.parameters())
    if not weights:
        raise PruningError("the network has no parameters: there is nothing to train and nothing to prune")
    if not any(weight.requires_grad for weight in weights):
        raise PruningError(
            "all parameters of the network are frozen: call requires_grad_(True) on what may be trained after pruning"
        )
    mend = "fix its forward in training mode"
    with _trying("does not run in training mode", mend), training_mode(trained, True):
        logits = trained(task.normalise(task.train_inputs[:BATCH]))
    labels = len(task.dataset.label_names)
    if not isinstance(logits, torch.Tensor) or logits.shape[1:] != (labels,):
        got = list(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        if isinstance(logits, tuple | list | dict):
            got = f"{got} of {len(logits)}"
        raise PruningError(
            f"in training mode the network returns {got}, not logits of the shape [batch, {labels}]: return those "
            "alone, without the outputs of auxiliary heads"
        )
    samples = slice(0, 2 * BATCH)
    recipe = task.recipe.model_copy(
        update={"epochs": 2, "batch_size": BATCH, "learning_rate": RATE * task.recipe.learning_rate}
    )
    if task.device.accelerated:
        mend = "make its tensors on the device of its inputs, keep others in buffers, or give --torch-device cpu"
    with _trying("can't be trained", mend), TemporaryDirectory() as folder:
        try:
            fit(
                trained,
                task.train_inputs[samples],
                task.train_labels[samples],
                recipe,
                recipe.seed,
                normalise=task.normalise,
                checkpoint=Path(folder) / "trial.safetensors",
                device=task.device,
            )
        except NonFiniteError as error:
            raise PruningError(f"the network's first steps of training end in infinity or NaN ({error})") from error
    return trained


def _check_stored(network: nn.Module, trained: nn.Module, x: torch.Tensor) -> None:
    """A network is stored as its state dictionary: that has to be all that it computes with."""
    mend = "keep what it computes with in parameters and buffers"
    with _trying("can't be copied once it was trained", f"{mend}, and no tensor with a gradient beside them"):
        copy.deepcopy(trained)
    with _trying("can't be stored and loaded again", mend):
        loaded = copy.deepcopy(network)
        loaded.load_state_dict(load(content_of(trained)))
        if not _same(_outputs(trained.eval(), x)[0], _outputs(loaded.eval(), x)[0]):
            raise PruningError(
                f"the network computes something else once it is stored and loaded: {mend}, all of which are stored"
            )


def _check_pruned(network: nn.Module, task: Task, x: torch.Tensor) -> None:
    """Takes out half of what can be pruned, and exports what is left."""
    structure = task.structure(network)
    rng = np.random.default_rng(0)
    keep = {name: rng.permutation(group.size) < (group.size + 1) // 2 for name, group in structure.groups.items()}
    if keep:
        with _trying("can't be pruned", UNSTRUCTURED):
            smaller = remove_channels(network, structure.groups, keep)
            copy.deepcopy(smaller).load_state_dict(smaller.state_dict())
        try:
            _check_export(smaller, task, x)
        except PruningError as error:
            raise PruningError(f"without half of its channels {error}; {UNSTRUCTURED}") from error


def _check_export(network: nn.Module, task: Task, x: torch.Tensor) -> None:
    mend = "write that part with operators that ONNX has"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trial.onnx"
        try:
            with _trying("can't be exported", mend), time_limit(SECONDS):
                export_onnx(copy.deepcopy(network), task.dataset.input_shape, path)
        except OutOfTime as error:
            raise PruningError(
                f"the network can't be exported as ONNX within {SECONDS:g} seconds: its forward has too many steps; "
                "use operations on whole tensors instead of loops"
            ) from error
        for batch in (x, x[:3]):
            try:
                check_parity(path, predict_logits(network, batch), batch, network)
            except EvoFairError as error:
                why = str(error).replace(str(path), "its ONNX file")
                raise PruningError(f"the network can't be exported as it is: {why}") from error


@torch.no_grad()
def _outputs(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
    """What a network makes of a copy of `x`, and what each of its layers made last, in the order of their ends."""
    made: dict[str, torch.Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
            if isinstance(outputs, torch.Tensor) and outputs.dim():
                made[name] = outputs.clone()

        return keep

    hooks = [module.register_forward_hook(hook(name)) for name, module in network.named_modules() if name]
    try:
        return network(x.clone()), made
    finally:
        for each in hooks:
            each.remove()


def _first_differing(outputs: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]) -> str:
    """The first layer that made something else, for a message; none where that was the network's own forward."""
    for name, made in outputs.items():
        if name in others and not _same(made, others[name]):
            return f", first in layer {name!r}"
    return ", in its own forward"


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape:
        return False
    most = SAME * float(one.abs().max()) if one.numel() else 0.0
    return torch.allclose(one.double(), other.double(), rtol=0, atol=most, equal_nan=True)

"""What a pruning method works on: data, groups and recipe, the dense network, and what is asked of it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import nn

from evo_fair.arrays import RawInputs
from evo_fair.data import Dataset
from evo_fair.errors import PruningError
from evo_fair.fairness import Counts
from evo_fair.files import digest
from evo_fair.nets import fit
from evo_fair.nets.checkpoint import stored_tensors
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.distillation import Teacher
from evo_fair.nets.failures import failure
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.nets.layout import channels_last
from evo_fair.nets.predict import predict_logits
from evo_fair.nets.recipe import Step
from evo_fair.nets.threads import torch_threads
from evo_fair.problem import Training
from evo_fair.pruning.removal import FollowingMask, Mask, apply_mask
from evo_fair.pruning.samples import Samples
from evo_fair.pruning.selection import Scope, StructureKind
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.trace import trace_structure

__all__ = ["Dense", "Loss", "Pruned", "Request", "StateDict", "Task", "content_of", "state_of"]

Loss = Callable[[torch.Tensor, npt.NDArray[np.int64], float], torch.Tensor]
"""That of `nets.fit`: from logits `[batch, labels]`, samples `[batch]` and the share of training that is done."""
StateDict = dict[str, torch.Tensor]

SCORED = 512
"""How many training samples a criterion looks at."""


@dataclass(frozen=True, eq=False)
class Dense:
    """The network to prune, trained and in evaluation mode.

    Args:
        network: The network.
        early: The weights that `rewind` goes back to; None where they are not known.
        epochs: What its training took, which methods that start from nothing may spend
            too.
    """

    network: nn.Module
    early: StateDict | None
    epochs: int


@dataclass(frozen=True)
class Request:
    """What is asked of a pruning method.

    Args:
        sparsity: The share that leaves, between 0 and 1, of channels or of single
            weights.
        kind: `structured`, whole channels leave, or `unstructured`, single weights do.
            Default: `unstructured`.
        scope: `global`, or `uniform` by layer. Default: `global`.
        seed: The method's seed, 0 or more. Default: 0.
        epochs: What the method may train, beyond the dense network's own training.
            Default: 10.
        ratios: Shares by layer, in the place of `sparsity`. Default: none.
        epsilon: The accuracy that `ballot` and `evo` may lose, on validation samples
            that the outputs' offsets are not fitted to: against the dense network where
            they reach that, and in any case against the best that they reach. Default:
            0.01, a point.
    """

    sparsity: float
    kind: StructureKind = "unstructured"
    scope: Scope = "global"
    seed: int = 0
    epochs: int = 10
    ratios: Mapping[str, float] | None = None
    epsilon: float = 0.01

    def rng(self, purpose: int = 0) -> np.random.Generator:
        """A Generator of its own for each purpose of a method.

        Args:
            purpose: The purpose's number. Default: 0.

        Returns:
            The Generator, the same for the same seed and purpose.
        """
        return np.random.default_rng([self.seed, purpose])


@dataclass(frozen=True, eq=False)
class Pruned:
    """A method's result: the network in evaluation mode, with zeros where its mask took something out.

    Args:
        network: The network, with the dense one's shapes.
        mask: What was taken out.
        iterations: All training steps, forward and backward, of the method.
        notes: Figures of the method's own, by name. Default: none.
    """

    network: nn.Module
    mask: Mask
    iterations: int
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Task:
    """A data set with the grouping that fairness is about, and the recipe by which networks are trained.

    Args:
        dataset: The data set.
        group: The grouping's name.
        recipe: The recipe.
        device: Where networks are trained and evaluated; they come back from there.
            Default: the CPU.
        teacher: What all trainings follow beside the labels. Default: nobody.

    Raises:
        PruningError: There are fewer than 2 training samples.
        UnknownNameError: There is no such grouping.
    """

    dataset: Dataset
    group: str
    recipe: Training
    device: TorchDevice = CPU
    teacher: Teacher | None = None
    _structures: dict[str, Structure] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.dataset.part("train")) < 2:
            raise PruningError(f"{self.dataset.name} has fewer than 2 training samples: give more")
        self.dataset.grouping(self.group)  # refuses an unknown one before anything is trained

    _KEPT: ClassVar = ("dataset", "group", "recipe", "device", "teacher", "_structures")

    def __getstate__(self) -> dict[str, Any]:
        # What is worked out from the data again takes more room than the data.
        return {name: self.__dict__[name] for name in self._KEPT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def following(self, network: nn.Module, share: float) -> Self:
        """The task with all trainings following a network, such as the dense one, by a share of their loss.

        Args:
            network: The network, trained.
            share: The share, 0 (none) to 1.

        Returns:
            A task, this one where the share is 0.
        """
        if not share:
            return self
        images = len(self.dataset.input_shape) == 3
        return replace(self, teacher=Teacher.of(network, share, images=images))

    @cached_property
    def scaling(self) -> Scaling:
        """How raw inputs enter networks: by the training part's statistics."""
        return Scaling.of(self.train_inputs)

    @cached_property
    def train_inputs(self) -> RawInputs:
        """Raw inputs of the training part, `[n, channels, height, width]` or `[n, features]`."""
        return self.dataset.inputs[self.dataset.part("train")]

    @cached_property
    def train_labels(self) -> npt.NDArray[np.int64]:
        """Labels of the training part, int64 `[n]`."""
        return self.dataset.labels[self.dataset.part("train")]

    @cached_property
    def train_groups(self) -> npt.NDArray[np.int16]:
        """Groups of the training part, int16 `[n]`, -1 where unknown."""
        return self.dataset.grouping(self.group).index[self.dataset.part("train")]

    def normalise(self, inputs: RawInputs | torch.Tensor) -> torch.Tensor:
        """Raw inputs as networks take them.

        Args:
            inputs: Raw inputs, `[n, ...]`; a tensor's come out on its device.

        Returns:
            float32 of the same shape.
        """
        return self.scaling(inputs)

    @property
    def example(self) -> torch.Tensor:
        """Two normalised training samples `[2, ...]`, to trace networks with."""
        return self.normalise(self.train_inputs[:2])

    def structure(self, network: nn.Module) -> Structure:
        """What can be pruned in a network for these data; it is traced once, and copies of it share what was found.

        Args:
            network: The network.

        Returns:
            Its channel groups and its prunable weights.

        Raises:
            PruningError: It can't be traced, or nothing of it can be pruned.
        """
        key = digest(self.fingerprint(network), repr(network))
        if key not in self._structures:
            self._structures[key] = trace_structure(network, self.example)
        return self._structures[key]

    def samples(self, rng: np.random.Generator, count: int = SCORED) -> Samples:
        """Training samples for criteria; each group has as many, or all that it has.

        Args:
            rng: The Generator to draw with.
            count: About how many samples. Default: 512.

        Returns:
            The samples, normalised.
        """
        groups = self.train_groups
        members = [np.flatnonzero(groups == group) for group in np.unique(groups[groups >= 0])]
        share = -(-count // max(1, len(members)))
        chosen = np.sort(np.concatenate([rng.permutation(m)[:share] for m in members]))
        return Samples(
            self.normalise(self.train_inputs[chosen]), self.train_labels[chosen], groups[chosen], self.device
        )

    def natural_samples(self, rng: np.random.Generator, count: int = SCORED) -> Samples:
        """Training samples with the groups in the shares that they have, and one more of each group missed.

        Args:
            rng: The Generator to draw with.
            count: How many samples. Default: 512.

        Returns:
            The samples, normalised.
        """
        order, groups = rng.permutation(len(self.train_labels)), self.train_groups
        chosen = order[:count]
        missed = np.setdiff1d(groups[groups >= 0], groups[chosen])
        first = [order[groups[order] == group][0] for group in missed]
        chosen = np.sort(np.concatenate([chosen, np.array(first, np.int64)]))
        return Samples(
            self.normalise(self.train_inputs[chosen]), self.train_labels[chosen], groups[chosen], self.device
        )

    def train(
        self,
        network: nn.Module,
        epochs: int,
        seed: int,
        *,
        rate: float = 1.0,
        mask: Mask | None = None,
        loss: Loss | None = None,
        draw: Callable[[np.random.Generator], npt.NDArray[np.int64]] | None = None,
        after_step: Callable[[int], None] | None = None,
        on_epoch: Callable[[Step], None] | None = None,
        checkpoint: Path | None = None,
    ) -> int:
        """Trains a network in place by the recipe.

        Args:
            network: The network.
            epochs: Passes over the training part; nothing is trained below 1.
            seed: The training's seed.
            rate: Times the recipe's learning rate. Default: 1.
            mask: What stays taken out. Default: nothing.
            loss: The loss, as in `nets.fit`. Default: cross-entropy.
            draw: Draws the samples of an epoch, as in `nets.fit`. Default: each once.
            after_step: Hears the number of steps done, once the mask is seen to.
                Default: nobody.
            on_epoch: Hears of each epoch, as in `nets.fit`. Default: nobody.
            checkpoint: The file where a broken-off training goes on, as in `nets.fit`.
                Default: none.

        Returns:
            The steps that it took.
        """
        if mask:
            apply_mask(network, mask)
        if epochs < 1:
            return 0
        steps = 0
        following = FollowingMask(mask) if mask else None

        def after(step: int) -> None:
            nonlocal steps
            steps = step
            if following:
                following.apply(network)
            if after_step:
                after_step(step)

        recipe = self.recipe.model_copy(update={"epochs": epochs, "learning_rate": self.recipe.learning_rate * rate})
        fit(
            network,
            self.train_inputs,
            self.train_labels,
            recipe,
            seed,
            normalise=self.normalise,
            loss=loss,
            draw=draw,
            after_step=after,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            device=self.device,
            teacher=self.teacher,
        )
        return steps

    def counts(self, network: nn.Module, part: str, grouping: str | None = None) -> Counts:
        """What a network predicts on a part of the data, by groups.

        Args:
            network: The network.
            part: `train`, `validation` or `test`.
            grouping: The grouping. Default: the task's.

        Returns:
            The counts of one network.
        """
        return self.dataset.counts(self.predictions(network, part)[None], part, grouping or self.group)

    def predictions(self, network: nn.Module, part: str) -> npt.NDArray[np.uint8]:
        """Predicted labels of a part's samples; ties go to the first label.

        Args:
            network: The network.
            part: `train`, `validation` or `test`.

        Returns:
            uint8 `[n]`.
        """
        return np.asarray(self.logits(network, part).argmax(1), np.uint8)

    def logits(self, network: nn.Module, part: str) -> npt.NDArray[np.float32]:
        """Logits of a part's samples.

        Args:
            network: The network.
            part: `train`, `validation` or `test`.

        Returns:
            float32 `[n, labels]`.
        """
        if self.device.accelerated:
            return predict_logits(network, self._held(part), self.device)
        inputs = self.dataset.inputs[self.dataset.part(part)]
        with torch.inference_mode(), torch_threads(1):
            return np.concatenate(
                [network(self.normalise(inputs[start : start + 256])).numpy() for start in range(0, len(inputs), 256)]
            )

    def _held(self, part: str) -> Normalised:
        """A part's samples where networks are evaluated, sent there once."""
        held: dict[str, Normalised] = self.__dict__.setdefault("_parts_held", {})
        if part not in held:
            held[part] = Normalised(self.dataset.samples(part), self.scaling, self.device)
        return held[part]

    def settled(self, network: nn.Module) -> nn.Module:
        """Puts a network into evaluation mode and training's memory layout, so that no result tells where it came from.

        Args:
            network: The network, which is changed.

        Returns:
            The same network.
        """
        if self.train_inputs.ndim == 4:
            channels_last(network)
        return network.eval()

    def fingerprint(self, network: nn.Module) -> str:
        """A hash of what a network is: all that its state dictionary holds, and what it computes from two samples.

        The latter tells modules apart that hold the same and differ in their `forward`;
        it can differ between machines.

        Args:
            network: The network.

        Returns:
            The hash, in hex.
        """
        with torch.inference_mode(), torch_threads(1):
            logits = copy.deepcopy(network).eval()(self.example)
        return digest(content_of(network), logits.cpu().numpy().tobytes())

    def check_outputs(self, network: nn.Module) -> None:
        """Refuses a network that does not make one finite logit a label of the samples.

        Args:
            network: The network.

        Raises:
            PruningError: It fails, or its outputs are others.
        """
        try:
            with torch.no_grad():
                logits = copy.deepcopy(network).eval()(self.example)
        except Exception as error:  # a user's module can fail in any way
            shape, mend = list(self.example.shape), "change it so that it takes one tensor of that shape"
            kinds = {parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()}
            if kinds - {self.example.dtype}:
                mend = f"its weights are {', '.join(sorted(map(str, kinds)))}; return it as network.float()"
            raise PruningError(
                f"the network does not run on inputs of the shape {shape} ({failure(error)}): {mend}"
            ) from error
        labels = len(self.dataset.label_names)
        if not isinstance(logits, torch.Tensor) or logits.shape != (len(self.example), labels):
            got = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise PruningError(
                f"the network's outputs for {len(self.example)} samples are {got}, but {self.dataset.name} has "
                f"{labels} labels: it has to return logits of the shape {[len(self.example), labels]}"
            )
        if logits.dtype != torch.float32:
            kind = str(logits.dtype).removeprefix("torch.")
            raise PruningError(f"the network's outputs are {kind}, not float32: let its forward return logits.float()")
        if not bool(logits.isfinite().all()):
            raise PruningError("the network's outputs are not finite: check its weights")


def state_of(network: nn.Module) -> StateDict:
    """A copy of all that a network's state dictionary holds.

    Args:
        network: The network.

    Returns:
        The tensors by name.
    """
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def content_of(network: nn.Module) -> bytes:
    """All that a network's state dictionary holds, as the bytes of a safetensors file.

    Args:
        network: The network.

    Returns:
        The bytes.
    """
    return save(stored_tensors(network))

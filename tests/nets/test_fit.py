"""Training of one network: reproducible, resumable, and open to other losses, samples and masks."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from evo_fair.errors import DataWarning, NonFiniteError
from evo_fair.nets import Network, Step, Supernet, fit, initialise
from evo_fair.nets.checkpoint import stored_tensors, write_checkpoint
from evo_fair.nets.fit import _identity
from evo_fair.nets.inputs import Scaling
from evo_fair.nets.layout import give_own_inputs
from evo_fair.problem import Training
from evo_fair.space import SearchSpace

RECIPE = Training(epochs=4, batch_size=32, learning_rate=0.1, augment=("shift", "hflip"), label_smoothing=0.1)
IMAGES = np.random.default_rng(0).integers(0, 256, (100, 3, 12, 10), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 4, 100)
centre = Scaling(torch.full((3,), 127.0), torch.full((3,), 1 / 64))


class KilledError(Exception):
    pass


def fresh(space: SearchSpace, seed: int = 0, dropout: bool = True) -> nn.Module:
    network = Network(space.architecture(space.smallest()), space.labels)
    initialise(network, torch.Generator().manual_seed(seed))
    return nn.Sequential(nn.Dropout(0.1), network) if dropout else network


def content(network: nn.Module) -> bytes:
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def test_a_network_learns_and_keeps_running_statistics(tabular: SearchSpace) -> None:
    inputs, labels = load_digits(return_X_y=True)
    inputs = inputs.astype(np.uint8).reshape(-1, 1, 8, 8)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 10)
    )
    initialise(network, torch.Generator().manual_seed(0))
    steps: list[Step] = []
    whole = Scaling.of(inputs[:1000])
    fit(network, inputs[:1000], labels[:1000], RECIPE, 0, normalise=whole, on_epoch=steps.append)
    assert [step[:2] for step in steps] == [(epoch, 4) for epoch in range(1, 5)]
    assert steps[-1].loss < steps[0].loss
    assert not network.training
    with torch.no_grad():
        right = network(whole(inputs[1000:])).argmax(1).numpy() == labels[1000:]
    assert right.mean() > 0.8  # a tenth is what guessing gets


def test_same_arguments_same_bytes_whatever_the_global_state(space: SearchSpace) -> None:
    results = []
    for noise, threads, seed in [(1, 1, 7), (2, 2, 7), (3, 1, 8)]:
        torch.manual_seed(noise)
        torch.set_num_threads(threads)
        network = fresh(space)
        before = torch.get_rng_state()
        fit(network, IMAGES, LABELS, RECIPE, seed, normalise=centre)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads
        results.append(content(network))
    torch.set_num_threads(1)
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("killed_after", [1, 3, 4])
def test_resume_after_a_kill_gives_the_same_bytes(space: SearchSpace, tmp_path: Path, killed_after: int) -> None:
    def kill(step: Step) -> None:
        if step.epoch == killed_after:
            raise KilledError

    straight = fresh(space)
    fit(straight, IMAGES, LABELS, RECIPE, 0, normalise=centre)
    path = tmp_path / "state.safetensors"
    with pytest.raises(KilledError):
        fit(fresh(space), IMAGES, LABELS, RECIPE, 0, normalise=centre, on_epoch=kill, checkpoint=path)
    resumed, epochs = fresh(space), []
    fit(resumed, IMAGES, LABELS, RECIPE, 0, normalise=centre, on_epoch=epochs.append, checkpoint=path)
    assert [step.epoch for step in epochs] == list(range(killed_after + 1, 5))
    assert content(resumed) == content(straight)
    assert path.exists()  # until the network is stored


def test_with_a_checkpoint_of_another_training_or_a_damaged_one_it_begins_anew(
    space: SearchSpace, tmp_path: Path
) -> None:
    def kill(step: Step) -> None:
        raise KilledError

    path = tmp_path / "state.safetensors"
    with pytest.raises(KilledError):
        fit(fresh(space), IMAGES, LABELS, RECIPE, 0, normalise=centre, on_epoch=kill, checkpoint=path)
    left = path.read_bytes()
    longer = RECIPE.model_copy(update={"epochs": 5})
    for initial, recipe, seed, content_left, message in [
        (1, RECIPE, 0, left, "is of another training"),
        (0, longer, 0, left, "is of another training"),
        (0, RECIPE, 1, left, "is of another training"),
        (0, RECIPE, 0, left[:1000], r"can't be read \(.*\)"),
    ]:
        path.write_bytes(content_left)
        straight, network = fresh(space, initial), fresh(space, initial)
        fit(straight, IMAGES, LABELS, recipe, seed, normalise=centre)
        with pytest.warns(DataWarning, match=f"{message}: the training begins anew"):
            fit(network, IMAGES, LABELS, recipe, seed, normalise=centre, checkpoint=path)
        assert content(network) == content(straight)


def test_loss_gets_logits_and_the_samples_they_belong_to(space: SearchSpace) -> None:
    def same_loss(logits: torch.Tensor, samples: np.ndarray, _done: float) -> torch.Tensor:
        return functional.cross_entropy(logits, torch.from_numpy(LABELS[samples]), label_smoothing=0.1)

    networks = [fresh(space), fresh(space)]
    fit(networks[0], IMAGES, LABELS, RECIPE, 0, normalise=centre)
    fit(networks[1], IMAGES, LABELS, RECIPE, 0, normalise=centre, loss=same_loss)
    assert content(networks[0]) == content(networks[1])


def test_draw_decides_which_samples_are_seen(space: SearchSpace) -> None:
    seen: list[int] = []
    shares: list[float] = []

    def note(logits: torch.Tensor, samples: np.ndarray, done: float) -> torch.Tensor:
        seen.extend(samples.tolist())
        shares.append(done)
        return functional.cross_entropy(logits, torch.from_numpy(LABELS[samples]))

    steps: list[int] = []
    fit(
        fresh(space),
        IMAGES,
        LABELS,
        RECIPE,
        0,
        normalise=centre,
        loss=note,
        draw=lambda rng: rng.choice(np.arange(10, 20), 40),
        after_step=steps.append,
    )
    assert set(seen) <= set(range(10, 20))
    assert len(seen) == 4 * 32  # an epoch's 40 draws make one whole batch
    assert steps == [1, 2, 3, 4]
    assert shares == [0.25, 0.5, 0.75, 1.0]  # of training, with the step that is being made


def test_after_step_can_hold_a_mask(space: SearchSpace) -> None:
    network = fresh(space, dropout=False)
    assert isinstance(network, Network)

    def mask(_: int) -> None:
        with torch.no_grad():
            network.classifier.weight[:, 0] = 0

    fit(network, IMAGES, LABELS, RECIPE, 0, normalise=centre, after_step=mask)
    assert not network.classifier.weight[:, 0].any()
    assert network.classifier.weight[:, 1:].all()


def test_frozen_weights_stay(space: SearchSpace) -> None:
    network = fresh(space, dropout=False)
    assert isinstance(network, Network)
    network.classifier.requires_grad_(False)
    before = network.classifier.weight.clone()
    fit(network, IMAGES, LABELS, RECIPE, 0, normalise=centre)
    assert torch.equal(network.classifier.weight, before)


def test_a_checkpoint_needs_no_copy_of_the_inputs(space: SearchSpace, tmp_path: Path) -> None:
    stored = np.memmap(tmp_path / "inputs", np.uint8, "w+", shape=(60_000, 3, 32, 32))
    network, labels = fresh(space), np.zeros(len(stored), np.int64)
    tracemalloc.start()
    try:
        _identity(network, stored, labels, RECIPE, 0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 0.8 * stored.nbytes  # hashed are some megabytes at a time


def test_divergence_is_named_with_its_mend_and_leaves_no_checkpoint(space: SearchSpace, tmp_path: Path) -> None:
    wild = RECIPE.model_copy(update={"learning_rate": 1e30})
    path = tmp_path / "state.safetensors"
    with pytest.raises(NonFiniteError, match=r"training diverged in epoch 1: .* lower learning_rate, now 1e\+30"):
        fit(fresh(space), IMAGES, LABELS, wild, 0, normalise=centre, checkpoint=path)
    assert not path.exists()


def test_tables_can_be_fitted_too(tabular: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 5)).astype(np.float32)
    labels = (inputs[:, 0] > 0).astype(np.int64)
    network = Network(tabular.architecture(tabular.largest()), 2)
    initialise(network, torch.Generator().manual_seed(0))
    recipe = RECIPE.model_copy(update={"augment": (), "epochs": 8})
    fit(network, inputs, labels, recipe, 0, normalise=torch.from_numpy)
    with torch.no_grad():
        assert (network(torch.from_numpy(inputs)).argmax(1).numpy() == labels).mean() > 0.9


def test_initial_weights_have_the_supernets_distribution(space: SearchSpace) -> None:
    mean, scale = np.zeros(3, np.float32), np.ones(3, np.float32)
    theirs = Supernet.initialise(space, torch.Generator().manual_seed(0), mean, scale).extract(space.largest())
    ours = Network(space.architecture(space.largest()), space.labels)
    initialise(ours, torch.Generator().manual_seed(1))
    for (name, a), b in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        if a.numel() > 300:
            assert float((b.std() / a.std()).detach()) == pytest.approx(1, abs=0.2), name
    assert not any(bool(bias.any()) for name, bias in ours.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize(
    ("progress", "tensors", "message"),
    [
        ({"epoch": 0}, {}, "its epoch is 0, and the recipe has 4"),
        ({"epoch": 5}, {}, "its epoch is 5"),
        ({"epoch": "1"}, {}, "its epoch is '1'"),
        ({"rng": {"bit_generator": "PCG64"}}, {}, "its random state is none"),
        ({"rng": []}, {}, "its random state is none"),
        ({}, {"network.1.classifier.bias": torch.zeros(9)}, "its tensor 'network.1.classifier.bias' is not as this"),
        ({}, {"network.more": torch.zeros(1)}, "its tensor 'network.more' is not as this training has it"),
        ({}, {"momentum.0": torch.zeros(1)}, "its tensor 'momentum.0' is not as this training has it"),
    ],
)
def test_a_checkpoint_of_other_numbers_counts_as_none(
    space: SearchSpace, tmp_path: Path, progress: dict[str, Any], tensors: dict[str, torch.Tensor], message: str
) -> None:
    """Though it says to be of this training, and its hash was made anew."""

    def stop(step: Step) -> None:
        raise KilledError

    path = tmp_path / "state.safetensors"
    with pytest.raises(KilledError):
        fit(fresh(space), IMAGES, LABELS, RECIPE, 0, normalise=centre, on_epoch=stop, checkpoint=path)
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["progress"])
        there = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    told.pop("content")
    write_checkpoint(path, told.pop("identity"), told | progress, there | tensors)
    straight, network = fresh(space), fresh(space)
    fit(straight, IMAGES, LABELS, RECIPE, 0, normalise=centre)
    with pytest.warns(DataWarning, match=f"{message}.*: the training begins anew"):
        fit(network, IMAGES, LABELS, RECIPE, 0, normalise=centre, checkpoint=path)
    assert content(network) == content(straight)


class Own(nn.Module):
    """A layer under two names, a parameter of five dimensions, and `.view` behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.ones(2, 4, 3, 3, 3) / 27)
        self.once = nn.Conv2d(4, 4, 1)
        self.again = self.once
        self.head = nn.Linear(480, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.conv2d(x, self.kernels.mean(0), padding=1)
        x = self.again(torch.relu(self.once(x)))
        return self.head(x.view(x.size(0), -1))


def test_networks_of_other_habits_are_trained_and_resumed(tmp_path: Path) -> None:
    def kill(step: Step) -> None:
        raise KilledError

    contents = []
    for killed in (False, True):
        network = give_own_inputs(Own())
        initialise(network, torch.Generator().manual_seed(0))
        if killed:
            other = give_own_inputs(Own())
            initialise(other, torch.Generator().manual_seed(0))
            with pytest.raises(KilledError):
                fit(other, IMAGES, LABELS, RECIPE, 0, normalise=centre, on_epoch=kill, checkpoint=tmp_path / "s")
        fit(network, IMAGES, LABELS, RECIPE, 0, normalise=centre, checkpoint=tmp_path / "s")
        (tmp_path / "s").unlink()
        contents.append(save(stored_tensors(network)))
    assert contents[0] == contents[1]


def test_frozen_weights_stay_as_they_are(space: SearchSpace) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    network[1].running_mean.fill_(3.0)
    network[0].requires_grad_(False)
    network[1].requires_grad_(False)
    before = [tensor.clone() for tensor in network.state_dict().values()]
    initialise(network, torch.Generator().manual_seed(0))
    same = [torch.equal(*pair) for pair in zip(before, network.state_dict().values(), strict=True)]
    assert same == [True] * 7 + [False] * 2


def test_a_filter_that_is_kept_as_a_buffer_stays_as_it_is() -> None:
    blur = nn.Conv2d(1, 1, 3, bias=False)
    weight = torch.full_like(blur.weight, 1 / 9).detach()
    del blur.weight
    blur.register_buffer("weight", weight.clone())
    initialise(blur, torch.Generator().manual_seed(0))
    assert torch.equal(blur.weight, weight)

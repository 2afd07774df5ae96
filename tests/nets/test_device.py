"""Other devices than the CPU: which there are, and that training and its tensors follow them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evo_fair.errors import EvoFairError, RunError
from evo_fair.nets import Network, Step, Supernet, fit, initialise, train_supernet
from evo_fair.nets.augment import augment, augment_tensor
from evo_fair.nets.device import CPU, TorchDevice, open_device
from evo_fair.nets.fair_training import fair_loss
from evo_fair.nets.header import group_variation
from evo_fair.nets.inputs import Normalised, Scaling, TrainingInputs
from evo_fair.nets.predict import predict_logits
from evo_fair.nets.threads import torch_threads
from evo_fair.nets.together import fair_gradients_together, gradients_together
from evo_fair.nets.train import fair_gradients, gradients, one_of_each_kind
from evo_fair.problem import Training
from evo_fair.space import SearchSpace

from ..gadget import GADGET, gadget
from .conftest import random_supernet

HELD = TorchDevice("cpu", accelerated=True)
"""The way of a GPU, on the CPU."""
HALF = TorchDevice("cpu", accelerated=True, half=torch.bfloat16)
SENT = TorchDevice("cpu", accelerated=True, room=0)

RECIPE = Training(epochs=2, batch_size=32, learning_rate=0.05, augment=("shift", "hflip"), label_smoothing=0.1)
IMAGES = np.random.default_rng(0).integers(0, 256, (96, 3, 12, 10), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 4, 96)
GROUPS = np.random.default_rng(2).integers(-1, 2, 96).astype(np.int16)
KINDS = ((), ("hflip",), ("vflip", "shift"), ("hflip", "vflip", "rot90", "shift"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_auto_is_the_cpu_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert open_device() == open_device("cpu") == CPU
    assert CPU.facts() == CPU.described() == {}


@pytest.mark.usefixtures("gpus")
def test_auto_is_a_gpu_where_there_is_one() -> None:
    device = open_device("auto")
    assert device == open_device("cuda")
    assert (device.name, device.accelerated, device.half) == ("cuda", True, torch.bfloat16)
    assert device.facts() == {"torch_device": "cuda"}
    assert open_device("cuda:1").name == "cuda:1"
    assert open_device("cuda:1").kind == "cuda"
    assert open_device("cpu") == CPU


@pytest.mark.parametrize("name", ["tpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "", None, 1, "meta"])
def test_an_unknown_device_is_refused(name: object) -> None:
    with pytest.raises(EvoFairError, match="is unknown: give auto, cpu, cuda, cuda:N or mps"):
        open_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(EvoFairError, match=f"torch device '{name}' is not there: torch sees no GPU; give auto or cpu"):
        open_device(name)


@pytest.mark.usefixtures("gpus")
def test_the_gpus_that_are_there_are_named() -> None:
    with pytest.raises(EvoFairError, match="'cuda:2' is not there: torch sees cuda:0, cuda:1; give one of these"):
        open_device("cuda:2")


@pytest.mark.usefixtures("gpus")
def test_a_job_goes_on_where_it_began() -> None:
    assert open_device("auto", "cpu") == CPU
    assert open_device("auto", "cuda").name == "cuda"
    assert open_device("cuda:1", "cuda").name == "cuda:1"
    with pytest.raises(EvoFairError, match="'cuda' is another than 'cpu', on which the job began"):
        open_device("cuda", "cpu")


def test_a_job_does_not_go_on_where_its_device_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EvoFairError, match="'cuda', on which the job began, is not there"):
        open_device("auto", "cuda")


def test_a_worker_without_the_device_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu = TorchDevice("cuda", accelerated=True)
    with pytest.raises(EvoFairError, match=r"^on .*, torch device 'cuda' is not there: torch sees no GPU"):
        predict_logits(nn.Linear(2, 2), torch.zeros(1, 2), gpu)
    with pytest.raises(EvoFairError, match="torch device 'cuda' is not there"):
        fit(
            nn.Linear(2, 2), np.zeros((4, 2), np.float32), LABELS[:4] % 2, RECIPE, 0, normalise=torch.tensor, device=gpu
        )


def test_cards_name_the_gpu_and_samples_take_half_of_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA of {device}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    gpu = TorchDevice("cuda:1", accelerated=True)
    assert gpu.described() == {"torch_device": "cuda", "gpu": "NVIDIA of cuda:1"}
    assert [gpu.holds(500), gpu.holds(501), CPU.holds(1), HELD.holds(10**12), SENT.holds(1)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_full_memory_is_one_line() -> None:
    with (
        pytest.raises(EvoFairError, match=r"the memory of torch device 'cpu' is full .* lower batch_size"),
        HELD.at_work(),
    ):
        raise torch.OutOfMemoryError("tried to allocate\n2 GiB")


def test_batches_of_an_accelerator_are_large_and_depend_on_the_shape_alone() -> None:
    assert CPU.batch(256, (3, 224, 224)) == 256
    assert [HELD.batch(256, shape) for shape in ((3, 224, 224), (3, 32, 32), (9,), (3, 2000, 2000))] == [
        222,
        2048,
        2048,
        64,
    ]


@pytest.mark.parametrize("kinds", KINDS)
def test_images_are_augmented_alike_on_a_device(kinds: tuple[str, ...]) -> None:
    square = IMAGES[:, :, :10]
    moved = augment_tensor(torch.from_numpy(square), kinds, np.random.default_rng(3))
    assert moved.dtype == torch.uint8
    assert np.array_equal(moved.numpy(), augment(square, kinds, np.random.default_rng(3)))


@pytest.mark.parametrize("device", [HELD, SENT])
def test_samples_are_held_or_sent_and_are_the_same(device: TorchDevice) -> None:
    chosen, scaling = np.array([3, 5, 50]), Scaling.of(IMAGES)
    for kinds in KINDS[:3]:
        wanted, found = (TrainingInputs(IMAGES, kinds, one) for one in (CPU, device))
        batches = [one.batch(chosen, np.random.default_rng(1)) for one in (wanted, found)]
        assert isinstance(batches[1], torch.Tensor)
        assert torch.equal(scaling(batches[0]), scaling(batches[1]))
    samples = [Normalised(IMAGES, scaling, one) for one in (CPU, device)]
    assert len(samples[1]) == 96
    assert samples[1].kept is None
    assert torch.equal(samples[0][10:40], samples[1][10:40])
    assert samples[1][10:40].is_contiguous(memory_format=torch.channels_last)


def test_normalising_leaves_held_tables_as_they_are() -> None:
    table = torch.ones(4, 2)
    Scaling(torch.ones(2), torch.ones(2))(table)
    assert torch.equal(table, torch.ones(4, 2))


def trained(space: SearchSpace, device: TorchDevice, fair: bool = False, checkpoint: Path | None = None) -> nn.Module:
    network = nn.Sequential(nn.Dropout(0.0), Network(space.architecture(space.smallest()), space.labels))
    initialise(network, torch.Generator().manual_seed(0))
    loss = fair_loss(LABELS, GROUPS, 1.0) if fair else None
    scaling = Scaling.of(IMAGES)
    fit(network, IMAGES, LABELS, RECIPE, 0, normalise=scaling, loss=loss, checkpoint=checkpoint, device=device)
    assert all(tensor.device.type == "cpu" for tensor in network.state_dict().values())
    return network


def furthest(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of their logits, as a share of the largest logit."""
    with torch.no_grad():
        x = Scaling.of(IMAGES)(IMAGES)
        logits = [network(x) for network in (one, other)]
    return float((logits[0] - logits[1]).abs().max() / logits[0].abs().max())


@pytest.mark.parametrize(("device", "most"), [(HELD, 1e-4), (SENT, 1e-4), (HALF, 0.2)])
def test_a_network_is_trained_alike_in_the_way_of_a_gpu(space: SearchSpace, device: TorchDevice, most: float) -> None:
    assert furthest(trained(space, CPU), trained(space, device)) < most


@pytest.mark.parametrize("fair", [False, True])
def test_all_tensors_of_a_training_follow_the_device(space: SearchSpace, fair: bool, tmp_path: Path) -> None:
    wanted = trained(space, HELD, fair)
    with gadget() as there:
        found = trained(space, GADGET, fair, tmp_path / "half.safetensors")
    assert there.made > 1000
    assert furthest(wanted, found) < 1e-4


def test_bfloat16_is_what_training_computes_in(space: SearchSpace) -> None:
    seen: set[torch.dtype] = set()

    class Seen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.add(x.dtype)
            return x

    network = nn.Sequential(nn.Conv2d(3, 8, 3), Seen(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    fit(network, IMAGES, LABELS, RECIPE, 0, normalise=Scaling.of(IMAGES), device=HALF)
    assert seen == {torch.bfloat16}
    assert all(weight.dtype == torch.float32 for weight in network.parameters())


class KilledError(Exception):
    pass


def test_a_training_goes_on_on_its_own_kind_of_device_alone(space: SearchSpace, tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.safetensors"

    def killed(_step: Step) -> None:
        raise KilledError

    def network() -> nn.Module:
        made = nn.Sequential(nn.Flatten(), nn.Linear(360, 4))
        initialise(made, torch.Generator().manual_seed(0))
        return made

    def train(made: nn.Module, device: TorchDevice, kill: bool = False) -> nn.Module:
        hears = killed if kill else None
        scaling = Scaling.of(IMAGES)
        fit(made, IMAGES, LABELS, RECIPE, 0, normalise=scaling, on_epoch=hears, checkpoint=checkpoint, device=device)
        return made

    with gadget():
        with pytest.raises(KilledError):
            train(network(), GADGET, kill=True)
        with pytest.raises(RunError, match="began on torch device 'meta' and would go on on 'cpu'"):
            train(network(), CPU)
        resumed = train(network(), GADGET)
        checkpoint.unlink()
        whole = train(network(), GADGET)
    assert torch.equal(resumed[1].weight, whole[1].weight)


def grads(supernet: Supernet) -> list[torch.Tensor]:
    return [weight.grad.cpu().clone() for weight in supernet.weights.values() if weight.grad is not None]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("fair", [False, True])
def test_networks_of_a_step_go_together(
    space: SearchSpace, fair: bool, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    if large:
        monkeypatch.setattr("evo_fair.nets.together._LARGE", 0)
    rng = np.random.default_rng(0)
    supernet = random_supernet(space)
    for weight in supernet.weights.values():
        weight.requires_grad_().grad = torch.ones_like(weight)
    largest = space.largest()
    genomes = one_of_each_kind(space, rng) if fair else [largest, *space.sample(rng, 2), space.smallest(), largest]
    samples = slice(0, 24 * len(genomes)) if fair else slice(0, 32)
    x, y = supernet.normalise(IMAGES[samples]), torch.from_numpy(LABELS[samples])
    with ThreadPoolExecutor(1) as pool:
        one = (fair_gradients if fair else gradients)(pool, supernet, x, y, genomes, 0.1)
    alone = grads(supernet)
    both = (fair_gradients_together if fair else gradients_together)(HELD, supernet, x, y, genomes, 0.1)
    assert float(both) == pytest.approx(one, rel=1e-5)
    for wanted, found in zip(alone, grads(supernet), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)


def test_what_networks_begin_with_runs_once(space: SearchSpace) -> None:
    supernet = random_supernet(space)
    x = supernet.normalise(IMAGES[:8])
    blocks = space.architecture(space.largest())
    known: dict[tuple[object, ...], torch.Tensor] = {}
    first = supernet.forward(x, blocks, known)  # type: ignore[arg-type]
    assert len(known) == len(blocks)
    known[tuple(blocks)] = torch.zeros_like(known[tuple(blocks)])
    again = supernet.forward(x, blocks, known)  # type: ignore[arg-type]
    assert torch.equal(again, supernet.weights["classifier.bias"].expand_as(first))


@pytest.mark.parametrize("sampling", ["sandwich", "fair"])
def test_all_tensors_of_a_supernets_training_follow_the_device(
    space: SearchSpace, sampling: str, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"sampling": sampling, "batch_size": 16, "random_networks": 1})
    args = (space, IMAGES[:32], LABELS[:32], recipe, 0)
    near = train_supernet(*args, device=HELD)
    with gadget() as there:
        found = train_supernet(*args, checkpoint=tmp_path / "half.safetensors", device=GADGET)
        found.save(tmp_path / "supernet.safetensors")
    assert there.made > 1000
    assert all(weight.device.type == "cpu" for weight in found.weights.values())
    plain = train_supernet(*args)
    for other in (near, found):
        for name, weight in plain.weights.items():
            if name == "classifier.bias":
                torch.testing.assert_close(other.weights[name], weight, rtol=0.05, atol=1e-3)


def test_bfloat16_trains_a_supernet_nearly_alike(space: SearchSpace) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 16})
    losses: list[list[float]] = [[], []]
    for device, heard in zip((CPU, HALF), losses, strict=True):
        train_supernet(
            space, IMAGES[:48], LABELS[:48], recipe, 0, lambda step, heard=heard: heard.append(step.loss), device=device
        )
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_supernets_training_goes_on_on_its_own_kind_of_device_alone(space: SearchSpace, tmp_path: Path) -> None:
    args = (space, IMAGES[:32], LABELS[:32], RECIPE.model_copy(update={"batch_size": 16}), 0)
    checkpoint = tmp_path / "training.safetensors"

    def killed(_step: Step) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        train_supernet(*args, killed, checkpoint=checkpoint)
    with gadget(), pytest.raises(RunError, match="began on torch device 'cpu' and would go on on 'meta'"):
        train_supernet(*args, checkpoint=checkpoint, device=GADGET)


def test_feature_maps_of_another_device_are_compared(space: SearchSpace) -> None:
    supernet = random_supernet(space)
    wanted = group_variation(supernet, IMAGES[:32], IMAGES, GROUPS)
    with gadget():
        found = group_variation(supernet.to(GADGET.where), IMAGES[:32], IMAGES, GROUPS)
    assert [one.variation for one in found] == pytest.approx([one.variation for one in wanted], rel=1e-3)

"""Training of a supernet, small enough for a test."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.datasets import load_digits
from torch.nn import functional

from evo_fair.errors import DataError, DataWarning, NonFiniteError
from evo_fair.nets import Step, Supernet, train_supernet
from evo_fair.nets.augment import augment
from evo_fair.nets.checkpoint import write_checkpoint
from evo_fair.nets.inputs import input_statistics
from evo_fair.nets.train import fair_gradients, one_of_each_kind
from evo_fair.problem import Training
from evo_fair.space import SearchSpace, SpaceSchema

FAIR = Training(epochs=12, batch_size=20, learning_rate=0.1, sampling="fair")
RECIPE = Training(epochs=6, batch_size=50, learning_rate=0.2, random_networks=1)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    inputs, labels = load_digits(return_X_y=True)
    return (inputs.reshape(-1, 1, 8, 8) * 15).astype(np.uint8), labels.astype(np.int64)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    stage = {"slots": 2, "kinds": ["MB", "CB"], "widths": [8, 16], "stride": 2, "keep_channels": [8, 16, 32]}
    return SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]}), (1, 8, 8), 10)


@pytest.fixture(scope="module")
def choices() -> SearchSpace:
    stage = {"slots": 2, "kinds": ["ID", "IR2_3x3", "IR3_5x5"], "widths": [16], "stride": 2}
    end = {"slots": 1, "kinds": ["PC"], "widths": [32]}
    return SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage, end]}), (1, 8, 8), 10)


def accuracy(supernet: Supernet, genome: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> float:
    network = supernet.extract(genome)
    network.calibrate(supernet.normalise(inputs[:500]))
    with torch.no_grad():
        return float((network(supernet.normalise(inputs[1000:])).argmax(1).numpy() == labels[1000:]).mean())


def test_largest_and_smallest_learn_and_epochs_are_reported(
    digits: tuple[np.ndarray, np.ndarray], space: SearchSpace
) -> None:
    inputs, labels = digits
    steps: list[Step] = []
    supernet = train_supernet(space, inputs[:1000], labels[:1000], RECIPE, 0, steps.append)
    assert [step[:2] for step in steps] == [(epoch, 6) for epoch in range(1, 7)]
    assert steps[-1].loss < 0.5 * steps[0].loss
    assert accuracy(supernet, space.largest(), inputs, labels) > 0.8  # a tenth is what guessing gets
    assert accuracy(supernet, space.smallest(), inputs, labels) > 0.5


def test_same_seed_same_weights_and_no_global_randomness(
    digits: tuple[np.ndarray, np.ndarray], space: SearchSpace
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1, "augment": ("shift", "hflip")})
    nets = []
    for noise, seed in [(1, 7), (2, 7), (3, 8)]:
        torch.manual_seed(noise)
        nets.append(train_supernet(space, digits[0][:200], digits[1][:200], recipe, seed).weights)
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert any(not torch.equal(nets[0][name], nets[2][name]) for name in nets[0])
    assert not any(weight.requires_grad for weight in nets[0].values())


def test_fair_training_refuses_fewer_samples_than_networks_a_step(
    digits: tuple[np.ndarray, np.ndarray], choices: SearchSpace
) -> None:
    kinds = int(choices.cardinalities[~choices.ordered].max())
    with pytest.raises(DataError, match=f'has {kinds - 1} samples, and sampling = "fair" takes {kinds} a step'):
        train_supernet(choices, digits[0][: kinds - 1], digits[1][: kinds - 1], FAIR, 0)


def test_fair_steps_have_every_kind_of_every_slot_once(choices: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        genomes = np.array(one_of_each_kind(choices, rng))
        assert len(genomes) == 3
        for gene in np.flatnonzero(~choices.ordered):
            assert set(genomes[:, gene]) == set(range(choices.cardinalities[gene]))
        seen |= set(choices.ids(genomes))
    assert len(seen) == 9


def test_every_second_fair_network_is_of_one_size_throughout(space: SearchSpace) -> None:
    rng, places = np.random.default_rng(0), np.flatnonzero(space.ordered & (space.cardinalities > 1))
    drawn, sizes = 0, []
    for _ in range(400):
        genomes = np.array(one_of_each_kind(space, rng))
        kept = genomes[::2]
        drawn += len(kept)
        # a share u of the way is at floor(u * values) in every gene; those of absent units are canonical, not drawn
        for genome in kept:
            shares = [(genome[gene] / n, (genome[gene] + 1) / n) for gene, n in _used(space, genome, places)]
            assert max(low for low, _ in shares) < min(high for _, high in shares)
            sizes.append(genome[places[0]])
    counts = np.bincount(sizes, minlength=space.cardinalities[places[0]]) / drawn
    assert counts == pytest.approx(np.full(len(counts), 1 / len(counts)), abs=0.08)


def _used(space: SearchSpace, genome: np.ndarray, places: np.ndarray) -> list[tuple[int, int]]:
    """The ordered genes that change this network, with how many values they have."""
    changes = []
    for gene in places.tolist():
        other = genome.copy()
        other[gene] = 0 if genome[gene] else 1
        if space.ids(space.canonical(other[None])) != space.ids(genome[None]):
            changes.append((gene, int(space.cardinalities[gene])))
    return changes


def test_a_space_of_kinds_alone_is_drawn_as_it_was(choices: SearchSpace) -> None:
    assert not (choices.ordered & (choices.cardinalities > 1)).any()
    ours, plain = np.random.default_rng(3), np.random.default_rng(3)
    one_of_each_kind(choices, ours)
    plain.integers(0, choices.cardinalities, (3, choices.cardinalities.size), dtype=np.int16)
    for gene in np.flatnonzero(~choices.ordered):
        plain.permutation(choices.cardinalities[gene])
    assert ours.bit_generator.state == plain.bit_generator.state


def test_fair_gradients_are_means_over_the_networks_that_use_a_weight(
    digits: tuple[np.ndarray, np.ndarray], choices: SearchSpace
) -> None:
    mean, scale = input_statistics(digits[0])
    supernet = Supernet.initialise(choices, torch.Generator().manual_seed(0), mean, scale)
    for weight in supernet.weights.values():
        weight.requires_grad_().grad = torch.full_like(weight, 7.0)  # of the step before
    genomes = one_of_each_kind(choices, np.random.default_rng(1))
    x, y = supernet.normalise(digits[0][:60]), torch.from_numpy(digits[1][:60])
    with ThreadPoolExecutor(2) as pool:
        loss = fair_gradients(pool, supernet, x, y, genomes, 0.1)
    losses, expected = [], {name: [] for name in supernet.weights}
    for number, genome in enumerate(genomes):
        own = slice(20 * number, 20 * number + 20)
        logits = supernet.forward(x[own], choices.architecture(genome))
        losses.append(functional.cross_entropy(logits, y[own], label_smoothing=0.1))
        found = torch.autograd.grad(losses[-1], list(supernet.weights.values()), allow_unused=True)
        for name, gradient in zip(supernet.weights, found, strict=True):
            expected[name] += [] if gradient is None else [gradient]
    assert loss == pytest.approx(float(sum(losses).detach()) / 3)
    assert {len(parts) for parts in expected.values()} == {1, 3}
    for name, weight in supernet.weights.items():
        torch.testing.assert_close(weight.grad, sum(expected[name]) / len(expected[name]), msg=name)


def test_fair_training_teaches_every_network_and_goes_on_where_it_was_broken_off(
    digits: tuple[np.ndarray, np.ndarray], choices: SearchSpace, tmp_path: Path
) -> None:
    inputs, labels = digits
    data = inputs[:1000], labels[:1000]
    whole = train_supernet(choices, *data, FAIR, 0)
    genomes = choices.sample(np.random.default_rng(0), 6)
    assert min(accuracy(whole, genome, inputs, labels) for genome in genomes) > 0.5  # a tenth is what guessing gets

    def stop(step: Step) -> None:
        if step.epoch == 2:
            raise BreakError

    with pytest.raises(BreakError):
        train_supernet(choices, *data, FAIR, 0, stop, checkpoint=tmp_path / "training.safetensors")
    continued = train_supernet(choices, *data, FAIR, 0, checkpoint=tmp_path / "training.safetensors")
    assert all(torch.equal(whole.weights[name], continued.weights[name]) for name in whole.weights)


def test_a_supernet_may_be_trained_for_longer_than_a_network() -> None:
    longer = RECIPE.model_copy(update={"supernet_epochs": 7})
    assert (longer.of_supernet().epochs, longer.epochs) == (7, RECIPE.epochs)
    assert longer.of_supernet() == RECIPE.model_copy(update={"epochs": 7})
    assert RECIPE.of_supernet() == RECIPE
    assert longer.of_one_network() == RECIPE.of_one_network()
    assert longer.model_dump(mode="json")["supernet_epochs"] == 7


def test_recipes_of_before_fair_sampling_are_written_as_they_were() -> None:
    assert "supernet_epochs" not in Training().model_dump_json()
    assert "sampling" not in Training().model_dump_json()
    assert FAIR.model_dump(mode="json")["sampling"] == "fair"
    assert FAIR.of_one_network() == FAIR.model_copy(update={"sampling": "sandwich"}).of_one_network()


def test_number_of_cores_does_not_change_the_weights(
    digits: tuple[np.ndarray, np.ndarray], space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1, "random_networks": 3})
    nets = []
    for cores in (1, 4):
        monkeypatch.setattr("joblib.cpu_count", lambda cores=cores: cores)
        nets.append(train_supernet(space, digits[0][:200], digits[1][:200], recipe, 0).weights)
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])


class BreakError(Exception):
    pass


@pytest.mark.parametrize("damage", [None, "can't be read", "is of another training"])
def test_broken_off_training_goes_on_to_the_same_weights(
    digits: tuple[np.ndarray, np.ndarray], space: SearchSpace, tmp_path: Path, damage: str | None
) -> None:
    # Channels are sorted in the second of four epochs, which clears the momentum: the file must carry both sides of it.
    recipe = RECIPE.model_copy(update={"epochs": 4, "warmup_fraction": 0.3, "augment": ("shift",)})
    file = tmp_path / "training.safetensors"
    data = digits[0][:200], digits[1][:200]

    def stop(step: Step) -> None:
        if step.epoch == 2:
            raise BreakError

    with pytest.raises(BreakError):
        train_supernet(space, *data, recipe, 0, stop, checkpoint=file)
    epochs, resumed = [3, 4], [2]
    if damage:
        epochs, resumed = [1, 2, 3, 4], []
    if damage == "can't be read":
        file.write_bytes(file.read_bytes()[:-1000])
    elif damage:
        recipe = recipe.model_copy(update={"weight_decay": 0.0})
    seen: list[int] = []
    went_on: list[int] = []
    with pytest.warns(DataWarning, match=f"{damage}.*: the training begins anew") if damage else nullcontext():
        continued = train_supernet(
            space,
            *data,
            recipe,
            0,
            lambda step: seen.append(step.epoch),
            checkpoint=file,
            on_resume=lambda step: went_on.append(step.epoch),
        )
    assert (seen, went_on) == (epochs, resumed)
    whole = train_supernet(space, *data, recipe, 0)
    assert all(torch.equal(whole.weights[name], continued.weights[name]) for name in whole.weights)


@pytest.mark.parametrize(
    ("progress", "message"),
    [
        ({"step": [7, 6, 0.5]}, "its epoch is 7, and the recipe has 6"),
        ({"step": [1, 5, 0.5]}, r"its step is \[1, 5, 0.5\], and the recipe has 6 epochs"),
        ({"step": [1, 6, None]}, r"its step is \[1, 6, None\]"),
        ({"step": 1}, "its step is 1, and not an epoch, all epochs and a loss"),
        ({"generator": {}}, "its random state is none"),
    ],
)
def test_a_checkpoint_of_other_progress_counts_as_none(
    digits: tuple[np.ndarray, np.ndarray],
    space: SearchSpace,
    tmp_path: Path,
    progress: dict[str, Any],
    message: str,
) -> None:
    file, data = tmp_path / "training.safetensors", (digits[0][:100], digits[1][:100])

    def stop(step: Step) -> None:
        raise BreakError

    with pytest.raises(BreakError):
        train_supernet(space, *data, RECIPE, 0, stop, checkpoint=file)
    with safe_open(file, framework="pt") as opened:
        told = json.loads(opened.metadata()["progress"])
        there = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    told.pop("content")
    write_checkpoint(file, told.pop("identity"), told | progress, there)
    seen: list[int] = []
    with pytest.warns(DataWarning, match=f"{message}.*: the training begins anew"), pytest.raises(BreakError):
        train_supernet(space, *data, RECIPE, 0, lambda step: (seen.append(step.epoch), stop(step)), checkpoint=file)
    assert seen == [1]


def test_divergence_is_named_with_its_mend(digits: tuple[np.ndarray, np.ndarray], space: SearchSpace) -> None:
    wild = RECIPE.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(NonFiniteError, match=r"training diverged in epoch 1: .* lower learning_rate, now 1e\+30"):
        train_supernet(space, digits[0][:200], digits[1][:200], wild, 0)


def test_input_statistics_are_by_channel() -> None:
    inputs = np.stack([np.arange(8).reshape(2, 4), np.full((2, 4), 7)]).astype(np.uint8)[None]
    mean, scale = input_statistics(inputs)
    assert mean.tolist() == [3.5, 7.0]
    assert scale[0] == pytest.approx(1 / np.std(np.arange(8)))
    assert np.isfinite(scale[1])  # a constant channel must not divide by 0


@pytest.mark.parametrize(
    ("kinds", "same"),
    [
        ((), {"identity"}),
        (("hflip",), {"identity", "hflip"}),
        (("vflip",), {"identity", "vflip"}),
        (("rot90",), {"identity", "rot90", "rot180", "rot270"}),
        (("hflip", "rot90"), {"identity", "hflip", "vflip", "rot180", "rot90", "rot270", "transpose", "anti"}),
        (("hflip", "vflip", "rot90"), {"identity", "hflip", "vflip", "rot180", "rot90", "rot270", "transpose", "anti"}),
    ],
)
def test_augmentation_draws_from_the_named_transformations(kinds: tuple[str, ...], same: set[str]) -> None:
    image = np.arange(2 * 6 * 6, dtype=np.uint8).reshape(2, 6, 6)
    known = {
        "identity": image,
        "hflip": image[:, :, ::-1],
        "vflip": image[:, ::-1],
        "rot180": image[:, ::-1, ::-1],
        "rot90": np.rot90(image, 1, (1, 2)),
        "rot270": np.rot90(image, 3, (1, 2)),
        "transpose": image.swapaxes(1, 2),
        "anti": np.rot90(image, 2, (1, 2)).swapaxes(1, 2),
    }
    names = {
        name
        for name in known
        for moved in augment(np.repeat(image[None], 200, 0), kinds, np.random.default_rng(0))
        if np.array_equal(moved, known[name])
    }
    assert names == same


@pytest.mark.parametrize("size", [8, 16])
def test_shift_moves_by_a_pixel_or_a_sixteenth(size: int) -> None:
    image = np.zeros((1, size, size), np.uint8)
    image[0, 4, 4] = 255
    moved = augment(np.repeat(image[None], 300, 0), ("shift",), np.random.default_rng(0))
    places = {tuple(np.argwhere(m[0])[0]) for m in moved}
    assert places == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}


@pytest.mark.parametrize("kinds", [("shift", "vflip"), ("hflip", "vflip", "shift")])
def test_channels_move_together_and_images_apart(kinds: tuple[str, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 12, 10), np.uint8)
    batch = np.repeat(np.concatenate([image, image, 255 - image])[None], 50, 0)
    for inputs in (batch, batch.astype(np.float32)):
        moved = augment(inputs, kinds, np.random.default_rng(1))
        assert moved.shape == inputs.shape
        assert moved.dtype == inputs.dtype
        assert np.array_equal(moved[:, 0], moved[:, 1])
        assert np.array_equal(moved[:, 0], 255 - moved[:, 2])
        assert len(np.unique(moved, axis=0)) > 5


def test_images_that_are_not_square_are_not_turned() -> None:
    with pytest.raises(ValueError, match="rot90 turns square images alone, these are 8 x 12"):
        augment(np.zeros((4, 1, 8, 12), np.uint8), ("rot90",), np.random.default_rng(0))

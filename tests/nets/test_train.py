"""Training of a supernet, small enough for a test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from evo_fair.errors import NonFiniteError
from evo_fair.nets import Step, Supernet, train_supernet
from evo_fair.nets.augment import augment
from evo_fair.nets.inputs import input_statistics
from evo_fair.problem import Training
from evo_fair.space import SearchSpace, SpaceSchema

RECIPE = Training(epochs=6, batch_size=50, learning_rate=0.2, random_networks=1)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    inputs, labels = load_digits(return_X_y=True)
    return (inputs.reshape(-1, 1, 8, 8) * 15).astype(np.uint8), labels.astype(np.int64)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    stage = {"slots": 2, "kinds": ["MB", "CB"], "widths": [8, 16], "stride": 2, "keep_channels": [8, 16, 32]}
    return SearchSpace(SpaceSchema.model_validate({"stem": {"widths": [8]}, "stage": [stage]}), (1, 8, 8), 10)


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


@pytest.mark.parametrize("damage", [None, "truncated", "of another recipe"])
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
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-1000])
    elif damage:
        recipe = recipe.model_copy(update={"weight_decay": 0.0})
    seen: list[int] = []
    went_on: list[int] = []
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
    assert not file.exists()
    whole = train_supernet(space, *data, recipe, 0)
    assert all(torch.equal(whole.weights[name], continued.weights[name]) for name in whole.weights)


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

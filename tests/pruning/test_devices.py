"""Pruning on another device than the CPU: its tensors follow, and its results are nearly the same."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from evo_fair.data import load_dataset
from evo_fair.nets import initialise
from evo_fair.nets.device import TorchDevice
from evo_fair.nets.threads import torch_threads
from evo_fair.problem import Training
from evo_fair.pruning import CRITERIA, Samples, Structure, choose, masked, remove_channels
from evo_fair.pruning.methods import METHODS, NAMED_METHODS
from evo_fair.pruning.refine import output_bias
from evo_fair.pruning.removal import FollowingMask, Mask
from evo_fair.pruning.task import Dense, Request, Task, state_of

from ..gadget import GADGET, gadget

HELD = TorchDevice("cpu", accelerated=True)
SLOW = {"ballot": pytest.mark.slow, "evo": pytest.mark.slow}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def task() -> Task:
    dataset = load_dataset("digits")
    return Task(dataset, "class", Training(epochs=1, batch_size=256, learning_rate=0.2))


@pytest.fixture(scope="module")
def dense(task: Task) -> Dense:
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    initialise(network, torch.Generator().manual_seed(0))
    early = state_of(network)
    task.train(network, 1, 0)
    return Dense(network.eval(), early, 1)


@pytest.fixture(scope="module")
def structure(task: Task, dense: Dense) -> Structure:
    return task.structure(dense.network)


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_criteria_score_alike_wherever_the_network_is(
    criterion: str, task: Task, dense: Dense, structure: Structure
) -> None:
    samples = task.samples(np.random.default_rng(0), 16)
    score = CRITERIA[criterion]
    wanted = score(dense.network, structure, samples, np.random.default_rng(1))
    with gadget() as there:
        away = Samples(samples.x, samples.labels, samples.groups, GADGET)
        visited = score(dense.network, structure, away, np.random.default_rng(1))
        moved = copy.deepcopy(dense.network).to(GADGET.where)
        living = Samples(samples.x.to(GADGET.where), samples.labels, samples.groups)
        lived = score(moved, structure, living, np.random.default_rng(1))
    assert there.made
    for found in (visited, lived):
        for kind in ("weights", "channels"):
            for name, values in getattr(wanted, kind).items():
                np.testing.assert_allclose(getattr(found, kind)[name], values, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["structured", "unstructured"])
@pytest.mark.parametrize("method", [pytest.param(name, marks=SLOW.get(name, ())) for name in NAMED_METHODS])
def test_all_tensors_of_a_method_follow_the_device(
    method: str, kind: str, task: Task, dense: Dense, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method == "safecompress" and kind == "structured":
        pytest.skip("it takes out single weights alone")
    monkeypatch.setattr("evo_fair.pruning.evo.BUDGET", 4)
    monkeypatch.setattr("evo_fair.pruning.evo.POPULATION", 2)
    request = Request(0.5, kind, epochs=4 if method == "ballot" else 1)  # type: ignore[arg-type]
    with gadget() as there:
        away = Task(task.dataset, task.group, task.recipe, GADGET)
        pruned = METHODS[method](dense, away, request)
        predicted = away.predictions(pruned.network, "validation")
    assert there.made > 100
    assert all(tensor.device.type == "cpu" for tensor in pruned.network.state_dict().values())
    assert all(mask.device.type == "cpu" for mask in pruned.mask.values.values())
    assert (predicted == task.predictions(pruned.network, "validation")).mean() > 0.99
    mask = FollowingMask(pruned.mask)
    before = state_of(pruned.network)
    mask.apply(pruned.network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in pruned.network.state_dict().items())


def test_a_mask_follows_what_changes_in_it(dense: Dense) -> None:
    network, stays = copy.deepcopy(dense.network), torch.ones(8, 1, 3, 3, dtype=torch.bool)
    mask = FollowingMask(Mask({"0.weight": stays}))
    with gadget():
        network.to(GADGET.where)
        mask.apply(network)
        assert int(network[0].weight.count_nonzero().cpu()) == 72  # type: ignore[index, union-attr, operator]
        stays[0] = False
        mask.apply(network)
        assert int(network[0].weight.count_nonzero().cpu()) == 63  # type: ignore[index, union-attr, operator]


def test_masks_and_smaller_networks_stay_where_the_network_is(task: Task, dense: Dense, structure: Structure) -> None:
    scores = CRITERIA["magnitude_l1"](
        dense.network, structure, task.samples(np.random.default_rng(0), 2), np.random.default_rng(0)
    )
    with gadget():
        moved = copy.deepcopy(dense.network).to(GADGET.where)
        for kind in ("structured", "unstructured"):
            mask = choose(moved, structure, scores, 0.5, kind, "global")  # type: ignore[arg-type]
            assert {held.device.type for held in mask.values.values()} == {GADGET.where.type}
            silenced = masked(moved, mask)
            if mask.keep is not None:
                smaller = remove_channels(moved, structure.groups, mask.keep)
                x = task.example.to(GADGET.where)
                with torch.no_grad():
                    found, wanted = smaller(x).cpu(), silenced(x).cpu()
                torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        assert output_bias(moved, structure, task.example.to(GADGET.where)) is moved[7].bias  # type: ignore[index, union-attr]


def test_logits_of_a_part_are_those_of_the_cpu(task: Task, dense: Dense) -> None:
    held = Task(task.dataset, task.group, task.recipe, HELD)
    for part in ("validation", "test"):
        np.testing.assert_allclose(held.logits(dense.network, part), task.logits(dense.network, part), atol=1e-4)
    again = held.__getstate__()
    assert again["device"] == HELD
    assert "_parts_held" not in again

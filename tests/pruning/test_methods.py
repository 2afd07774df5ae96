"""Treatments and named methods on two thousand parameters and the digits."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from evo_fair.data import Grouping, load_dataset
from evo_fair.errors import PruningError, UnknownNameError
from evo_fair.evolution import Record
from evo_fair.fairness import METRICS
from evo_fair.nets import initialise
from evo_fair.problem import Training
from evo_fair.pruning import CRITERIA, Mask, Scores, count_kept, remove_channels, trace_structure
from evo_fair.pruning.ballot import WEIGHT, conflict_scores
from evo_fair.pruning.bifp import degradation_loss
from evo_fair.pruning.evo import PruningSpace, _evenest, recalibrate, shares_of
from evo_fair.pruning.gates import Gates, places
from evo_fair.pruning.methods import METHODS, NAMED_METHODS, choose_method
from evo_fair.pruning.offsets import HeldOffsets, Outputs, held_offsets
from evo_fair.pruning.refine import LATE_RATE, RATE, _standing, output_bias, refine, tempered_draw
from evo_fair.pruning.removal import apply_mask
from evo_fair.pruning.task import Dense, Request, Task, state_of
from evo_fair.pruning.tickets import _renew
from evo_fair.pruning.treatments import epochs_by_round, prune_and_train, round_sparsities


@pytest.fixture(scope="module")
def task() -> Task:
    return Task(load_dataset("digits"), "class", Training(epochs=3, batch_size=128, learning_rate=0.2))


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
    task.train(network, 3, 0)
    return Dense(network.eval(), early, 3)


@pytest.mark.parametrize("kind", ["structured", "unstructured"])
@pytest.mark.parametrize("method", NAMED_METHODS)
def test_every_method_gives_the_sparsity_and_counts_its_steps(
    method: str, kind: str, task: Task, dense: Dense, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo_fair.pruning.evo.BUDGET", 6)
    monkeypatch.setattr("evo_fair.pruning.evo.POPULATION", 3)
    request = Request(0.5, kind, "global", seed=1, epochs=2)  # type: ignore[arg-type]
    before = state_of(dense.network)
    if (method, kind) == ("safecompress", "structured"):
        with pytest.raises(PruningError, match="single weights: use --structure unstructured"):
            METHODS[method](dense, task, request)
        return
    pruned = METHODS[method](dense, task, request)
    structure = task.structure(dense.network)
    kept, of = count_kept(pruned.mask, structure)
    assert 1 - kept / of == pytest.approx(0.5, abs=0.02 if method == "evo" else 0.001)
    steps = len(task.train_labels) // 128
    assert pruned.iterations == steps * (5 if method in ("safecompress", "fair-scratch") else 2)
    for name, value in pruned.network.state_dict().items():
        if name in pruned.mask.values and kind == "unstructured":
            assert not value[~pruned.mask.values[name]].any()
    if pruned.mask.keep is not None:
        small = remove_channels(pruned.network, structure.groups, pruned.mask.keep)
        with torch.no_grad():
            assert torch.allclose(pruned.network(task.example), small.eval()(task.example), atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in dense.network.state_dict().items())
    again = METHODS[method](dense, task, request).network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in pruned.network.state_dict().items())


@pytest.mark.parametrize("method", ["magnitude", "lottery-ticket", "bifp", "ballot", "evo"])
def test_without_any_training_the_network_is_sparse_all_the_same(
    method: str, task: Task, dense: Dense, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo_fair.pruning.evo.BUDGET", 6)
    monkeypatch.setattr("evo_fair.pruning.evo.POPULATION", 3)
    pruned = METHODS[method](dense, task, Request(0.75, epochs=0))
    weights = [pruned.network.state_dict()[name] for name in pruned.mask.values]
    share = sum(int(weight.count_nonzero()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert (pruned.iterations, share) == (0, pytest.approx(0.25, abs=0.02))


def test_a_fifth_leaves_in_each_round() -> None:
    assert round_sparsities(0.488, True) == pytest.approx([0.2, 0.36, 0.488])
    assert round_sparsities(0.5, True) == pytest.approx([0.2, 0.36, 0.488, 0.5])
    assert round_sparsities(0.875, True, most=3) == pytest.approx([0.5, 0.75, 0.875])
    assert round_sparsities(0.9, False) == [0.9]
    assert round_sparsities(0.0, True) == [0.0]


def test_the_last_round_gets_half_of_the_epochs() -> None:
    assert epochs_by_round(6, 1) == [6]
    assert epochs_by_round(8, 3) == [2, 2, 4]
    assert epochs_by_round(1, 3) == [0, 0, 1]


def test_treatments(task: Task, dense: Dense) -> None:
    request = Request(0.5, "unstructured", "uniform", seed=0, epochs=0)
    result = {
        name: prune_and_train(dense, task, request, CRITERIA["magnitude_l1"], name)  # type: ignore[arg-type]
        for name in ("none", "finetune", "rewind", "reinit")
    }
    assert dense.early is not None
    stays = result["none"].mask.values["0.weight"]
    weights = {name: pruned.network.state_dict()["0.weight"] for name, pruned in result.items()}
    assert torch.equal(weights["finetune"], dense.network.state_dict()["0.weight"] * stays)
    assert torch.equal(weights["rewind"], dense.early["0.weight"] * stays)
    assert not torch.equal(weights["reinit"], weights["rewind"])
    with pytest.raises(UnknownNameError, match="unknown treatment 'freeze'"):
        prune_and_train(dense, task, request, CRITERIA["random"], "freeze")  # type: ignore[arg-type]


def test_what_is_out_stays_out_in_later_rounds(task: Task, dense: Dense) -> None:
    request = Request(0.5, "unstructured", "global", seed=0, epochs=2)
    pruned = prune_and_train(dense, task, request, CRITERIA["random"], "finetune", iterative=True)
    assert pruned.notes["rounds"] == 4
    kept, of = count_kept(pruned.mask, task.structure(dense.network))
    assert kept / of == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(("epochs", "rounds"), [(0, 1), (1, 1), (3, 2), (6, 3)])
def test_a_lottery_ticket_ranks_trained_weights_alone(
    epochs: int, rounds: int, task: Task, dense: Dense, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds are fewer where there would be no epoch to train between them."""
    ranked: list[torch.Tensor] = []

    def noted(network: nn.Module, *rest: object) -> Scores:
        ranked.append(network.state_dict()["3.weight"].clone())
        return plain(network, *rest)  # type: ignore[arg-type]

    plain = CRITERIA["magnitude_l1"]
    monkeypatch.setattr("evo_fair.pruning.tickets.CRITERIA", {"magnitude_l1": noted})
    request = Request(0.75, "unstructured", "uniform", epochs=epochs)
    pruned = METHODS["lottery-ticket"](dense, task, request)
    assert pruned.notes["rounds"] == len(ranked) == rounds
    assert dense.early is not None
    early = dense.early["3.weight"]
    assert not any(torch.equal(weight, early * (weight != 0)) for weight in ranked)
    if rounds == 1:
        sizes = dense.network.state_dict()["3.weight"].abs()
        assert sizes[pruned.mask.values["3.weight"]].min() >= sizes[~pruned.mask.values["3.weight"]].max()


def test_rounds_that_only_fine_tune_stay_as_many(task: Task, dense: Dense) -> None:
    request = Request(0.75, "unstructured", "uniform", epochs=0)
    for treatment, rounds in (("finetune", 3), ("none", 3), ("rewind", 1), ("reinit", 1)):
        pruned = prune_and_train(dense, task, request, CRITERIA["magnitude_l1"], treatment, True, 3)  # type: ignore[arg-type]
        assert pruned.notes["rounds"] == rounds, treatment


def test_tempered_draw_takes_the_root_of_sizes() -> None:
    groups = np.repeat([0, 1, -1], [900, 100, 200]).astype(np.int16)
    drawn = tempered_draw(groups, 0.5)(np.random.default_rng(0))
    # 900 : 100 becomes 30 : 10, of 1,000 samples that have a group.
    assert np.bincount(groups[drawn] + 1) == pytest.approx(np.array([200, 750, 250]), abs=10)
    plain = tempered_draw(groups, 0.0)(np.random.default_rng(0))
    assert sorted(plain.tolist()) == list(range(1200))


def test_conflict_lowers_the_place_of_a_weight() -> None:
    size = Scores({"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0, 5.0])}, {})
    cosine = Scores({"a": np.array([0.0, -1.0]), "b": np.array([1.0, 0.0, 0.5])}, {})
    joined = conflict_scores(size, cosine).weights
    assert joined["a"] == pytest.approx([0.0, 0.25 - WEIGHT])
    assert joined["b"] == pytest.approx([0.5 + WEIGHT, 0.75, 1.0 + WEIGHT / 2])
    assert places(size.weights, "uniform")["b"].tolist() == [0.0, 0.5, 1.0]


def test_shares_make_up_the_sparsity() -> None:
    shares = shares_of(np.array([2, 0, 6], np.int16), [100, 200, 50], [0.5, 0.4, 0.9], 0.5)
    assert (shares * [100, 200, 50]).sum() == pytest.approx(175)
    assert shares[2] == 0  # 0.9 * 2 ** 3 is more than all of it
    assert (1 - shares[0]) / (1 - shares[1]) == pytest.approx(0.5 * 2 / 0.4)


def test_genomes_that_differ_by_a_constant_are_one() -> None:
    space = PruningSpace((10, 20), ("random", "taylor"))
    assert space.canonical([[0, 2, 1], [4, 6, 1]]).tolist() == [[4, 6, 1], [4, 6, 1]]


def test_degradation_counts_what_is_lost_against_the_dense_network(task: Task, dense: Dense) -> None:
    chosen = np.arange(60)
    with torch.no_grad():
        logits = dense.network(task.normalise(task.train_inputs[chosen]))
    plain, fair = (degradation_loss(dense, task, weight)(logits, chosen, 1.0) for weight in (0.0, 5.0))
    assert float(fair) == pytest.approx(float(plain), abs=1e-5)  # nothing is lost, whatever the groups' losses
    worse = logits.clone()
    worse[task.train_labels[chosen] == 3, 3] -= 20
    plain, fair = (degradation_loss(dense, task, weight)(worse, chosen, 1.0) for weight in (0.0, 5.0))
    assert float(fair) > float(plain) + 1


def test_the_outputs_bias_is_found(task: Task, dense: Dense) -> None:
    network = copy.deepcopy(dense.network)
    before = network[7].bias.detach().clone()
    assert output_bias(network, task.structure(network), task.example) is network[7].bias
    assert torch.equal(network[7].bias, before)
    network[7] = nn.Linear(64, 10, bias=False)
    assert output_bias(network, task.structure(network), task.example) is None


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize("last", [nn.ReLU(), nn.LogSoftmax(1), Doubled(), nn.BatchNorm1d(10)])
def test_outputs_that_follow_the_last_bias_otherwise_are_not_moved(last: nn.Module, task: Task, dense: Dense) -> None:
    """Batch norm scales them once it is trained."""
    network = nn.Sequential(*copy.deepcopy(dense.network), last)
    _, notes = refine(network, Mask({}), task.structure(network), dense, task, Request(0.0, epochs=1))
    assert notes["largest_offset"] == 0
    assert output_bias(network, task.structure(network), task.example) is None


def test_the_bias_of_pooled_outputs_is_found_unless_a_relu_follows(task: Task) -> None:
    def ending(*between: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 10, 3), *between, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    plain, squeezed = ending(), ending(nn.ReLU())
    assert output_bias(plain, task.structure(plain), task.example) is plain[0].bias
    assert output_bias(squeezed, task.structure(squeezed), task.example) is None


def test_unknown_method_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown method 'balot'.*did you mean 'ballot'"):
        choose_method("balot")


def test_smallest_living_weights_give_way_to_the_dead_with_the_largest_gradients() -> None:
    network = nn.Linear(6, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.1, -3.0, 2.0, -0.2, 0.0, 0.0]]))
    network.weight.grad = torch.tensor([[9.0, 0.0, 0.0, 9.0, 1.0, -2.0]])
    living = {"weight": torch.tensor([[True, True, True, True, False, False]])}
    _renew(network, living, 0.25)  # one of four
    assert living["weight"].tolist() == [[False, True, True, True, False, True]]
    assert network.weight.tolist() == [pytest.approx([0, -3, 2, -0.2, 0, 0])]


def test_closed_gates_get_the_gradient_of_an_open_one(task: Task, dense: Dense) -> None:
    """Straight through: the score of a weight gets gain * weight * the gradient of the gated weight."""
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    weight = network[7].weight.detach().clone()
    scores = CRITERIA["magnitude_l1"](network, structure, task.samples(np.random.default_rng(0), 2), None)  # type: ignore[arg-type]
    gates = Gates(network, structure, scores, "unstructured", "uniform", gain=2.0)
    mask = gates.close(0.5)
    hidden = torch.rand(3, 64)
    network[7](hidden).sum().backward()
    score = network[7].parametrizations["weight"][0].score
    assert torch.allclose(score.grad.view_as(weight), 2 * weight * hidden.sum(0), atol=1e-4)
    assert score.dim() == 1, "a vector, which no weight decay draws to 0"
    assert count_kept(gates.remove(), structure)[0] == count_kept(mask, structure)[0]
    assert torch.allclose(network[7].weight, weight * mask.values["7.weight"])
    assert not any(".score" in name for name, _ in network.named_parameters())


def test_gates_leave_a_weight_norm_of_the_users_in(task: Task, dense: Dense) -> None:
    network = copy.deepcopy(dense.network)
    network[3] = weight_norm(network[3])
    structure, before = task.structure(network), {name: p.shape for name, p in network.named_parameters()}
    scores = CRITERIA["magnitude_l1"](network, structure, task.samples(np.random.default_rng(0), 2), None)  # type: ignore[arg-type]
    Gates(network, structure, scores, "unstructured", "uniform", gain=2.0).remove()
    assert {name: p.shape for name, p in network.named_parameters()} == before


def test_layers_of_one_weight_are_gated_as_they_will_be_masked() -> None:
    network = nn.Sequential(nn.Flatten(), *(nn.Linear(4, 4) for _ in range(2)), nn.Linear(4, 3)).eval()
    network[2].weight = network[1].weight
    x = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    structure = trace_structure(network, x)
    scores = Scores({"1.weight": np.arange(16.0).reshape(4, 4), "3.weight": np.arange(12.0).reshape(3, 4)}, {})
    gates = Gates(network, structure, scores, "unstructured", "uniform", gain=1.0)
    gates.close(0.5)
    trained = network(x)
    apply_mask(network, gates.remove())
    assert network[2].weight is network[1].weight
    assert network[1].weight.count_nonzero() == 8
    assert torch.allclose(network(x), trained, atol=1e-6)


def test_natural_samples_miss_no_group() -> None:
    dataset = load_dataset("digits")
    train = dataset.part("train")
    rare = np.full(len(dataset.labels), 0, np.int16)
    rare[train[[7, 9]]], rare[train[11]] = 1, -1
    dataset = dataclasses.replace(dataset, groupings={**dataset.groupings, "rare": Grouping("rare", ("a", "b"), rare)})
    task = Task(dataset, "rare", Training(epochs=1))
    plain = Task(load_dataset("digits"), "class", Training(epochs=1))
    for seed in range(5):
        samples = task.natural_samples(np.random.default_rng(seed), 100)
        assert set(samples.groups) >= {0, 1}
        assert len(samples.groups) <= 101
        without = plain.natural_samples(np.random.default_rng(seed), 100)  # every digit is among a hundred
        assert len(without.groups) == 100
        shared = (samples.x[:, None] == without.x[None]).flatten(2).all(2).any(0)
        assert shared.all(), "one is added, the others stay"


def test_what_a_network_is_includes_what_it_computes(task: Task, dense: Dense) -> None:
    other = copy.deepcopy(dense.network)
    assert task.fingerprint(other) == task.fingerprint(dense.network)
    other[2] = nn.Tanh()
    assert task.fingerprint(other) != task.fingerprint(dense.network)


def test_new_statistics_are_those_of_the_samples() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2))
    x = torch.rand(50, 2, 3, 3)
    recalibrate(network, x)
    assert torch.allclose(network[0].running_mean, x.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(network[0].running_var, x.var((0, 2, 3)), atol=1e-6)
    assert network[0].momentum == 0.1
    assert not network[0].training


def test_evenest_mask_within_the_limit_is_chosen() -> None:
    found = [(0.10, 0.04), (0.105, 0.02), (0.12, 0.01)]
    records = [
        Record(str(i), 0, (i,), 0.0, {"error": error, "group_variance": uneven}, {}, {}, {})
        for i, (error, uneven) in enumerate(found)
    ]
    assert [_evenest(records, epsilon).id for epsilon in (0.0, 0.01, 0.05)] == ["0", "1", "2"]


def test_offsets_go_into_the_biases(task: Task, dense: Dense) -> None:
    """A network whose first class is favoured becomes even, and its notes tell what samples left out of the fit say."""
    network = copy.deepcopy(dense.network)
    with torch.no_grad():
        network[7].bias.add_(8 * torch.eye(10)[0])
    structure, before = task.structure(network), network[7].bias.detach().clone()
    uneven = METRICS["cwv"](task.counts(network, "validation"))[0]
    right = task.predictions(dense.network, "validation") == task.dataset.labels[task.dataset.part("validation")]
    expected = _standing(network, network[7].bias, task, right, 0.01)
    steps, notes = refine(network, Mask({}), structure, dense, task, Request(0.0, epochs=0))
    counts = task.counts(network, "validation")
    assert steps == 0
    assert (notes["held_out_accuracy"], notes["held_out_group_variance"]) == (expected.accuracy, expected.spread)
    moved = task.logits(dense.network, "validation") + 8 * np.eye(10)[0] + expected.offsets
    labels = task.dataset.labels[task.dataset.part("validation")]
    assert METRICS["accuracy"](counts)[0] == pytest.approx((moved.argmax(1) == labels).mean())
    assert METRICS["cwv"](counts)[0] < uneven / 4
    moved = (network[7].bias - before).detach().numpy()
    assert np.ptp(moved) == pytest.approx(notes["largest_offset"], abs=1e-5)
    assert moved.argmin() == 0


@pytest.mark.parametrize("method", ["ballot", "evo", "magnitude-refined"])
def test_the_limit_of_accuracy_is_held_on_samples_left_out_of_the_fit(
    method: str, task: Task, dense: Dense, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo_fair.pruning.evo.BUDGET", 6)
    monkeypatch.setattr("evo_fair.pruning.evo.POPULATION", 3)
    asked: list[tuple[np.ndarray, np.ndarray, float]] = []

    def noted(validation: Outputs, training: Outputs, units: np.ndarray, *rest: object) -> HeldOffsets:
        asked.append((units, rest[1], rest[2]))  # type: ignore[arg-type]
        return held_offsets(validation, training, units, *rest)._replace(accuracy=0.5)  # type: ignore[arg-type]

    monkeypatch.setattr("evo_fair.pruning.refine.held_offsets", noted)
    pruned = METHODS[method](dense, task, Request(0.3, epochs=4, epsilon=0.03))
    part = task.dataset.part("validation")
    right = task.predictions(dense.network, "validation") == task.dataset.labels[part]
    assert len(asked) == 2  # after three epochs, and after a late one
    for units, before, epsilon in asked:
        assert np.array_equal(units, task.dataset.units[part])
        assert np.array_equal(before, right)
        assert epsilon == 0.03
    assert pruned.notes["held_out_accuracy"] == 0.5
    assert pruned.notes["held_out_accuracy_lost"] == pytest.approx(right.mean() - 0.5)


def test_what_does_not_help_is_rewound(task: Task, dense: Dense, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every late epoch zeroes the network: none is kept, and the weights of before come back."""
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    kept: list[dict[str, torch.Tensor]] = []

    def train(self: Task, network: nn.Module, epochs: int, seed: int, *, rate: float, **_: object) -> int:
        if epochs == 1:
            with torch.no_grad():
                network[7].weight.zero_()  # type: ignore[index]
        else:
            kept.append(state_of(network))
        rates.append(rate)
        return epochs

    rates: list[float] = []
    monkeypatch.setattr(Task, "train", train)
    steps, notes = refine(network, Mask({}), structure, dense, task, Request(0.0, epochs=8))
    assert (steps, notes["epochs_kept"]) == (8, 0)
    assert rates == pytest.approx([RATE, LATE_RATE, LATE_RATE / 2])  # six epochs at once, then two by themselves
    assert torch.equal(network[7].weight, kept[0]["7.weight"])

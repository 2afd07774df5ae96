"""What belongs together, what stays whole and why, and that masked and smaller networks compute the same."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from evo_fair.errors import PruningError
from evo_fair.nets import Network
from evo_fair.pruning import (
    CRITERIA,
    Samples,
    channel_mask,
    choose,
    choose_given,
    count_kept,
    masked,
    remove_channels,
    trace_structure,
)
from evo_fair.space import SearchSpace, SpaceSchema
from evo_fair.space.schema import Stage, Stem


class Branches(nn.Module):
    """Two branches that are concatenated, flattened and classified: their channels meet in one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 3, 3, padding=1)
        self.right = nn.Conv2d(1, 2, 1)
        self.norm = nn.BatchNorm2d(5)
        self.classifier = nn.Linear(5 * 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([self.left(x), self.right(x)], 1)
        return self.classifier(torch.relu(self.norm(y)).flatten(1))


def space() -> SearchSpace:
    stages = (
        Stage(slots=2, kinds=("MB", "DB", "RB", "CB"), widths=(4, 8), keep_channels=(4, 8, 12), stride=2),
        Stage(slots=2, kinds=("MB", "DB", "RB", "CB"), widths=(8, 12), keep_channels=(4, 8, 12)),
    )
    return SearchSpace(SpaceSchema(channel_multiple=4, stem=Stem(widths=(4, 8)), stage=stages), (3, 8, 8), 3)


def lively(network: nn.Module) -> nn.Module:
    """Batch norms with random statistics, scales and shifts, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.eval()


def half(structure, rng: np.random.Generator) -> dict[str, np.ndarray]:
    keep = {name: rng.random(group.size) < 0.5 for name, group in structure.groups.items()}
    for stays in keep.values():
        stays[rng.integers(stays.size)] = True
    return keep


@pytest.mark.parametrize("seed", range(6))
def test_masked_network_equals_the_smaller_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = space().architecture(space().sample(rng, 1)[0])
    network, x = lively(Network(blocks, 3)), torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    structure = trace_structure(network, x)
    keep = half(structure, rng)
    small = remove_channels(network, structure.groups, keep)
    with torch.no_grad():
        assert torch.allclose(masked(network, channel_mask(network, structure, keep))(x), small(x), atol=1e-5)
    assert sum(p.numel() for p in small.parameters()) < 0.7 * sum(p.numel() for p in network.parameters())
    # Its blocks say what it is now: a network built of them takes its weights.
    assert isinstance(small, Network)
    Network(small.blocks, 3).load_state_dict(small.state_dict())


class Around(nn.Module):
    """A shortcut, made first, around two branches that are concatenated: half of its channels go with each."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(1, 7, 1), nn.BatchNorm2d(7))
        self.left, self.right = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 3, 1)
        self.classifier = nn.Linear(7, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.shortcut(x) + torch.cat([self.left(x), self.right(x)], 1)
        return self.classifier(torch.relu(y).mean((2, 3)))


def test_a_layer_can_make_the_channels_of_two_groups() -> None:
    network, x = lively(Around()), torch.randn(2, 1, 4, 4)
    structure = trace_structure(network, x)
    assert {name: (group.size, group.layers) for name, group in structure.groups.items()} == {
        "shortcut.0": (4, ("shortcut.0", "left")),
        "right": (3, ("shortcut.0", "right")),
    }
    assert list(structure.fixed) == ["classifier"]
    keep = {"shortcut.0": np.array([True, False, True, True]), "right": np.array([False, True, False])}
    with torch.no_grad():
        expected = masked(network, channel_mask(network, structure, keep))(x)
        assert torch.allclose(remove_channels(network, structure.groups, keep)(x), expected, atol=1e-6)


class Gated(nn.Module):
    """Attention in space: one map, by a convolution or a linear layer, that all channels are multiplied by."""

    def __init__(self, gate_first: bool, linear: bool) -> None:
        super().__init__()
        gate = nn.Linear(6, 1) if linear else nn.Sequential(nn.Conv2d(6, 1, 3, padding=1), nn.BatchNorm2d(1))
        if gate_first:
            self.gate = gate
        self.first = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.gate = gate
        self.classifier = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        gate = self.gate(x.mean((2, 3)))[:, :, None, None] if isinstance(self.gate, nn.Linear) else self.gate(x)
        return self.classifier((x * torch.sigmoid(gate)).mean((2, 3)))


@pytest.mark.parametrize("gate_first", [True, False])
@pytest.mark.parametrize("linear", [True, False])
def test_a_gate_of_one_channel_holds_none_of_what_it_gates(gate_first: bool, linear: bool) -> None:
    network, x = lively(Gated(gate_first, linear)), torch.randn(4, 1, 4, 4)
    structure = trace_structure(network, x)
    assert {name: group.size for name, group in structure.groups.items()} == {"first.0": 6}
    assert structure.fixed["gate" if linear else "gate.0"] == "it has a single channel"
    keep = {"first.0": np.array([True, False, True, True, False, True])}
    with torch.no_grad():
        expected = masked(network, channel_mask(network, structure, keep))(x)
        assert torch.allclose(remove_channels(network, structure.groups, keep)(x), expected, atol=1e-6)


def test_concatenated_and_flattened_channels_leave_together() -> None:
    network, x = lively(Branches()), torch.randn(4, 1, 2, 2)
    structure = trace_structure(network, x)
    assert list(structure.groups) == ["left", "right"]
    keep = {"left": np.array([False, True, True]), "right": np.array([True, False])}
    small = remove_channels(network, structure.groups, keep)
    assert small.classifier.in_features == 3 * 4
    with torch.no_grad():
        assert torch.allclose(masked(network, channel_mask(network, structure, keep))(x), small(x), atol=1e-6)


def test_all_blocks_of_residual_and_depthwise_kind_are_prunable_but_for_the_outputs() -> None:
    blocks = space().architecture(space().largest())
    structure = trace_structure(Network(blocks, 3), torch.zeros(1, 3, 8, 8))
    assert structure.fixed == {"classifier": "its channels are the network's outputs"}
    made = {layer for group in structure.groups.values() for layer in group.layers}
    assert len(made) == len(structure.weights) - 1


class Odd(nn.Module):
    """A layer norm, a grouped convolution and a shortcut from the input, none of which can lose channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 1)
        self.grouped = nn.Conv2d(4, 8, 1, groups=2)
        self.plain = nn.Conv2d(8, 6, 1)
        self.norm = nn.LayerNorm([6, 2, 2])
        self.last = nn.Conv2d(6, 5, 1)
        self.classifier = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.grouped(self.first(x) + x)
        return self.classifier(self.last(self.norm(self.plain(y))).mean((2, 3)))


def test_what_cannot_be_pruned_says_why() -> None:
    structure = trace_structure(Odd(), torch.zeros(1, 4, 2, 2))
    assert list(structure.groups) == ["last"]
    in_groups = "'grouped' is a convolution in 2 groups, neither plain nor depthwise"
    assert structure.fixed == {
        "first": in_groups,
        "grouped": in_groups,
        "plain": "its channels go through 'norm', a LayerNorm",
        "classifier": "its channels are the network's outputs",
    }
    with pytest.raises(PruningError, match="'classifier' can't be pruned: its channels are the network's outputs"):
        structure.group_of("classifier")
    with pytest.raises(PruningError, match="there is no layer of that name"):
        structure.group_of("lost")


class Normed(nn.Module):
    """A weight norm in its middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 1)
        self.middle = weight_norm(nn.Conv2d(6, 5, 1))
        self.last = nn.Conv2d(5, 4, 1)
        self.classifier = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.last(self.middle(self.first(x))).mean((2, 3)))


def test_a_computed_weight_keeps_its_channels_and_those_that_it_reads() -> None:
    network, x = Normed().eval(), torch.randn(4, 1, 2, 2)
    structure = trace_structure(network, x)
    reason = "'middle' computes its weight from other tensors, as weight norm does"
    assert list(structure.groups) == ["last"]
    assert {layer: structure.fixed[layer] for layer in ("first", "middle")} == {"first": reason, "middle": reason}
    samples = Samples(x, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1], np.int16))
    for name, criterion in CRITERIA.items():
        if name == "bn_scale":
            continue
        scores = criterion(network, structure, samples, np.random.default_rng(0))
        mask = choose(network, structure, scores, 0.5, "structured", "global")
        assert mask.keep is not None
        small = remove_channels(network, structure.groups, mask.keep)
        with torch.no_grad():
            assert torch.allclose(masked(network, mask)(x), small(x), atol=1e-6), name
    with pytest.raises(PruningError, match=f"layer 'first' can't be pruned: {reason}"):
        structure.group_of("first")
    with pytest.raises(PruningError, match="no convolution or linear layer with a weight of its own"):
        choose_given(network, structure, scores, {"middle": 0.5}, "unstructured")


class Rigid(nn.Module):
    """Counts on six channels in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 1)
        self.second = nn.Conv2d(6, 5, 1)
        self.classifier = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        if y.shape[1] != 6:
            raise ValueError("six channels are needed")
        return self.classifier(self.second(y).mean((2, 3)))


def test_a_group_that_the_forward_counts_on_stays_whole() -> None:
    structure = trace_structure(Rigid(), torch.zeros(1, 1, 2, 2))
    assert list(structure.groups) == ["second"]
    assert structure.fixed["first"] == "the network does not run without one of them (six channels are needed)"


class Shares(nn.Module):
    """A softmax over channels: one at 0 still takes its share, one that is gone does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 1)
        self.second = nn.Conv2d(6, 5, 1)
        self.classifier = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.second(torch.softmax(self.first(x), 1)).mean((2, 3)))


def test_a_group_of_which_the_smaller_network_computes_something_else_stays_whole() -> None:
    network, x = Shares().eval(), torch.randn(4, 1, 2, 2)
    structure = trace_structure(network, x)
    assert list(structure.groups) == ["second"]
    assert structure.fixed["first"] == "without one of them the network computes something else than with it at 0"
    keep = half(structure, np.random.default_rng(0))
    small = remove_channels(network, structure.groups, keep)
    with torch.no_grad():
        assert torch.allclose(masked(network, channel_mask(network, structure, keep))(x), small(x), atol=1e-6)


def test_uniform_global_and_given_shares() -> None:
    network, x = lively(Branches()), torch.randn(4, 1, 2, 2)
    structure = trace_structure(network, x)
    samples = Samples(x, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1], np.int16))
    scores = CRITERIA["magnitude_l1"](network, structure, samples, np.random.default_rng(0))
    uniform = choose(network, structure, scores, 0.5, "unstructured", "uniform")
    assert [int(uniform.values[name].sum()) for name in structure.weights] == [13, 1, 20]  # of 27, 2 and 40
    everywhere = choose(network, structure, scores, 0.9, "unstructured", "global")
    assert count_kept(everywhere, structure) == (7, 69)
    assert all(everywhere.values[name].any() for name in structure.weights)
    gone = np.concatenate([scores.weights[n][~everywhere.values[n].numpy()] for n in structure.weights])
    kept = np.concatenate([scores.weights[n][everywhere.values[n].numpy()] for n in structure.weights])
    assert gone.max() < np.sort(kept)[3]  # the best of each of three layers stays, whatever its score
    given = choose_given(network, structure, scores, {"left": 0.5}, "structured")
    assert given.keep is not None
    assert {name: int(stays.sum()) for name, stays in given.keep.items()} == {"left": 1}
    assert count_kept(given, structure) == (3, 5)
    single = choose_given(network, structure, scores, {"left": 0.5}, "unstructured")
    assert count_kept(single, structure) == (69 - 14, 69)  # of all layers, not of the one that is named
    assert all(single.values[name].all() for name in ("right.weight", "classifier.weight"))


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_outside_its_range_is_refused(sparsity: float) -> None:
    network, x = lively(Branches()), torch.randn(4, 1, 2, 2)
    structure = trace_structure(network, x)
    samples = Samples(x, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1], np.int16))
    scores = CRITERIA["random"](network, structure, samples, np.random.default_rng(0))
    with pytest.raises(PruningError, match=r"outside \[0, 1\)"):
        choose(network, structure, scores, sparsity, "structured", "global")
    with pytest.raises(PruningError, match=r"the share of layer 'left', .* is outside"):
        choose_given(network, structure, scores, {"left": sparsity}, "structured")


def test_a_single_layer_is_a_network() -> None:
    structure = trace_structure(nn.Linear(6, 3), torch.zeros(2, 6))
    assert structure.weights == ("weight",)


def test_a_parameter_of_whole_numbers_keeps_nothing_whole() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    network.register_parameter("steps", nn.Parameter(torch.tensor([1, 2]), requires_grad=False))
    assert list(trace_structure(network, torch.zeros(2, 4)).groups) == ["0"]

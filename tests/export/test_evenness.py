"""Outputs moved for groups to be right evenly: where offsets go, what the card says, which samples are looked at."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.export import check_parity, export_onnx
from evo_fair.export.evenness import check_even_groups, even_outputs
from evo_fair.nets import Network
from evo_fair.nets.inputs import Scaling
from evo_fair.problem import Problem
from evo_fair.proxy import predict_logits
from evo_fair.proxy.supernets import StoredSupernet, proxy_source
from evo_fair.space import SearchSpace


@pytest.fixture(scope="module")
def lopsided(problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet) -> Network:
    """A trained network that is made to favour the digit 0."""
    network = proxy_source(problem, dataset, space, stored.path).open().network(space.largest())
    with torch.no_grad():
        network.classifier.bias[0] += 5
    return network


@pytest.fixture(scope="module")
def scaling(dataset: Dataset) -> Scaling:
    return Scaling.of(dataset.inputs[dataset.part("train")])


def by_class(network: Network, dataset: Dataset, scaling: Scaling, part: str) -> np.ndarray:
    chosen = dataset.part(part)
    right = predict_logits(network, scaling(dataset.inputs[chosen])).argmax(1) == dataset.labels[chosen]
    return np.array([right[dataset.labels[chosen] == label].mean() for label in range(10)])


def test_offsets_go_into_the_classifier_and_make_new_samples_even(
    lopsided: Network, dataset: Dataset, scaling: Scaling
) -> None:
    network = copy.deepcopy(lopsided)
    facts = even_outputs(network, dataset, "class", scaling, 0.01)
    offsets = np.array([facts["offsets"][name] for name in dataset.label_names])
    moved = (network.classifier.bias - lopsided.classifier.bias).detach().numpy()
    assert moved == pytest.approx(offsets, abs=1e-5)
    assert moved[0] < np.median(moved)
    others = zip(network.state_dict().items(), lopsided.state_dict().items(), strict=True)
    assert all(torch.equal(a, b) for (name, a), (_, b) in others if name != "classifier.bias")
    assert (facts["epsilon"], facts["grouping"], facts["part"]) == (0.01, "class", "validation")
    assert 0 < facts["strength"] <= 1
    held = facts["held_out"]
    assert held["accuracy"] >= held["accuracy_without"] - 0.01
    assert held["group_variance"] < held["group_variance_without"]
    before, after = (by_class(one, dataset, scaling, "test") for one in (lopsided, network))
    assert after.var() < before.var()
    assert after.min() > before.min()


def test_the_file_computes_what_the_moved_network_does(
    lopsided: Network, dataset: Dataset, scaling: Scaling, tmp_path: Path
) -> None:
    network = copy.deepcopy(lopsided)
    even_outputs(network, dataset, "class", scaling, 0.01)
    path = tmp_path / "moved.onnx"
    export_onnx(network, dataset.input_shape, path)
    x = scaling(dataset.inputs[dataset.part("validation")])
    check_parity(path, predict_logits(network, x), x)
    with pytest.raises(EvoFairError, match="does not compute what its network does"):
        check_parity(path, predict_logits(lopsided, x), x)


def test_the_test_part_is_not_looked_at(lopsided: Network, dataset: Dataset, scaling: Scaling) -> None:
    test, inputs, labels = dataset.part("test"), dataset.inputs.copy(), dataset.labels.copy()
    inputs[test], labels[test] = 255 - inputs[test], 9 - labels[test]
    other = dataclasses.replace(dataset, inputs=inputs, labels=labels)
    facts = [even_outputs(copy.deepcopy(lopsided), data, "class", scaling, 0.01) for data in (dataset, other)]
    assert facts[0] == facts[1]


@pytest.mark.parametrize("epsilon", [-0.01, 1.0, float("nan"), float("inf")])
def test_senseless_limits_are_refused(epsilon: float) -> None:
    with pytest.raises(EvoFairError, match=rf"even groups {epsilon:g} is outside \[0, 1\): give the share of accuracy"):
        check_even_groups(epsilon)
    check_even_groups(None)
    check_even_groups(0.0)

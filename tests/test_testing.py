"""The conformance kit: evo_fair's own parts pass it, and a part with a fault is told which."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import evo_fair as ef
from evo_fair.evolution import ALGORITHMS, Objective, objective_names
from evo_fair.evolution.random_search import RandomSearch
from evo_fair.pruning import CRITERIA, Scores
from evo_fair.pruning.methods import METHODS
from evo_fair.pruning.removal import Mask
from evo_fair.pruning.task import Pruned
from evo_fair.registry import restored_afterwards
from evo_fair.space import KINDS
from evo_fair.testing import (
    check_criterion,
    check_kind,
    check_method,
    check_objective,
    check_onnx_operator,
    check_source,
    check_strategy,
    small_dataset,
)


@pytest.fixture(autouse=True)
def _registries() -> Iterator[None]:
    with restored_afterwards():
        yield


@pytest.mark.parametrize("name", objective_names())
def test_the_projects_objectives_keep_their_protocol(name: str) -> None:
    check_objective(name)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_the_projects_strategies_keep_their_protocol(name: str) -> None:
    check_strategy(name)


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_the_projects_criteria_keep_their_protocol(name: str) -> None:
    check_criterion(name)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_projects_methods_keep_their_protocol(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo_fair.pruning.evo.BUDGET", 6)
    monkeypatch.setattr("evo_fair.pruning.evo.POPULATION", 3)
    check_method(name)


@pytest.mark.parametrize("name", [*(name for name in KINDS if name != "FC"), "MB2_5x5", "IR3"])
def test_the_projects_block_kinds_keep_their_protocol(name: str) -> None:
    check_kind(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [("FC", "is for tables"), ("XY", "breaks its protocol: unknown block kind 'XY'"), ("PC_3x3", "no ker")],
)
def test_what_is_no_block_kind_for_images_is_told(name: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_kind(name)


def test_the_projects_digits_keep_their_protocol() -> None:
    check_source("digits")


def test_the_projects_operators_keep_their_protocol() -> None:
    check_onnx_operator("Relu", [(1, 8, 4, 4)])


def _by_place(counts: Any) -> Any:
    return np.arange(len(counts))


def _not_finite(counts: Any) -> Any:
    return np.full(len(counts), np.nan)


def _drawn(counts: Any) -> Any:
    return np.random.rand(len(counts))  # noqa: NPY002 - the fault


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_by_place, "gives a network another number where others stand before it"),
        (_not_finite, "not finite"),
        (_drawn, "global random numbers"),
        (lambda counts: 1.0, "returned 1.0, which is no array, for 9 networks: it must return one number a network"),
        (lambda counts: None, "returned None, which is no array"),
        (lambda counts: counts.overall.sum(axis=2), "returned the shape [9, 3] for 9 networks"),
        (lambda layers: layers[:, :, 2].max(axis=1), "it is given counts, and with cheap=True the layer table"),
        (lambda counts: counts.values.sort(), "changes the array"),
        (lambda counts: 1 / 0, "fails with ZeroDivisionError: division by zero (test_testing.py:"),
    ],
)
def test_an_objective_with_a_fault_is_told_which(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_objective(Objective("mine", function=function))


def test_a_cheap_objective_that_counts_padding_is_told() -> None:
    with pytest.raises(AssertionError, match="counts padding rows"):
        check_objective(Objective("mine", cheap=True, function=lambda layers: np.full(len(layers), layers.shape[1])))


class _Forgetful(RandomSearch):
    """Learns what it was told last, and does not keep it."""

    _last = 0

    def ask(self, n: int) -> Any:
        return self._space.canonical(np.full((n, len(self._space.gene_names)), self._last % 2))

    def tell(self, genomes: Any, objectives: Any, violations: Any) -> None:
        self._last += 1


class _Outside(RandomSearch):
    def ask(self, n: int) -> Any:
        return np.full((n, len(self._space.gene_names)), 99)


class _Nothing(RandomSearch):
    def ask(self, n: int) -> Any:
        return np.zeros((0, len(self._space.gene_names)), np.int16)


class _Objects(RandomSearch):
    def state(self) -> Any:
        return {"best": np.array([None])}


class _Global(RandomSearch):
    def ask(self, n: int) -> Any:
        return self._space.sample(np.random.default_rng(np.random.randint(9)), n)  # noqa: NPY002 - the fault


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        (_Forgetful, "does not go on after restore"),
        (_Outside, "asks for 99 in gene"),
        (_Nothing, "asks for no network: ask(12) has to return genomes"),
        (_Objects, "keeps Python objects in the state 'best'"),
        (_Global, "global random numbers"),
        (lambda space, rng, population, objectives: object(), "has no ask, tell, state, restore"),
        (lambda space: None, "can't be called with (space, rng, population, objectives)"),
    ],
)
def test_a_strategy_with_a_fault_is_told_which(strategy: Any, told: str) -> None:
    if getattr(strategy, "__name__", "") == "<lambda>":
        strategy.__name__ = "mine"
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_strategy(strategy)


def _plain(network: Any, structure: Any, samples: Any, rng: Any) -> Scores:
    return CRITERIA["magnitude_l1"](network, structure, samples, rng)


def _without_channels(network: Any, structure: Any, samples: Any, rng: Any) -> Scores:
    return Scores(_plain(network, structure, samples, rng).weights, {})


def _wrong_shape(network: Any, structure: Any, samples: Any, rng: Any) -> Scores:
    scores = _plain(network, structure, samples, rng)
    return Scores(scores.weights, {name: values[1:] for name, values in scores.channels.items()})


def _changes_weights(network: Any, structure: Any, samples: Any, rng: Any) -> Scores:
    scores = _plain(network, structure, samples, rng)
    torch.nn.init.zeros_(next(iter(network.parameters())))
    return scores


def _leaves_gradients(network: Any, structure: Any, samples: Any, rng: Any) -> Scores:
    network(samples.x).sum().backward()
    return _plain(network, structure, samples, rng)


@pytest.mark.parametrize(
    ("criterion", "told"),
    [
        (_without_channels, "gives no channels for '0'"),
        (_wrong_shape, "have the shape [7], and need [8]"),
        (_changes_weights, "something else a second time"),
        (_leaves_gradients, "leaves gradients"),
        (lambda network, structure, samples, rng: None, "returns NoneType"),
    ],
)
def test_a_criterion_with_a_fault_is_told_which(criterion: Any, told: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_criterion(criterion)


def test_a_criterion_that_claims_to_be_seedless_is_told() -> None:
    @ef.criterion(seedless=True)
    def drawn(network: Any, structure: Any, samples: Any, rng: Any) -> Scores:
        return CRITERIA["random"](network, structure, samples, rng)

    with pytest.raises(AssertionError, match="declared seedless"):
        check_criterion("drawn")


def test_own_parts_without_fault_pass() -> None:
    check_objective(Objective("mine", function=lambda counts: counts.overall[:, 0, 0]))
    check_strategy(RandomSearch)
    check_criterion(_plain)
    check_method(_halve)
    check_source(lambda request: small_dataset(seed=int(request.rng.integers(9))))


def _halve(dense: Any, task: Any, request: Any) -> Pruned:
    network = dense.network
    structure = task.structure(network)
    from evo_fair.pruning.treatments import select

    mask = select(network, structure, task, request, CRITERIA["magnitude_l2"])
    steps = task.train(network, request.epochs, request.seed, mask=mask)
    return Pruned(network.eval(), mask, steps)


def _takes_nothing(dense: Any, task: Any, request: Any) -> Pruned:
    keep = {name: np.ones(group.size, bool) for name, group in task.structure(dense.network).groups.items()}
    return Pruned(dense.network, Mask({}, keep if request.kind == "structured" else None), 0)


def _in_double(dense: Any, task: Any, request: Any) -> Pruned:
    found = _halve(dense, task, request)
    return Pruned(found.network.double(), found.mask, 0)


def _diverges(dense: Any, task: Any, request: Any) -> Pruned:
    found = _halve(dense, task, request)
    with torch.no_grad():
        next(found.network.parameters()).fill_(math.nan)
    return found


def _forgets_zeros(dense: Any, task: Any, request: Any) -> Pruned:
    from evo_fair.pruning.treatments import select

    mask = select(dense.network, task.structure(dense.network), task, request, CRITERIA["magnitude_l2"])
    return Pruned(dense.network, mask, 0)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (_takes_nothing, "takes out 0% (structured) where 50% was asked for"),
        (_in_double, "as torch.float64, and it was torch.float32: keep its type"),
        (_diverges, "with infinity or NaN: fix what it trains"),
        (_forgets_zeros, "leaves values that its mask takes out"),
        (lambda dense, task, request: dense, "returns Dense: it has to return a Pruned"),
        (lambda dense, task, request: 1 / 0, "fails with ZeroDivisionError: division by zero (test_testing.py:"),
    ],
)
def test_a_method_with_a_fault_is_told_which(method: Any, told: str) -> None:
    if method.__name__ == "<lambda>":
        method.__name__ = "mine"
    with pytest.raises(AssertionError, match=re.escape(told)):
        check_method(method)


@pytest.mark.parametrize(
    ("loader", "told"),
    [
        (lambda request: small_dataset(seed=np.random.randint(99)), "global random numbers"),  # noqa: NPY002
        (lambda request: SimpleNamespace(fingerprint=""), "gives SimpleNamespace"),
    ],
)
def test_a_source_with_a_fault_is_told_which(loader: Any, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_source(loader)


def test_a_table_that_is_declared_as_images_is_told(tmp_path: Path) -> None:
    @ef.source(in_folder=False, tabular=True)
    def mine(request: ef.DataRequest) -> ef.Dataset:
        return small_dataset()

    with pytest.raises(AssertionError, match=r"is declared to give tables.*declare tabular=False"):
        check_source("mine")


def test_an_operator_with_a_fault_is_told_which() -> None:
    @ef.onnx_operator("own.Mix", shapes=lambda node: [node.inputs[0]])
    def mix(node: Any) -> Any:
        return ef.LayerCost("mix", 1, 1)

    with pytest.raises(AssertionError, match="unknown layer 'mix': expected one of conv"):
        check_onnx_operator("own.Mix", [(1, 4, 8, 8)])

"""Searches and deployments of a trained network that the user brings: what it is, where it comes from, what is kept.

A run's folder keeps the network's weights and the orders of its channels in `own/`, so that a deployment needs nothing
but the code of the network, and no ranking has to be computed again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import nn

from evo_fair.arguments import as_path, as_texts
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, PruningError, RunError, UnknownNameError, quote
from evo_fair.export.alone import Beginning
from evo_fair.export.card import write_frozen
from evo_fair.export.export import tolerance_of
from evo_fair.files import digest, parse_json, write_bytes
from evo_fair.jobs.dense import NetworkSource, dense_network, given_network
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers import Workers
from evo_fair.jobs.workers.populations import OwnPredictingWork
from evo_fair.jobs.writing import FrontNetwork, Written, in_threads
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.inputs import Normalised
from evo_fair.nets.reference import REFERENCES, WIDTHS, build_reference, is_reference
from evo_fair.nets.tensors import read_tensors
from evo_fair.own import (
    DEFAULT_ORDERS,
    OWN_CODE,
    NetworkEvaluator,
    NetworkSpace,
    Orders,
    OwnNetwork,
    channel_orders,
    check_orders,
    check_searchable,
    check_traceable,
    open_network,
    prunable_groups,
)
from evo_fair.problem import Problem
from evo_fair.proxy import calibration_samples, predict_logits
from evo_fair.pruning.given import source_of
from evo_fair.pruning.given_weights import load_weights
from evo_fair.pruning.refine import output_bias
from evo_fair.pruning.task import Task, content_of

__all__ = ["GivenNetwork", "OwnOrigin", "check_network_precision", "network_to_search", "own_of_run"]

FOLDER = "own"
WEIGHTS, ORDERS = "weights.safetensors", "orders.safetensors"
_ORDERS = "orders"


@dataclass(frozen=True)
class GivenNetwork:
    """The network to search, as the user says it.

    `module` is a reference network's name, `file.py:function`, `package.module:function` or a trained `nn.Module`;
    `weights` are those of a module that its function does not bring. `orders` are the criteria that tell which channels
    matter most. Raises `PruningError` for what does not go together.
    """

    module: str | nn.Module
    weights: str | Path | None = None
    orders: tuple[str, ...] = DEFAULT_ORDERS

    def __post_init__(self) -> None:
        if not isinstance(self.module, str | nn.Module):
            raise PruningError(f"module {quote(self.module)} is neither a text nor a torch.nn.Module: give one of them")
        if isinstance(self.module, str) and not (":" in self.module or self.module.endswith(".py") or self.reference):
            mend = f"{WIDTHS}, file.py:function or package.module:function"
            raise UnknownNameError("network", self.module, sorted(REFERENCES), mend)
        if self.weights is not None and self.reference is not None:
            raise PruningError(
                f"weights are given for the reference network {self.reference}: give them with a module of your own"
            )
        check_orders(self.orders)

    @property
    def reference(self) -> str | None:
        """The reference network's name, None for a module."""
        return self.module if is_reference(self.module) else None

    @property
    def brings_weights(self) -> bool:
        """Whether its weights are the user's, and not trained here."""
        return isinstance(self.module, nn.Module) or self.weights is not None

    @property
    def source(self) -> NetworkSource:
        """The same for `dense_network`."""
        if self.reference is not None:
            return NetworkSource(network=self.reference)
        return NetworkSource(module=self.module, weights=self.weights)


def network_to_search(
    module: str | nn.Module | None,
    weights: str | Path | None,
    orders: Sequence[str] | None,
    begun: Mapping[str, Any],
) -> GivenNetwork | None:
    """The network of the user's own, None where there is none; raises `EvoFairError` for what goes with none.

    Where no orders are given, they are those of the run that goes on, whose configuration is `begun`.
    """
    if module is None:
        for name, option, value in (("weights", "--weights", weights), ("orders", "--order", orders)):
            if value is not None:
                raise EvoFairError(
                    f"{name} are given without the network that they are for: give it with --module, or leave out "
                    f"{option}"
                )
        return None
    weights = None if weights is None else as_path("weights", weights)
    if orders is None:
        orders = begun.get("network", {}).get("orders", DEFAULT_ORDERS)
    return GivenNetwork(module, weights, as_texts("orders", orders))


def check_network_precision(precision: str) -> None:
    """Raises `EvoFairError` for another precision than fp32, which is for supernets."""
    if precision != "fp32":
        raise EvoFairError(
            f"precision {precision} is for supernets: a network of your own is evaluated in fp32; leave it out"
        )


@dataclass(frozen=True, eq=False)
class OwnOrigin:
    """A network that is searched: opened as a space, and where its pruned forms are evaluated, written and trained."""

    name: str
    reference: bool
    problem: Problem
    task: Task
    own: OwnNetwork

    @classmethod
    def open(
        cls,
        given: GivenNetwork,
        problem: Problem,
        dataset: Dataset,
        group: str,
        folder: Path | None,
        listener: Listener,
        device: TorchDevice = CPU,
    ) -> "OwnOrigin":
        """The network that was given, trained first if it has no weights; `listener` hears of that.

        `folder` is that of a run that goes on, whose orders are taken over; networks are trained and evaluated on the
        `device`. Raises `EvoFairError` of the kind that fits where the network can't be loaded, run, trained, pruned or
        exported, or its latency can't be told.
        """
        task = Task(dataset, group, problem.training, device)
        dense, name = dense_network(
            problem,
            task,
            given.source,
            listener,
            lambda network: check_searchable(network, task),
            before_training=lambda network: check_traceable(network, task),
        )
        orders = None if folder is None else _kept_orders(folder, dense.network, task)
        if orders is None or tuple(orders) != given.orders:
            orders = channel_orders(dense.network, task, given.orders)
        origin = cls(name, given.reference is not None, problem, task, open_network(dense.network, task, orders))
        _ = origin.own.space.layers  # what can't be priced is refused before the search begins
        return origin

    @property
    def device(self) -> TorchDevice:
        """Where pruned forms are evaluated."""
        return self.task.device

    @property
    def space(self) -> NetworkSpace:
        """The space of what pruning can leave."""
        return self.own.space

    def configuration(self) -> dict[str, Any]:
        """What the pruned networks depend on, for `run.toml`."""
        space = self.space
        return {
            "network": {
                "name": self.name,
                "reference": self.reference,
                "weights": space.weights,
                "source": source_of(self.own.whole),
                "orders": list(space.orders),
                "ranking": _ranking(space.orders),
            }
        }

    def proxy_facts(self) -> dict[str, Any]:
        """How the pruned networks are evaluated, for `run.toml`."""
        return {"code": OWN_CODE, "torch_device": self.task.device.kind, "precision": "fp32", "kind": "own"}

    def hashes(self) -> dict[str, str]:
        """What a card says of it."""
        return {"network": self.space.weights}

    def evaluator(self, groupings: tuple[str, ...], jobs: int) -> NetworkEvaluator:
        """What evaluates its pruned forms."""
        calibration = self.problem.proxy.calibration_samples
        return NetworkEvaluator(self.own, self.task.dataset, groupings, calibration, jobs, self.task.device)

    def predicting(self, workers: Workers) -> OwnPredictingWork:
        """The same for workers."""
        calibration, task = self.problem.proxy.calibration_samples, self.task
        return OwnPredictingWork(self.own, task.dataset, calibration, workers.threads, task.device)

    def keep(self, folder: Path) -> None:
        """Writes weights and orders into a run's folder, where they are not yet."""
        path = folder / FOLDER / WEIGHTS
        content = content_of(self.own.whole)
        if not path.is_file() or path.read_bytes() != content:
            write_bytes(path, content)
        tensors = {
            f"{criterion}/{group}": torch.from_numpy(order)
            for criterion, orders in self.space.orders.items()
            for group, order in orders.items()
        }
        # One entry: safetensors writes several in any order.
        write_bytes(folder / FOLDER / ORDERS, save(tensors, {_ORDERS: json.dumps(list(self.space.orders))}))

    def write_networks(
        self, folder: Path, networks: Sequence[FrontNetwork], groupings: Sequence[str], jobs: int, written: Written
    ) -> None:
        """Writes networks with the weights that they were searched with, and their cards, with `jobs` threads.

        `written` hears how many are there.
        """
        dataset, scaling, calibration = self.task.dataset, self.task.scaling, self.calibration
        samples = Normalised(dataset.samples("validation"), scaling)

        def write(one: FrontNetwork) -> None:
            network = self.own.calibrated(one.genome, calibration)
            logits = predict_logits(network, samples)
            allowed, space = tolerance_of(logits), self.space
            write_frozen(
                folder,
                one.name,
                one.genome,
                space,
                network,
                logits,
                samples,
                scaling,
                dataset,
                one.facts,
                groupings,
                allowed,
            )

        in_threads(write, networks, jobs, written)

    def beginning(self) -> Beginning:
        """What trainings of its pruned forms start from."""
        structure = self.task.structure(self.own.whole)
        return Beginning(
            lambda genome: self.task.settled(self.own.calibrated(genome, self.calibration)),
            lambda network: output_bias(network, structure, self.task.example),
            digest(self.space.fingerprint, source_of(self.own.whole)),
            self.own.whole,
        )

    @cached_property
    def calibration(self) -> torch.Tensor:
        """Normalised training samples that set the statistics of batch norms."""
        dataset = self.task.dataset
        chosen = calibration_samples(dataset, self.problem.proxy.calibration_samples)
        return self.task.scaling(dataset.inputs[chosen])


def own_of_run(
    folder: Path,
    configuration: Mapping[str, Any],
    problem: Problem,
    dataset: Dataset,
    group: str,
    module: str | nn.Module | None,
) -> OwnOrigin:
    """The network that the run in a folder searched, with the weights that the run keeps.

    `module` is its code, which a reference network does not need. Raises `RunError` where it is another network, or the
    run's files are damaged.
    """
    told = configuration["network"]
    name, task = told.get("name"), Task(dataset, group, problem.training)
    network: nn.Module
    if told.get("reference"):
        if not isinstance(name, str) or not is_reference(name):
            raise RunError(f"{folder / 'run.toml'}: network.name {quote(name)} is no reference network: restore it")
        network = build_reference(name, len(dataset.label_names))
    elif module is None:
        raise RunError(
            f"the run in {folder} is of a network of your own, {quote(name)}: give its code again with --module"
        )
    else:
        network = given_network(module, task.recipe.seed)
    task.check_outputs(network)  # which also settles the sizes of layers that learn them from their first input
    if source_of(network) != told.get("source"):
        raise RunError(
            f"the code of {quote(name)} is another than when the run in {folder} was searched: restore it, or search "
            "again with another --out"
        )
    load_weights(network, folder / FOLDER / WEIGHTS)
    task.settled(network)
    if digest(content_of(network)) != told.get("weights"):
        raise RunError(f"{folder / FOLDER / WEIGHTS} is not what the run was searched with: restore the file")
    orders = _kept_orders(folder, network, task)
    if orders is None or _ranking(orders) != told.get("ranking"):
        raise RunError(f"{folder / FOLDER / ORDERS} is not what the run was searched with: restore the file")
    return OwnOrigin(str(name), bool(told.get("reference")), problem, task, open_network(network, task, orders))


def _ranking(orders: Orders) -> str:
    """A hash of the orders of all channels."""
    return digest(repr({name: {group: o.tolist() for group, o in order.items()} for name, order in orders.items()}))


def _kept_orders(folder: Path, network: nn.Module, task: Task) -> Orders | None:
    """The orders that a run keeps; None where there are none, or they are not orders of the network's channels."""
    try:
        tensors, metadata = read_tensors(folder / FOLDER / ORDERS)
    except ValueError:
        return None
    try:
        names = [str(name) for name in parse_json(metadata.get(_ORDERS, "[]"))]
    except (ValueError, TypeError):
        return None
    if _ORDERS not in metadata:  # as earlier versions wrote them
        names = [metadata.get(str(number), "") for number in range(len(metadata))]
    orders: dict[str, dict[str, npt.NDArray[np.int64]]] = {name: {} for name in names}
    for name in names:
        for group, channels in prunable_groups(network, task).items():
            order = tensors.get(f"{name}/{group}")
            if order is None or not np.array_equal(np.sort(order.numpy()), np.arange(channels.size)):
                return None
            orders[name][group] = order.numpy().astype(np.int64)
    return orders

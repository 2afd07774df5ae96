"""A supernet as what a search's networks come from, trained first if there is none; `jobs.own` is the other way."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evo_fair.data import Dataset
from evo_fair.export.card import write_frozen
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.supernet import supernet_for
from evo_fair.jobs.workers import Workers
from evo_fair.jobs.workers.populations import PredictingWork
from evo_fair.jobs.writing import FrontNetwork, Written, in_threads
from evo_fair.nets import Supernet
from evo_fair.nets.device import TorchDevice
from evo_fair.nets.inputs import Normalised, Scaling
from evo_fair.problem import Problem
from evo_fair.proxy import PROXY_CODE, ProxyEvaluator, ProxySource, calibration_samples
from evo_fair.proxy.header import Header, check_header, find_header
from evo_fair.proxy.supernets import StoredSupernet, proxy_source
from evo_fair.proxy.together import make_networks, threads_for
from evo_fair.space import SearchSpace

__all__ = ["SupernetOrigin", "supernet_origin"]


@dataclass(frozen=True)
class SupernetOrigin:
    """A problem's supernet, and where its networks are evaluated and written."""

    problem: Problem
    dataset: Dataset
    space: SearchSpace
    supernet: StoredSupernet
    device: TorchDevice
    precision: str

    @cached_property
    def source(self) -> ProxySource:
        """What proxies are made of."""
        return proxy_source(self.problem, self.dataset, self.space, self.supernet.path)

    def configuration(self) -> dict[str, Any]:
        """What its networks depend on, for `run.toml`."""
        return {"supernet": {"sha256": self.supernet.sha256}}

    def proxy_facts(self) -> dict[str, Any]:
        """How its networks are evaluated, for `run.toml`."""
        return {"code": PROXY_CODE, "torch_device": self.device.kind, "precision": self.precision}

    def evaluator(self, groupings: tuple[str, ...], jobs: int) -> ProxyEvaluator:
        """What evaluates its networks."""
        return ProxyEvaluator(self.source, self.dataset, groupings, jobs, self.device, self.precision)

    def predicting(self, workers: Workers) -> PredictingWork:
        """The same for workers."""
        supernet, source = Supernet.load(self.supernet.path, self.space), self.source
        here = workers.processes or 1
        return PredictingWork(
            supernet, source.calibration, source.samples, workers.threads, here, self.precision, self.device
        )

    def keep(self, folder: Path) -> None:
        """Keeps nothing: the supernet lies in the cache."""

    def beginning(self) -> None:
        """Its networks are trained from nothing."""

    def hashes(self) -> dict[str, str]:
        """What a card says of it."""
        return {"supernet": self.supernet.sha256}

    def write_networks(
        self, folder: Path, networks: Sequence[FrontNetwork], groupings: Sequence[str], jobs: int, written: Written
    ) -> None:
        """Writes networks and their cards, with `jobs` threads; `written` hears how many are there."""
        dataset, supernet = self.dataset, Supernet.load(self.supernet.path, self.space)
        scaling = Scaling(supernet.mean, supernet.scale)
        samples = Normalised(dataset.samples("validation"), scaling)
        chosen = calibration_samples(dataset, self.problem.proxy.calibration_samples)
        genomes = [network.genome for network in networks]
        made = make_networks(supernet, scaling(dataset.inputs[chosen]), samples, genomes, jobs)

        def write(number: int) -> None:
            name, genome, facts = networks[number]
            network, logits = made[number]
            write_frozen(folder, name, genome, self.space, network, logits, samples, scaling, dataset, facts, groupings)

        in_threads(write, range(len(networks)), threads_for(supernet, jobs), written)


def supernet_origin(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    freeze_header: str | int,
    group: str,
    device: TorchDevice,
    precision: str,
    listener: Listener,
) -> tuple[SupernetOrigin, Header | None]:
    """The problem's supernet, trained first if there is none, and its frozen header, if one is asked for.

    The origin's space has the header's blocks frozen; see `jobs.search` for what is asked.
    """
    choice = check_header(freeze_header, space)
    supernet = supernet_for(problem, dataset, space, device, listener)
    header: Header | None = None
    if choice != "off":
        header = find_header(choice, problem, dataset, space, supernet.path, group)
        space = header.space
        listener.frozen(header.blocks, header.whole, space)
    return SupernetOrigin(problem, dataset, space, supernet, device, precision), header

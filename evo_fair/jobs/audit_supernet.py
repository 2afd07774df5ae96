"""Audits pruned versions of a problem's networks through its frozen supernet, without training any of them."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.arguments import as_path
from evo_fair.arrays import RawInputs
from evo_fair.auditing.dense import DenseFacts, entropy_of
from evo_fair.auditing.measure import with_losses
from evo_fair.auditing.orders import ORDER_CODE, check_orders, importance_by_gene, order_source, ordered, seeded
from evo_fair.auditing.paths import Importance
from evo_fair.auditing.plan import Grid, genomes_of, plan_networks
from evo_fair.auditing.store import AuditFolder, start_audit, write_table
from evo_fair.data import Dataset
from evo_fair.files import cache_folder, digest, sha256_of
from evo_fair.job_folder import Piece
from evo_fair.jobs.audit_parts import Measured, audited_groupings, run_parts
from evo_fair.jobs.facts import data_facts, problem_facts, version_facts
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.supernet import supernet_for
from evo_fair.jobs.workers import Workers, checked_jobs, open_team
from evo_fair.jobs.workers.populations import PredictingWork
from evo_fair.lock import one_job
from evo_fair.nets import Supernet
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.plugins import facts
from evo_fair.problem import Problem
from evo_fair.proxy import ProxySource, calibration_samples
from evo_fair.proxy.supernets import StoredSupernet
from evo_fair.pruning import CRITERIA, Samples
from evo_fair.space import SearchSpace

__all__ = ["PART_SIZE", "audit_proxy"]

PART_SIZE = 256
COMPLEXITY_SAMPLES = 4096
PART = "validation"


@one_job("an audit", lambda given: as_path("out", given["out"]))
def audit_proxy(
    problem: Problem,
    grid: Grid,
    *,
    out: Path,
    group: str | None = None,
    jobs: int | None = None,
    minutes: float | None = None,
    workers: Workers | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    device: TorchDevice = CPU,
) -> AuditFolder:
    """Measures the networks of a grid and writes the audit's folder.

    The same arguments give the same files, but for how fast it went. `group` is the grouping of the fairness metrics,
    by default the problem's. With `minutes`, an audit that would take longer, going by the time of its first part,
    raises `AuditError`; what was measured until then stays. With `resume` an audit that was broken off goes on.
    Networks are evaluated on the `device`.
    """
    check_orders(grid.criteria)
    cores = checked_jobs(jobs)
    dataset = problem.dataset()
    group = problem.fairness.chosen(group)
    groupings = audited_groupings(dataset, group, problem.fairness.groupings)
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    listener = as_listener(listener)
    listener.writing(out)
    supernet = supernet_for(problem, dataset, space, device, listener)
    orders = _Orders(supernet, space, dataset, group, problem.proxy.calibration_samples)
    for order in _orders_of(grid):
        orders.supernet(order)
    plan = plan_networks(space, grid, orders.importance, seeded)
    configuration = _configuration(problem, dataset, grid, group, groupings, supernet) | device.facts()
    folder = start_audit(out, configuration, plan, resume)
    calibration = dataset.inputs[calibration_samples(dataset, problem.proxy.calibration_samples)]

    def source(order: str, samples: npt.NDArray[np.int64]) -> ProxySource:
        return ProxySource(orders.file(order), space, calibration, dataset.inputs[samples])

    threads = cores if workers is None else workers.threads
    supernets = {order: orders.supernet(order) for order in dict.fromkeys(plan["order"])}
    here = (workers and workers.processes) or 1
    measuring = _Measuring(supernets, calibration, dataset.inputs[dataset.part(PART)], threads, here, device)
    with open_team(workers, out, listener) as team, closing(measuring):
        run_parts(folder, dataset, PART, group, groupings, measuring.part, cores, minutes, listener, team=team)
    _dense_facts(folder, dataset, source, groupings, device).write(folder.path / "dense.npz")
    write_table(folder.table, with_losses(folder.networks, group))
    return folder


@dataclass
class _Measuring:
    """The supernet in every order, and the samples; it can be sent to workers, `here` of which share a machine."""

    supernets: dict[str, Supernet]
    calibration: RawInputs
    samples: RawInputs
    threads: int
    here: int
    device: TorchDevice = CPU
    _last: tuple[str, PredictingWork] | None = None

    def part(self, chosen: pd.DataFrame) -> Measured:
        """What the networks of some rows of the plan, all of one order, predict."""
        (order,) = chosen["order"].unique()
        if self._last is None or self._last[0] != order:
            self.close()  # parts go on order by order: the last one's features are of no more use
            samples = (self.calibration, self.samples)
            work = PredictingWork(self.supernets[order], *samples, self.threads, self.here, device=self.device)
            self._last = (order, work)
        return self._last[1](genomes_of(chosen)), {}

    def close(self) -> None:
        """Ends the threads."""
        if self._last is not None:
            self._last[1].close()
        self._last = None


def _orders_of(grid: Grid) -> list[str]:
    return [
        f"{name}-{seed}" if seeded(name) else name
        for name in grid.criteria
        for seed in (grid.seeds if seeded(name) else (0,))
    ]


class _Orders:
    """The supernet in every order of channels that is asked for, as files in the cache."""

    def __init__(
        self, stored: StoredSupernet, space: SearchSpace, dataset: Dataset, group: str, calibration: int
    ) -> None:
        self._stored = stored
        self._space = space
        self._dataset = dataset
        self._group = group
        self._calibration = calibration
        self._made = {"trained": Supernet.load(stored.path, space)}

    def supernet(self, order: str) -> Supernet:
        """The supernet in an order: read from the cache, else made and stored there."""
        if order not in self._made:
            path = self.file(order)
            piece = Piece(path.with_suffix(".json"), {"": path})
            mine = piece.content.get("order", path.stem) == path.stem
            if order != "trained" and not (piece.made and mine):
                criterion, _, seed = order.partition("-")
                ordered(self._made["trained"], criterion, int(seed or 0), self._samples()).save(path)
                piece.finish({"sha256": sha256_of(path), "order": path.stem})
            self._made[order] = Supernet.load(path, self._space)
        return self._made[order]

    def importance(self, order: str, base: npt.NDArray[np.int16]) -> Importance:
        """See `importance_by_gene`."""
        return importance_by_gene(self.supernet(order), base)

    def file(self, order: str) -> Path:
        """Where an order is kept; its name says all that the order depends on."""
        if order == "trained":
            return self._stored.path
        origin = (self._stored.sha256, self._dataset.fingerprint, self._group, str(self._calibration), str(ORDER_CODE))
        own = [source] if (source := order_source(order.partition("-")[0])) else []
        return cache_folder("orders") / f"{digest(*origin, *own)[:24]}-{order}.safetensors"

    def _samples(self) -> Samples:
        chosen = calibration_samples(self._dataset, self._calibration)
        x = self._made["trained"].normalise(self._dataset.inputs[chosen])
        return Samples(x, self._dataset.labels[chosen], self._dataset.grouping(self._group).index[chosen])


def _dense_facts(
    folder: AuditFolder,
    dataset: Dataset,
    source: Callable[[str, npt.NDArray[np.int64]], ProxySource],
    groupings: tuple[str, ...],
    device: TorchDevice,
) -> DenseFacts:
    """What the dense networks alone say of the samples, and of classes and groups in training."""
    dense = folder.plan[folder.plan["dense"].to_numpy(bool)]
    samples = dataset.part(PART)
    train = calibration_samples(dataset, COMPLEXITY_SAMPLES)
    logits: list[npt.NDArray[np.float32]] = []
    entropies: list[npt.NDArray[np.float32]] = []
    for chosen, found in ((samples, logits), (train, entropies)):
        proxy = source("trained", chosen).open(device=device)
        for genome in genomes_of(dense):
            values = proxy.logits(genome)
            if chosen is train:
                values = entropy_of(values)
            found.append(values)
    return DenseFacts.gather(dense["base"].tolist(), np.stack(logits), np.stack(entropies), train, dataset, groupings)


def _configuration(
    problem: Problem,
    dataset: Dataset,
    grid: Grid,
    group: str,
    groupings: tuple[str, ...],
    supernet: StoredSupernet,
) -> dict[str, Any]:
    return {
        "source": "proxy",
        **version_facts(),
        "part": PART,
        "part_size": PART_SIZE,
        "group": group,
        "groupings": list(groupings),
        "grid": {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(grid).items()},
        "supernet": {"sha256": supernet.sha256},
        "data": data_facts(dataset),
        "problem": problem_facts(problem),
        **facts({f"criterion {name}": CRITERIA.code(name) for name in grid.criteria if name in CRITERIA.own_names()}),
    }

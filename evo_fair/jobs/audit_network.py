"""Audits one trained network: every combination of criterion, structure, scope, treatment, sparsity and seed."""

import math
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from evo_fair.arguments import as_path, check_seeds
from evo_fair.auditing.dense import DenseFacts, entropy_of
from evo_fair.auditing.measure import with_losses
from evo_fair.auditing.plan import PLAN_COLUMNS, check_pruned
from evo_fair.auditing.store import AuditFolder, start_audit, write_table
from evo_fair.errors import AuditError, EvoFairError, UnknownNameError
from evo_fair.jobs.audit_parts import Measured, audited_groupings, run_parts
from evo_fair.jobs.facts import data_facts, problem_facts, version_facts
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.workers import Workers, open_team
from evo_fair.lock import one_job
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.plugins import facts
from evo_fair.problem import Problem
from evo_fair.proxy import calibration_samples, predict_logits
from evo_fair.pruning import CRITERIA, SCOPES, STRUCTURES, check_sparsity, criterion_named
from evo_fair.pruning.criteria import Criterion, check_criteria
from evo_fair.pruning.measure import parameters_of
from evo_fair.pruning.selection import check_prunable
from evo_fair.pruning.task import Dense, Request, Task
from evo_fair.pruning.treatments import TREATMENTS, prune_and_train

__all__ = ["NetworkGrid", "audit_network", "check_network", "plan_of", "suited"]

PART = "validation"
COMPLEXITY_SAMPLES = 4096


@dataclass(frozen=True)
class NetworkGrid:
    """The factors of the audit of one network; `epochs` is what every treatment that trains may spend."""

    criteria: tuple[str, ...] = field(default_factory=lambda: tuple(CRITERIA))
    structures: tuple[str, ...] = STRUCTURES
    scopes: tuple[str, ...] = SCOPES
    treatments: tuple[str, ...] = TREATMENTS
    sparsities: tuple[float, ...] = (0.5, 0.7, 0.9)
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 5

    def __post_init__(self) -> None:
        for criterion in self.criteria:
            criterion_named(criterion)
        for sparsity in self.sparsities:
            check_sparsity(sparsity)
        known = {"structure": STRUCTURES, "scope": SCOPES, "treatment": TREATMENTS}
        given = {"structure": self.structures, "scope": self.scopes, "treatment": self.treatments}
        for what, values in given.items():
            for value in values:
                if value not in known[what]:
                    raise UnknownNameError(what, value, list(known[what]))
        for name, values in asdict(self).items():
            if isinstance(values, tuple) and (not values or len(set(values)) < len(values)):
                raise AuditError(f"{name} = {list(values)}: name at least one, and each once")
        check_seeds(self.seeds, AuditError)
        if self.epochs < 0:
            raise AuditError(f"epochs {self.epochs} is negative: give 0 or more")
        check_pruned(int((plan_of(self, "")["target"] > 0).sum()))


def plan_of(grid: NetworkGrid, base: str) -> pd.DataFrame:
    """A row a network with the columns `PLAN_COLUMNS`, the dense one first; sizes are known once it has been made.

    `macs`, which are not counted for any network but the search space's, are NaN.
    What no seed changes, pruning without training by a criterion that looks at weights alone, is there once. Treatments
    follow each other, so that the first networks tell how long the audit takes.
    """
    blank = {"base": base, "order": base, "sparsity": 0.0, "params": 0, "macs": math.nan, "genome": ""}
    none = dict.fromkeys(("criterion", "scope", "structure", "treatment"), "none")
    rows = [blank | none | {"id": f"{base}.dense", "dense": True, "seed": grid.seeds[0], "target": 0.0}]
    factors = product(grid.criteria, grid.structures, grid.scopes, grid.sparsities, grid.seeds, grid.treatments)
    for criterion, structure, scope, sparsity, seed, treatment in factors:
        if treatment == "none" and CRITERIA.traits(criterion).seedless and seed != grid.seeds[0]:
            continue
        share = np.format_float_positional(sparsity, trim="-")
        name = f"{criterion}-{structure}-{scope}-{treatment}-{share}-{seed}"
        row = {"criterion": criterion, "structure": structure, "scope": scope, "treatment": treatment}
        rows.append(blank | row | {"id": f"{base}.{name}", "dense": False, "seed": seed, "target": sparsity})
    return pd.DataFrame(rows, columns=list(PLAN_COLUMNS))


def check_network(grid: NetworkGrid, task: Task, network: nn.Module) -> None:
    """Raises `EvoFairError` for a network that the grid can't prune, whether it is trained or not.

    That is one that can't be traced, or has no channels to prune, and a criterion that does not suit it or its data.
    """
    task.check_outputs(network)
    traced = task.structure(network)
    for structure in grid.structures:
        check_prunable(traced, structure)  # type: ignore[arg-type]  # names were checked by the grid
    criteria = {name: criterion_named(name) for name in grid.criteria}
    check_criteria(criteria, network, traced, task.samples(np.random.default_rng(0), 2))


def suited(grid: NetworkGrid, task: Task, network: nn.Module) -> NetworkGrid:
    """The grid with those of its criteria that can score the network; raises what the last one does if none can."""
    task.check_outputs(network)
    traced, samples = task.structure(network), task.samples(np.random.default_rng(0), 2)
    fitting, refusal = [], None
    for name in grid.criteria:
        try:
            check_criteria({name: criterion_named(name)}, network, traced, samples)
        except EvoFairError as error:
            refusal = error
        else:
            fitting.append(name)
    if refusal and not fitting:
        raise refusal
    return replace(grid, criteria=tuple(fitting))


@one_job("an audit", lambda given: as_path("out", given["out"]))
def audit_network(
    problem: Problem,
    grid: NetworkGrid,
    dense: Dense,
    name: str,
    *,
    out: Path,
    group: str | None = None,
    minutes: float | None = None,
    workers: Workers | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    device: TorchDevice = CPU,
) -> AuditFolder:
    """Makes and measures every network of the grid from `dense`, called `name`, and writes the audit's folder.

    The same arguments give the same files, but for how fast it went. With `minutes`, a grid that would take longer,
    going by the first network of every treatment, raises `AuditError`; what was measured stays. Sparsities are shares
    of channels (`structured`) or of single weights; the table has the share of parameters that is gone or 0. Networks
    are trained and evaluated on the `device`.
    """
    dataset = problem.dataset()
    group = problem.fairness.chosen(group)
    groupings = audited_groupings(dataset, group, problem.fairness.groupings)
    task = Task(dataset, group, problem.training, device)
    check_network(grid, task, dense.network)
    configuration = {
        "source": "network",
        **version_facts(),
        **device.facts(),
        "part": PART,
        "part_size": 1,
        "group": group,
        "groupings": list(groupings),
        "grid": {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(grid).items()},
        "network": {"name": name, "sha256": task.fingerprint(dense.network)},
        "data": data_facts(dataset),
        "problem": problem_facts(problem),
        **facts({f"criterion {name}": CRITERIA.code(name) for name in grid.criteria if not CRITERIA.is_built_in(name)}),
    }
    folder = start_audit(out, configuration, plan_of(grid, name), resume)
    criteria = {name: criterion_named(name) for name in grid.criteria}
    measuring = _Measuring(dense, task, grid.epochs, criteria, parameters_of(dense.network)["nonzero_params"])
    pilots, listener = 1 + len(grid.treatments), as_listener(listener)
    with open_team(workers, out, listener) as team:
        run_parts(folder, dataset, PART, group, groupings, measuring.part, 1, minutes, listener, pilots, team)
    _facts(dense.network, task, name, groupings).write(folder.path / "dense.npz")
    write_table(folder.table, with_losses(folder.networks, group))
    return folder


@dataclass(frozen=True)
class _Measuring:
    """All that the networks of the grid are made from; it can be sent to workers."""

    dense: Dense
    task: Task
    epochs: int
    criteria: dict[str, Criterion]
    whole: int

    def part(self, chosen: pd.DataFrame) -> Measured:
        """Makes the network of a row of the plan; what it predicts, its size, and the steps that it took."""
        (row,) = chosen.to_dict("records")
        if row["dense"]:
            facts: dict[str, list[float]] = {"sparsity": [0.0], "params": [self.whole], "iterations": [0]}
            return self.task.predictions(self.dense.network, PART)[None], facts
        request = Request(float(row["target"]), row["structure"], row["scope"], int(row["seed"]), self.epochs)
        pruned = prune_and_train(self.dense, self.task, request, self.criteria[row["criterion"]], row["treatment"])
        left = parameters_of(pruned.network)["nonzero_params"]
        facts = {"sparsity": [1 - left / self.whole], "params": [left], "iterations": [pruned.iterations]}
        return self.task.predictions(pruned.network, PART)[None], facts


def _facts(network: nn.Module, task: Task, name: str, groupings: tuple[str, ...]) -> DenseFacts:
    """What the dense network alone says of the samples, and of classes and groups in training."""
    dataset = task.dataset
    train = calibration_samples(dataset, COMPLEXITY_SAMPLES)
    parts = (task.normalise(dataset.inputs[chosen]) for chosen in (dataset.part(PART), train))
    logits = [predict_logits(network, x, task.device) for x in parts]
    return DenseFacts.gather([name], logits[0][None], entropy_of(logits[1])[None], train, dataset, groupings)

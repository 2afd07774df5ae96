"""Auditing pruning: what it costs each class and group, over networks of the supernet or versions of one network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from evo_fair.arguments import as_number, as_numbers, as_path, as_text, as_texts, as_whole, as_wholes
from evo_fair.auditing.findings import LIMITS, Findings, check_groups, check_wishes, find
from evo_fair.auditing.orders import order_names
from evo_fair.auditing.plan import Grid
from evo_fair.auditing.report import write_report
from evo_fair.auditing.store import AUDITS, AuditFolder
from evo_fair.data import check_samples
from evo_fair.errors import AuditError, quote
from evo_fair.jobs.audit_network import NetworkGrid, audit_network, check_network, suited
from evo_fair.jobs.audit_supernet import audit_proxy
from evo_fair.jobs.dense import NetworkSource, dense_network
from evo_fair.jobs.facts import data_facts, problem_facts
from evo_fair.jobs.listener import Listener, as_listener
from evo_fair.jobs.places import place_of_job
from evo_fair.jobs.workers import Workers, ready_workers
from evo_fair.lock import one_job
from evo_fair.nets.plain import plain_torch
from evo_fair.plugins import facts
from evo_fair.problem import Problem, as_problem
from evo_fair.pruning.task import Task

__all__ = ["Audit", "audit"]

NETWORKS = 1000
"""How many networks of a supernet are measured unless a number is given."""


@dataclass(frozen=True)
class Audit:
    """An audit that was made: its folder, what it found, and the report that says so.

    Args:
        folder: The folder and what its `audit.toml` says.
        findings: Every table of the audit, and the network that was chosen.
        report: The path of `report.md`.

    Example:
        >>> made = ef.audit("digits", out="results/made", networks=8, criteria=["random"], seeds=[0])
        >>> made.report.name
        'report.md'
        >>> bool(made.front["sparsity"].max() <= made.networks["sparsity"].max())
        True
    """

    folder: AuditFolder
    findings: Findings
    report: Path

    @property
    def path(self) -> Path:
        """The audit's folder."""
        return self.folder.path

    @property
    def networks(self) -> pd.DataFrame:
        """A row a network, dense ones included: how it was pruned, its size, its metrics and its losses."""
        return self.findings.networks

    @property
    def losses(self) -> pd.DataFrame:
        """A row a class or group and band of sparsity: its mean loss of accuracy, with an interval of 95 %."""
        return self.findings.losses

    @property
    def front(self) -> pd.DataFrame:
        """The rows of `networks` that none beats in sparsity, accuracy and the imbalance together."""
        return self.findings.front

    @property
    def operating_point(self) -> "pd.Series[Any] | None":
        """The row of the sparsest network within the limits, None where there is none."""
        return self.findings.choice.point


@one_job("an audit", lambda given: as_path("out", given["out"]))
@plain_torch()
def audit(
    problem: Problem | str | Path,
    *,
    out: str | Path,
    criteria: Sequence[str] | None = None,
    scopes: Sequence[str] | None = None,
    sparsities: Sequence[float] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    group: str | None = None,
    imbalance: str = "worst_group_loss",
    constraints: Sequence[str] = LIMITS,
    networks: int | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    network: str | None = None,
    run: str | Path | None = None,
    module: str | None = None,
    weights: str | Path | None = None,
    structures: Sequence[str] | None = None,
    treatments: Sequence[str] | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    torch_device: str = "auto",
    workers: Workers | int | str | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Audit:
    """Prunes networks in many ways, measures who loses by it, and writes tables, figures and a report to `out`.

    Networks are cut from the problem's frozen supernet, and none is trained afterwards.
    With one of `network`, `run` and `module` it is that network, pruned by every
    combination of criterion, structure, scope, treatment, sparsity and seed.
    `networks`, `seed` and `jobs` are for the supernet alone; `network`, `run`,
    `module`, `weights`, `structures`, `treatments` and `epochs` for one network alone.

    Args:
        problem: The problem whose data and recipe are used: its name, its file, or what
            `load_problem` gave.
        out: The audit's folder. It has to be new, except with `resume`.
        criteria: The orders in which channels go. `trained` is the supernet's own.
            Default: all, for one network all that can score it.
        scopes: How the share is spread over layers: `uniform`, `random`, `early`,
            `late`, `global`; for one network `uniform` and `global`. Default: all.
        sparsities: Shares that go, between 0 and 1. Of a supernet's networks they are
            shares of the parameters. Default: 0.1 to 0.8. Of one network they are
            shares of channels or of single weights. Default: 0.5, 0.7 and 0.9.
        seeds: Seeds of each random criterion, scope and treatment. Default: 0, 1, 2.
        group: The grouping that the worst group is of. Default: the problem's.
        imbalance: The third objective of the front, beside sparsity and accuracy.
            Default: `worst_group_loss`.
        constraints: Limits of the operating point. Default: `worst_group_loss <= 0.02`
            and `accuracy_loss <= 0.01`.
        networks: How many networks of the supernet are measured, dense ones included.
            Default: 1000.
        seed: The seed of the architectures and draws, 0 or more. Default: 0.
        jobs: Threads; they change the time and nothing else. Default: one a core.
        network: `largest`, a reference network's name, or with `run` the id of a
            network of it. Default: None, the supernet.
        run: The folder of a search that `network` is an id of. Default: none.
        module: `file.py:function` or `package.module:function` that makes a network of
            your own. Default: none.
        weights: The module's weights, a .safetensors file. Default: None, it is trained
            first.
        structures: `structured`, whole channels leave, and `unstructured`, single
            weights do. Default: both.
        treatments: What follows pruning: `none`, `finetune`, `rewind` and `reinit`.
            Default: all.
        epochs: What a treatment trains. Default: 5.
        minutes: The most minutes that measuring may take; an audit that would take
            longer is refused. Default: no limit.
        torch_device: Where networks are trained and evaluated: `auto`, `cpu`, `cuda`,
            `cuda:N` or `mps`. Default: `auto`, a GPU if there is one.
        workers: Who measures: so many processes here, the address of a
            Dask scheduler, or a `Workers`. What is measured is the same. Default: None,
            this process.
        resume: Whether to go on with an audit that was broken off; what was measured is
            not measured again. Default: False.
        listener: Hears how far the audit is. Default: nobody.

    Returns:
        The audit, with its tables and its operating point.

    Raises:
        AuditError: The folder holds something else or was made with other settings,
            there are too few networks, or it would take too long.
        EvoFairError: Other input is wrong; the error's kind says what of it.

    Example:
        >>> made = ef.audit("digits", out="results/audited", networks=40, criteria=["trained"], seeds=[0])
        >>> bool(made.networks["sparsity"].max() > 0.5)
        True
    """
    one = any(value is not None for value in (network, run, module, weights))
    _check_kind(one, networks=networks, jobs=jobs, structure=structures, treatment=treatments, epochs=epochs)
    if one and seed is not None:
        raise AuditError(
            f"seed={quote(seed)} is for audits of the supernet: give seeds=[{quote(seed)}] for one network"
        )
    limits, imbalance = as_texts("constraints", constraints), as_text("imbalance", imbalance)
    check_wishes(imbalance, limits, "network" if one else "proxy")
    problem, folder, listener = as_problem(problem), as_path("out", out), as_listener(listener)
    # Refuses a folder of something else before anything is trained.
    begun = AUDITS.read(folder) if AUDITS.goes_on(folder, resume) else None
    if begun is not None:
        known = {"problem": problem_facts(problem), "data": data_facts(problem.dataset())}
        AUDITS.check_settings(folder, known | facts())  # before a network is trained for what has changed
    place = place_of_job(torch_device, begun, listener)
    if any("accuracy[" in limit for limit in limits):
        groupings = (problem.fairness.chosen(group), *problem.fairness.groupings)
        check_groups(limits, problem.dataset(), groupings)
    factors: dict[str, Any] = {
        "criteria": None if criteria is None else as_texts("criteria", criteria),
        "scopes": None if scopes is None else as_texts("scopes", scopes),
        "sparsities": None if sparsities is None else as_numbers("sparsities", sparsities),
    }
    minutes = as_number("minutes", minutes)
    if minutes is not None and minutes < 0:
        raise AuditError(f"minutes {minutes:g} is negative: give the most that measuring may take, or leave it out")
    drawn, team = as_wholes("seeds", seeds), ready_workers(workers, as_whole("jobs", jobs))
    common: Any = {"out": folder, "group": group, "minutes": minutes, "workers": team}
    common |= {"resume": resume, "listener": listener, "device": place}
    if one:
        factors |= {
            "structures": None if structures is None else as_texts("structures", structures),
            "treatments": None if treatments is None else as_texts("treatments", treatments),
        }
        trained = {} if epochs is None else {"epochs": as_whole("epochs", epochs)}
        grid = NetworkGrid(**_given(factors), seeds=drawn, **trained)
        made = _of_network(problem, grid, NetworkSource(network, run, module, weights), criteria is not None, **common)
    else:
        count = NETWORKS if networks is None else as_whole("networks", networks)
        factors = {"criteria": tuple(order_names())} | _given(factors)
        plan = Grid(count, **factors, seeds=drawn, seed=0 if seed is None else as_whole("seed", seed))
        made = audit_proxy(problem, plan, jobs=as_whole("jobs", jobs), **common)
    findings = find(made, imbalance, limits)
    return Audit(made, findings, write_report(made, findings))


def _check_kind(one: bool, **given: object) -> None:
    """Raises `AuditError` for what is given of the other kind of audit."""
    for name, value in given.items():
        if value is None:
            continue
        if one and name in ("networks", "jobs"):
            raise AuditError(f"--{name} is for audits of the supernet, not of one network: leave it out")
        if not one and name not in ("networks", "jobs"):
            raise AuditError(f"--{name} is for the audit of one network: name it with --network or --module")


def _given(factors: dict[str, Any]) -> dict[str, Any]:
    """The factors that were given; the others keep their defaults."""
    return {name: values for name, values in factors.items() if values is not None}


def _of_network(problem: Problem, grid: NetworkGrid, source: NetworkSource, named: bool, **common: Any) -> AuditFolder:
    """The audit of one network; criteria that were not `named` and do not suit it are left out, which is said."""
    task = Task(problem.dataset(), problem.fairness.chosen(common["group"]), problem.training, common["device"])
    check_samples(task.dataset, (task.group,), 1)
    common["listener"].writing(common["out"])
    structured = "structured" in grid.structures

    def suits(network: nn.Module) -> None:
        """Asked before it is trained."""
        check_network(grid if named else suited(grid, task, network), task, network)

    dense, name = dense_network(problem, task, source, common["listener"], suits, structured)
    if not named:
        fitting = suited(grid, task, dense.network)
        if left_out := [one for one in grid.criteria if one not in fitting.criteria]:
            common["listener"].noted(f"without {', '.join(left_out)}, which can't score this network")
        grid = fitting
    return audit_network(problem, grid, dense, name, **common)

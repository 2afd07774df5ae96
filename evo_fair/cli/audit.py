"""`evo-fair audit`: what pruning costs each class and group, over many pruned networks."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo_fair.cli.options import (
    DataOption,
    ModuleOption,
    NetworkOption,
    ProblemArgument,
    RunOption,
    WeightsOption,
    resume_command,
)
from evo_fair.show import say

if TYPE_CHECKING:
    from evo_fair.cli.interrupts import Check
    from evo_fair.jobs.audit_parts import Standing

__all__ = ["audit"]


def audit(
    problem: ProblemArgument,
    data: DataOption = None,
    networks: Annotated[
        int | None,
        typer.Option("--networks", help="Networks to measure, dense ones included; not with --network. Default: 1000."),
    ] = None,
    criterion: Annotated[
        list[str] | None,
        typer.Option(
            "--criterion",
            help="An order in which channels go: trained, {criteria}; repeat it for several. Default: all.",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="uniform, random, early, late, global (one network: uniform, global). Default: all.",
        ),
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            "--sparsity",
            help="The share of the parameters that goes; can be repeated. Default: 0.1 to 0.8. With one network, of "
            "channels or of single weights. Default: 0.5, 0.7, 0.9.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="How many seeds: draws of each random order and scope.")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the architectures and draws.")] = 0,
    group: Annotated[
        str | None, typer.Option("--group", help="The grouping that the worst group is of. Default: the problem's.")
    ] = None,
    imbalance: Annotated[
        str, typer.Option("--imbalance", help="The third objective of the front, beside sparsity and accuracy.")
    ] = "worst_group_loss",
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", help="A limit of the operating point, such as 'worst_group_loss<=0.02'."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Threads; changes the time only. Default: all cores.")
    ] = None,
    network: NetworkOption = None,
    run: RunOption = None,
    module: ModuleOption = None,
    weights: WeightsOption = None,
    structure: Annotated[
        list[str] | None, typer.Option("--structure", help="Of one network: structured, unstructured. Default: both.")
    ] = None,
    treatment: Annotated[
        list[str] | None,
        typer.Option("--treatment", help="Of one network: none, finetune, rewind, reinit. Default: all."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Of one network: what a treatment trains. Default: 5.")
    ] = None,
    time: Annotated[
        float | None,
        typer.Option("--time", min=0, help="The most minutes that measuring may take; a larger audit is refused."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The audit's folder. Default: results/PROBLEM-audit.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an audit that was broken off.")] = False,
) -> None:
    """Prunes a problem's networks in many ways and reports who loses by it, and how surely.

    By default thousands of networks are cut from the frozen supernet, and none is trained after it was pruned. With
    --network or --module one trained network is pruned by every combination of criterion, structure, scope, treatment,
    sparsity and seed.
    """
    from evo_fair.audit.report import LIMITS, check_groups, check_wishes, find, write_report
    from evo_fair.audit.store import find_audit
    from evo_fair.cli.interrupts import resumable
    from evo_fair.lock import held
    from evo_fair.problem import load_problem

    limits = constraint or LIMITS
    one = any(value is not None for value in (network, run, module, weights))
    check_wishes(imbalance, limits, "network" if one else "proxy")
    for name, value in (("networks", networks), ("jobs", jobs)):
        if one and value is not None:
            raise typer.BadParameter(f"--{name} is for audits of the supernet, not of one network: leave it out")
    for name, given in (("structure", structure), ("treatment", treatment), ("epochs", epochs)):
        if not one and given is not None:
            raise typer.BadParameter(f"--{name} is for the audit of one network: name it with --network or --module")
    chosen = load_problem(problem, data=data)
    place = out or Path("results") / f"{chosen.name}-audit"
    find_audit(place, resume)  # refuses a folder of something else before anything is trained
    if any("accuracy[" in limit for limit in limits):
        check_groups(limits, chosen.dataset(), (group or chosen.fairness.group, *chosen.fairness.groupings))
    common: Any = {"out": place, "group": group, "minutes": time, "resume": resume}
    with resumable(resume_command(), lambda: "finished rows are saved") as check, held(place, "an audit"):
        common["listener"] = partial(_told, check)
        if one:
            from evo_fair.data import check_samples
            from evo_fair.jobs.audit_network import NetworkGrid, audit_network, check_network
            from evo_fair.jobs.dense import Source, dense_network
            from evo_fair.pruning.task import Task

            named = _named(
                criteria=criterion, structures=structure, scopes=scope, treatments=treatment, sparsities=sparsity
            )
            if epochs is not None:
                named["epochs"] = epochs
            factors = NetworkGrid(**named, seeds=tuple(range(seed, seed + seeds)))
            source = Source(network, run, module, weights)
            task = Task(chosen.dataset(), group or chosen.fairness.group, chosen.training)
            check_samples(task.dataset, (task.group,), 1)
            suits = partial(check_network, factors, task)  # asked before it is trained
            structured = "structured" in factors.structures
            dense, name = dense_network(chosen, task, source, lambda line: say(line, err=True), suits, structured)
            folder = audit_network(chosen, factors, dense, name, **common)
        else:
            from evo_fair.audit.orders import order_names
            from evo_fair.audit.plan import Grid
            from evo_fair.jobs.audit_supernet import audit_proxy

            named = _named(scopes=scope, sparsities=sparsity)
            grid = Grid(
                1000 if networks is None else networks,
                tuple(criterion or order_names()),
                **named,
                seeds=tuple(range(seeds)),
                seed=seed,
            )
            folder = audit_proxy(chosen, grid, jobs=jobs, **common)
        report = write_report(folder, find(folder, imbalance, limits))
    say(f"the report: {report}")


def _named(**given: list[Any] | None) -> dict[str, Any]:
    """The factors that were given, as tuples by name; the others keep their defaults."""
    return {name: tuple(values) for name, values in given.items() if values}


def _told(check: "Check", at: "Standing") -> None:
    check()
    say(f"{at.done}/{at.networks} networks, {at.rate:.3g} a second", err=True)

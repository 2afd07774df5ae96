"""`evo-fair audit`: what pruning costs each class and group, over many pruned networks."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo_fair.cli.options import DataOption, ProblemArgument

if TYPE_CHECKING:
    from evo_fair.audit.runner import Standing

__all__ = ["audit"]


def audit(
    problem: ProblemArgument,
    data: DataOption = None,
    networks: Annotated[int, typer.Option("--networks", help="Networks to measure, dense ones included.")] = 1000,
    criterion: Annotated[
        list[str] | None,
        typer.Option("--criterion", help="An order in which channels go; repeat it for several. Default: all."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="uniform, random, early, late, global (--network: uniform, global). Default: all.",
        ),
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            "--sparsity",
            help="A share of the parameters that goes. Default: 0.1 to 0.8 (--network: 0.5, 0.7, 0.9).",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Draws of each random order and scope.")] = 3,
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
        int | None, typer.Option("--jobs", min=1, help="Worker processes; changes the time only. Default: all cores.")
    ] = None,
    network: Annotated[
        bool,
        typer.Option("--network", help="Audit one trained network, the problem's largest, with treatments that train."),
    ] = False,
    structure: Annotated[
        list[str] | None, typer.Option("--structure", help="With --network: structured, unstructured. Default: both.")
    ] = None,
    treatment: Annotated[
        list[str] | None,
        typer.Option("--treatment", help="With --network: none, finetune, rewind, reinit. Default: all."),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="With --network: what a treatment trains.")] = 5,
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

    Without --network thousands of networks of the frozen supernet are pruned, and none is trained afterwards.
    """
    from evo_fair.audit.report import LIMITS, check_imbalance, find, write_report
    from evo_fair.problem import load_problem

    check_imbalance(imbalance)
    chosen = load_problem(problem, data=data)
    place = out or Path("results") / f"{chosen.name}-audit"
    common: Any = {"out": place, "group": group, "minutes": time, "resume": resume, "listener": _told}
    try:
        if network:
            from evo_fair.audit.network_audit import NetworkGrid, audit_network, largest_network

            given: dict[str, Any] = {
                "criteria": criterion,
                "structures": structure,
                "scopes": scope,
                "treatments": treatment,
                "sparsities": sparsity,
            }
            named: dict[str, Any] = {name: tuple(values) for name, values in given.items() if values}
            factors = NetworkGrid(**named, seeds=tuple(range(seed, seed + seeds)), epochs=epochs)
            folder = audit_network(chosen, factors, *largest_network(chosen), **common)
        else:
            from evo_fair.audit.orders import ORDERS
            from evo_fair.audit.plan import Grid
            from evo_fair.audit.proxy_audit import audit_proxy

            given = {"scopes": scope, "sparsities": sparsity}
            named = {name: tuple(values) for name, values in given.items() if values}
            grid = Grid(networks, tuple(criterion or ORDERS), **named, seeds=tuple(range(seeds)), seed=seed)
            folder = audit_proxy(chosen, grid, jobs=jobs, **common)
        report = write_report(folder, find(folder, imbalance, constraint or LIMITS))
    except KeyboardInterrupt:
        typer.echo(f"interrupted; finished rows are saved, go on with: {_resume_command()}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"the report: {report}")


def _told(at: "Standing") -> None:
    typer.echo(f"{at.done}/{at.networks} networks, {at.rate:.2g} a second", err=True)


def _resume_command() -> str:
    arguments = sys.argv[1:] if "--resume" in sys.argv else [*sys.argv[1:], "--resume"]
    return shlex.join(["evo-fair", *arguments])

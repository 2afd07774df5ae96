"""`evo-fair audit`: what pruning costs each class and group, over many pruned networks."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from evo_fair.cli.options import DataOption, ProblemArgument

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
        typer.Option("--scope", help="uniform, random, early, late or global; can be repeated. Default: all."),
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option("--sparsity", help="A share of the parameters that goes; can be repeated. Default: 0.1 to 0.8."),
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
    time: Annotated[
        float | None,
        typer.Option("--time", min=0, help="The most minutes that measuring may take; a larger audit is refused."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The audit's folder. Default: results/PROBLEM-audit.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an audit that was broken off.")] = False,
) -> None:
    """Prunes a problem's networks in many ways, without training, and reports who loses by it and how surely."""
    from evo_fair.audit.orders import ORDERS
    from evo_fair.audit.paths import SCOPES
    from evo_fair.audit.plan import Grid
    from evo_fair.audit.proxy_audit import audit_proxy
    from evo_fair.audit.report import LIMITS, check_imbalance, find, write_report
    from evo_fair.problem import load_problem

    check_imbalance(imbalance)
    grid = Grid(
        networks=networks,
        criteria=tuple(criterion or ORDERS),
        scopes=tuple(scope or SCOPES),
        sparsities=tuple(sparsity or (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
        seeds=tuple(range(seeds)),
        seed=seed,
    )
    chosen = load_problem(problem, data=data)
    place = out or Path("results") / f"{chosen.name}-audit"
    try:
        folder = audit_proxy(
            chosen,
            grid,
            out=place,
            group=group,
            jobs=jobs,
            minutes=time,
            resume=resume,
            listener=lambda at: typer.echo(f"{at.done}/{at.networks} networks, {at.rate:.1f} a second", err=True),
        )
        report = write_report(folder, find(folder, imbalance, constraint or LIMITS))
    except KeyboardInterrupt:
        typer.echo(f"interrupted; finished rows are saved, go on with: {_resume_command()}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"the report: {report}")


def _resume_command() -> str:
    arguments = sys.argv[1:] if "--resume" in sys.argv else [*sys.argv[1:], "--resume"]
    return shlex.join(["evo-fair", *arguments])

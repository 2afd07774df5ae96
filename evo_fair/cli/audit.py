"""`evo-fair audit`: what pruning costs each class and group, over many pruned networks."""

from pathlib import Path
from typing import Annotated

import typer

from evo_fair.cli.options import (
    DataOption,
    LeaveOutOption,
    ModuleOption,
    NetworkOption,
    ProblemArgument,
    RunOption,
    TorchDeviceOption,
    WeightsOption,
    WorkersOption,
    chosen_workers,
    resume_command,
)
from evo_fair.show import say

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
        int, typer.Option("--seeds", min=1, help="How many times each random order and scope is drawn.")
    ] = 3,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, help="Seed of the architectures and draws; with one network, the first of its seeds."
        ),
    ] = 0,
    group: Annotated[
        str | None, typer.Option("--group", help="The grouping that the worst group is of. Default: the problem's.")
    ] = None,
    imbalance: Annotated[
        str, typer.Option("--imbalance", help="The third objective of the front, beside sparsity and accuracy.")
    ] = "worst_group_loss",
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            "--constraint",
            help="A limit of the operating point; can be repeated. Default: 'worst_group_loss<=0.02' and "
            "'accuracy_loss<=0.01'.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Threads; they change the time only. Default: all cores.")
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
    torch_device: TorchDeviceOption = "auto",
    workers: WorkersOption = None,
    leave_out: LeaveOutOption = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an audit that was broken off.")] = False,
) -> None:
    """Prunes a problem's networks in many ways and reports who loses by it, and how surely.

    By default 1,000 networks are cut from the frozen supernet, and none is trained after it was pruned.
    With --network or --module one trained network is pruned instead.
    Every combination of criterion, structure, scope, treatment, sparsity and seed is tried then.
    """
    from evo_fair.cli.interrupts import resumable
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.jobs.audit import audit as run_audit
    from evo_fair.problem import load_problem

    chosen = load_problem(problem, data=data)
    place = out or Path("results") / f"{chosen.name}-audit"
    one = any(value is not None for value in (network, run, module, weights))
    first = seed if one else 0
    limits = {"constraints": constraint} if constraint else {}
    with resumable(resume_command(), lambda: "finished rows are saved") as check, ProgressBars(check) as bars:
        made = run_audit(
            chosen,
            out=place,
            criteria=criterion,
            scopes=scope,
            sparsities=sparsity,
            seeds=range(first, first + seeds),
            group=group,
            imbalance=imbalance,
            networks=networks,
            seed=None if one else seed,
            jobs=jobs,
            network=network,
            run=run,
            module=module,
            weights=weights,
            structures=structure,
            treatments=treatment,
            epochs=epochs,
            minutes=time,
            torch_device=torch_device,
            workers=chosen_workers(workers, leave_out, jobs),
            resume=resume,
            listener=bars,
            **limits,
        )
    say(f"the report: {made.report}")

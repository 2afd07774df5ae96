"""`evo-fair search`: the main job."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from evo_fair.cli.options import (
    DataOption,
    DevicesOption,
    LeaveOutOption,
    ProblemArgument,
    TorchDeviceOption,
    WeightsOption,
    WorkersOption,
    chosen_workers,
    resume_command,
)
from evo_fair.show import say

__all__ = ["search"]


def search(
    problem: ProblemArgument,
    data: DataOption = None,
    device: DevicesOption = None,
    objective: Annotated[
        list[str] | None,
        typer.Option("--objective", help="An objective: {objectives}; repeat it for several. Default: the problem's."),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            "--constraint",
            help="A limit such as 'latency_ms<=5', or of several devices 'latency_ms[NAME]<=5'; can be repeated.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", help="The grouping that fairness is about, such as sex or sex*age_band. Default: the problem's."
        ),
    ] = None,
    algorithm: Annotated[str, typer.Option("--algorithm", help="The strategy: {algorithms}.")] = "nsga2",
    budget: Annotated[
        int | None,
        typer.Option("--budget", help="Different networks that the proxy evaluates. Default: the problem's."),
    ] = None,
    population: Annotated[
        int | None, typer.Option("--population", help="Networks a generation. Default: the problem's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the search; the supernet's is in the problem.")] = 0,
    freeze_header: Annotated[
        str,
        typer.Option(
            "--freeze-header",
            metavar="auto|N|off",
            help="Fix the first N blocks (the stem is one) to the largest network's; auto takes those whose feature "
            "maps hardly differ between groups.",
        ),
    ] = "off",
    trainings: Annotated[
        int,
        typer.Option(
            "--trainings",
            metavar="K",
            help="Really train K networks, those that tell most, to correct what is believed of the others. After "
            "every four one more generation is evaluated, chosen by what they said.",
        ),
    ] = 0,
    training_epochs: Annotated[
        int | None, typer.Option("--training-epochs", help="Epochs of each training. Default: the problem's.")
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(
            "--module",
            metavar="NETWORK",
            help="Search what pruning can leave of a network of your own: file.py:function or "
            "package.module:function, which returns a torch.nn.Module, or a reference network's name such as "
            "mobilenet-v2. Default: the problem's space.",
        ),
    ] = None,
    weights: WeightsOption = None,
    order: Annotated[
        list[str] | None,
        typer.Option(
            "--order",
            help="The criterion by which channels of the --module stay: {criteria}; of several, each network has "
            "its own. Default: magnitude_l1 and taylor.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", help="Threads; they change the time only. Default: all cores.")
    ] = None,
    torch_device: TorchDeviceOption = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision", metavar="fp32|bf16", help="bf16 is faster on processors that have it, and less exact."
        ),
    ] = "fp32",
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder. Default: results/PROBLEM.")] = None,
    workers: WorkersOption = None,
    leave_out: LeaveOutOption = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was broken off.")] = False,
) -> None:
    """Searches for the Pareto front of a problem: trains the supernet if there is none, searches, writes networks.

    With --module the networks are pruned forms of one that is trained already, with its own weights.
    """

    from evo_fair.cli.interrupts import resumable, saved
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.jobs.search import search as run_search
    from evo_fair.problem import load_problem
    from evo_fair.report import front_table
    from evo_fair.tables import print_table

    chosen = load_problem(problem, data=data)
    folder = out or Path("results") / chosen.name
    state = partial(saved, folder, "nothing had been searched yet")
    with resumable(resume_command(), state) as check, ProgressBars(check) as bars:
        run = run_search(
            chosen,
            out=folder,
            device=device or None,
            objectives=objective or None,
            constraints=constraint or None,
            group=group,
            algorithm=algorithm,
            budget=budget,
            population=population,
            seed=seed,
            jobs=jobs,
            torch_device=torch_device,
            precision=precision,
            workers=chosen_workers(workers, leave_out, jobs),
            resume=resume,
            freeze_header=freeze_header,
            trainings=trainings,
            training_epochs=training_epochs,
            module=module,
            weights=weights,
            orders=order or None,
            listener=bars,
        )
    print_table(front_table(run))
    for line in run.findings:
        say(line)
    figure = folder / "pareto.png"
    say(f"the front: {folder}/front.csv, {folder}/networks" + (f", {figure}" if figure.is_file() else ""))

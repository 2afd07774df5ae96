"""`evo-fair prune`: fair pruning of one network."""

from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from evo_fair.cli.options import (
    DataOption,
    DeviceOption,
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

__all__ = ["prune"]


def prune(
    problem: ProblemArgument,
    data: DataOption = None,
    network: NetworkOption = None,
    run: RunOption = None,
    module: ModuleOption = None,
    weights: WeightsOption = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="{methods}, or a criterion: {criteria}; can be repeated. Default: magnitude.",
        ),
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            "--sparsity",
            help="The share that leaves, of channels or of single weights as --structure says; can be repeated. "
            "Default: 0.5.",
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="A seed of the methods; can be repeated. Default: 0.")
    ] = None,
    structure: Annotated[
        str, typer.Option("--structure", help="structured: whole channels leave; unstructured: single weights.")
    ] = "structured",
    scope: Annotated[
        str | None,
        typer.Option(
            "--scope",
            help="global, or uniform by layer, as safecompress and fair-scratch always are; evo searches the shares of "
            "layers itself. Default: global.",
        ),
    ] = None,
    ratio: Annotated[
        list[str] | None,
        typer.Option("--ratio", help="The share of one layer, LAYER=0.5, instead of --sparsity; can be repeated."),
    ] = None,
    treatment: Annotated[
        str | None,
        typer.Option(
            "--treatment",
            help="After pruning by magnitude or a criterion: none, finetune, rewind or reinit. Default: finetune.",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            help="The most rounds in which magnitude or a criterion prunes. Each takes 20 % of what is left, or more "
            "where that would not reach the sparsity. There are fewer rounds where fewer reach it, or where a round "
            "before a rewind or reinit would train nothing. Default: 1.",
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="The grouping that fairness is about. Default: the problem's.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", help="What a method may train, beyond the network. Default: a quarter of the recipe."),
    ] = None,
    epsilon: Annotated[
        float,
        typer.Option(
            "--epsilon",
            help="The accuracy that ballot and evo may lose, 0.01 for a point, on validation samples that their "
            "outputs' offsets are not fitted to.",
        ),
    ] = 0.01,
    distillation: Annotated[
        float,
        typer.Option(
            "--distillation",
            metavar="SHARE",
            help="The share of the loss that follows what the dense network says of the same images, 0 to 1, wherever "
            "a method trains. Without this option: 0, labels alone.",
        ),
    ] = 0.0,
    device: DeviceOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the networks. Default: results/PROBLEM-pruned.")
    ] = None,
    torch_device: TorchDeviceOption = "auto",
    workers: WorkersOption = None,
    leave_out: LeaveOutOption = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a folder that was broken off, or add networks to it.")
    ] = False,
) -> None:
    """Prunes one network by one method or several, and says which groups lose by it."""
    from evo_fair.cli.interrupts import resumable
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.jobs.prune import prune as run_prune
    from evo_fair.problem import load_problem
    from evo_fair.tables import Table, print_table

    chosen = load_problem(problem, data=data)
    ratios = _ratios(ratio or [])
    if ratios and sparsity:
        raise typer.BadParameter("--sparsity and --ratio are both given: leave one out")
    folder = out or Path("results") / f"{chosen.name}-pruned"
    with resumable(resume_command(), lambda: "what is finished is saved") as check, ProgressBars(check) as bars:
        frame = run_prune(
            chosen,
            out=folder,
            methods=method or ["magnitude"],
            sparsities=sparsity or [0.0 if ratios else 0.5],
            seeds=seed or [0],
            structure=structure,  # type: ignore[arg-type]  # names are checked by what they are handed to
            scope=scope,  # type: ignore[arg-type]
            ratios=ratios or None,
            treatment=treatment,  # type: ignore[arg-type]
            rounds=rounds,
            network=network,
            run=run,
            module=module,
            weights=weights,
            group=group,
            epochs=epochs,
            epsilon=epsilon,
            distillation=distillation,
            device=device,
            torch_device=torch_device,
            workers=chosen_workers(workers, leave_out),
            resume=resume,
            listener=bars,
        )
    table = Table()
    shown = ("sparsity", "params", "accuracy", "cwv", "mcd", "degradation_fairness")
    table.add_column("network", no_wrap=True)
    for column in (*shown, "latency_ms", "iterations"):
        table.add_column(column.replace("_fairness", ""), justify="right")
    for _, row in frame.iterrows():
        cells = [f"{row[name]:,}" if name == "params" else f"{row[name]:.4f}" for name in shown]
        latency = "unknown" if row["latency_ms"] is None or isnan(row["latency_ms"]) else f"{row['latency_ms']:.3f}"
        table.add_row(row["name"], *cells, latency, f"{row['iterations']:,}")
    print_table(table)
    say(f"on the test part, fairness between the groups of {frame['group'].iloc[0]}: {folder}/pruned.csv")


def _ratios(texts: list[str]) -> dict[str, float]:
    ratios: dict[str, float] = {}
    for text in texts:
        layer, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = float("nan")
        if not equals or not layer or value != value:
            raise typer.BadParameter(f"{text!r} is no layer's share: write LAYER=0.5")
        if layer in ratios:
            raise typer.BadParameter(f"layer {layer!r} is given twice: give each once")
        ratios[layer] = value
    return ratios

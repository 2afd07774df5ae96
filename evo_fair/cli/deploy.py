"""`evo-fair deploy`: from a run's front to networks that are trained, checked, measured and tested."""

from collections.abc import Sequence
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_fair.cli.options import (
    DataOption,
    LeaveOutOption,
    TorchDeviceOption,
    WorkersOption,
    chosen_workers,
    resume_command,
)
from evo_fair.show import say

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["deploy", "say_unpredicted"]


_ENDS = ("", "_low", "_high")


def _weight(text: str | float) -> float:
    """A weight, or `default` for the default one, which the help states."""
    if text == "default":
        from evo_fair.nets.fair_training import DEFAULT_FAIRNESS_WEIGHT

        return DEFAULT_FAIRNESS_WEIGHT
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no weight: give a number of 0 or more, or default") from None


def deploy(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that a search wrote.")],
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            help="A network of the front by its id, or all; can be repeated. Default: the best in each objective "
            "and one between them.",
        ),
    ] = None,
    data: DataOption = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            help="Epochs of training; 0 takes the supernet's weights. Default: 10, or the recipe's from scratch.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            help="The peak of the learning rate. Default: a fifth of the recipe's; from scratch the recipe's.",
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Train from random weights instead of the supernet's; what the search trained like this is reused.",
        ),
    ] = False,
    fairness_weight: Annotated[
        float,
        typer.Option(
            "--fairness-weight",
            parser=_weight,
            metavar="W",
            help="Weight of the fairness term in training's loss, the bounded difference of the groups' mean losses; "
            "default for 1.0. Without this option: 0, none.",
        ),
    ] = 0.0,
    balance_groups: Annotated[
        bool, typer.Option("--balance-groups", help="Draw every group equally often in training.")
    ] = False,
    distillation: Annotated[
        float,
        typer.Option(
            "--distillation",
            metavar="SHARE",
            help="The share of training's loss that follows what the whole network says of the same images, 0 to 1; "
            "for pruned forms of a network of your own. Without this option: 0, labels alone.",
        ),
    ] = 0.0,
    even_groups: Annotated[
        float | None,
        typer.Option(
            "--even-groups",
            metavar="EPSILON",
            help="Move the trained networks' outputs, by label, so that all groups are right equally often. It may "
            "cost this much accuracy, 0.01 for a point, on validation samples that the move is not fitted to.",
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also write and report 8-bit networks.")] = False,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            help="A trained reference network's name, or an ONNX file, to time in the same rounds; can be repeated.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            help="A device to predict latency for, its name or its profile's path; can be repeated. Default: the "
            "run's, if its profile comes with evo_fair.",
        ),
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(
            "--module",
            help="The code of the network that the run searched, if it was one of your own: file.py:function or "
            "package.module:function. Its weights are in the run.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of training and of the intervals.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the networks. Default: RUN/deployed.")] = None,
    torch_device: TorchDeviceOption = "auto",
    workers: WorkersOption = None,
    leave_out: LeaveOutOption = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a deployment that was broken off, or add networks to it.")
    ] = False,
) -> None:
    """Trains networks of a front on, exports, checks and measures them, and reports on the test part."""
    from evo_fair.cli.interrupts import resumable, saved
    from evo_fair.cli.progress import ProgressBars
    from evo_fair.jobs.deploy import deploy as deploy_run

    folder = out or run / "deployed"
    state = partial(saved, folder, "nothing had been made yet")
    with resumable(resume_command(), state) as check, ProgressBars(check) as bars:
        table = deploy_run(
            run,
            networks=network,
            data=data,
            epochs=epochs,
            learning_rate=learning_rate,
            from_scratch=from_scratch,
            fairness_weight=fairness_weight,
            balance_groups=balance_groups,
            distillation=distillation,
            even_groups=even_groups,
            int8=int8,
            references=reference or (),
            devices=device,
            seed=seed,
            module=module,
            out=out,
            torch_device=torch_device,
            workers=chosen_workers(workers, leave_out),
            resume=resume,
            listener=bars,
        )
    _show(table)
    _say_objectives(table)
    _say_worst_groups(table)
    _show_evenness(table)
    say_unpredicted(run, table, device or ())
    say(f"the networks: {folder}; every figure: {(out or run) / 'deployed.csv'}")


def say_unpredicted(run: Path, table: "pd.DataFrame", wanted: Sequence[str]) -> None:
    """Says on which devices of the run no latency is predicted, unless others are wanted."""
    from evo_fair.report import load_run

    predicted = {str(name) for name in table if str(name).startswith("predicted_ms[")}
    unknown = [name for name in load_run(run).devices if f"predicted_ms[{name}]" not in predicted]
    if not predicted:
        say("no latency is predicted: the run's own profile does not come with evo_fair; give it with --device")
    elif unknown and not wanted:
        names = ", ".join(unknown)
        say(f"no latency is predicted on {names}, whose profiles don't come with evo_fair; give them with --device")


def _show(table: "pd.DataFrame") -> None:
    from evo_fair.tables import Table, print_table

    columns = [str(name) for name in table]
    references = bool((table["role"] == "reference").any())
    wanted = ("accuracy", "unfairness[", "worst_group_accuracy[")  # of the run's own grouping, which comes first
    found = [next((name for name in columns if name.startswith(start)), None) for start in wanted]
    metrics = [name for name in found if name]
    predicted = [name for name in columns if name.startswith("predicted_ms[")]
    shown = Table("test part, 95 % intervals")
    shown.add_column("network")
    if references:
        shown.add_column("role")
    headings = ["precision", "params", "bytes", "here ms", *(name[13:-1] + " ms" for name in predicted)]
    for heading in [*headings, *(name.replace("_", " ") for name in metrics)]:
        shown.add_column(heading, justify="right")
    for row in table.to_dict("records"):
        latencies = [row["measured_ms"], *(row[name] for name in predicted)]
        shown.add_row(
            row["id"],
            *([row["role"]] if references else []),
            row["precision"],
            f"{row['params']:,}",
            f"{row['onnx_bytes']:,}",
            *("-" if isnan(value) else f"{value:.3f}" for value in latencies),
            *(_interval(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in metrics),
        )
    print_table(shown)


def _say_objectives(table: "pd.DataFrame") -> None:
    """Says, a line each, what the search's other objectives are of which networks; 8-bit forms are left to the CSV."""
    from evo_fair.report.page_sheet import searched_metrics

    for column, (name, grouping) in searched_metrics(table).items():
        rows = table[(table["precision"] == "fp32") & table[column].notna()].to_dict("records")
        told = "; ".join(f"{row['id']}, {_interval(*(row[f'{column}{end}'] for end in _ENDS))}" for row in rows)
        say(f"{name.replace('_', ' ')}, by {grouping}: {told}")


def _say_worst_groups(table: "pd.DataFrame") -> None:
    """Says which group of each grouping is the worst one, of which networks; 8-bit forms are left to the CSV."""
    start = "worst_group_accuracy["
    for worst in (str(name) for name in table if str(name).startswith(start) and f"{name}_low" in table):
        grouping = worst[len(start) : -1]
        before = f"accuracy[{grouping}:"
        groups = [str(name) for name in table if str(name).startswith(before) and f"{name}_low" in table]
        networks: dict[str, list[str]] = {}
        for row in table[table["precision"] == "fp32"].to_dict("records"):
            for name in groups:
                if row[name] == row[worst]:
                    right = _interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
                    networks.setdefault(name[len(before) : -1], []).append(f"{row['id']}, {right}")
        told = "; ".join(f"{group!r} of {' and '.join(those)}" for group, those in networks.items())
        if told:
            say(f"the worst group of {grouping}: {told}")


def _show_evenness(table: "pd.DataFrame") -> None:
    """A line a network on how far its outputs were moved, and what that does to samples that it was not fitted to."""
    if "even_groups" not in table:
        return
    rows = table[(table["role"] == "front") & (table["precision"] == "fp32")]
    for row in rows.to_dict("records"):
        if not row["even_strength"]:
            said = "outputs stay as they are: no move makes groups more even within the limit"
        else:
            said = (
                f"outputs moved at a strength of {row['even_strength']:g}; on validation samples left out of the fit "
                f"accuracy falls by {row['held_out_accuracy_lost']:.4f} (limit {row['even_groups']:g}) and the "
                f"variance of the groups' by {row['held_out_group_variance_lost']:.5f}"
            )
        say(f"{row['id']}: {said}")


def _interval(value: float, low: float, high: float) -> str:
    if isnan(value):
        return "-"
    return f"{value:.3f}" if isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"

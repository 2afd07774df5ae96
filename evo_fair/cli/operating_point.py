"""`evo-fair operating-point`: the best network under declared limits, and what each limit costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_fair.show import counted, say

if TYPE_CHECKING:
    from evo_fair.report.operating_point import Choice

__all__ = ["operating_point"]

_LEAST_PERCENT = 2
"""What a limit on a share may mean in percent: less is a slip of another kind, such as 1.1, or nobody's limit."""


def operating_point(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a search, an audit or a pruning; or a CSV of networks.")
    ],
    constraint: Annotated[
        list[str] | None, typer.Option("--constraint", help="A limit such as 'accuracy>=0.75'; can be repeated.")
    ] = None,
    minimise: Annotated[
        str | None, typer.Option("--minimise", help="The column to make as small as possible. Default: latency_ms.")
    ] = None,
    maximise: Annotated[
        str | None,
        typer.Option("--maximise", help="The column to make as large as possible. Default of audits: sparsity."),
    ] = None,
) -> None:
    """Names the non-dominated network that is best in one goal within all limits, or none, and each limit's cost."""
    from evo_fair.evolution import parse_limit
    from evo_fair.fairness.metrics import ACCURACIES
    from evo_fair.report.candidates import choose_in

    choice = choose_in(run, constraint or [], minimise, maximise)
    _say_point(choice)
    names = {name: f"believed {name}" for name in choice.believed}
    better = "highest" if choice.goal.direction == "max" else "lowest"
    goal = f"{better} {names.get(choice.goal.name, choice.goal.name)}"
    if choice.point is not None and minimise is None and maximise is None:
        within = " within the limits" if choice.costs else ""
        say(f"it has the {goal}{within}; --minimise or --maximise names another goal{_another_goal(choice)}")
    for cost in choice.costs:
        without = "without it there is still none" if cost.best is None else f"without it the {goal} is {cost.best:g}"
        if cost.nearest is not None:
            limit = parse_limit(cost.limit)
            end = "highest" if limit.relation == ">=" else "lowest"
            nearest = f"the {end} {names.get(limit.name, limit.name)} is {cost.nearest:g}"
            is_share = limit.name.partition("[")[0] in ACCURACIES and cost.nearest <= 1  # a CSV's can be in percent
            too_large = is_share and _LEAST_PERCENT <= limit.number <= 100
            mend = f" (it is a share: write {limit.number / 100:g} for {limit.number:g} %)" if too_large else ""
            told = f" is met by no network: {nearest}{mend}; {without}"
        elif cost.cost is not None:
            told = f" costs {cost.cost:.3g} of {names.get(choice.goal.name, choice.goal.name)}: {without}"
        else:
            told = f": {without}"
        say(f"limit {cost.limit}{told}")
    if choice.caution:
        say(f"warning: {choice.caution}")
    if choice.of_test_part:
        say("accuracies here are of the test part, which has chosen nothing: report them, and choose from the run")
    elif choice.point is not None:
        say("these figures come from the samples that chose the network: on other samples it may break a limit")


def _another_goal(choice: "Choice") -> str:
    """An example of another goal; empty where there is none, as for figures of a test part, which choose nothing."""
    for name, option in (("error", "minimise"), ("accuracy", "maximise")):
        if choice.point is not None and name in choice.point and name != choice.goal.name and not choice.of_test_part:
            return f", such as --{option} {name}"
    return ""


def _say_point(choice: "Choice") -> None:
    """The network's figures, whose the worst group's accuracy is, and what is believed of the network."""
    if choice.point is None:
        say("none: no network of the front is within all limits")
        return
    say(*choice.point.dropna().drop("genome", errors="ignore").to_string(dtype=False).split("\n"))
    if choice.worst_groups:
        groups = ", and ".join(f"{name}, {counted(n, 'sample')}" for name, n in choice.worst_groups.items())
        say(f"worst_group_accuracy is that of {groups} of the validation part")
    for name, value in choice.believed.items():
        say(f"{name} is read as {choice.point[name]:g} and believed to be {value:g}, which is what counts")

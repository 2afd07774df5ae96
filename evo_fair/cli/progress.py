"""How far a job is, on standard error: progress bars, and in a log plain lines."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from evo_fair.cli.interrupts import Check
from evo_fair.data import PARTS, Dataset, Grouping
from evo_fair.data.progress import heard
from evo_fair.evolution import Outcome
from evo_fair.evolution import Progress as Standing
from evo_fair.jobs.listener import Listener
from evo_fair.nets import Step
from evo_fair.own import NetworkSpace
from evo_fair.show import counted, visible
from evo_fair.space import SearchSpace
from evo_fair.tables import plain_console

__all__ = ["ProgressBars", "progress_bars"]


_MOST_GROUPS = 12
"""How many groups of a grouping are named with their sizes."""

_SECONDS_BETWEEN_LINES = 10.0
"""Of steps in a log that are many and short: a calibration's, and images that are decoded."""


class ProgressBars(Listener):
    """A bar a stage: the supernet's epochs, the search's budget, the front's networks; plain lines in a log.

    `check` is called at every step of a bar.
    """

    def __init__(self, check: Check = lambda: None) -> None:
        self._check = check
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=plain_console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._said_at = time.monotonic()
        self._ahead = ""

    def __enter__(self) -> Self:
        self._bars.start()
        self._hearing = heard(self.decoding)
        self._hearing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hearing.__exit__(kind, error, trace)
        self._bars.stop()

    def decoding(self, done: int, images: int) -> None:
        """Moves the bar of the images that are decoded; in a log says every ten seconds where it is."""
        self._check()
        self._step("images", done, images, "decoded, kept for the next time")

    def writing(self, folder: Path) -> None:
        """Says where, ahead of the first line of what is done there: input that is refused after all stays one line."""
        self._ahead = f"writes into {folder}"

    def prepared(self, dataset: Dataset, space: SearchSpace | NetworkSpace) -> None:
        """Says how large everything is."""
        parts = ", ".join(f"{len(dataset.part(part)):,} {part}" for part in PARTS)
        unknown = {name: int((grouping.index < 0).sum()) for name, grouping in dataset.groupings.items()}
        lacking = ", ".join(f"{name} in {count:,}" for name, count in unknown.items() if count)
        self._say(
            f"{dataset.name}: {parts} samples{f' (not known: {lacking})' if lacking else ''}; "
            f"{len(space.gene_names)} genes, {space.magnitude} different networks"
        )
        self._say("; ".join(_with_sizes(dataset.groupings[name]) for name in _labels_first(dataset)))

    def waiting(self, reason: str) -> None:
        """Says for whom."""
        self._say(reason)

    def training(self, step: Step) -> None:
        """Moves the supernet's bar."""
        self._show("supernet", step.epoch, step.epochs, f"loss {step.loss:.3f}")

    def training_resumed(self, step: Step) -> None:
        """Says where it goes on."""
        self._say(f"supernet: its training was broken off, and goes on after epoch {step.epoch} of {step.epochs}")

    def frozen(self, blocks: tuple[str, ...], before: SearchSpace, after: SearchSpace) -> None:
        """Says what is frozen and how much is left."""
        what = f"{', '.join(blocks)}: {before.magnitude} networks become {after.magnitude}" if blocks else "nothing"
        self._say(f"header frozen: {what}")

    def searching(self, progress: Standing) -> None:
        """Moves the search's bar."""
        left = "" if progress.seconds_left is None else f", {_duration(progress.seconds_left)} left"
        drawn = f", {counted(progress.drawn, 'network')} drawn at random" if progress.drawn else ""
        note = (
            f"generation {progress.generation}, {progress.networks_per_second:.1f} networks/s, "
            f"hypervolume {progress.hypervolume:.4f}{drawn}{left}"
        )
        self._show("search", progress.evaluated, progress.budget, note)

    def ended(self, outcome: Outcome) -> None:
        """Says why a search ended before its budget was spent."""
        why = {
            "exhausted": "there is no network left that was not looked at",
            "stalled": "nothing new is within the limits of the constraints",
        }
        if outcome.reason in why:
            self._say(f"ended after {counted(outcome.evaluated, 'network')}: {why[outcome.reason]}")

    def undrawn(self, reason: str) -> None:
        """Says why."""
        self._say(reason)

    def exporting(self, done: int, networks: int) -> None:
        """Moves the front's bar."""
        self._show("networks", done, networks, "ONNX, checked against torch", summary=True)

    def tuning(self, network: str, step: Step) -> None:
        """Moves the bar of a network that is trained."""
        self._show(network, step.epoch, step.epochs, f"loss {step.loss:.3f}", summary=True)

    def trained(self, done: int, trainings: int) -> None:
        """Moves the bar of the search's trainings."""
        self._show("trainings", done, trainings, "networks trained from nothing")

    def deployed(self, done: int, networks: int) -> None:
        """Moves the bar of the networks to deploy."""
        self._show("deployed", done, networks, "trained, ONNX checked against torch")

    def timing(self, done: int, rounds: int) -> None:
        """Moves the bar of the latency measurement."""
        self._show("timing", done, rounds, "rounds over all networks", summary=True)

    def pruned(self, network: str, done: int, networks: int) -> None:
        """Moves the bar of the pruned networks."""
        self._show("pruned", done, networks, network)

    def audited(self, done: int, networks: int, rate: float) -> None:
        """Moves the audit's bar."""
        self._show("audit", done, networks, f"{rate:.3g} networks/s")

    def calibrating(self, stage: str, done: int, total: int) -> None:
        """Moves the bar of a stage; in a log says every ten seconds where it is."""
        self._step(stage, done, total, "")

    def noted(self, line: str) -> None:
        """Says it."""
        self._check()
        self._say(line)

    def warned(self, line: str) -> None:
        """Says it."""
        self._say(f"warning: {line}")

    def _say(self, line: str) -> None:
        self._say_ahead()
        self._bars.console.print(visible(line), soft_wrap=True)

    def _say_ahead(self) -> None:
        if self._ahead:
            self._bars.console.print(visible(self._ahead), soft_wrap=True)
        self._ahead = ""

    def _step(self, name: str, done: int, total: int, note: str) -> None:
        """Moves a bar of many short steps; in a log prints a line now and then."""
        if self._bars.console.is_terminal:
            self._show(name, done, total, note)
        elif time.monotonic() - self._said_at >= _SECONDS_BETWEEN_LINES:
            self._say(f"{name} {done}/{total}{note and ': '}{note}")
            self._said_at = time.monotonic()

    def _show(self, name: str, done: int, total: int, note: str, summary: bool = False) -> None:
        """Moves a bar; in a log prints a line, of a `summary` only the last."""
        self._check()
        if not self._bars.console.is_terminal:
            if summary and done < total:
                return
            self._say(f"{name} {done}/{total}: {note}")
            return
        self._say_ahead()
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(visible(name), total=total, note="")
        self._bars.update(self._tasks[name], completed=done, note=visible(note))


@contextmanager
def progress_bars() -> Iterator[Listener]:
    """Shows on standard error how far jobs are, as the command line does, while the block runs.

    Searches, trainings, deployments, prunings and audits that get `listener=bars` have
    a bar for each stage. Where standard error is no terminal, such as in a notebook,
    it is a line for each step. Images that are decoded are shown, too.

    Returns:
        The listener to hand to the jobs.

    Example:
        >>> with ef.progress_bars() as bars:
        ...     run = ef.search("digits", budget=16, population=8, out="results/shown", listener=bars)
        >>> len(run.front) > 0
        True
    """
    with ProgressBars() as bars:
        yield bars


def _labels_first(dataset: Dataset) -> list[str]:
    return sorted(dataset.groupings, key=lambda name: name != "class")


def _with_sizes(grouping: Grouping) -> str:
    """A grouping with its groups, or the labels, and how many samples each has: `race: white 481, other 62`."""
    told = [f"{name} {size:,}" for name, size in zip(grouping.names, grouping.sizes, strict=True)]
    if len(told) > _MOST_GROUPS:
        told[_MOST_GROUPS:] = [f"{len(told) - _MOST_GROUPS} more"]
    return f"{'labels' if grouping.name == 'class' else grouping.name}: {', '.join(told)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"

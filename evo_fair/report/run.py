"""A run as its user sees it: the front, the figure and the operating point, all read from its folder."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from evo_fair.arguments import as_path, as_text, as_texts
from evo_fair.belief.store import read_beliefs
from evo_fair.errors import RunError
from evo_fair.evolution import (
    Axis,
    Limit,
    Record,
    RunFolder,
    front_of,
    networks_frame,
    open_run,
    read_front,
    read_journal,
    write_front,
)
from evo_fair.evolution.front import BELIEVED, UNCERTAINTY
from evo_fair.evolution.journal import check_objectives
from evo_fair.evolution.searched import Searched
from evo_fair.files import read_text
from evo_fair.report.operating_point import operating_point

__all__ = ["Run", "load_run"]


class Run:
    """What a search found; reads the journal when it is first needed, and changes nothing unless asked to write.

    Get one from `search` or `load_run`.

    Args:
        folder: The opened folder of a run.

    Example:
        >>> run = ef.load_run("results/digits")
        >>> bool(run.front["error"].max() < 1)
        True
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        searched = Searched.of(folder)
        self.axes: tuple[Axis, ...] = searched.axes
        self.limits: tuple[Limit, ...] = searched.limits
        self._begins_with_whole = searched.begins_with_whole

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._folder.path

    @property
    def configuration(self) -> dict[str, Any]:
        """What `run.toml` says."""
        return self._folder.configuration

    @property
    def sources(self) -> dict[str, str]:
        """Hashes of the code of objectives that are the user's own, by name; the first versions wrote none."""
        known = self.configuration["search"].get("sources")
        return {name: str(source) for name, source in known.items()} if isinstance(known, dict) else {}

    @property
    def devices(self) -> dict[str, str]:
        """The devices that it was searched for, the first first: name -> SHA-256 of the profile."""
        return self._folder.devices

    @cached_property
    def records(self) -> list[Record]:
        """The journal: every network that was looked at, in order; raises `RunError` where only the front was kept."""
        if self._only_front:
            raise RunError(
                f"{self.path} holds its front but no journal.jsonl, which this needs: restore it, or search again"
            )
        records = read_journal(self._folder.journal)
        check_objectives(self._folder.journal, records, self.axes)
        return records

    @cached_property
    def beliefs(self) -> pd.DataFrame | None:
        """What is believed of every evaluated network (`beliefs.csv`); None in a run that has not got so far."""
        path = self.path / "beliefs.csv"
        if not path.exists():
            return None
        names = [axis.name for axis in self.axes]
        evaluated = [record.id for record in self.records if record.evaluated]
        return read_beliefs(path, names, evaluated, ended=self._folder.front.exists())

    @property
    def findings(self) -> list[str]:
        """What the search found out about these data, a plain sentence or three for each objective."""
        path = self.path / "findings.txt"
        return read_text(path, RunError).splitlines() if path.exists() else []

    @property
    def unfinished(self) -> str:
        """What is to be said of a search that has not ended, in a sentence; empty for one that has."""
        if self._folder.front.exists():
            return ""
        budget = self.configuration["search"].get("budget", "?")
        evaluated = sum(record.evaluated for record in self.records)
        told = f"{evaluated} of {budget} networks are evaluated"
        if isinstance(budget, int) and evaluated > budget:  # they come on top of the budget
            told = f"{evaluated} networks are evaluated, {evaluated - budget} of them chosen by trainings"
        read = "" if self.beliefs is not None else ", and limits and goals go by what was read, not by what is believed"
        return (
            f"the search in {self.path} has not ended: {told}, and its front may change{read}; go on with the same "
            "command and --resume"
        )

    @cached_property
    def networks(self) -> pd.DataFrame:
        """A row a network of the journal; see `networks_frame`. A damaged front beside it is refused."""
        if self._folder.front.exists():
            read_front(self._folder.front, self.axes)
        return networks_frame(self.records, self.axes, self.beliefs)

    @cached_property
    def front(self) -> pd.DataFrame:
        """A row a network of the front: `id`, the objectives, what is believed of them, the other metrics, accuracies
        by group, `genome`; see `front_of`."""
        if self._only_front:
            return read_front(self._folder.front, self.axes)
        return front_of(self.networks, self.axes)

    @property
    def whole(self) -> str | None:
        """The id of the whole network in a search of what pruning leaves of one; None in other searches.

        It is the first that such a search looks at. Also None where only the front was kept.
        """
        known = self._begins_with_whole and not self._only_front
        return self.records[0].id if known and self.records else None

    @property
    def front_records(self) -> list[Record]:
        """The front's records, in the front's order."""
        by_id = {record.id: record for record in self.records}
        return [by_id[name] for name in self.front["id"]]

    def believed(self) -> dict[str, dict[str, dict[str, float]]]:
        """What is believed of the front's networks.

        Returns:
            By network and objective: `value` and `uncertainty`, its standard error; {}
            in a run without beliefs.
        """
        front = self.front
        names = [axis.name for axis in self.axes if f"{axis.name}{BELIEVED}" in front]
        if not names:
            return {}
        return {
            str(row["id"]): {
                name: {"value": float(row[f"{name}{BELIEVED}"]), "uncertainty": float(row[f"{name}{UNCERTAINTY}"])}
                for name in names
            }
            for row in front.to_dict("records")
        }

    @property
    def _only_front(self) -> bool:
        """Whether the journal is missing, as from results that were passed on without it."""
        return not self._folder.journal.exists() and self._folder.front.exists()

    def operating_point(
        self, limits: Sequence[str], minimise: str | None = None, *, maximise: str | None = None
    ) -> "pd.Series[Any] | None":
        """The front's best network within `limits`, or None where no network keeps them.

        Args:
            limits: Limits on columns of the front, such as `accuracy >= 0.75`.
            minimise: The column to make as small as possible, such as `latency_ms`.
                Default: none; the goal is then `maximise`.
            maximise: The column to make as large as possible, such as `accuracy`.
                Default: none; the goal is then `minimise`.

        Returns:
            The network's row of `front`, or None.

        Raises:
            ConstraintError: A limit can't be read or names no column, the goal is
                better the other way round, or there are none or two.
            UnknownNameError: The goal is no column.

        Example:
            >>> run = ef.load_run("results/digits")
            >>> run.operating_point(["latency_ms <= 0"], minimise="error") is None
            True
        """
        limits = as_texts("limits", limits)
        minimise = None if minimise is None else as_text("minimise", minimise)
        maximise = None if maximise is None else as_text("maximise", maximise)
        return operating_point(self.front, limits, minimise, self.axes, maximise=maximise)

    def write_front(self) -> None:
        """Writes `front.csv`."""
        write_front(self._folder.front, self.front)

    def plot(self, path: str | Path) -> None:
        """Draws the front, pair by pair of objectives.

        Args:
            path: The figure's file; its suffix says the form (`.png`, `.pdf`, `.svg`).

        Raises:
            EvoFairError: The suffix is none of these.
            FigureError: The values can't be drawn.
            StorageError: The file can't be written.
        """
        from evo_fair.report.plots import pareto

        pareto([self], [as_path("path", path)])


def load_run(folder: str | Path) -> Run:
    """The run in a folder.

    Args:
        folder: The folder that a search wrote.

    Returns:
        The run; its journal is read when it is first needed.

    Raises:
        RunError: The folder holds no run, or a damaged one.

    Example:
        >>> run = ef.load_run("results/digits")
        >>> run.configuration["search"]["seed"]
        0
    """
    return Run(open_run(as_path("folder", folder)))

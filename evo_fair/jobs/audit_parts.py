"""Runs an audit part by part: measures, stores, keeps within a stated time, and says how far it is."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.auditing.measure import metrics_of, rows_of
from evo_fair.auditing.store import AuditFolder
from evo_fair.data import Dataset, check_samples
from evo_fair.errors import AuditError, DataError, DataWarning
from evo_fair.files import write_json
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers import Team

__all__ = ["Measured", "audited_groupings", "run_parts"]


Measured = tuple[npt.NDArray[np.uint8], dict[str, list[float]]]
"""Predictions `[networks, samples]`, and what else is only known now, by column of the table of networks."""


def audited_groupings(dataset: Dataset, group: str, others: Sequence[str]) -> tuple[str, ...]:
    """The groupings of an audit beside `class`: `group`, and those of the others with samples of each group to audit.

    Warns of others that are left out. Raises `DataError` if `group` itself, or a label, lacks some.
    """
    found = [name for name in (group,) if name != "class"]
    check_samples(dataset, found, 1)
    for name in dict.fromkeys(others):
        if name in ("class", group):
            continue
        try:
            check_samples(dataset, (name,), 1)
        except DataError as reason:
            warnings.warn(f"{name!r} is left out of the audit: {reason}", DataWarning, stacklevel=2)
            continue
        found.append(name)
    return tuple(found)


def run_parts(
    folder: AuditFolder,
    dataset: Dataset,
    part: str,
    group: str,
    groupings: Sequence[str],
    predict: Callable[[pd.DataFrame], Measured],
    jobs: int,
    minutes: float | None,
    listener: Listener,
    pilots: int = 1,
    team: Team | None = None,
) -> None:
    """Measures every part that is not finished: `predict` takes its rows of the plan, in a team's workers if there is
    one, to which it can then be sent.

    With `minutes`, an audit that would take longer, going by the first `pilots` parts that are measured, raises
    `AuditError` saying how long; those parts stay. A team measures whole rounds of them, a part a worker: its first
    part alone would look as if the others had nothing to do. How fast it went is noted in `timing.json`, over all
    calls together.
    """
    plan, parts, before = folder.plan, folder.parts, folder.timing or {"networks": 0, "seconds": 0.0}
    done = sum(len(rows) for number, rows in enumerate(parts) if folder.finished(number))
    start, measured, in_time = time.monotonic(), 0, False
    missing = [number for number in range(len(parts)) if not folder.finished(number)]
    found = _measured(team, predict, {number: plan.iloc[parts[number]] for number in missing})
    for measured_parts, (number, (predictions, facts)) in enumerate(found, 1):
        rows = parts[number]
        ids = plan.iloc[rows]["id"].tolist()
        table = metrics_of(ids, predictions, dataset, part, group, groupings).assign(**facts)
        folder.write_part(number, table, rows_of(ids, predictions, dataset, part, groupings or ("class",)), predictions)
        done, measured = done + len(rows), measured + len(rows)
        seconds = time.monotonic() - start
        rate = measured / seconds
        _note(folder, before["networks"] + measured, before["seconds"] + seconds, jobs)
        listener.audited(done, len(plan), rate)
        if not in_time and measured_parts >= _whole_rounds(pilots, team):
            _check_time(len(plan), len(plan) - done, rate, minutes)
            in_time = True


def _note(folder: AuditFolder, networks: int, seconds: float, jobs: int) -> None:
    """Writes how fast it went so far, which the next call adds to after a kill."""
    note = {"networks": networks, "seconds": round(seconds, 1), "rate": round(networks / seconds, 2), "jobs": jobs}
    write_json(folder.path / "timing.json", note)


def _measured(
    team: Team | None, predict: Callable[[pd.DataFrame], Measured], parts: Mapping[int, pd.DataFrame]
) -> Iterator[tuple[int, Measured]]:
    """What is measured of each part, by its number: in order, or as a team's workers have it ready."""
    if team is None or not parts:
        yield from ((number, predict(rows)) for number, rows in parts.items())
        return
    with team.loaded(_Predicts(predict, parts)) as load:
        numbers = list(parts)
        for place, found in team.each(load, numbers, lambda number: f"part {number} of the audit"):
            yield numbers[place], found


@dataclass(frozen=True)
class _Predicts:
    """What a worker calls with a part's number."""

    predict: Callable[[pd.DataFrame], Measured]
    parts: Mapping[int, pd.DataFrame]

    def __call__(self, number: int) -> Measured:
        return self.predict(self.parts[number])


def _whole_rounds(parts: int, team: Team | None) -> int:
    """So many parts or a few more, so that every worker has measured as many."""
    width = team.width if team else 1
    return -(-parts // width) * width


def _check_time(networks: int, left: int, rate: float, minutes: float | None) -> None:
    if minutes is None or left / rate <= 60 * minutes:
        return
    raise AuditError(
        f"an audit of {networks:,} networks takes about {_duration(left / rate)} more at {rate:.3g} networks a second, "
        f"and --time allows {minutes:g} minutes, enough for about {max(3, int(60 * minutes * rate)):,}: "
        "allow that long and --resume, or ask for fewer"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"

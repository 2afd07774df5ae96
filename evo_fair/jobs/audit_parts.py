"""Runs an audit part by part: measures, stores, keeps within a stated time, and says how far it is."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.auditing.measure import metrics_of, rows_of
from evo_fair.auditing.store import AuditFolder
from evo_fair.data import Dataset
from evo_fair.errors import AuditError
from evo_fair.files import write_json
from evo_fair.jobs.listener import Listener

__all__ = ["Measured", "run_parts"]


Measured = tuple[npt.NDArray[np.uint8], dict[str, list[float]]]
"""Predictions `[networks, samples]`, and what else is only known now, by column of the table of networks."""


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
) -> None:
    """Measures every part that is not finished: `predict` takes its rows of the plan.

    With `minutes`, an audit that would take longer, going by the first `pilots` parts that are measured, raises
    `AuditError` saying how long; those parts stay. How fast it went is noted in `timing.json`.
    """
    plan, parts = folder.plan, folder.parts
    done = sum(len(rows) for number, rows in enumerate(parts) if folder.finished(number))
    start, measured, measured_parts = time.monotonic(), 0, 0
    for number, rows in enumerate(parts):
        if folder.finished(number):
            continue
        chosen = plan.iloc[rows]
        ids = chosen["id"].tolist()
        predictions, facts = predict(chosen)
        table = metrics_of(ids, predictions, dataset, part, group, groupings).assign(**facts)
        folder.write_part(number, table, rows_of(ids, predictions, dataset, part, groupings or ("class",)), predictions)
        measured_parts += 1
        done, measured = done + len(rows), measured + len(rows)
        rate = measured / (time.monotonic() - start)
        listener.audited(done, len(plan), rate)
        if measured_parts == pilots:
            _check_time(len(plan), len(plan) - done, rate, minutes)
    if measured:
        seconds = time.monotonic() - start
        note = {"networks": measured, "seconds": round(seconds, 1), "rate": round(measured / seconds, 2), "jobs": jobs}
        write_json(folder.path / "timing.json", note)


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

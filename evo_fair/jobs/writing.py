"""Writing the networks of a front, several at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from evo_fair.export.card import keep_written
from evo_fair.files import remove_leftovers
from evo_fair.jobs.devices import card_facts
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.preparation import Prepared
from evo_fair.nets.device import TorchDevice
from evo_fair.nets.threads import torch_threads
from evo_fair.report import Run

__all__ = ["FrontNetwork", "Written", "in_threads", "write_front_networks"]

T = TypeVar("T")

Written = Callable[[int], None]
"""Hears how many networks have been written and checked."""


class FrontNetwork(NamedTuple):
    """A network to write: its id, its genome, and the facts that its card states."""

    name: str
    genome: Sequence[int]
    facts: dict[str, Any]


class WritesNetworks(Protocol):
    """Where a front's networks come from; `device` is where they were evaluated."""

    @property
    def device(self) -> TorchDevice: ...

    def hashes(self) -> dict[str, str]:
        """What a card says of it."""

    def write_networks(
        self, folder: Path, networks: Sequence[FrontNetwork], groupings: Sequence[str], jobs: int, written: Written
    ) -> None:
        """Writes networks and their cards, with `jobs` threads; `written` hears how many are there."""


def write_front_networks(
    folder: Path, run: Run, prepared: Prepared, origin: WritesNetworks, jobs: int, listener: Listener
) -> None:
    """Writes the networks of a run's front and their cards to its `folder`, where they are not there yet.

    What lies there of an earlier front, which had fewer trainings to go by, is removed.
    """
    for place in (run.path, folder):
        remove_leftovers(place)
    devices, profiles = card_facts(prepared.profiles)
    records, believed = run.front_records, run.believed()
    for name in {record.id for record in run.records} - {record.id for record in records}:
        for kind in ("onnx", "json"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    networks = []
    for record in records:
        facts = {
            "problem": prepared.problem.name,
            "data": {"name": prepared.dataset.name, "licence": prepared.dataset.licence},
            **devices,
            **origin.device.described(),
            "objectives": dict(record.objectives),
            **({"believed": believed[record.id]} if believed else {}),
            "metrics": dict(record.metrics),
            "hashes": {**origin.hashes(), "data": prepared.dataset.fingerprint, **profiles},
        }
        networks.append(FrontNetwork(record.id, record.genome, facts))
    groupings = prepared.groupings
    left = [network for network in networks if not keep_written(folder, network.name, network.facts, groupings)]
    kept = len(networks) - len(left)
    if kept:
        listener.exporting(kept, len(networks))
    if left:
        origin.write_networks(
            folder, left, groupings, jobs, lambda done: listener.exporting(kept + done, len(networks))
        )


def in_threads(write: Callable[[T], None], pieces: Sequence[T], threads: int, written: Written) -> None:
    """Calls `write` for every piece, `threads` at a time; raises what the first piece that fails in their order raises.

    `written` is called in this thread, in the order of the pieces; what it raises ends the work.
    """
    with torch_threads(1), ThreadPoolExecutor(threads, "writing") as pool:
        writing = [pool.submit(write, piece) for piece in pieces]
        try:
            for done, one in enumerate(writing, 1):
                one.result()
                written(done)
        finally:
            pool.shutdown(cancel_futures=True)

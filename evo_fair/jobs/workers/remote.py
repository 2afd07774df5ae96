"""What runs in a worker: it opens a parcel once, makes pieces one at a time, and answers with bytes."""

import platform
import sys
import time
import traceback
from collections import OrderedDict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, NamedTuple

import cloudpickle

from evo_fair import __version__
from evo_fair.errors import EvoFairError, in_a_line
from evo_fair.jobs.workers.parcel import NotHere, Ticket, opened
from evo_fair.nets.plain import plain_torch
from evo_fair.one_at_a_time import one_at_a_time
from evo_fair.registry import take_up

__all__ = ["Answer", "MadeElsewhere", "receive", "run_piece", "versions"]

_KEPT = 2
"""Parcels that a worker keeps open: a search's networks, and its trainings."""

_open: OrderedDict[str, Any] = OrderedDict()
_received: dict[str, bytes] = {}


class Answer(NamedTuple):
    """What a worker answers: a `value` or an `error` in bytes, or that it is `lacking` what the parcel names.

    `text` is an error's trace, or where the worker is; `seconds` is what making the value took.
    """

    kind: Literal["value", "error", "lacking"]
    content: bytes
    text: str = ""
    seconds: float = 0.0


class MadeElsewhere(Exception):  # noqa: N818 - it is the cause of an error, and never raised
    """Where in a worker an error came from: the trace of the worker's own."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def versions() -> tuple[tuple[str, str], ...]:
    """What results can depend on, and has to be the same in every worker."""
    found = {"evo_fair": __version__, "Python": ".".join(platform.python_version_tuple()[:2])}
    for name in ("numba", "numpy", "onnx", "onnxruntime", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return tuple(found.items())


@one_at_a_time  # torch's number of threads is the process's, and so is its generator
def run_piece(ticket: Ticket, piece: bytes, ended: frozenset[str] = frozenset()) -> Answer:
    """Makes one piece of the job that a ticket is for, once it has let go of the parcels that the job has `ended`."""
    try:
        for digest in ended:
            _let_go(digest)
        work = _opened(ticket)
        began = time.monotonic()
        with plain_torch():
            content = cloudpickle.dumps(work(cloudpickle.loads(piece)), protocol=5)
        return Answer("value", content, seconds=time.monotonic() - began)
    except NotHere as reason:
        return Answer("lacking", str(reason).encode(), _address())
    except BaseException as error:
        return _failed(error)


def receive(digest: str, content: bytes) -> None:
    """Takes a parcel that was sent, until it is opened."""
    _received[digest] = content


def _address() -> str:
    """Where this worker is, for its scheduler; empty for a process of the job's own."""
    if "distributed" not in sys.modules:
        return ""
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return ""


def _opened(ticket: Ticket) -> Any:
    import torch

    torch.set_num_threads(ticket.threads)
    if ticket.digest in _open:
        _open.move_to_end(ticket.digest)
        own, work = _open[ticket.digest]
        take_up(own)  # another job's parcel may have registered its own since
        return work
    for (name, wanted), (_, there) in zip(ticket.versions, versions(), strict=True):
        if there != wanted:
            raise EvoFairError(
                f"the worker on {platform.node()} has {name} {there}, the job {wanted}: install the same in both"
            )
    try:
        own, work = opened(ticket.path, ticket.digest, _received.pop(ticket.digest, None))
    except ImportError as reason:
        raise EvoFairError(
            f"the worker on {platform.node()} can't import a part of the job ({in_a_line(reason)}): install it there, "
            "or bring it with --plugin"
        ) from reason
    while len(_open) >= _KEPT:
        _let_go(next(iter(_open)))
    _open[ticket.digest] = own, work
    return work


def _let_go(digest: str) -> None:
    """Closes an open parcel, if it is one that can be closed, and frees its memory."""
    _received.pop(digest, None)
    _, work = _open.pop(digest, (None, None))
    close = getattr(work, "close", None)
    if close is not None:
        close()


def _failed(error: BaseException) -> Answer:
    """An error as it is, or where it can't be sent, as one of Python's that says the same."""
    trace = "".join(traceback.format_exception(error))
    try:
        content = cloudpickle.dumps(error)
        cloudpickle.loads(content)
    except Exception:  # a class of anybody's can fail in any way
        content = cloudpickle.dumps(RuntimeError(f"{type(error).__name__}: {in_a_line(error)}"))
    return Answer("error", content, trace)

"""How pieces are handed out, by an engine that works in this process and loses workers as it is told."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import pytest

import evo_fair as ef
from evo_fair.jobs.workers import Team, Workers
from evo_fair.jobs.workers import remote as remote_module
from evo_fair.jobs.workers.given import LostWorkers
from evo_fair.jobs.workers.remote import MadeElsewhere


class Engine:
    """Does calls at once, the last first; `losses` says how many workers each piece ends before it is made."""

    description = "a worker"

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self.running: dict[Future[Any], None] = {}
        self.losses: Counter[int] = Counter()
        self.preferred: list[int | None] = []
        self.calls = 0

    @property
    def idle(self) -> bool:
        return len(self.running) < self.width

    def submit(self, call: Callable[..., Any], *arguments: Any, prefer: int | None = None) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(call(*arguments))
        self.calls += 1
        self.preferred.append(prefer)
        self.running[future] = None
        return future

    def ended(self, future: "Future[Any]") -> LostWorkers | None:
        del self.running[future]
        return LostWorkers(1, "by a test") if self.losses[self.calls] > 0 else None

    def abandon(self, future: "Future[Any]") -> None:
        del self.running[future]

    def tell(self, where: str, call: Callable[..., Any], *arguments: Any) -> None:
        call(*arguments)

    def close(self) -> None:
        """Nothing is open."""


class Hearer(ef.Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warned(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def _nothing_open() -> Iterator[None]:
    yield
    remote_module._open.clear()


def name(piece: object) -> str:
    return f"piece {piece}"


def squared(piece: int) -> int:
    return piece**2


def made(team: Team, work: Callable[[Any], Any], pieces: list[Any], **options: Any) -> dict[int, Any]:
    with team.loaded(work) as load:
        return dict(team.each(load, pieces, name, **options))


@pytest.mark.parametrize("width", [1, 3])
def test_every_piece_is_made_once(tmp_path: Path, width: int) -> None:
    engine = Engine(width)
    team = Team(engine, Workers(1), tmp_path, Hearer())
    assert made(team, squared, list(range(7))) == {number: number**2 for number in range(7)}
    assert engine.calls == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", [1, 2])
def test_a_piece_whose_worker_is_lost_is_made_by_another(tmp_path: Path, lost: int) -> None:
    engine = Engine()
    engine.losses.update({2 + again: 1 for again in range(lost)})
    assert made(Team(engine, Workers(1), tmp_path, Hearer()), squared, [3, 4, 5]) == {0: 9, 1: 16, 2: 25}
    assert engine.calls == 3 + lost


def test_a_piece_that_ends_three_workers_ends_the_job(tmp_path: Path) -> None:
    engine = Engine()
    engine.losses.update({2: 1, 3: 1, 4: 1})
    with pytest.raises(ef.WorkerError, match=r"^piece 4 ended 3 workers \(by a test\): .* --leave-out, .*--resume$"):
        made(Team(engine, Workers(1), tmp_path, Hearer()), squared, [3, 4, 5])
    assert list(tmp_path.iterdir()) == []


def test_or_it_is_left_out_with_a_warning_where_the_user_says_so(tmp_path: Path) -> None:
    engine, hearer = Engine(), Hearer()
    engine.losses.update({2: 1, 3: 1, 4: 1})
    team = Team(engine, Workers(1, leave_out=True), tmp_path, hearer)
    assert made(team, squared, [3, 4, 5]) == {0: 9, 2: 25}
    (line,) = hearer.lines
    assert line.startswith("piece 4 ended 3 workers")


def test_what_all_depends_on_is_never_left_out_and_keeps_its_worker(tmp_path: Path) -> None:
    engine = Engine()
    engine.losses.update({2: 1, 3: 1, 4: 1})
    team = Team(engine, Workers(1, leave_out=True), tmp_path, Hearer())
    with pytest.raises(ef.WorkerError, match=r"^piece 4 ended 3 workers"):
        made(team, squared, [3, 4, 5], all_needed=True)
    assert engine.preferred == [0, 1, 1, 1]


class OddError(Exception):
    """One whose class can't be called with its message, and that can't be pickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


@pytest.mark.parametrize(
    ("made_error", "kind", "told"),
    [
        (lambda: ef.UnknownNameError("method", "x", ["y"]), ef.UnknownNameError, "unknown method 'x'"),
        (lambda: ef.PruningError("layer a can't go"), ef.PruningError, "layer a can't go"),
        (lambda: ZeroDivisionError("division"), ZeroDivisionError, "division"),
        (lambda: OddError(1, 2), RuntimeError, "OddError: 1 and 2"),
    ],
)
def test_an_error_of_a_piece_arrives_as_it_is(
    tmp_path: Path, made_error: Callable[[], Exception], kind: type[Exception], told: str
) -> None:
    def failing(piece: int) -> int:
        raise made_error()

    with pytest.raises(kind, match=told) as caught:
        made(Team(Engine(), Workers(1), tmp_path, Hearer()), failing, [1])
    assert isinstance(caught.value.__cause__, MadeElsewhere)
    assert "in failing" in str(caught.value.__cause__)


def test_a_worker_that_does_not_see_the_files_is_sent_all(tmp_path: Path) -> None:
    team = Team(Engine(), Workers(1), tmp_path, Hearer())
    with team.loaded(squared) as load:
        load.parcel.close()
        assert dict(team.each(load, [2, 3], name)) == {0: 4, 1: 9}


def test_another_version_of_what_results_depend_on_is_refused(tmp_path: Path) -> None:
    team = Team(Engine(), Workers(1), tmp_path, Hearer())
    with team.loaded(squared) as load:
        versions = tuple((name, "0.0" if name == "torch" else there) for name, there in load.ticket.versions)
        other = type(load)(load.parcel, load.ticket._replace(versions=versions))
        with pytest.raises(ef.EvoFairError, match=r"the worker on .* has torch .*, the job 0.0: install the same"):
            dict(team.each(other, [2], name))


class Closing:
    """A piece of work that says when it is closed."""

    closed: ClassVar[list[int]] = []

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, piece: int) -> int:
        return self.number + piece

    def close(self) -> None:
        self.closed.append(self.number)


def test_a_worker_lets_go_of_what_its_job_needs_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Closing, "closed", [])
    team = Team(Engine(), Workers(1), tmp_path, Hearer())
    with team.loaded(Closing(10)) as lasting:
        for again in range(2):
            assert made(team, Closing(20), [1]) == {0: 21}
            assert Closing.closed == [20] * again  # nothing was asked of the worker since
            assert dict(team.each(lasting, [2], name)) == {0: 12}
            assert Closing.closed == [20] * (again + 1)
        assert list(remote_module._open) == [lasting.ticket.digest]

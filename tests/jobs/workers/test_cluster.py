"""Workers of a Dask scheduler, where `distributed` is installed."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evo_fair as ef
from evo_fair.jobs.workers import Team, Workers, open_team

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install '.[cluster]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True, silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def team(address: str, tmp_path: Path) -> Iterator[Team]:
    with open_team(Workers(address), tmp_path, ef.Listener()) as opened:
        assert opened is not None
        yield opened


def made(team: Team, work: Any, pieces: list[Any]) -> dict[int, Any]:
    with team.loaded(work) as load:
        return dict(team.each(load, pieces, str))


def test_a_lost_worker_changes_nothing_and_errors_arrive_as_they_are(team: Team, tmp_path: Path) -> None:
    def work(piece: int) -> int:
        marker = tmp_path / str(piece)
        if piece == 2 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if piece > 9:
            raise ef.PruningError(f"{piece} can't go")
        return piece**2

    assert made(team, work, [0, 1, 2, 3]) == {0: 0, 1: 1, 2: 4, 3: 9}
    with pytest.raises(ef.PruningError, match="10 can't go"):
        made(team, work, [1, 10])


def test_a_worker_that_does_not_see_the_files_is_sent_all(team: Team) -> None:
    with team.loaded(lambda piece: piece + 1) as load:
        load.parcel.close()
        assert dict(team.each(load, [2, 3], str)) == {0: 3, 1: 4}


def test_a_piece_that_always_ends_its_worker_is_named(team: Team) -> None:
    def deadly(piece: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ef.WorkerError, match=r"^7 ended [34] workers \(the last was tcp://"):
        made(team, deadly, [7])


def test_no_scheduler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo_fair.jobs.workers.cluster._PATIENCE", 0.5)
    with (
        pytest.raises(ef.WorkerError, match=r"^no Dask scheduler answers at tcp://127\.0\.0\.1:9 "),
        open_team(Workers("tcp://127.0.0.1:9"), tmp_path, ef.Listener()),
    ):
        pass


def test_traces_of_the_client_are_kept_back_while_a_team_is_open(address: str, tmp_path: Path) -> None:
    """Where a scheduler goes, they would stand before the one line that says so."""
    log = logging.getLogger("distributed.client")
    before = log.level
    with open_team(Workers(address), tmp_path, ef.Listener()):
        assert not log.isEnabledFor(logging.ERROR)
    assert log.level == before


@pytest.mark.parametrize("workers", [0, 1])
def test_a_scheduler_that_goes_while_the_job_waits_or_works_is_one_line(tmp_path: Path, workers: int) -> None:
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, processes=True, silence_logs=50
    ) as cluster:
        address = cluster.scheduler_address

        class Closes(ef.Listener):
            def noted(self, line: str) -> None:
                if "has no workers" in line:
                    cluster.close()

        def job() -> None:
            with open_team(Workers(address), tmp_path, Closes()) as team:
                assert team is not None
                with team.loaded(lambda piece: piece) as load:
                    for _ in team.each(load, [1, 2, 3], str):
                        cluster.close()

        with pytest.raises(ef.WorkerError, match=rf"^the scheduler at {address} is gone, .*--resume$"):
            job()
    assert list(tmp_path.iterdir()) == []

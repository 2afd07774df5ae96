"""Real processes: what is lost with one, and what ends with the job."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evo_fair as ef
from evo_fair.jobs.workers import Team, Workers, open_team


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with open_team(Workers(2), tmp_path_factory.mktemp("job"), ef.Listener()) as opened:
        assert opened is not None
        yield opened


def made(team: Team, work: Any, pieces: list[Any]) -> dict[int, Any]:
    with team.loaded(work) as load:
        return dict(team.each(load, pieces, str))


def test_a_killed_worker_changes_nothing_but_the_time(team: Team, tmp_path: Path) -> None:
    large = np.arange(100_000)

    def work(piece: int) -> tuple[int, int]:
        marker = tmp_path / str(piece)
        if piece == 2 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return int(large[piece]), os.getpid()

    found = made(team, work, [0, 1, 2, 3])
    assert {number: value for number, (value, _) in found.items()} == {number: number for number in range(4)}
    assert os.getpid() not in {process for _, process in found.values()}


def test_a_worker_that_is_killed_while_it_waits_is_replaced(team: Team) -> None:
    def work(piece: int) -> int:
        return os.getpid()

    before = set(made(team, work, [0, 1]).values())
    for process in before:
        os.kill(process, signal.SIGKILL)
    time.sleep(0.5)
    after = set(made(team, work, [0, 1]).values())
    assert after
    assert not after & before


def test_a_call_that_nobody_waits_for_keeps_no_worker(team: Team) -> None:
    def work(piece: int) -> int:
        if piece == 0:
            raise ef.PruningError("no")
        time.sleep(0.2)
        return piece

    for _ in range(3):
        with pytest.raises(ef.PruningError, match=r"^no$"):
            made(team, work, [0, 1])
    assert made(team, work, [1, 2, 3]) == {0: 1, 1: 2, 2: 3}


def test_workers_have_one_thread_and_hear_no_interrupt(team: Team) -> None:
    def work(piece: int) -> Any:
        import torch

        deaf = signal.SIGINT in signal.pthread_sigmask(0, []), signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], deaf

    assert set(made(team, work, [0, 1]).values()) == {(1, "1", (True, True))}


def test_a_worker_keeps_what_it_has_opened(team: Team) -> None:
    class Opened:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, piece: int) -> int:
            self.calls += 1
            return self.calls

    assert sorted(made(team, Opened(), list(range(6))).values())[-1] >= 3


OWNER = """
import os, signal, sys, tempfile, time
import evo_fair as ef
from pathlib import Path
from evo_fair.jobs.workers import Workers, open_team

def work(piece):
    tempfile.mkdtemp()
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(600)

try:
    with open_team(Workers(1), Path(sys.argv[1]), ef.Listener()) as team, team.loaded(work) as load:
        list(team.each(load, [0], str))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_neither_workers_nor_their_files_outlive_a_job(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, sent: signal.Signals, code: int
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    environment = os.environ | {"TMPDIR": str(temporary)}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], start_new_session=True, env=environment)
    while not (at_work := [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]):
        assert owner.poll() is None
        time.sleep(0.05)
    if sent == signal.SIGINT:
        os.killpg(owner.pid, sent)  # as a terminal does
    else:
        owner.send_signal(sent)
    assert owner.wait(60) == code
    deadline = time.monotonic() + 30
    while Path(f"/proc/{at_work[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{at_work[0]}").exists()
    assert list(temporary.glob("evo-fair-*")) == []
    assert code != 130 or [path.name for path in tmp_path.iterdir()] == [str(at_work[0])]

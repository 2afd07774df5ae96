"""One job, one folder: the second one hears who holds it, and nothing is written where the folder is gone."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evo_fair.errors import RunError, StorageError
from evo_fair.files import write_text
from evo_fair.lock import held, one_job

HOLD = """
import sys
from pathlib import Path
from evo_fair.lock import held
with held(Path(sys.argv[1]), "a search"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of `folder` until its input ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        if process.stdin and not process.stdin.closed:
            process.stdin.close()


def test_the_second_one_hears_who_holds_the_folder(tmp_path: Path) -> None:
    with (
        other_process(tmp_path / "run") as other,
        pytest.raises(RunError, match=rf"a search \(process {other.pid} on .*\) is at work in .*run: wait"),
        held(tmp_path / "run", "a search"),
    ):
        raise AssertionError
    with held(tmp_path / "run", "a search"):
        pass


def test_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    with other_process(tmp_path / "run") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert (tmp_path / "run" / ".lock").exists()
        with held(tmp_path / "run", "a search"):
            pass
    assert list((tmp_path / "run").iterdir()) == []


def test_one_that_waits_is_told_and_comes_next(tmp_path: Path) -> None:
    told: list[str] = []
    with other_process(tmp_path / "run") as other:

        def hear(reason: str) -> None:
            told.append(reason)
            assert other.stdin is not None
            other.stdin.close()

        with held(tmp_path / "run", "a training", wait=hear):
            told.append("mine")
    assert told[0].startswith(f"a search (process {other.pid} on ")
    assert told[1:] == ["mine"]


def test_another_thread_is_another_job_and_what_a_job_calls_is_not(tmp_path: Path) -> None:
    refused: list[RunError] = []

    def second() -> None:
        try:
            with held(tmp_path, "a search"):
                raise AssertionError
        except RunError as error:
            refused.append(error)

    with held(tmp_path, "an audit"):
        with held(tmp_path, "an audit"), held(tmp_path, "a training", "resnet18"):
            pass
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert f"an audit (process {os.getpid()}" in str(refused[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_where_the_folder_is_gone(tmp_path: Path, replaced: bool) -> None:
    folder = tmp_path / "run"
    with held(folder, "a deployment") as lock:
        write_text(folder / "networks" / "a.json", "{}")
        lock.check()
        shutil.rmtree(folder)
        if replaced:
            folder.mkdir()
        with pytest.raises(StorageError, match=r"run was removed or replaced while a deployment was at work in it"):
            write_text(folder / "networks" / "b.json", "{}")
        write_text(tmp_path / "elsewhere.json", "{}")
    assert folder.exists() == replaced
    assert not (folder / "networks").exists()


def test_folders_that_nothing_came_into_are_removed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "a" / "b", "a search"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "a" / "b", "a search"):
        write_text(tmp_path / "a" / "b" / "kept", "")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to files' sizes")
def test_a_full_disk_takes_no_signature_and_does_not_hide_what_the_job_says(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with (
            pytest.raises(StorageError, match=r"cannot write .*run/plan\.csv: .*; make room"),
            held(tmp_path / "run", ""),
        ):
            write_text(tmp_path / "run" / "plan.csv", "id")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_job_holds_the_folder_of_its_arguments(tmp_path: Path) -> None:
    place: Callable[[Any], Path | None] = lambda given: given["out"]  # noqa: E731

    @one_job("a search", place)
    def job(out: Path | None, value: int = 1) -> list[str]:
        return [] if out is None or out.is_file() else [path.name for path in out.iterdir()]

    assert job(tmp_path / "run") == [".lock"]
    assert job(None) == []
    (tmp_path / "file").touch()
    assert job(out=tmp_path / "file", value=2) == []
    with pytest.raises(TypeError, match="job"):
        job()  # type: ignore[call-arg]

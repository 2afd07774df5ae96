"""Ctrl-C: seen at once, or at the next check when a library swallows it; the listener of before is put back."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from numba.core.compiler_lock import global_compiler_lock

from evo_fair.cli import main
from evo_fair.cli.interrupts import resumable
from evo_fair.cli.options import resume_command
from evo_fair.cli.progress import ProgressBars


def interrupt_swallowed() -> None:
    """What a bare `except` in a library makes of Ctrl-C."""
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        return


def test_interrupt_ends_with_130_and_the_way_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, resumable("evo-fair search x --resume", lambda: "all is saved"):
        signal.raise_signal(signal.SIGINT)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted; all is saved, go on with: evo-fair search x --resume\n"


def test_interrupt_that_a_library_swallows_comes_back_at_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    reached = []

    def work() -> None:
        with resumable("evo-fair deploy x", lambda: "saved") as check, ProgressBars(check) as bars:
            check()
            interrupt_swallowed()
            reached.append("after the library")
            bars.timing(1, 3)
            reached.append("after the next step")

    with pytest.raises(SystemExit) as ended:
        work()
    assert ended.value.code == 130
    assert reached == ["after the library"]
    assert capsys.readouterr().err.endswith("interrupted; saved, go on with: evo-fair deploy x\n")


def test_an_interrupt_that_compiled_code_makes_another_error_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    def work(interrupted: bool) -> None:
        with resumable("evo-fair search x", lambda: "saved"):
            if interrupted:
                interrupt_swallowed()
            raise SystemError("<function _numba_unpickle> returned a result with an exception set")

    with pytest.raises(SystemExit) as ended:
        work(interrupted=True)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted; saved, go on with: evo-fair search x\n"
    with pytest.raises(SystemError, match="with an exception set"):
        work(interrupted=False)


def test_interrupt_while_numba_compiles_comes_when_it_has_done_so(capsys: pytest.CaptureFixture[str]) -> None:
    reached = []

    def work() -> None:
        with resumable("evo-fair search x", lambda: "saved"):
            with global_compiler_lock:
                with global_compiler_lock:
                    signal.raise_signal(signal.SIGINT)
                    signal.raise_signal(signal.SIGINT)
                reached.append("still within")
            reached.append("behind")

    with pytest.raises(SystemExit) as ended:
        work()
    assert ended.value.code == 130
    assert reached == ["still within"]
    assert capsys.readouterr().err == "interrupted; saved, go on with: evo-fair search x\n"
    with global_compiler_lock:  # it comes once
        pass


def test_commands_that_cannot_be_resumed_say_that_they_were_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo_fair.problem.problem_names", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        main(["problems"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_listener_of_before_is_put_back_and_a_deaf_process_stays_deaf() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with resumable("evo-fair", lambda: ""):
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with resumable("evo-fair", lambda: "") as check:
            signal.raise_signal(signal.SIGINT)
            check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
def test_tests_hear_it_when_a_shell_has_started_them_in_the_background() -> None:
    """A shell without job control starts background processes with SIGINT ignored, which their children inherit."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", "ends_with_130 or stays_deaf", __file__]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN) and None,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("gap", [0.01, 0.1, 0.3])
def test_a_second_interrupt_ends_as_the_first_did(gap: float) -> None:
    """The process takes a while to end; the second one comes somewhere in that."""
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import atexit, torch\n"
        "atexit.register(time.sleep, 0.5)\n"
        "from evo_fair import cli, problem\n"
        "from evo_fair.cli.interrupts import resumable\n"
        "def work():\n"
        "    with resumable('evo-fair search x', lambda: 'saved'):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "problem.problem_names = work\n"
        "import sys; sys.argv = ['evo-fair', 'problems']\n"
        "cli.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        time.sleep(gap)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "interrupted; saved, go on with: evo-fair search x\n"


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["search", "x", "--out", "my run"], "evo-fair search x --out 'my run' --resume"),
        (["search", "--out", "o", "--", "-x.toml"], "evo-fair search --out o --resume -- -x.toml"),
        (["search", "x", "--resume"], "evo-fair search x --resume"),
    ],
)
def test_the_command_to_go_on_is_one_that_can_be_given(
    arguments: list[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["evo-fair", *arguments])
    assert resume_command() == command


def test_an_interrupt_before_a_command_has_begun_is_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.main.get_command", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        main(["problems"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"

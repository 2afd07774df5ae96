"""Commands as processes of their own that need not import everything anew.

Importing torch and all else takes seconds of the processor, most of what a short command takes. So one process imports
it all, once for the tests of a worker, does nothing itself, and is forked for every command. What comes out of the fork
is an ordinary process: of a session, folder, environment and output of its own, to be killed like any other. It ends as
those of `multiprocessing` do, without the destructors of libraries, which wait for threads that a fork does not have.
How a command starts from nothing, and is interrupted, is for the tests that start an interpreter to say.
"""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self

__all__ = ["Commands", "Started"]

_SERVE = "from tests.commands import serve; serve()"

_IMPORTED = (
    "onnxruntime",
    "onnxscript",
    "sklearn.datasets",
    "torch.onnx._internal.exporter._core",
    "fontTools.subset",
    "matplotlib.backends.backend_pdf",
    "evo_fair.cli.progress",
    "evo_fair.auditing.effects",
    "evo_fair.evolution.evolution",
    "evo_fair.jobs.audit",
    "evo_fair.jobs.deploy",
    "evo_fair.jobs.prune",
    "evo_fair.jobs.search",
    "evo_fair.jobs.train",
    "evo_fair.report.plots",
)


class Started:
    """A process at work, as `subprocess.Popen` has it; the first of a session of its own."""

    def __init__(self, arguments: list[str], call: socket.socket, output: Path) -> None:
        self._arguments, self._call, self._output = arguments, call, output
        self.pid = self._told()
        self.returncode: int | None = None

    def _told(self) -> int:
        """The next number that is told, and no more, so that `poll` sees whether there is another."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self._call.recv(1)
            assert byte, "the process that starts others has ended"
            line += byte
        return int(line)

    def poll(self) -> int | None:
        """The exit code, or None while it is at work."""
        if self.returncode is None and select.select([self._call], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """Waits for the end; the exit code, or the signal that ended it as a number below 0."""
        if self.returncode is None:
            self.returncode = self._told()
            self._call.close()
        return self.returncode

    def done(self) -> "subprocess.CompletedProcess[str]":
        """Waits for the end; the exit code, and what was written."""
        code = self.wait()
        written = [(self._output / name).read_text() for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(self._arguments, code, *written)


class Commands:
    """Starts `evo-fair` with arguments, or a script; a context manager, so that no process is left."""

    def __init__(self, imported: Sequence[str] = _IMPORTED) -> None:
        self._imported = imported

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._address = str(Path(self._folder.name) / "socket")
        self._served = socket.socket(socket.AF_UNIX)
        self._served.bind(self._address)
        self._served.listen(64)
        root = str(Path(__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(self._served.fileno()), *self._imported],
            pass_fds=[self._served.fileno()],
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._served.close()
        self._process.communicate()
        self._folder.cleanup()

    def start(self, arguments: list[object], environment: dict[str, str] | None = None, script: str = "") -> Started:
        """Starts `evo-fair`, or the script of the given path; `environment` is what differs from the tests' own."""
        output = Path(tempfile.mkdtemp(dir=self._folder.name))
        given = list(map(str, arguments))
        call = socket.socket(socket.AF_UNIX)
        call.connect(self._address)
        wanted = {
            "argv": given,
            "script": script,
            "environment": dict(os.environ) | (environment or {}),
            "folder": str(Path.cwd()),
            "output": str(output),
        }
        call.sendall(json.dumps(wanted).encode() + b"\n")
        return Started(given, call, output)


def serve() -> NoReturn:
    """Forks for every command, until the tests have ended."""
    for name in sys.argv[2:]:
        importlib.import_module(name)
    served = socket.socket(fileno=int(sys.argv[1]))
    while served in select.select([served, sys.stdin], [], [])[0]:
        call, _ = served.accept()
        if not os.fork():
            served.close()
            _watch(call)
        call.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    os._exit(0)


def _watch(call: socket.socket) -> NoReturn:
    """Forks the process of the command, and tells its number and how it ended."""
    wanted = json.loads(call.makefile("r").readline())
    pid = os.fork()
    if not pid:
        os.setsid()
        call.close()
        _end(partial(_run, wanted))
    with contextlib.suppress(ProcessLookupError):
        while os.getpgid(pid) != pid:  # who hears of it may kill its group at once
            time.sleep(0.001)
    call.sendall(f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):  # nobody waits for it any more
        call.sendall(f"{code}\n".encode())
    os._exit(0)


def _end(run: Callable[[], None]) -> NoReturn:
    """Runs a command, and ends the process as an interpreter does."""
    code: Any = 0
    try:
        run()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _run(wanted: dict[str, Any]) -> None:
    """Becomes what was wanted, and does it."""
    output = wanted["output"]
    for number, name in enumerate((os.devnull, f"{output}/stdout", f"{output}/stderr")):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if wanted["script"]:
        sys.argv = [wanted["script"], *wanted["argv"]]
        sys.path.insert(0, str(Path(wanted["script"]).parent))
        runpy.run_path(wanted["script"], run_name="__main__")
    else:
        from evo_fair.cli import main

        sys.argv = ["evo-fair", *wanted["argv"]]
        main()

"""A first run of an ONNX file in a process of its own, with limits on time and memory.

ONNX Runtime trusts its files: a damaged one can end the process, and a small one can ask for all memory. So a file from
elsewhere runs here first.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["TrialError", "run_once"]

SECONDS = 30
MOST_BYTES = 4 * 2**30


class TrialError(Exception):
    """A file does not run; the message is what ONNX Runtime says, or that it was ended."""


def run_once(path: Path) -> list[list[Any]]:
    """Runs a file once on random float32 inputs and returns the shape of each of its inputs, free sizes as names.

    Raises `TrialError` for a file that fails, ends its process, or needs more than 30 s or 4 GiB.
    """
    command = [sys.executable, "-m", "evo_fair.latency.trial", str(path.resolve())]
    here = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": here.strip(os.pathsep)}  # this very package, however it was found
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            text=True,
            errors="replace",
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise TrialError(f"it takes more than {SECONDS} s") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise TrialError(f"it ended its process with code {done.returncode}") from error
    if "error" in answer:
        raise TrialError(answer["error"])
    shapes: list[list[Any]] = answer["inputs"]
    return shapes


def _limit_memory() -> None:
    """Holds this process to what it has now and `MOST_BYTES`; elsewhere than on Linux the time limit alone holds."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])  # many, with a thread a core
    wanted = pages * resource.getpagesize() + MOST_BYTES
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or most > wanted:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def main() -> None:
    """Runs the file that is named on the command line and writes what came of it as a line of JSON."""
    import numpy as np

    from evo_fair.latency.measure import open_session, random_inputs

    _limit_memory()
    answer: dict[str, Any]
    try:
        session = open_session(sys.argv[1], threads=1)
        session.run(None, random_inputs(session, np.random.default_rng(0)))
        answer = {"inputs": [value.shape for value in session.get_inputs()]}
    except Exception as error:  # ONNX Runtime's errors share no base class of their own
        answer = {"error": " ".join(str(error).split())[:200] or type(error).__name__}
    os.write(1, json.dumps(answer).encode() + b"\n")  # to the process that asked, not to a person


if __name__ == "__main__":
    main()

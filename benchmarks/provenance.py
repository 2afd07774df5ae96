"""What the benchmarks share: a line on how a table was made, and one line for wrong input."""

import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from evo_fair.errors import EvoFairError

__all__ = ["made_by", "run"]


def made_by(command: str, packages: Sequence[str]) -> str:
    """The command, the versions of evo_fair and of these packages, Python's, the cores and the date."""
    versions = " ".join(f"{name} {version(name)}" for name in ("evo-fair", *packages))
    return f"{command}; {versions}; Python {platform.python_version()}; {os.cpu_count()} cores; {date.today()}"


def run(main: Callable[[], None]) -> None:
    """Runs a benchmark to its end; wrong input ends the process with 2 and one line, an interruption with 130."""
    try:
        main()
    except EvoFairError as error:
        print(f"{Path(sys.argv[0]).name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, the same command goes on", file=sys.stderr)
        sys.exit(130)

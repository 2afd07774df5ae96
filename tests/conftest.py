"""Fixtures that all tests share: the place of the real data sets, and caches that leave the user's alone."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from .commands import Commands

ROOT = Path(__file__).resolve().parents[1]

# Before a library is loaded that reads it: threads that wait for others would else keep a core busy, of which tests
# beside each other have none to spare. It changes no result.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Nothing is timed here: what Numba compiles, or others who use the cores, would break any deadline.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutations", type=int, default=200, help="damaged files for each reader of tests/mutation")
    parser.addoption("--kills", type=int, default=2, help="kills of each kind of job in tests/test_kills.py")
    parser.addoption("--genomes", type=int, default=24, help="pruned networks of each module in tests/own")
    parser.addoption("--keep-mutations", help="a folder for the damaged files that a reader takes badly")


@pytest.fixture(autouse=True, scope="session")
def _listening() -> None:
    """Hears Ctrl-C as from a terminal, here and in processes that tests start.

    A shell starts what it runs in the background deaf to it (SIGINT ignored), and the children of that are deaf, too.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["EVO_FAIR_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """Starts the command line, or a script, as processes that find everything imported."""
    with Commands() as ready:
        yield ready


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """Gives the folder of a real data set, or skips the test with the reason."""
    root = Path(os.environ.get("EVO_FAIR_DATA", ROOT.parent / "shared" / "data"))

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"{root / name} is absent: set EVO_FAIR_DATA to a folder that holds {name}/")
        return root / name

    return folder


@pytest.fixture(scope="session")
def mutations(request: pytest.FixtureRequest) -> int:
    """How many damaged files a test of a reader makes of each kind: what `--mutations` says, or else a few hundred."""
    return int(request.config.getoption("--mutations", 200))

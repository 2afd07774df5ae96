"""Whatever a file says: its reader returns, or raises one error of this project's, in one short line, and soon."""

import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from zlib import crc32

import pytest

from evo_fair.errors import LONGEST_MESSAGE, EvoFairError

from .mutators import mutate
from .readers import READERS, Reader

SECONDS = 10
MEMORY = 2**30
"""Bytes that a single file may add to the most that the process ever had."""


class TooLongError(BaseException):
    """Nothing catches it."""


@contextmanager
def limited() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def peak_memory() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def fault_of(reader: Reader, path: Path) -> str | None:
    """What is wrong with how a reader takes the file at `path`; None where all is right."""
    memory, began = peak_memory(), time.monotonic()
    try:
        with limited():
            reader.read(path)
    except EvoFairError as error:
        message = str(error)
        if "\n" in message.strip() or not message or len(message) > LONGEST_MESSAGE:
            return f"its message has {len(message)} characters: {message[:300]!r}"
    except TooLongError:
        return f"it takes more than {SECONDS} s"
    except Exception as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {where.filename}:{where.lineno}: {str(error)[:200]}"
    if time.monotonic() - began > SECONDS:
        return f"it takes {time.monotonic() - began:.0f} s"
    if peak_memory() - memory > MEMORY:
        return f"it takes {(peak_memory() - memory) // 2**20} MiB"
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files_are_read_or_refused_in_a_line(
    reader: Reader, tmp_path: Path, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> None:
    whole = tmp_path / "whole" / reader.file
    (tmp_path / "whole").mkdir()
    content = reader.make(tmp_path / "whole")
    whole.write_bytes(content)
    reader.read(whole)  # undamaged it is no error
    inputs = max(1, round(pytestconfig.getoption("mutations") * reader.share))
    faults: dict[str, int] = {}
    for number in range(inputs):
        seed = crc32(f"{reader.name} {number}".encode())
        whole.write_bytes(mutate(random.Random(seed), reader.kind, content))
        if fault := fault_of(reader, whole):
            faults.setdefault(f"{fault} [input {number}]" if len(faults) < 20 else "more", number)
            if keep := pytestconfig.getoption("keep_mutations"):
                kept = Path(keep) / f"{reader.name}-{number}-{reader.file}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(whole.read_bytes())
    assert not faults, "\n".join(faults)


def test_the_same_seed_gives_the_same_damage() -> None:
    content = b'{"a": [1, 2, {"b": "text"}]}'
    first, second = ([mutate(random.Random(seed), "json", content) for seed in range(50)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 40

"""Memory that is kept, and memory that is given back."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from evo_fair.nets.memory import keep_memory, returned_memory

MIB = 2**20

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc's allocator is told"
)


def held() -> int:
    """The bytes of this process besides files that it has mapped."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def grown_and_freed(block: int, number: int = 3) -> int:
    """By how many bytes the process has grown once blocks of so many bytes were used and freed, but for a small one."""
    before = held()
    blocks = [np.ones(block, np.uint8) for _ in range(number)]
    behind = np.ones(1000, np.uint8)
    assert held() - before > 0.9 * number * block
    del blocks
    grown = held() - before
    assert behind.all()
    return grown


def test_blocks_of_large_images_go_back_when_they_are_freed() -> None:
    keep_memory()
    with returned_memory(512 * 4 * 3 * 224 * 224):
        assert grown_and_freed(40 * MIB) < 20 * MIB


def test_what_was_kept_before_goes_back_too() -> None:
    keep_memory()
    kept = grown_and_freed(40 * MIB)
    before = held()
    with returned_memory(512 * 4 * 3 * 224 * 224):
        given = before - held()
    assert kept > 100 * MIB
    assert given > 100 * MIB


def test_of_small_images_memory_is_kept_for_the_next_step() -> None:
    keep_memory()
    with returned_memory(512 * 4 * 3 * 64 * 64):
        assert grown_and_freed(40 * MIB) > 100 * MIB
        assert grown_and_freed_again(40 * MIB) < 20 * MIB


def grown_and_freed_again(block: int) -> int:
    """By how many bytes the process grows for blocks of a size that were used and freed before."""
    before = held()
    blocks = [np.ones(block, np.uint8) for _ in range(3)]
    grown = held() - before
    del blocks
    return grown

"""Memory that is kept, and memory that is given back."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from evo_fair.nets import memory
from evo_fair.nets.memory import features_array, give_back, give_back_surplus, keep_memory

MIB = 2**20

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc's allocator is told"
)


LARGE_IMAGES, SMALL_IMAGES = (512 * 4 * 3 * size**2 for size in (224, 64))


def held() -> int:
    """The bytes of this process besides files that it has mapped."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def used_and_freed(size: int) -> int:
    """By how many bytes the process has grown once an array of so many bytes was used and freed, but for one behind."""
    before = held()
    array = features_array((size // 4,), np.float32)
    array.fill(1)
    behind = np.ones(1000, np.uint8)
    assert held() - before > 0.9 * size
    del array
    grown = held() - before
    assert behind.all()
    return grown


def test_large_features_go_back_when_they_are_freed_and_small_ones_are_kept() -> None:
    keep_memory()
    give_back(LARGE_IMAGES)
    assert used_and_freed(40 * MIB) > 35 * MIB
    assert used_and_freed(100 * MIB) < 10 * MIB


@pytest.mark.parametrize(("images", "least", "most"), [(LARGE_IMAGES, 80, 120), (SMALL_IMAGES, -1, 1)])
def test_what_was_kept_goes_back_before_large_images_come(images: int, least: int, most: int) -> None:
    keep_memory()
    give_back(LARGE_IMAGES)
    blocks = [np.ones(30 * MIB, np.uint8) for _ in range(3)]
    del blocks
    before = held()
    give_back(images)
    assert least * MIB <= before - held() <= most * MIB


def test_features_are_written_and_read_as_any_array() -> None:
    large = features_array((2, 17, 1024, 1024), np.float16)
    large[0], large[1] = 0.5, 1
    assert large.nbytes > 64 * MIB
    assert large.flags.c_contiguous
    assert large[:, -1].min((1, 2)).tolist() == large[:, -1].max((1, 2)).tolist() == [0.5, 1]


def test_a_process_that_holds_much_keeps_nothing_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_memory()
    give_back(LARGE_IMAGES)
    blocks = [np.ones(30 * MIB, np.uint8) for _ in range(3)]
    del blocks
    before = held()
    give_back_surplus()
    assert before - held() < MIB
    monkeypatch.setattr(memory, "_SURPLUS", before - 10 * MIB)
    give_back_surplus()
    assert before - held() > 80 * MIB

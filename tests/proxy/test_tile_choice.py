"""Tiles cover a feature map whatever its size, and there is code for each that is chosen."""

from collections.abc import Callable

import pytest

from evo_fair.proxy.tile_choice import (
    pixels_of_next_tile,
    units_of_next_line,
    units_of_next_statistics,
    units_of_next_tile,
)
from evo_fair.proxy.tiles import MANY, SOME, WIDEST


@pytest.mark.parametrize(
    ("next_of", "sizes"),
    [
        (pixels_of_next_tile, {MANY, SOME, 1}),
        (units_of_next_tile, set(range(1, WIDEST + 1))),
        (units_of_next_line, {1, 2}),
        (units_of_next_statistics, {1, 2, 6}),
    ],
)
def test_tiles_cover_all_there_is_with_sizes_that_have_code(next_of: Callable[[int], int], sizes: set[int]) -> None:
    chosen = set()
    for left in range(1, 100):
        while left:
            size = next_of(left)
            assert 0 < size <= left
            left -= size
            chosen.add(size)
    assert chosen == sizes


def test_a_wide_tile_leaves_no_narrow_one() -> None:
    assert units_of_next_tile(WIDEST + 1) == (WIDEST + 2) // 2
    assert units_of_next_tile(2 * WIDEST) == WIDEST

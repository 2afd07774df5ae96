"""How a population is split for workers, on networks whose blocks are counted by hand."""

from typing import Any

import numpy as np
import pytest

from evo_fair.proxy import split
from evo_fair.proxy.split import split_evenly, split_population


@pytest.fixture(autouse=True)
def _blocks_are_their_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "macs_of", lambda block: block[1])


def networks(*texts: str) -> Any:
    """Networks of blocks: `ab5` is the block a, of cost 1, and b, of cost 5."""
    found = []
    for text in texts:
        blocks: list[tuple[str, int]] = []
        for sign in text:
            if sign.isdigit():
                blocks[-1] = (blocks[-1][0], int(sign))
            else:
                blocks.append((sign, 1))
        found.append(blocks)
    return found


def rows(parts: list[Any]) -> list[list[int]]:
    return [part.tolist() for part in parts]


def test_networks_that_begin_alike_stay_together() -> None:
    assert rows(split_population(networks("a9x", "b9x", "a9y", "b9y"), 2)) == [[0, 2], [1, 3]]


def test_the_most_that_a_part_computes_is_as_little_as_it_can_be() -> None:
    # In order: a5 and its three ends are 8, b2 is 2, c2 is 2, d2 is 2.
    given = networks("a5x", "b2", "a5y", "c2", "a5z", "d2")
    assert rows(split_population(given, 2)) == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_every_network_is_in_one_part(parts: int) -> None:
    rng = np.random.default_rng(0)
    given = networks(*("".join(rng.choice(list("abc"), 4)) for _ in range(20)))
    found = split_population(given, parts)
    assert len(found) == parts
    assert sorted(np.concatenate(found).tolist()) == list(range(20))


def test_there_can_be_more_parts_than_networks() -> None:
    assert rows(split_population(networks("a", "b"), 4)) == [[0], [1], [], []]
    assert rows(split_population([], 2)) == [[], []]


def test_evenly_means_as_many_in_each() -> None:
    assert rows(split_evenly(5, 3)) == [[0, 1], [2, 3], [4]]

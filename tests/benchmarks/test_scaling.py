"""The simulation of more workers, on pieces whose times are added up by hand."""

import pytest
from scaling_simulation import Generation, Pieces, simulated_pieces, simulated_search


@pytest.mark.parametrize(
    ("workers", "seconds"),
    [
        # start 1; each piece 2 + 0.5 overhead, then 0.25 with the owner: one after the other
        (1, 1 + 4 * 2.75),
        # two and two; the owner takes the second of each pair 0.25 later
        (2, 1 + 2 * 2.75 + 0.25),
        # all at once, then the owner takes four
        (4, 1 + 2.5 + 4 * 0.25),
        (100, 1 + 2.5 + 4 * 0.25),
    ],
)
def test_pieces_end_when_the_owner_has_taken_the_last(workers: int, seconds: float) -> None:
    pieces = Pieces([2.0] * 4, [0.25] * 4, overhead=0.5, start=1.0)
    assert simulated_pieces(pieces, workers) == pytest.approx(seconds)


def test_the_longest_piece_limits_many_workers() -> None:
    pieces = Pieces([1.0, 1.0, 7.0, 1.0], [0.0] * 4, overhead=0.0, start=0.0)
    assert [simulated_pieces(pieces, n) for n in (1, 2, 3)] == [10.0, 8.0, 7.0]


def test_generations_follow_each_other_and_are_as_long_as_their_largest_part() -> None:
    generations = [Generation(4.0, 0.5, {1: 1.0, 2: 0.6}), Generation(2.0, 0.5, {1: 1.0, 2: 0.75})]
    assert simulated_search(generations, 1, overhead=0.1, start=1.0) == pytest.approx(1 + 6 + 1 + 0.2)
    assert simulated_search(generations, 2, overhead=0.1, start=1.0) == pytest.approx(1 + 2.4 + 1.5 + 1 + 0.2)

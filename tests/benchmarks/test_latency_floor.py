"""What the floor of latency predictions is computed from: cells, graphs and networks that ought to agree."""

import numpy as np
import pytest
from latency_floor import cells_of, crowded, graph_of, of_others, told_linear

from evo_fair.errors import ProfileError
from evo_fair.latency.measurements import Measurements
from evo_fair.layers import Op


def network(*operators: str) -> list[list[int]]:
    rows = {
        "1": [Op.CONV, 16, 16, 1, 1, 1, 32, 32],
        "3": [Op.CONV, 16, 16, 3, 1, 1, 32, 32],
        "p": [Op.POOL, 16, 16, 3, 1, 1, 32, 32],
        "+": [Op.ADD, 16, 16, 1, 1, 1, 32, 32],
    }
    return [[Op.CONV, 3, 16, 3, 1, 1, 32, 32], *(rows[operator] for operator in operators)]


def test_a_cell_follows_from_the_number_and_has_to_suit_the_layers() -> None:
    # cell 0 of the benchmark: pool | 1x1, skip | 1x1, skip, skip
    right = Measurements(("nb201-0",), np.array([network("p", "1", "1", "+")], np.int32), np.ones(1))
    assert cells_of(right) == ["p1s1ss"]
    wrong = Measurements(("nb201-0",), np.array([network("p", "3", "1", "+")], np.int32), np.ones(1))
    with pytest.raises(ProfileError, match="nb201-0"):
        cells_of(wrong)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("s13sps", "s13pss", True),  # node 1 is node 0, so its edges to node 3 may change places
        ("s13sps", "s31sps", True),
        ("p13sps", "p13pss", False),
        ("s13sps", "s13sp1", False),
    ],
)
def test_graphs_are_equal_where_cells_compute_the_same(one: str, other: str, same: bool) -> None:
    assert (graph_of(one) == graph_of(other)) is same


def test_a_network_is_predicted_by_the_others_of_its_key_alone() -> None:
    predicted = of_others(["a", "a", "a", "b"], np.array([1.0, 2.0, 4.0, 8.0]), np.median)
    np.testing.assert_array_equal(predicted, [3.0, 2.5, 1.5, np.nan])


def test_the_crowded_value_is_where_most_are_near() -> None:
    assert crowded(np.array([10.0, 10.5, 11.0, 20.0])) == pytest.approx(10.45, abs=0.6)


def test_the_best_prices_have_the_least_relative_error() -> None:
    # relative errors weigh the small network most, so the best single value is 1, not the median
    np.testing.assert_allclose(told_linear(np.ones((3, 1)), np.array([1.0, 3.0, 6.0])), 1.0)

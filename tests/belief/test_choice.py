"""Which networks are trained next."""

import numpy as np

from evo_fair.belief import next_trainings


def line(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Networks on a front, error falling with latency from 1 to 100 ms, and as many dominated ones behind them."""
    latency = np.geomspace(1.0, 100.0, n)
    front = np.column_stack([0.5 / latency**0.3, latency])
    points = np.concatenate([front, front * [1.5, 1.1]])
    return points, np.column_stack([np.full(2 * n, 0.01), np.zeros(2 * n)])


def test_they_lie_on_the_believed_front_over_the_whole_range_of_latency() -> None:
    points, errors = line()
    chosen = next_trainings(points, errors, np.zeros(120, bool), 8)
    assert len(set(chosen)) == 8
    assert (chosen < 60).all()
    places = np.sort(np.log(points[chosen, 1]) / np.log(100.0))
    assert places[0] < 0.2
    assert places[-1] > 0.8
    assert np.diff(places).max() < 0.35


def test_of_equally_good_ones_the_uncertain_is_tried_once_something_is_trained() -> None:
    points = np.array([[0.30, 5.0], [0.30, 5.0], [0.40, 2.0], [0.20, 20.0], [0.29, 5.1]])
    errors = np.array([[0.001, 0.0], [0.05, 0.0], [0.001, 0.0], [0.001, 0.0], [0.001, 0.0]])
    trained = np.array([False, False, True, True, True])
    assert next_trainings(points, errors, trained, 1).tolist() == [1]


def test_trained_and_excluded_networks_are_not_chosen_and_no_more_than_there_are() -> None:
    points, errors = line(5)
    trained, allowed = np.zeros(10, bool), np.ones(10, bool)
    trained[[0, 1]], allowed[[2, 3]] = True, False
    chosen = next_trainings(points, errors, trained, 100, allowed)
    assert sorted(chosen) == [4, 5, 6, 7, 8, 9]
    assert next_trainings(points, errors, np.ones(10, bool), 3).tolist() == []


def test_the_first_ones_don_t_depend_on_how_many_are_wanted() -> None:
    points, errors = line()
    trained = np.zeros(120, bool)
    assert (
        next_trainings(points, errors, trained, 3).tolist() == next_trainings(points, errors, trained, 7)[:3].tolist()
    )


def test_without_hope_networks_count_as_what_is_expected_and_the_choice_ends_where_nothing_is_gained() -> None:
    points, errors = line()
    trained = np.zeros(120, bool)
    errors[60:, 0] = 0.5  # the dominated ones may be anything
    assert (next_trainings(points, errors, trained, 8) >= 60).any()
    chosen = next_trainings(points, errors, trained, 100, hope=False)
    assert len(chosen) <= 60
    assert (chosen < 60).all()

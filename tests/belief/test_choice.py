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


def test_excluded_networks_change_no_choice_where_they_are_better_than_all_others() -> None:
    rng = np.random.default_rng(0)
    points = rng.permutation(np.linspace(0.3, 0.5, 30))[:, None]
    errors = np.full((30, 1), 0.005)
    errors[points.argmax()] = 0.02
    best, worse = np.array([[0.1]]), np.full((1, 1), 0.005)
    allowed = np.arange(31) < 30
    chosen = next_trainings(np.vstack([points, best]), np.vstack([errors, worse]), np.zeros(31, bool), 4, allowed)
    assert chosen.tolist() == next_trainings(points, errors, np.zeros(30, bool), 4).tolist()
    assert chosen[0] == points.argmin()


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


def test_where_nothing_is_hoped_for_the_least_known_is_chosen_whatever_the_units() -> None:
    trained = np.arange(4) < 2
    points = np.array([[0.1, 900.0], [0.3, 100.0], [0.5, 950.0], [0.5, 951.0]])
    errors = np.array([[1e-3, 1.0], [1e-3, 1.0], [5e-2, 1.0], [1e-3, 2.0]])
    for unit in (1.0, 1e-6, 1e6):
        scale = np.array([1.0, unit])
        assert next_trainings(points * scale, errors * scale, trained, 1).tolist() == [2]


def test_of_more_than_are_drawn_for_the_one_that_may_be_much_better_is_among_them() -> None:
    """It lies behind what is trained, with an error that gives it a chance; others are sure to gain next to nothing."""
    sure = np.column_stack([0.30 - 1e-6 * np.arange(1, 401), np.linspace(10.0, 10.001, 400)])
    points = np.concatenate([[[0.30, 10.0], [0.10, 50.0], [0.40, 2.0]], sure, [[0.31, 9.0]]])
    errors = np.zeros_like(points)
    errors[:, 0] = 1e-9
    errors[-1, 0] = 0.1
    trained = np.arange(len(points)) < 3
    assert next_trainings(points, errors, trained, 1).tolist() == [len(points) - 1]


def test_a_cost_of_nothing_is_taken_as_it_is() -> None:
    points = np.array([[0.3, 0.0], [0.2, 4.0], [0.1, 8.0], [0.25, 9.0]])
    errors = np.array([[0.01, 0.0]] * 4)
    assert sorted(next_trainings(points, errors, np.zeros(4, bool), 3)) == [0, 1, 2]


def test_what_is_known_counts_by_ratio_and_what_is_believed_by_difference() -> None:
    """0.15 less error at a 32nd of the slow one's latency gain more than 0.25 less at a third; not by differences."""
    points = np.array([[0.5, 1.0], [0.2, 64.0], [0.35, 2.0], [0.25, 24.0]])
    errors = np.array([[1e-6, 0.0]] * 4)
    trained = np.array([True, True, False, False])
    assert next_trainings(points, errors, trained, 1).tolist() == [2]
    latency_believed_too = np.full((4, 2), 1e-6)
    assert next_trainings(points, latency_believed_too, trained, 1).tolist() == [3]

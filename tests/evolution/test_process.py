import numpy as np
import pytest

from evo_fair.evolution.process import Process, Scale


def grid(n=40):
    return np.linspace(0, 4, n)[:, None]


def test_a_smooth_function_is_learnt_between_what_is_known():
    process = Process()
    process.fit(grid(), 0.3 + 0.2 * np.sin(grid()[:, 0]))
    between = grid()[:-1] + 0.05
    mean, _ = process.predict(between)
    assert mean == pytest.approx(process.scale(0.3 + 0.2 * np.sin(between[:, 0])), abs=0.03)


def test_the_error_grows_away_from_what_is_known():
    process = Process()
    process.fit(grid(), np.sin(grid()[:, 0]))
    _, (near, far) = process.predict(np.array([[2.0], [9.0]]))
    assert far > 3 * near


def test_one_lucky_value_is_taken_for_noise():
    rng = np.random.default_rng(0)
    features = np.repeat(grid(20), 5, axis=0)
    values = 0.3 + 0.02 * features[:, 0] + rng.normal(0, 0.01, len(features))
    values[50] = 0.2  # the others there are at 0.34
    process = Process()
    process.fit(features, values)
    mean, _ = process.predict(features[50:51])
    assert mean[0] == pytest.approx(process.scale(np.array([0.34]))[0], abs=0.06)


def test_equal_ratios_are_equally_far():
    scale = Scale(np.array([0.1, 0.5, 0.0, 0.3]))  # a twentieth of the median, 0.01, is added
    low, middle, high = scale(np.array([0.0, 0.09, 0.99]))
    assert high - middle == pytest.approx(middle - low) == pytest.approx(np.log(10))


def test_shares_are_modelled_alike_from_both_ends():
    scale = Scale(np.array([0.1, 0.5, 0.0, 0.3]), bounded=True)
    assert scale(np.array([0.2, 0.5, 0.8])) == pytest.approx([-np.log(0.81 / 0.21), 0.0, np.log(0.81 / 0.21)])


def test_accuracies_are_modelled_as_their_errors_are():
    """Those that are maximised come with their sign turned over."""
    errors = np.array([0.02, 0.1, 0.04, 0.3])
    of_errors, of_accuracies = Scale(errors, bounded=True), Scale(errors - 1, bounded=True)
    assert of_accuracies(errors - 1) == pytest.approx(of_errors(errors), abs=1e-9)
    assert of_accuracies.inverse(of_accuracies(errors - 1)) == pytest.approx(errors - 1)


@pytest.mark.parametrize("values", [[0.1, 0.9, 0.2], [3.0, 500.0, 20.0], [-1.0, 2.0, 0.5], [0.0, 0.0, 1.0]])
@pytest.mark.parametrize("bounded", [False, True])
def test_values_come_back_from_a_scale(values, bounded):
    scale = Scale(np.array(values), bounded=bounded)
    assert scale.inverse(scale(np.array(values))) == pytest.approx(values)


def test_a_scale_can_be_left_at_its_ends():
    scale = Scale(np.array([0.1, 0.9, 0.2]), bounded=True)
    with np.errstate(all="raise"):
        assert scale.inverse(np.array([-700.0, 700.0])) == pytest.approx([-0.01, 1.01])


def test_negative_values_are_modelled_as_they_are():
    process = Process()
    process.fit(grid(16), np.array([-1.0, 2.0, 0.5, 0.1] * 4))
    assert process.scale(np.array([-3.0, 2.0])).tolist() == [-3.0, 2.0]


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_an_objective_that_never_changes_is_no_trouble(value):
    process = Process()
    process.fit(grid(16), np.full(16, value))
    mean, deviation = process.predict(grid(16) + 0.1)
    assert mean == pytest.approx(process.scale(np.full(16, value)))
    assert np.isfinite(deviation).all()


def test_draws_scatter_as_the_process_says():
    process = Process()
    process.fit(grid(12), np.cos(grid(12)[:, 0]) - 2)  # negative values: no logarithm
    where = np.array([[1.0], [6.0]])
    draws = process.draw(where, 4000, np.random.default_rng(0))
    mean, deviation = process.predict(where)
    assert draws.shape == (4000, 2)
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.05)
    assert draws[:, 1].std() == pytest.approx(deviation[1], rel=0.1)  # far away all is uncertainty, not noise
    assert draws[:, 0].std() < 0.75 * deviation[0]  # what is known well is uncertain by noise alone


def test_a_restored_process_fits_the_same_kernel():
    features = grid(30)
    process, restored = Process(), Process()
    process.fit(features[:20], np.sin(features[:20, 0]))
    restored.restore(process.state())
    for one in (process, restored):
        one.fit(features[:21], np.sin(features[:21, 0]))  # too few more for other parameters
    assert (process.predict(features)[0] == restored.predict(features)[0]).all()


@pytest.mark.parametrize("state", [np.zeros((2, 2)), np.zeros(3), np.array([5.0, np.nan, 0.0, 0.0])])
def test_a_foreign_state_is_refused(state):
    with pytest.raises(ValueError, match="parameters"):
        Process().restore(state)

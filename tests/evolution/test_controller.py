import numpy as np
import pytest

from evo_fair.evolution.controller import fresh_parameters, log_probabilities, policy_gradient, sample

CARDINALITIES = np.array([3, 2, 4, 1], np.int16)


@pytest.fixture
def parameters():
    small = fresh_parameters(CARDINALITIES, hidden=5, width=3, rng=np.random.default_rng(0))
    return {name: 6.0 * value for name, value in small.items()}  # far from uniform, and from where tanh is a line


def test_the_gradient_is_that_of_finite_differences(parameters):
    rng = np.random.default_rng(1)
    genomes = rng.integers(0, CARDINALITIES, (7, 4), dtype=np.int16)
    weights = rng.normal(size=7)

    def objective(changed):
        return float(weights @ log_probabilities(changed, CARDINALITIES, genomes))

    gradient = policy_gradient(parameters, CARDINALITIES, genomes, weights)
    assert gradient.keys() == parameters.keys()
    for name, value in parameters.items():
        numeric = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = value.copy()
                moved[place] += step
                sides.append(objective(parameters | {name: moved}))
            numeric[place] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(gradient[name], numeric, atol=1e-8, err_msg=name)
        assert np.abs(numeric).max() > 1e-3, f"{name} takes no part"


def test_the_probabilities_of_all_genomes_add_up_to_one(parameters):
    every = np.indices(CARDINALITIES).reshape(4, -1).T.astype(np.int16)
    assert np.exp(log_probabilities(parameters, CARDINALITIES, every)).sum() == pytest.approx(1.0)


def test_genomes_are_drawn_as_often_as_their_probability_says(parameters):
    every = np.indices(CARDINALITIES).reshape(4, -1).T.astype(np.int16)
    expected = np.exp(log_probabilities(parameters, CARDINALITIES, every))
    drawn = sample(parameters, CARDINALITIES, np.random.default_rng(2), 40_000)
    assert drawn.dtype == np.int16
    frequency = np.array([(drawn == genome).all(axis=1).mean() for genome in every])
    assert np.ptp(expected) > 0.03
    np.testing.assert_allclose(frequency, expected, atol=4 * np.sqrt(0.25 / 40_000))


def test_a_new_controller_draws_nearly_uniformly():
    fresh = fresh_parameters(CARDINALITIES, hidden=64, width=32, rng=np.random.default_rng(3))
    every = np.indices(CARDINALITIES).reshape(4, -1).T.astype(np.int16)
    np.testing.assert_allclose(np.exp(log_probabilities(fresh, CARDINALITIES, every)), 1 / 24, rtol=0.35)

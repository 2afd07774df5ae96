"""How far predictions may be off: little where much was measured, much where nothing was."""

import numpy as np
import pytest

from evo_fair.latency.design import CORRECTION_SPREAD, PRICED, SPREAD, features_of
from evo_fair.latency.fit import Fit, fit_model
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import likeness, network_ms
from evo_fair.latency.terms import layer_terms
from evo_fair.latency.uncertainty import NORMAL, Uncertainty, Variances, Width
from evo_fair.layers import Op


@pytest.fixture(scope="module")
def fit(made_up: Measurements) -> Fit:
    return fit_model(made_up.part(np.arange(40)))


@pytest.fixture(scope="module")
def known(fit: Fit) -> Uncertainty:
    return Uncertainty.of_fit(fit)


def one(*layers: tuple[int, ...]) -> np.ndarray:
    return np.array([layers], np.int32)


def test_variances_are_those_of_the_formula(fit: Fit, known: Uncertainty, made_up: Measurements) -> None:
    """By hand for one network: slopes of its logarithm, the fit's covariance, and the prior that features leave."""
    network = made_up.table[50][made_up.table[50][:, 0] > 0]
    terms = layer_terms(network[:, None], fit.model.bytes_per_value, fit.model.block)[:, 0]
    worked = 1e-6 * terms * fit.model.prices
    features = features_of(fit.anchors, network)
    correction = np.exp(np.clip(likeness(network, fit.anchors) @ fit.weights, -1, 1))
    worked *= correction[:, None]
    ms = worked.sum(axis=1)
    total = ms.sum() + 1e-6 * fit.model.network_price
    by_price = worked.sum(axis=0) @ SPREAD[:-1] + 1e-6 * fit.model.network_price * SPREAD[-1]
    slope = np.concatenate([by_price, CORRECTION_SPREAD * ms @ features]) / total
    left = likeness(network, network) - features @ features.T
    expected = slope @ fit.covariance @ slope + CORRECTION_SPREAD**2 * ms @ left @ ms / total**2
    found = known.of_networks(made_up.table[50:51])
    assert found.ms[0] == pytest.approx(network_ms(fit.model, made_up.table[50:51])[0])
    assert found.open[0] == pytest.approx(expected, rel=1e-6)
    assert found.strange[0] == 0
    assert len(slope) == len(fit.covariance) == PRICED + len(fit.anchors)


def test_networks_like_those_measured_are_known_well(known: Uncertainty, made_up: Measurements) -> None:
    assert np.sqrt(known.of_networks(made_up.table[40:]).open).max() < 0.1


def test_what_nobody_measured_is_strange_and_wide(known: Uncertainty) -> None:
    grouped = (Op.CONV, 64, 64, 3, 1, 4, 16, 16)
    like = (Op.CONV, 24, 24, 1, 1, 1, 8, 8)
    variances = known.of_layers(one(grouped, like, (0,) * 8))
    assert variances.strange[0, 0] > 0.4
    assert variances.open[0, 0] == 0
    assert variances.strange[0, 1] == 0
    assert variances.open[0, 1] < 0.15
    assert (variances.open[0, 2], variances.strange[0, 2]) == (0, 0)


def test_sizes_far_from_those_measured_are_less_certain(known: Uncertainty) -> None:
    near, far = (Op.CONV, 24, 48, 1, 1, 1, 8, 8), (Op.CONV, 24, 48, 1, 1, 1, 40, 40)
    variances = known.of_layers(one(near, far))
    assert variances.strange.max() == 0
    assert variances.open[0, 1] > 1.1 * variances.open[0, 0]


def test_a_layer_that_runs_twice_counts_as_two(known: Uncertainty) -> None:
    layer = (Op.CONV, 24, 48, 1, 1, 1, 8, 8)
    other = (Op.DEPTHWISE, 48, 48, 3, 1, 48, 8, 8)
    twice = known.of_networks(one(layer, layer, other))
    repeated = known.of_networks(one(layer, other), repeats=np.array([[2.0, 1.0]]))
    for name in ("ms", "open", "strange"):
        assert getattr(repeated, name)[0] == pytest.approx(getattr(twice, name)[0])


def test_a_scale_that_is_known_makes_networks_more_certain(known: Uncertainty, made_up: Measurements) -> None:
    table = made_up.table[40:]
    assert known.of_networks(table, up_to_scale=True).open.mean() < known.of_networks(table).open.mean()


def test_neighbours_do_not_matter(known: Uncertainty, made_up: Measurements) -> None:
    together = known.of_networks(made_up.table[40:50]).open
    alone = [known.of_networks(made_up.table[i : i + 1]).open[0] for i in range(40, 50)]
    np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_a_width_adds_up_what_is_independent() -> None:
    variances = Variances(np.ones(1), np.array([0.04]), np.array([0.01]))
    assert Width(0.3, 2.0).half(variances)[0] == pytest.approx(np.sqrt(0.09 + 0.16 + NORMAL**2 * 0.01))

"""The fit: it finds a known device again, stands outliers, and keeps usual prices where nothing was measured."""

import time
import tracemalloc

import numpy as np
import pytest

from evo_fair.errors import ProfileError
from evo_fair.latency import fit
from evo_fair.latency.design import CORRECTION_SPREAD, PRICED, SPREAD, USUAL, make_design
from evo_fair.latency.fit import fit_model
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import make_model, network_ms
from evo_fair.latency.terms import TERMS, layer_terms
from evo_fair.latency.validation import shuffles_for
from evo_fair.space import SearchSpace

from .conftest import NO_ANCHORS, made_up_prices


def error(measured: Measurements, fitted_on: np.ndarray, tested_on: np.ndarray) -> float:
    """The mean relative error on networks that the fit did not see."""
    model = fit_model(measured.part(fitted_on)).model
    return float(np.abs(network_ms(model, measured.table[tested_on]) / measured.latency_ms[tested_on] - 1).mean())


def test_a_known_device_is_found_again(made_up: Measurements) -> None:
    assert error(made_up, np.arange(40), np.arange(40, 60)) < 0.01


def test_few_networks_are_enough_for_a_fair_guess(made_up: Measurements) -> None:
    assert error(made_up, np.arange(10), np.arange(10, 60)) < 0.06


def test_outliers_hardly_matter(made_up: Measurements) -> None:
    disturbed = made_up.latency_ms.copy()
    disturbed[:4] *= 3
    spoiled = Measurements(made_up.names, made_up.table, disturbed)
    assert error(spoiled, np.arange(40), np.arange(40, 60)) < 0.03


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_unit_of_time_does_not_matter(factor: float, made_up: Measurements) -> None:
    seen = made_up.part(np.arange(30))
    slower = Measurements(seen.names, seen.table, factor * seen.latency_ms)
    np.testing.assert_allclose(
        network_ms(fit_model(slower).model, made_up.table),
        factor * network_ms(fit_model(seen).model, made_up.table),
        rtol=2e-3,
    )


def test_a_runtime_that_pads_to_sixteen_channels_is_recognised(space: SearchSpace) -> None:
    table = space.decode(space.sample(np.random.default_rng(2), 60))
    ms = network_ms(make_model(made_up_prices(), 2e4, 4.0, 16, NO_ANCHORS, []), table)
    measured = Measurements(tuple(map(str, range(60))), table, ms)
    assert fit_model(measured).model.block == 16
    assert error(measured, np.arange(40), np.arange(40, 60)) < 0.01


def test_what_was_never_measured_keeps_its_usual_price_relative_to_its_group(made_up: Measurements) -> None:
    found = fit_model(made_up)
    assert "grouped_macs" in found.never_measured
    assert "linear_weight_values" not in found.never_measured
    usual = {term.name: term.usual for term in TERMS}
    ratio = found.prices["mul_values"] / found.prices["activation_values"]
    assert ratio == pytest.approx(usual["mul_values"] / usual["activation_values"])


def test_prices_are_positive_and_finite(made_up: Measurements) -> None:
    prices = np.array(list(fit_model(made_up.part(np.arange(8))).prices.values()))
    assert (prices > 0).all()
    assert np.isfinite(prices).all()


def test_a_fit_is_repeatable_to_the_bit(made_up: Measurements) -> None:
    first, second = fit_model(made_up), fit_model(made_up)
    assert first.prices == second.prices
    assert (first.weights == second.weights).all()


def test_too_few_networks_are_refused(made_up: Measurements) -> None:
    with pytest.raises(ProfileError, match="7 measured networks are too few to fit a profile: measure at least 8"):
        fit_model(made_up.part(np.arange(7)))


def test_a_network_without_layers_is_refused(made_up: Measurements) -> None:
    table = made_up.table.copy()
    table[3] = 0
    with pytest.raises(ProfileError, match="network 3 of the measurements has no layers"):
        fit_model(Measurements(made_up.names, table, made_up.latency_ms))


def many(networks: int, space: SearchSpace) -> Measurements:
    table = space.decode(space.sample(np.random.default_rng(4), networks))
    ms = network_ms(make_model(made_up_prices(), 2e4, 4.0, 8, NO_ANCHORS, []), table)
    noise = np.exp(np.random.default_rng(5).normal(0, 0.03, networks))
    return Measurements(tuple(map(str, range(networks))), table, ms * noise)


def test_thousands_of_networks_are_fitted_without_a_square_of_them(space: SearchSpace) -> None:
    measured = many(6000, space)
    fit_model(measured.part(np.arange(600)))  # compiles
    tracemalloc.start()
    started = time.process_time()
    model = fit_model(measured).model
    took, (_, most) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6000 * 6000 * 8 / 2
    assert took < 30
    assert np.abs(network_ms(model, measured.table) / measured.latency_ms - 1).mean() < 0.03


def test_a_fit_is_the_exact_solution_of_the_system_of_networks(made_up: Measurements) -> None:
    """The unknowns of the last round, by the matrix identity of Woodbury, from the system with a row a network."""
    noise, measured = 0.06, made_up.part(np.arange(30))
    design = make_design(measured.table)
    terms = layer_terms(design.rows[:, None], 4.0, 8)[:, 0]
    start = fit.solve(design, terms, measured.latency_ms, noise).unknowns
    solution = fit.solve(design, terms, measured.latency_ms, noise, start)
    prices = np.exp(USUAL + SPREAD @ start[:PRICED])
    factor = np.exp(CORRECTION_SPREAD * (design.features @ start[PRICED:]))
    worked = terms * (1e-6 * prices[:-1] * factor[:, None])
    counts = design.counts.toarray()
    by_price = np.column_stack([counts @ worked, np.full(30, 1e-6 * prices[-1])])
    by_feature = CORRECTION_SPREAD * ((counts * worked.sum(axis=1)) @ design.features)
    slope = np.hstack([by_price @ SPREAD, by_feature]) / measured.latency_ms[:, None]
    residual = 1 - by_price.sum(axis=1) / measured.latency_ms
    weights = 1 / np.maximum(1, np.abs(residual) / (fit.HUBER * noise))
    inverse = np.linalg.inv(slope @ slope.T + np.diag(noise**2 / weights))
    pull = inverse @ (residual + slope @ start)
    np.testing.assert_allclose(solution.unknowns, slope.T @ pull, atol=1e-7)
    assert solution.left_out == pytest.approx(np.abs(pull / np.diag(inverse)).mean(), rel=1e-6)


def test_the_more_networks_there_are_the_fewer_shuffles_validate() -> None:
    assert [shuffles_for(networks) for networks in (10, 213, 300, 500, 2000, 26000)] == [10, 10, 10, 6, 1, 1]

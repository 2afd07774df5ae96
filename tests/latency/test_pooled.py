"""Several sources of one board: each keeps its scale, and supplies the others with what they lack."""

import numpy as np
import pytest

from evo_fair.latency.fit import fit_model
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import make_model, network_ms
from evo_fair.latency.pooled import make_pool
from evo_fair.latency.terms import TERMS, Work
from evo_fair.layers import Op
from evo_fair.space import SearchSpace

from .conftest import NO_ANCHORS, made_up_prices

DENSE_PRICE = 6.0
"""What dense convolutions cost on the board, in units of their usual price: nobody would guess it."""


def board_ms(table: np.ndarray, scale: float = 1.0) -> np.ndarray:
    prices = made_up_prices()
    prices[[Work.CONV_MACS, Work.CONV_PATCH_VALUES]] *= DENSE_PRICE
    return network_ms(make_model(scale * prices, scale * 2e4, 4.0, 8, NO_ANCHORS, []), table)


def measured_by(name: str, table: np.ndarray, scale: float = 1.0) -> Measurements:
    return Measurements(tuple(f"{name}{i}" for i in range(len(table))), table, board_ms(table, scale))


def is_dense(table: np.ndarray) -> np.ndarray:
    return (table[:, :, 0] == Op.CONV) & (table[:, :, 3] > 1) & (table[:, :, 1] > 4)


@pytest.fixture(scope="module")
def drawn(space: SearchSpace) -> np.ndarray:
    return space.decode(np.unique(space.sample(np.random.default_rng(3), 400), axis=0))


@pytest.fixture(scope="module")
def sources(drawn: np.ndarray) -> list[Measurements]:
    """A source that has no dense convolutions, and three of other scales that have."""
    dense = is_dense(drawn).any(axis=1)
    others = [measured_by(name, drawn[dense][20 * i : 20 * i + 20], 3.0**i) for i, name in enumerate("bcd")]
    return [measured_by("a", drawn[~dense][:25]), *others]


def error(predicted: np.ndarray, ms: np.ndarray) -> float:
    return float(np.abs(predicted / ms - 1).mean())


def test_what_one_source_lacks_comes_from_the_others(sources: list[Measurements], drawn: np.ndarray) -> None:
    unseen = drawn[is_dense(drawn).any(axis=1)][60:]
    alone = error(network_ms(fit_model(sources[0]).model, unseen), board_ms(unseen))
    together = error(network_ms(make_pool(sources).fit()[0].model, unseen), board_ms(unseen))
    assert together < 0.75 * alone


def test_each_source_keeps_its_own_scale(sources: list[Measurements]) -> None:
    fits = make_pool(sources).fit()
    for fit, measured in zip(fits, sources, strict=True):
        assert error(network_ms(fit.model, measured.table), measured.latency_ms) < 0.02
    assert "conv_macs" not in fits[0].never_measured


def test_a_source_that_is_left_out_is_known_up_to_its_scale(sources: list[Measurements]) -> None:
    measured = sources[0]
    kept = [np.arange(0), *(np.arange(20) for _ in sources[1:])]
    ratio = network_ms(make_pool(sources).fit(kept)[0].model, measured.table) / measured.latency_ms
    assert error(ratio / np.median(ratio), np.ones(len(ratio))) < 0.05


def test_the_networks_of_a_source_keep_their_order_in_the_design(sources: list[Measurements]) -> None:
    pool = make_pool(sources)
    for place, measured in enumerate(sources):
        assert len(pool.latency_ms[place]) == pool.designs[place].counts.shape[0] == len(measured.names)
        layers = (measured.table[:, :, 0] > 0).sum(axis=1)
        np.testing.assert_array_equal(pool.designs[place].counts.sum(axis=1), layers)
    dense = [bool(pool.measures(place)[Work.CONV_MACS]) for place in range(4)]
    assert dense == [False, True, True, True]
    assert len(pool.measures(0)) == len(TERMS)


def test_one_source_is_fitted_as_it_is_alone(sources: list[Measurements]) -> None:
    alone, (pooled,) = fit_model(sources[1]), make_pool(sources[1:2]).fit()
    table = sources[1].table
    np.testing.assert_allclose(network_ms(pooled.model, table), network_ms(alone.model, table), rtol=2e-3)
    if len(alone.covariance) == len(pooled.covariance):
        np.testing.assert_allclose(np.diag(pooled.covariance), np.diag(alone.covariance), rtol=0.05, atol=1e-4)


def test_a_source_without_networks_has_the_fit_that_the_others_give(made_up: Measurements) -> None:
    """As where its networks are left out of a pool that has them."""
    known, other = made_up.part(np.arange(20)), made_up.part(np.arange(20, 40))
    none = made_up.part(np.arange(0))
    _, empty = make_pool([known, none]).fit()
    _, left_out = make_pool([known, other]).fit([np.arange(20), np.arange(0)])
    table = made_up.table[40:]
    ratio = network_ms(empty.model, table) / network_ms(left_out.model, table)
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=0.05)
    assert np.abs(np.log(network_ms(empty.model, table) / made_up.latency_ms[40:])).std() < 0.1

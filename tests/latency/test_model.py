"""The latency model: prices and corrections by hand, and predictions that stay sane far from what was measured."""

import math

import numpy as np
import pytest

from evo_fair.latency.model import Model, layer_ms, likeness, make_model, network_ms
from evo_fair.latency.terms import TERMS
from evo_fair.layers import Op

from .conftest import NO_ANCHORS, made_up_prices

NAMES = [term.name for term in TERMS]
ADD = (Op.ADD, 8, 8, 4, 1, 1, 4, 4)
LINEAR = (Op.LINEAR, 10, 3, 1, 1, 1, 1, 1)


def rows(*layers: tuple[int, ...]) -> np.ndarray:
    return np.array(layers, np.int32)


def priced(anchors: np.ndarray = NO_ANCHORS, weights: tuple[float, ...] = (), **prices: float) -> Model:
    return make_model([prices.get(name, 0.0) for name in NAMES], prices.get("network", 0.0), 4.0, 8, anchors, weights)


def test_a_layer_costs_its_counts_times_their_prices() -> None:
    model = priced(add_values=2.0, linear_calls=5000.0, linear_weight_values=100.0, network=1e6)
    table = rows(ADD, LINEAR, (0,) * 8)[None]
    np.testing.assert_allclose(layer_ms(model, table), [[256e-6, 8000e-6, 0.0]])
    np.testing.assert_allclose(network_ms(model, table), [1.0 + 256e-6 + 8000e-6])


def test_a_correction_is_full_at_its_anchor_and_fades_by_the_octave() -> None:
    model = priced(rows(ADD), (0.3,), add_values=1.0, mul_values=1.0)
    plain = priced(add_values=1.0, mul_values=1.0)

    def factor(row: tuple[int, ...]) -> float:
        table = rows(row)[None]
        return float(layer_ms(model, table)[0, 0] / layer_ms(plain, table)[0, 0])

    assert factor(ADD) == pytest.approx(math.exp(0.3))
    twice_as_wide = (Op.ADD, 16, 16, 4, 1, 1, 4, 4)  # an octave in both c_in and c_out
    assert factor(twice_as_wide) == pytest.approx(math.exp(0.3 * math.exp(-1.0)))
    assert factor((Op.ADD, 8, 8, 9, 1, 1, 4, 4)) == factor(ADD)  # an addition has no kernel
    assert factor((Op.MUL, 8, 8, 1, 1, 1, 4, 4)) == 1.0
    assert factor((Op.ADD, 4096, 4096, 4, 1, 1, 4, 4)) == pytest.approx(1.0)


def test_corrections_are_bounded() -> None:
    model = priced(rows(ADD), (1e5,), add_values=1.0)
    assert layer_ms(model, rows(ADD)[None])[0, 0] == pytest.approx(128e-6 * math.e)


def test_likeness_is_symmetric_and_one_on_itself() -> None:
    layers = rows(ADD, LINEAR, (Op.CONV, 8, 16, 3, 2, 1, 9, 7), (Op.CONV, 8, 32, 3, 1, 1, 9, 7))
    alike = likeness(layers, layers)
    np.testing.assert_allclose(np.diag(alike), 1.0)
    np.testing.assert_array_equal(alike, alike.T)
    assert alike[2, 3] == pytest.approx(math.exp(-0.5 * (1 + 1)))  # an octave in c_out, one in stride
    assert alike[0, 1] == 0


def test_every_layer_that_exists_has_a_finite_positive_time() -> None:
    model = make_model(made_up_prices(), 1.0, 4.0, 8, rows(ADD, LINEAR), (0.5, -0.5))
    extremes = [(op, c, c, 7, 4, c, h, h) for op in range(1, 9) for c in (1, 2**14) for h in (1, 2**14)]
    ms = layer_ms(model, rows(*extremes)[None])
    assert np.isfinite(ms).all()
    assert (ms > 0).all()


@pytest.mark.parametrize("op", [Op.CONV, Op.DEPTHWISE, Op.LINEAR, Op.ADD])
def test_more_channels_never_cost_less_without_corrections(op: Op) -> None:
    model = make_model(made_up_prices(), 1.0, 4.0, 8, NO_ANCHORS, [])
    widths = range(8, 1025, 8)
    ms = network_ms(
        model, np.array([[(op, c, c, 3, 1, c if op == Op.DEPTHWISE else 1, 14, 14)] for c in widths], np.int32)
    )
    assert (np.diff(ms) > 0).all()


def test_a_network_does_not_depend_on_its_neighbours() -> None:
    model = make_model(made_up_prices(), 1.0, 4.0, 8, rows(ADD), (0.2,))
    one = rows(ADD, LINEAR)[None]
    many = np.concatenate([one] * 50 + [rows(LINEAR, ADD)[None]])
    assert (network_ms(model, many)[:50] == network_ms(model, one)[0]).all()


def test_few_networks_and_many_get_the_same_times_bit_by_bit() -> None:
    """Few are taken in turn, many side by side."""
    rng = np.random.default_rng(0)
    table = np.stack([rng.integers(1, high, (600, 9)) for high in (9, 200, 200, 8, 3, 2, 60, 60)], axis=2)
    table = table.astype(np.int32)
    model = make_model(made_up_prices(), 1.0, 4.0, 8, table[0], rng.normal(0, 0.3, 9))
    few = [network_ms(model, table[start : start + 50]) for start in range(0, 600, 50)]
    np.testing.assert_array_equal(network_ms(model, table), np.concatenate(few))

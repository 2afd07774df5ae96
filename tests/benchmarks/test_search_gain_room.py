"""How much there was to gain: the line through size, worked out by hand, and the most that a small space has."""

import numpy as np
import pandas as pd
import pytest
from search_gain_room import most_macs, unexplained, worth

from evo_fair import layers
from evo_fair.latency import load_profile
from evo_fair.testing import small_space


def test_size_is_worth_what_values_say_of_it_at_equal_latency() -> None:
    time = np.array([0.0, 1.0, 2.0, 3.0])
    size = np.array([[2.0, 1.0, 3.0], [3.5, 2.0, 4.0], [4.0, 3.0, 4.0], [4.5, 4.0, 5.0]])
    values = 0.1 + 0.3 * time[:, None] - 0.02 * time[:, None] ** 2 + 0.04 * size[:, :2]
    assert worth(time, size, values) == pytest.approx([0.04, 0.04, 0.04, 0.06])


@pytest.mark.parametrize(("own", "left"), [(0.0, 0.01), (0.03, 0.02)])
def test_what_size_leaves_open_is_what_networks_have_of_their_own(own: float, left: float) -> None:
    rng = np.random.default_rng(0)
    macs = np.geomspace(1e5, 3e7, 24)
    accuracy = 0.85 - 0.3 * np.exp(-np.linspace(0, 3, 24)) + own * rng.standard_normal(24)
    seeds = accuracy[:, None] + [[0.001, -0.001]]
    networks = pd.DataFrame({"macs": macs, "params": macs / 50, "latency_ms": macs / 1e6, "accuracy": accuracy})
    networks[["accuracy_seed0", "accuracy_seed1"]] = seeds
    found = unexplained(networks, "accuracy")
    assert (found["left"] < left) == (own == 0.0)
    assert found["seeds"] == pytest.approx(0.001)
    networks["accuracy_seed1"] = np.nan
    assert np.isnan(unexplained(networks, "accuracy")["seeds"])


def test_the_most_multiply_accumulates_within_a_latency_are_found() -> None:
    space, device = small_space(), load_profile("raspberry-pi-4")
    genomes = space.sample(np.random.default_rng(1), 2000)
    tables = space.decode(genomes)
    size, time = layers.macs(tables), device.latency_ms(tables)
    limits = np.quantile(time, [0.2, 0.5, 1.0])
    sampled = [size[time <= limit].max() for limit in limits]
    found = most_macs(space, device, limits, generations=40)
    assert (found >= sampled).all()
    assert (np.diff(found) >= 0).all()
    assert found[-1] <= layers.macs(space.decode(space.largest()[None]))[0]
    assert most_macs(space, device, np.array([0.0]), generations=1) == [0]

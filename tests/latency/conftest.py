"""Measurements of a made-up device whose prices are known, and a small space."""

import numpy as np
import pytest

from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import make_model, network_ms
from evo_fair.latency.terms import TERMS
from evo_fair.space import SearchSpace, SpaceSchema

SCHEMA = {
    "stem": {"widths": [8, 16, 24], "stride": 2},
    "stage": [
        {
            "slots": 2,
            "kinds": ["MB", "DB", "RB", "CB"],
            "widths": [8, 16, 40],
            "stride": 2,
            "kernels": {"MB": [3, 5], "DB": [3, 5]},
            "expansions": [2, 3],
            "keep_channels": [8, 16, 24, 32],
        },
        {"slots": 3, "kinds": ["MB", "CB"], "widths": [24, 48], "expansions": [2, 4], "keep_channels": [16, 48, 96]},
    ],
}

NO_ANCHORS = np.zeros((0, 8), np.int32)


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return SearchSpace(SpaceSchema.model_validate(SCHEMA), (3, 34, 30), 5)


@pytest.fixture(scope="session")
def tabular() -> SearchSpace:
    stages = [
        {"slots": 3, "kinds": ["FC"], "keep_channels": [4, 8, 16]},
        {"slots": 2, "kinds": ["FC"], "keep_channels": [8, 24]},
    ]
    return SearchSpace(SpaceSchema.model_validate({"channel_multiple": 4, "stage": stages}), (11,), 3)


def made_up_prices(seed: int = 0) -> np.ndarray:
    """Prices in ns that differ from the usual ones by up to a factor of two or so, at 0.05 ns for a MAC."""
    usual = np.array([term.usual for term in TERMS])
    return 0.05 * usual * np.exp(np.random.default_rng(seed).normal(0, 0.4, len(TERMS)))


@pytest.fixture(scope="session")
def made_up(space: SearchSpace) -> Measurements:
    """60 networks of the space on a device without noise."""
    table = space.decode(space.sample(np.random.default_rng(1), 60))
    ms = network_ms(make_model(made_up_prices(), 2e4, 4.0, 8, NO_ANCHORS, []), table)
    return Measurements(tuple(f"n{i}" for i in range(60)), table, ms)

"""A small space of every block kind, and a supernet on it with random weights."""

import numpy as np
import pytest
import torch

from evo_fair.nets import Supernet
from evo_fair.space import SearchSpace, SpaceSchema

from ..space.conftest import mixed

__all__ = ["mixed"]

STAGE = {
    "slots": 2,
    "kinds": ["MB", "DB", "RB", "CB"],
    "widths": [8, 16],
    "stride": 2,
    "kernels": [3, 5],
    "expansions": [2, 3],
    "keep_channels": [8, 16, 24, 32],
}


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    schema = SpaceSchema.model_validate({"stem": {"widths": [8, 16]}, "stage": [STAGE, {**STAGE, "widths": [8, 24]}]})
    return SearchSpace(schema, (3, 12, 10), 4)


@pytest.fixture(scope="session")
def tabular() -> SearchSpace:
    stage = {"slots": 3, "kinds": ["FC"], "keep_channels": [4, 8, 12]}
    return SearchSpace(SpaceSchema.model_validate({"channel_multiple": 4, "stage": [stage]}), (5,), 2)


def random_supernet(space: SearchSpace) -> Supernet:
    """Random weights throughout, batch norm included, so that no two channels are alike."""
    channels = space.input_shape[0]
    generator = torch.Generator().manual_seed(1)
    mean, scale = np.full(channels, 120, np.float32), np.full(channels, 1 / 60, np.float32)
    supernet = Supernet.initialise(space, generator, mean, scale)
    for name, weight in supernet.weights.items():
        if name.endswith(("gamma", "beta")):
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return supernet


@pytest.fixture
def supernet(space: SearchSpace) -> Supernet:
    return random_supernet(space)


@pytest.fixture
def mixed_supernet(mixed: SearchSpace) -> Supernet:
    return random_supernet(mixed)


@pytest.fixture
def tabular_supernet(tabular: SearchSpace) -> Supernet:
    return random_supernet(tabular)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 3, 12, 10), np.uint8)

"""A small space whose networks can be worked out by hand."""

import pytest

from evo_fair.space import SearchSpace, SpaceSchema


@pytest.fixture(scope="session")
def mixed() -> SearchSpace:
    """Kinds without shortcut or ReLU at the end, the identity, and some with a kernel and expansion of their own."""
    first = {"slots": 2, "kinds": ["MB", "ID", "IR", "IR3_5x5"], "widths": [8, 16], "stride": 2, "expansions": [2, 3]}
    first |= {"kernels": {"IR": [3, 5]}, "keep_channels": [8, 16, 24]}
    last = {"slots": 2, "kinds": ["PC", "CB_5x5"], "widths": [8, 24]}
    schema = SpaceSchema.model_validate({"stem": {"widths": [8, 16]}, "stage": [first, last]})
    return SearchSpace(schema, (3, 12, 10), 4)


@pytest.fixture(scope="session")
def strided() -> SearchSpace:
    """Strides are chosen: those of the stem and of the second stage."""
    first = {"slots": 2, "kinds": ["MB", "CB"], "widths": [8, 16], "stride": 2, "keep_channels": [8, 16]}
    second = {"slots": 2, "kinds": ["RB", "DB"], "widths": [8], "stride": [1, 2], "keep_channels": [4, 8]}
    stem = {"widths": [8, 16], "stride": [1, 2]}
    schema = SpaceSchema.model_validate({"channel_multiple": 4, "stem": stem, "stage": [first, second]})
    return SearchSpace(schema, (3, 12, 10), 4)


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    schema = SpaceSchema.model_validate(
        {
            "stem": {"widths": [8, 16], "stride": 2},
            "stage": [
                {
                    "slots": 2,
                    "kinds": ["MB", "DB", "RB", "CB"],
                    "widths": [8, 16],
                    "stride": 2,
                    "kernels": {"MB": [3, 5]},
                    "expansions": [2, 3],
                    "keep_channels": [8, 16, 24, 32],
                }
            ],
        }
    )
    return SearchSpace(schema, (3, 10, 8), 4)


@pytest.fixture(scope="session")
def tabular() -> SearchSpace:
    schema = SpaceSchema.model_validate(
        {"channel_multiple": 4, "stage": [{"slots": 2, "kinds": ["FC"], "keep_channels": [4, 8]}]}
    )
    return SearchSpace(schema, (5,), 2)

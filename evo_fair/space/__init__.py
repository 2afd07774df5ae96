"""The search space: genomes of architecture and pruning choices, and the networks that they mean."""

from evo_fair.space.blocks import Block, Unit, units_of
from evo_fair.space.kinds import KINDS, Kind, add_kind, find_kind
from evo_fair.space.schema import SpaceSchema, Stage, Stem
from evo_fair.space.space import SearchSpace

__all__ = [
    "KINDS",
    "Block",
    "Kind",
    "SearchSpace",
    "SpaceSchema",
    "Stage",
    "Stem",
    "Unit",
    "add_kind",
    "find_kind",
    "units_of",
]

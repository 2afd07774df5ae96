"""The search space: genomes of architecture and pruning choices, and the networks that they mean."""

from evo_fair.space.schema import Kind, SpaceSchema, Stage, Stem
from evo_fair.space.space import Block, SearchSpace

__all__ = ["Block", "Kind", "SearchSpace", "SpaceSchema", "Stage", "Stem"]

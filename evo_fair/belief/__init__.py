"""What is believed of networks: frozen scores, size and trainings together, with errors; no torch."""

from evo_fair.belief.belief import Belief, Trainings, rank_correlation
from evo_fair.belief.choice import next_trainings
from evo_fair.belief.features import gene_features, size_features
from evo_fair.belief.findings import Finding, describe_belief, find
from evo_fair.belief.sampling import Noise, Resamples, own_noise, spread
from evo_fair.belief.store import (
    BELIEVED,
    UNCERTAINTY,
    TrainingResult,
    read_beliefs,
    read_trainings,
    write_beliefs,
    write_trainings,
)

__all__ = [
    "BELIEVED",
    "UNCERTAINTY",
    "Belief",
    "Finding",
    "Noise",
    "Resamples",
    "TrainingResult",
    "Trainings",
    "describe_belief",
    "find",
    "gene_features",
    "next_trainings",
    "own_noise",
    "rank_correlation",
    "read_beliefs",
    "read_trainings",
    "size_features",
    "spread",
    "write_beliefs",
    "write_trainings",
]

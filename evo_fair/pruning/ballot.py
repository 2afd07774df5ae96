"""Conflict detection and refined training, after Ballot (arXiv 2407.02805)."""

import copy
from collections.abc import Mapping

from torch import nn

from evo_fair.arrays import Floats
from evo_fair.pruning.criteria import CRITERIA, Scores
from evo_fair.pruning.gates import places
from evo_fair.pruning.refine import refine
from evo_fair.pruning.selection import choose, choose_given
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.registries import method

__all__ = ["ballot", "ballot_scores", "conflict_scores"]

WEIGHT = 0.05
"""What the cosine of a part, from -1 to 1, adds to its place in the order of sizes, from 0 to 1. Chosen with
benchmarks/pruning_constants.py, which looks at validation parts alone."""


@method()
def ballot(dense: Dense, task: Task, request: Request) -> Pruned:
    """A sparse network whose parts conflict little, trained towards equal groups within `request.epsilon`.

    Ballot-style: of parts of equal size those leave first whose accuracy and fairness
    gradients conflict. The sparsity is the limit Omega, the accuracy that may be lost
    on the validation part the limit epsilon. Sizes are by layer (`lamp`): by magnitudes
    alone, nine tenths of a MobileNetV2 left a layer of one weight.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    scores = ballot_scores(network, structure, task, request)
    if request.ratios is not None:
        mask = choose_given(network, structure, scores, request.ratios, request.kind)
    else:
        mask = choose(network, structure, scores, request.sparsity, request.kind, request.scope)
    steps, notes = refine(network, mask, structure, dense, task, request)
    return Pruned(network.eval(), mask, steps, notes)


def ballot_scores(network: nn.Module, structure: Structure, task: Task, request: Request) -> Scores:
    """What `ballot` orders channels and weights by: those of the lowest scores leave first.

    Args:
        network: The dense network.
        structure: The weights and channels that can leave.
        task: Data, groups and recipe.
        request: What is asked, of which the seed alone counts.
    """
    rng = request.rng(1)
    samples = task.natural_samples(rng, 1024)
    size, cosine = (CRITERIA[name](network, structure, samples, rng) for name in ("lamp", "conflict"))
    return conflict_scores(size, cosine)


def conflict_scores(size: Scores, cosine: Scores) -> Scores:
    """Places in the order of sizes, lowered by conflict and raised by agreement of the gradients.

    Args:
        size: The scores of sizes.
        cosine: Cosines of the gradients.
    """

    def joined(sizes: Mapping[str, Floats], cosines: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: place + WEIGHT * cosines[name] for name, place in places(sizes, "global").items()}

    return Scores(joined(size.weights, cosine.weights), joined(size.channels, cosine.channels))

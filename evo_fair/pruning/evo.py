"""NSGA-II over the shares of layers and the criterion: sparse networks of small error and even groups."""

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.arrays import Genomes
from evo_fair.errors import PruningError
from evo_fair.evolution import Objective, Record, SearchPlan, resolve, search
from evo_fair.fairness import Counts, concatenate
from evo_fair.files import digest
from evo_fair.nets.threads import torch_threads
from evo_fair.pruning.ballot import conflict_scores
from evo_fair.pruning.criteria import CRITERIA, Scores
from evo_fair.pruning.refine import refine, spread
from evo_fair.pruning.removal import Mask, masked
from evo_fair.pruning.samples import Samples
from evo_fair.pruning.selection import choose, choose_parts
from evo_fair.pruning.structure import Structure
from evo_fair.pruning.task import Dense, Pruned, Request, Task
from evo_fair.registries import method

__all__ = ["PruningSpace", "evo", "recalibrate", "shares_of"]

LEVELS = 7
"""How many densities a layer can have beside those that the criterion gives it globally; one more is sqrt(2) times."""

CHOICES = ("lamp", "taylor", "fairprune", "fairgrape", "conflict")
"""The values of the criterion's gene; conflict is weighed with size, as in `ballot`."""

BUDGET, POPULATION = 60, 15
"""How many masks are evaluated, without training any, and how many make a generation."""


@dataclass(frozen=True)
class PruningSpace:
    """A gene for each layer's (or channel group's) density against the others', and one for the criterion."""

    sizes: tuple[int, ...]
    criteria: tuple[str, ...]

    @property
    def gene_names(self) -> tuple[str, ...]:
        """The layers' genes, and `criterion`."""
        return (*(f"density{number}" for number in range(len(self.sizes))), "criterion")

    @property
    def cardinalities(self) -> npt.NDArray[np.int16]:
        """How many values each gene takes, int16 `[genes]`."""
        return np.array([LEVELS] * len(self.sizes) + [len(self.criteria)], np.int16)

    @property
    def ordered(self) -> npt.NDArray[np.bool_]:
        """Densities are ordered, criteria are not."""
        return np.array([True] * len(self.sizes) + [False])

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        """Draws `n` genomes, every gene uniformly.

        Args:
            rng: The Generator to draw with.
            n: How many.
        """
        drawn = rng.integers(0, self.cardinalities, (n, len(self.cardinalities)), dtype=np.int16)
        return self.canonical(drawn)

    def canonical(self, genomes: npt.ArrayLike) -> Genomes:
        """Only the ratios of densities count: the densest layer is at the top.

        Args:
            genomes: The genomes, int16 `[networks, genes]`.
        """
        form = np.array(genomes, np.int16)
        form[:, :-1] += LEVELS - 1 - form[:, :-1].max(axis=1, keepdims=True)
        return form

    def decode(self, genomes: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """No cheap objective is asked for here: empty tables.

        Args:
            genomes: The genomes, int16 `[networks, genes]`.
        """
        return np.zeros((len(np.asarray(genomes)), 1, 8), np.int32)

    def ids(self, genomes: npt.ArrayLike) -> list[str]:
        """A hash of the canonical genome.

        Args:
            genomes: The genomes, int16 `[networks, genes]`.
        """
        return [digest(row.astype("<i2").tobytes())[:12] for row in self.canonical(genomes)]


@method(takes_shares=False, own_scope="searched")
def evo(dense: Dense, task: Task, request: Request) -> Pruned:
    """The mask that NSGA-II finds, trained on as `ballot` trains.

    Objectives are error and the variance of the groups' accuracy on the validation
    part, of masks by a criterion (a gene) with shares by layer (genes) that make up the
    sparsity asked for; batch norms get new statistics, nothing is trained. Taken is the
    evenest mask that is within `request.epsilon` of the best accuracy found.

    Args:
        dense: The dense network, trained.
        task: Data, groups and recipe.
        request: What is asked: sparsity, kind, scope, epochs and the rest.
    """
    if request.ratios is not None:
        raise PruningError("evo finds the layers' shares itself: leave out --ratio")
    network = copy.deepcopy(dense.network)
    structure = task.structure(network)
    rng = request.rng(1)
    samples = task.samples(rng)
    scores = {name: CRITERIA[name](network, structure, samples, rng) for name in CHOICES}
    scores["conflict"] = conflict_scores(scores["lamp"], scores["conflict"])
    masks = _Masks(network, structure, scores, task, request, task.natural_samples(rng))
    goals = (*resolve(["error"]), Objective("group_variance", function=spread))
    plan = SearchPlan(goals, task.group, BUDGET, population=POPULATION, seed=int(request.rng(2).integers(2**31)))
    with tempfile.TemporaryDirectory() as folder:
        journal, checkpoint = Path(folder) / "journal.jsonl", Path(folder) / "checkpoint.npz"
        records = search(plan, masks.space, masks, journal, checkpoint).records
    chosen = _evenest(records, request.epsilon)
    mask = masks.mask(np.array(chosen.genome, np.int16))
    steps, notes = refine(network, mask, structure, dense, task, request)
    return Pruned(network.eval(), mask, steps, {"masks": len(records), "criterion": chosen.genome[-1]} | notes)


def _evenest(records: Sequence[Record], epsilon: float) -> Record:
    best = min(record.objectives["error"] for record in records)
    able = [record for record in records if record.objectives["error"] <= best + epsilon]
    return min(able, key=lambda record: record.objectives["group_variance"])


@dataclass(frozen=True, eq=False)
class _Masks:
    """The evaluator of the search: what masked networks predict on the validation part."""

    network: nn.Module
    structure: Structure
    scores: Mapping[str, Scores]
    task: Task
    request: Request
    calibration: Samples

    @property
    def parts(self) -> dict[str, int]:
        """How large each layer or group of channels is."""
        first = next(iter(self.scores.values()))
        parts = first.channels if self.request.kind == "structured" else first.weights
        return {name: part.size for name, part in parts.items()}

    @property
    def space(self) -> PruningSpace:
        """The space of the masks."""
        return PruningSpace(tuple(self.parts.values()), tuple(self.scores))

    def mask(self, genome: npt.NDArray[np.int16]) -> Mask:
        """The mask of a genome `[genes]`."""
        parts, request = self.parts, self.request
        scores = list(self.scores.values())[genome[-1]]
        base = choose(self.network, self.structure, scores, request.sparsity, request.kind, "global")
        held = base.values if base.keep is None else base.keep
        density = [float(held[name].sum()) / size for name, size in parts.items()]
        shares = shares_of(genome[:-1], list(parts.values()), density, request.sparsity)
        by_name = {name: float(share) for name, share in zip(parts, shares, strict=True)}
        return choose_parts(self.network, self.structure, scores, by_name, self.request.kind)

    def evaluate(self, genomes: Genomes) -> dict[str, Counts]:
        """Counts on the validation part by the task's grouping."""
        counts = []
        for genome in genomes:
            device = self.task.device
            network = device.placed(masked(self.network, self.mask(genome)))
            recalibrate(network, device.sent(self.calibration.x))
            counts.append(self.task.counts(network, "validation"))
        return {self.task.group: concatenate(counts)}


def shares_of(
    levels: npt.NDArray[np.int16], sizes: Sequence[int], base: Sequence[float], sparsity: float
) -> npt.NDArray[np.float64]:
    """The share that leaves each layer, float64 `[layers]`, so that `sparsity` of all leaves.

    What stays of a layer is in proportion to its density `base` times 2 ** (level / 2),
    but no more than all of it.

    Args:
        levels: Levels of density by layer, int16 `[layers]`.
        sizes: How many weights or channels each layer has.
        base: The density of each layer at level 0.
        sparsity: The share that leaves, 0 to below 1.
    """
    density, size = np.asarray(base) * 2.0 ** (levels / 2), np.asarray(sizes, np.float64)
    low, high = 0.0, 1 / density.min()
    for _ in range(60):
        middle = (low + high) / 2
        enough = (size * np.minimum(1, middle * density)).sum() >= (1 - sparsity) * size.sum()
        low, high = (low, middle) if enough else (middle, high)
    return np.asarray(1 - np.minimum(1, high * density))


@torch.no_grad()
def recalibrate(network: nn.Module, x: torch.Tensor) -> None:
    """Sets every batch norm's running statistics to those of the normalised inputs `x`, in one batch.

    Args:
        network: The network.
        x: Normalised inputs, float32 `[n, ...]`.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch_threads(1):
        network(x)
    for norm, momentum in zip(norms, before, strict=True):
        norm.eval()
        norm.momentum = momentum

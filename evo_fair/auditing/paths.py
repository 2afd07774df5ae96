"""Ways to prune a full-width network of a space gene by gene: genomes that get smaller, step by step, in one order.

A step lowers one width or keep gene to its next level that makes the network smaller. Kinds, kernels, expansions and
slots belong to the architecture and stay. The scope says which gene is next:

- `uniform`: the one that keeps the largest share of its parameters' channels;
- `random`: chances by gene drawn once a path, so that some layers lose much and others little;
- `early`, `late`: the first, or the last, of the network that can still be lowered;
- `global`: the one whose step removes the least important channels, wherever they are.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Genomes
from evo_fair.layers import params
from evo_fair.space import SearchSpace

__all__ = ["SUPERNET_SCOPES", "Importance", "channels_of", "full_width", "pruning_path"]

SUPERNET_SCOPES = ("uniform", "random", "early", "late", "global")
"""How the share that goes is spread over the blocks of a network of the supernet."""

Importance = Mapping[int, npt.NDArray[np.float64]]
"""Importance of each channel that a gene can keep, `[channels]` in the order in which they are kept, by gene."""


def full_width(space: SearchSpace, rng: np.random.Generator, count: int) -> Genomes:
    """Different architectures of a space at full width, no slot skipped: canonical genomes `[count or fewer, genes]`.

    The largest network of the space comes first, the others draw kinds and kernels
    uniformly. Fewer come back where hardly any are left.

    Args:
        space: The search space.
        rng: The Generator to draw with.
        count: The most architectures.
    """
    top = (space.cardinalities - 1).astype(np.int16)
    free = np.array([name.endswith((".kind", ".kernel")) for name in space.gene_names])
    kinds = {g: space.kind_choices(g) for g, name in enumerate(space.gene_names) if name.endswith(".kind")}
    choices = np.array([len(kinds[g]) if g in kinds else n for g, n in enumerate(space.cardinalities)], np.int16)
    found = {space.largest().tobytes(): space.largest()}
    for _ in range(100 * count):
        if len(found) >= count:
            break
        drawn = np.where(free, rng.integers(0, choices, dtype=np.int16), top)
        for gene, allowed in kinds.items():
            drawn[gene] = allowed[drawn[gene]]
        genome = space.canonical(drawn[None])[0]
        found.setdefault(genome.tobytes(), genome)
    return np.stack(list(found.values())[:count])


def pruning_path(
    space: SearchSpace,
    base: Genomes,
    scope: str,
    rng: np.random.Generator,
    importance: Importance | None = None,
) -> tuple[Genomes, npt.NDArray[np.float64]]:
    """The genomes from `base` `[genes]` down to the smallest, `[steps, genes]`, and their sparsity `[steps]`.

    Sparsity is the share of the base's parameters that is gone; it starts at 0 and
    rises with every step. Ties are broken by `rng`. `global` needs `importance`.

    Args:
        space: The search space.
        base: A genome at full width, int16 `[genes]`.
        scope: How the share is spread over layers.
        rng: The Generator to draw with.
        importance: The importance of channels, for the scope `global`. Default: none.
    """
    genes = np.array([g for g, name in enumerate(space.gene_names) if name.endswith((".width", ".keep"))])
    if scope not in SUPERNET_SCOPES or (scope == "global" and importance is None):
        raise ValueError(
            f"scope {scope!r}: expected one of {', '.join(SUPERNET_SCOPES)}; 'global' needs the importance"
        )
    chances = rng.dirichlet(np.ones(len(genes)))
    channels = [channels_of(space, int(gene)) for gene in genes]
    path = [space.canonical(base[None])[0]]
    sizes = [int(params(space.decode(base[None]))[0])]
    while True:
        now = path[-1]
        lower = np.repeat(now[None], len(genes), axis=0)
        lower[np.arange(len(genes)), genes] -= 1
        possible = now[genes] > 0
        lower = space.canonical(np.where(possible[:, None], lower, now))
        size = params(space.decode(lower))
        possible &= size < sizes[-1]
        if not possible.any():
            return np.stack(path), 1 - np.array(sizes) / sizes[0]
        levels = now[genes]
        if scope == "uniform":
            start = path[0][genes]
            shares = zip(channels, levels, start, strict=True)
            wish = np.array([c[level] / max(c[first], 1) for c, level, first in shares])  # tables' stages have no width
        elif scope == "random":
            wish = rng.random(len(genes)) ** (1 / np.maximum(chances, 1e-12))  # draws by chance, Efraimidis 2006
        elif scope == "global":
            assert importance is not None
            wish = -np.array([_removed(importance, g, c, n) for g, c, n in zip(genes, channels, levels, strict=True)])
        else:
            wish = np.arange(len(genes)) * (1.0 if scope == "late" else -1.0)
        wish = np.where(possible, wish, -np.inf)
        best = rng.choice(np.flatnonzero(wish == wish.max()))
        path.append(lower[best])
        sizes.append(int(size[best]))


def channels_of(space: SearchSpace, gene: int) -> tuple[int, ...]:
    """The counts of channels that the levels of a width or keep gene mean.

    Args:
        space: The search space.
        gene: The gene's number.
    """
    place, _, what = space.gene_names[gene].partition(".")
    if place == "stem":
        assert space.schema.stem is not None
        return space.schema.stem.widths
    stage = space.stage_of(gene)
    return (stage.widths or (0,)) if what == "width" else stage.levels


def _removed(importance: Importance, gene: int, channels: tuple[int, ...], level: np.int16) -> float:
    """The mean importance of the channels that the next step of a gene removes; those of no importance go first."""
    values = importance.get(int(gene))
    if level == 0 or values is None:
        return 0.0
    removed = values[channels[level - 1] : channels[level]]
    return float(removed.mean()) if len(removed) else 0.0

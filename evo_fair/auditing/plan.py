"""The plan of an audit: which pruned networks of which architectures, by criterion, scope, sparsity and seed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.arguments import check_seeds
from evo_fair.auditing.paths import SUPERNET_SCOPES, Importance, full_width, pruning_path
from evo_fair.errors import AuditError, UnknownNameError
from evo_fair.layers import macs, params
from evo_fair.space import SearchSpace

__all__ = ["PLAN_COLUMNS", "Grid", "check_pruned", "genomes_of", "plan_networks"]

PLAN_COLUMNS = (
    "id",
    "base",
    "dense",
    "criterion",
    "order",
    "scope",
    "structure",
    "treatment",
    "seed",
    "target",
    "sparsity",
    "params",
    "macs",
    "genome",
)


_BLOCK = 8
"""Architectures a block: enough that an order of channels serves many networks before the next one is loaded."""


@dataclass(frozen=True)
class Grid:
    """The factors of an audit; `networks` counts all that are evaluated, dense ones included."""

    networks: int
    criteria: tuple[str, ...]
    scopes: tuple[str, ...] = SUPERNET_SCOPES
    sparsities: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    seeds: tuple[int, ...] = (0, 1, 2)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.networks < 3:
            raise AuditError(f"networks = {self.networks}: an audit needs 3 or more, a dense one and two pruned ones")
        for sparsity in self.sparsities:
            if not 0 <= sparsity < 1:
                raise AuditError(
                    f"sparsity {sparsity:g} is not in [0, 1): give the share of the parameters that goes, such as 0.5"
                )
        for scope in self.scopes:
            if scope not in SUPERNET_SCOPES:
                raise UnknownNameError("scope", scope, list(SUPERNET_SCOPES))
        for name in ("criteria", "scopes", "sparsities", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise AuditError(f"{name} = {list(values)}: name at least one, and each once")
        check_seeds((*self.seeds, self.seed), AuditError)
        if not any(self.sparsities):
            raise AuditError(f"sparsities = {list(self.sparsities)}: nothing would be pruned; give one above 0")


def plan_networks(
    space: SearchSpace,
    grid: Grid,
    importance: Callable[[str, npt.NDArray[np.int16]], Importance],
    seeded: Callable[[str], bool],
) -> pd.DataFrame:
    """A row a network with the columns `PLAN_COLUMNS`; the same grid gives the same rows.

    Architectures follow each other in blocks; within a block networks that share an
    order of channels stand together, dense ones among the first. `importance(order,
    base)` serves the scope `global`; `seeded(criterion)` says whether a criterion's
    order depends on the seed. A network that two scopes or seeds lead to counts once.
    Raises `AuditError` where the space has fewer networks than were asked for, and for
    fewer than two pruned ones.

    Args:
        space: The search space.
        grid: What is audited.
        importance: Gives the importance for an order and a base.
        seeded: Says whether a criterion's order depends on the seed.
    """
    rng = np.random.default_rng(grid.seed)
    # An architecture brings at least as many networks as the reductions of its three or more widths.
    bases = full_width(space, rng, max(2, grid.networks // 8))
    rows: list[dict[str, object]] = []
    for base in bases:
        rows.extend(_of_base(space, base, grid, importance, seeded, grid.networks - len(rows), spread=not rows))
        if len(rows) >= grid.networks:
            plan = pd.DataFrame(rows, columns=list(PLAN_COLUMNS))
            check_pruned(int((~plan["dense"]).sum()))
            block = pd.factorize(plan["base"])[0] // _BLOCK
            order = pd.factorize(plan["order"])[0]
            return plan.iloc[np.lexsort((order, block))].reset_index(drop=True)
    raise AuditError(
        f"this space and grid give {len(rows):,} different networks, not {grid.networks:,}: "
        "ask for fewer, or for more criteria, scopes, sparsities or seeds"
    )


def check_pruned(networks: int) -> None:
    """Raises `AuditError` unless two or more pruned networks are to be measured.

    Args:
        networks: How many pruned networks there are.
    """
    if networks < 2:
        raise AuditError(
            f"the grid has {networks} pruned network(s), and an audit compares two or more: "
            "give more sparsities above 0, criteria, scopes or seeds"
        )


def genomes_of(plan: pd.DataFrame) -> npt.NDArray[np.int16]:
    """The genomes of a plan's networks, int16 `[networks, genes]`.

    Args:
        plan: The plan's table.
    """
    return np.array([text.split() for text in plan["genome"]], np.int16)


def _of_base(
    space: SearchSpace,
    base: npt.NDArray[np.int16],
    grid: Grid,
    importance: Callable[[str, npt.NDArray[np.int16]], Importance],
    seeded: Callable[[str], bool],
    room: int,
    spread: bool,
) -> list[dict[str, object]]:
    """The rows of an architecture, at most `room`: the first ones, or with `spread` some of every factor."""
    name = space.ids(base[None])[0]
    found: dict[tuple[str, bytes], tuple[dict[str, object], npt.NDArray[np.int16]]] = {}
    dense = {"criterion": "none", "order": "trained", "scope": "none", "seed": grid.seeds[0], "target": 0.0}
    found["trained", base.tobytes()] = (dense | {"dense": True}, base)
    for criterion in grid.criteria:
        for seed in grid.seeds:
            order = f"{criterion}-{seed}" if seeded(criterion) else criterion
            weights = importance(order, base) if "global" in grid.scopes else None
            for scope in grid.scopes:
                # One generator a path: what a path is does not depend on which others were asked for.
                rng = np.random.default_rng([grid.seed, seed, SUPERNET_SCOPES.index(scope), *base.tolist()])
                genomes, sparsity = pruning_path(space, base, scope, rng, weights)
                for target in grid.sparsities:
                    step = int(np.abs(sparsity - target).argmin())
                    row = {"criterion": criterion, "order": order, "scope": scope, "seed": seed, "target": target}
                    if step:
                        found.setdefault((order, genomes[step].tobytes()), (row | {"dense": False}, genomes[step]))
    kept = list(found.values())
    if spread and room < len(kept):
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, room).round().astype(int)]
    kept = kept[:room]
    genomes = np.stack([genome for _, genome in kept])
    table = space.decode(genomes)
    sizes, work = params(table), macs(table)
    return [
        row
        | {"id": f"{network}.{row['order']}", "base": name, "structure": "structured", "treatment": "statistics"}
        | {"params": int(size), "macs": int(mac), "sparsity": float(1 - size / sizes[0])}
        | {"genome": " ".join(map(str, genome))}
        for (row, genome), network, size, mac in zip(kept, space.ids(genomes), sizes, work, strict=True)
    ]

"""How a network is to be pruned: by which methods, how far, and what each may spend; checked before anything begins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from evo_fair.arguments import as_number, as_numbers, as_parts, as_whole, as_wholes, check_seeds
from evo_fair.errors import PruningError, UnknownNameError, quote
from evo_fair.nets.distillation import check_distillation
from evo_fair.pruning.methods import ChosenMethod, choose_method
from evo_fair.pruning.selection import SCOPES, STRUCTURES, Scope, StructureKind, check_sparsity
from evo_fair.pruning.task import Request
from evo_fair.pruning.treatments import Treatment

__all__ = ["PruneSettings", "PruneUnit"]


@dataclass(frozen=True)
class PruneUnit:
    """One network to make; the sparsity is None where shares by layer are given."""

    method: str
    sparsity: float | None
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        share = "given" if self.sparsity is None else np.format_float_positional(self.sparsity, trim="-")
        return f"{self.method}-{share}-{self.seed}"


@dataclass(frozen=True)
class PruneSettings:
    """All combinations of methods, sparsities and seeds, and how each network of them is made.

    The fields are the parameters of `ef.prune` of the same names. Raises `EvoFairError` of the kind that fits for a
    value of the wrong kind, an unknown name, and for what does not go together.
    """

    methods: Sequence[str | Callable[..., Any]] = ("magnitude",)
    sparsities: Sequence[float] = (0.5,)
    seeds: Sequence[int] = (0,)
    structure: StructureKind = "structured"
    scope: Scope | None = None
    ratios: Mapping[str, float] | None = None
    treatment: Treatment | None = None
    rounds: int | None = None
    epochs: int | None = None
    epsilon: float = 0.01
    distillation: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.ratios, Mapping | None):
            raise PruningError(f"ratios {quote(self.ratios)} are no shares by layer: give them as {{LAYER: 0.5}}")
        ratios = {name: as_number(f"ratios: {name}", ratio) for name, ratio in (self.ratios or {}).items()}
        plain = {
            "methods": as_parts("methods", self.methods),
            "seeds": as_wholes("seeds", self.seeds),
            "sparsities": as_numbers("sparsities", self.sparsities),
            "rounds": as_whole("rounds", self.rounds),
            "epochs": as_whole("epochs", self.epochs),
            "epsilon": as_number("epsilon", self.epsilon) or 0.0,
            "ratios": ratios or None,
            "distillation": as_number("distillation", self.distillation) or 0.0,
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        self._check_units()
        self._check_methods()
        self._check_limits()

    @cached_property
    def chosen(self) -> tuple[ChosenMethod, ...]:
        """The methods, in the order in which they were given."""
        return tuple(choose_method(one, self.treatment, self.rounds) for one in self.methods)

    @cached_property
    def units(self) -> tuple[PruneUnit, ...]:
        """The networks to make, in order."""
        sparsities = [None] if self.ratios else self.sparsities
        return tuple(PruneUnit(*unit) for unit in product([one.name for one in self.chosen], sparsities, self.seeds))

    @property
    def followed_scope(self) -> Scope:
        """The scope of the methods that have none of their own."""
        return self.scope or "global"

    def spent(self, recipe_epochs: int) -> int:
        """Epochs that a method may train, of a recipe of `recipe_epochs`."""
        return max(1, recipe_epochs // 4) if self.epochs is None else self.epochs

    def request(self, unit: PruneUnit, epochs: int) -> Request:
        """What a method is asked for to make `unit` within `epochs`."""
        sparsity = unit.sparsity or 0.0
        return Request(
            sparsity,
            self.structure,
            self.followed_scope,
            unit.seed,
            epochs,
            dict(self.ratios or {}) or None,
            self.epsilon,
        )

    def _check_units(self) -> None:
        for sparsity in self.sparsities:
            check_sparsity(sparsity)
        for layer, ratio in (self.ratios or {}).items():
            check_sparsity(ratio, f"the share of layer {layer!r},")
        check_seeds(self.seeds, PruningError)
        if not self.units:
            raise PruningError("nothing to do: give at least one method, sparsity and seed")
        if len({unit.name for unit in self.units}) < len(self.units):
            raise PruningError("a method, sparsity or seed is given twice: give each once")

    def _check_methods(self) -> None:
        """Raises `UnknownNameError` or `PruningError` for what there is not, or what one of the methods can't do."""
        scope = self.followed_scope if self.scope is None else self.scope  # an empty one is none
        known = (("structure", self.structure, STRUCTURES), ("scope", scope, SCOPES))
        for what, value, names in known:
            if value not in names:
                raise UnknownNameError(what, value, list(names))
        for method in self.chosen:
            name, traits = method.name, method.traits
            if traits.weights_alone and self.structure == "structured":
                raise PruningError(f"{name} takes out single weights, no channels: use --structure unstructured")
            if not traits.takes_shares and self.ratios:
                raise PruningError(f"{name} takes no shares by layer: leave out --ratio, or {name}")
            own = traits.own_scope or self.scope
            if self.scope is not None and self.scope != own:
                raise PruningError(f"{name} has a scope of its own, {own}: leave out --scope {self.scope}, or {name}")

    def _check_limits(self) -> None:
        check_distillation(self.distillation)
        if self.rounds is not None and self.rounds > 1 and self.ratios:
            raise PruningError("shares by layer are for one shot: leave out --rounds, or --ratio")
        if not 0 <= self.epsilon < 1:
            raise PruningError(
                f"epsilon {self.epsilon:g} is outside [0, 1): give the share of accuracy that may be lost"
            )
        if self.epochs is not None and self.epochs < 0:
            raise PruningError(f"epochs {self.epochs} is negative: give 0 or more")

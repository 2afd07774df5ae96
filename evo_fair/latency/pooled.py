"""Fits one board's latency to measurements by several sources together, each with its own scale and overhead.

A source is a runtime or an author. The unknowns of each are standard normal beforehand, as where it stands alone
(`evo_fair.latency.design`), but those of two sources correlate: what one of them never measured is drawn towards what
the others say of it, and what it did measure stays its own (the intrinsic coregionalisation of Bonilla, Chai and
Williams 2007, "Multi-task Gaussian process prediction"). A source's unknowns are

    sqrt(shared) * common + sqrt(1 - shared) * own

so that the system has a block for each source and one for what they have in common; the former are eliminated first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evo_fair.arrays import Bools, Floats
from evo_fair.latency.coverage import Kept
from evo_fair.latency.design import N_GROUPS, OVERHEAD, PRICED, SCALE, SCALE_SPREAD, Design, make_design, price, slopes
from evo_fair.latency.fit import ROUNDS, SETTLED, Fit, finish, fit_model, huber_weights
from evo_fair.latency.measurements import Measurements, joined
from evo_fair.latency.terms import layer_terms

__all__ = ["Pool", "make_pool"]


FEATURES = 128  # twice those of one source: there are more kinds of layers to tell apart
GROUPS_SHARED, TERMS_SHARED, FEATURES_SHARED = 0.3, 0.3, 0.5
"""How far the unknowns of two sources correlate. Scale and overhead are each source's own. Chosen by the errors of the
Raspberry Pi 4's sources, each left out in turn, and of its networks in folds: see benchmarks/latency_sources.py."""


@dataclass(frozen=True)
class Pool:
    """Measurements of several sources laid out for a fit; `designs` differ in their counts only."""

    designs: tuple[Design, ...]
    latency_ms: tuple[Floats, ...]
    terms: Floats  # [rows, terms]
    noises: tuple[float, ...]
    bytes_per_value: float
    block: int

    def fit(self, kept: Kept | None = None) -> tuple[Fit, ...]:
        """A fit for each source to the networks `kept` of each, int64 `[n]`; by default to all of them.

        A source of which none is kept has what the others say, up to the scale.
        """
        parts = [
            replace(design, counts=csr_array(design.counts[own]))
            for design, own in zip(self.designs, self._kept(kept), strict=True)
        ]
        measured = [ms[own] for ms, own in zip(self.latency_ms, self._kept(kept), strict=True)]
        with threadpool_limits(limits=1):  # the systems are small: more threads cost more than they save
            unknowns, covariances = _solve(parts, self.terms, measured, self.noises)
        seen = np.unique(np.concatenate([one.counts.indices for one in parts]))
        exercised = np.append(self.terms[seen].any(axis=0), True)
        return tuple(
            finish(self.designs[0], z, covariance, exercised, self.bytes_per_value, self.block, noise)
            for z, covariance, noise in zip(unknowns, covariances, self.noises, strict=True)
        )

    def _kept(self, kept: Kept | None) -> Kept:
        return [np.arange(len(ms)) for ms in self.latency_ms] if kept is None else kept

    def measures(self, source: int) -> Bools:
        """Which terms the layers of a source exercise, bool `[terms]`."""
        terms = self.terms[np.unique(self.designs[source].counts.indices)]
        return np.asarray(terms.any(axis=0), np.bool_)


def make_pool(sources: Sequence[Measurements], bytes_per_value: float = 4.0) -> Pool:
    """Lays out measurements of one board by several sources, the first of which is the one to predict.

    Each chooses its noise by a fit of its own, and the first the block of channels. A source may have no networks, but
    for at least one: what the others say of it is its fit. Raises `ProfileError` for a source of 1 to 7 networks.
    """
    alone = [fit_model(measured, bytes_per_value) if measured.names else None for measured in sources]
    known = [fit for fit in alone if fit is not None]
    design = make_design(joined([measured.table for measured in sources]), FEATURES)
    ends = np.cumsum([len(measured.names) for measured in sources])
    counts = [csr_array(design.counts[end - len(one.names) : end]) for end, one in zip(ends, sources, strict=True)]
    block = known[0].model.block
    usual = float(np.median([fit.noise for fit in known]))
    return Pool(
        tuple(replace(design, counts=own) for own in counts),
        tuple(measured.latency_ms for measured in sources),
        layer_terms(design.rows[:, None], bytes_per_value, block)[:, 0],
        tuple(usual if fit is None else fit.noise for fit in alone),
        bytes_per_value,
        block,
    )


def _shares(features: int) -> tuple[Floats, Floats]:
    """What the common unknowns weigh and what a source's own do, each `[unknowns]`; their squares add up to 1."""
    shared = np.full(PRICED + features, FEATURES_SHARED)
    shared[:PRICED] = TERMS_SHARED
    shared[1 : 1 + N_GROUPS] = GROUPS_SHARED
    shared[[SCALE, OVERHEAD]] = 0.0
    return np.sqrt(shared), np.sqrt(1.0 - shared)


def _solve(
    designs: Sequence[Design], terms: Floats, measured: Sequence[Floats], noises: Sequence[float]
) -> tuple[list[Floats], list[Floats]]:
    """The unknowns of each source `[unknowns]`, and their covariances `[unknowns, unknowns]`.

    The damped Gauss-Newton of `evo_fair.latency.fit.solve`, for all sources at once.
    """
    common_share, own_share = _shares(designs[0].features.shape[1])

    def misfit(common: Floats, own: Sequence[Floats], weights: Sequence[Floats]) -> float:
        total = common @ common
        for s, design in enumerate(designs):
            _, by_layer, fixed = price(design, terms, common_share * common + own_share * own[s])
            residual = 1.0 - (design.counts @ by_layer + fixed) / measured[s]
            total += (weights[s] * residual**2).sum() / noises[s] ** 2 + own[s] @ own[s]
        return float(total)

    common = np.zeros(len(common_share))
    own = [_start(design, terms, ms) for design, ms in zip(designs, measured, strict=True)]
    for _ in range(ROUNDS):
        information, target, weights = [], [], []
        for s, design in enumerate(designs):
            z = common_share * common + own_share * own[s]
            predicted, slope = slopes(design, terms, z)
            slope /= measured[s][:, None]
            residual = 1.0 - predicted / measured[s]
            weights.append(huber_weights(residual, noises[s]))
            weighted = slope.T * (weights[s] / noises[s] ** 2)
            information.append(weighted @ slope)
            target.append(weighted @ (residual + slope @ z))
        system = _System(information, common_share, own_share)
        new_common, new_own = system.solve(target)
        before, length = misfit(common, own, weights), 1.0
        while True:
            next_common = common + length * (new_common - common)
            next_own = [z + length * (new - z) for z, new in zip(own, new_own, strict=True)]
            after = misfit(next_common, next_own, weights)
            if after <= before or length <= 1e-3:
                break
            length /= 2
        common, own = next_common, next_own
        if before - after < SETTLED * before:
            break
    unknowns = [common_share * common + own_share * z for z in own]
    return unknowns, [system.covariance(s) for s in range(len(designs))]


def _start(design: Design, terms: Floats, measured: Floats) -> Floats:
    """A source's own unknowns at usual prices, at the scale of its measurements."""
    z = np.zeros(PRICED + design.features.shape[1])
    if len(measured):
        _, by_layer, fixed = price(design, terms, z)
        z[SCALE] = np.median(np.log(measured / (design.counts @ by_layer + fixed))) / SCALE_SPREAD
    return z


class _System:
    """The normal equations of common and own unknowns, of which the own ones are eliminated."""

    def __init__(self, information: Sequence[Floats], common_share: Floats, own_share: Floats) -> None:
        self.common_share, self.own_share = common_share, own_share
        identity = np.eye(len(common_share))
        left = identity.copy()
        self.factors, self.coupled = [], []
        for one in information:
            own_rows = own_share[:, None] * one
            factor = cho_factor(own_rows * own_share + identity)
            coupled = cho_solve(factor, own_rows * common_share)
            left += common_share[:, None] * (one * common_share - (one * own_share) @ coupled)
            self.factors.append(factor)
            self.coupled.append(coupled)
        self.left = cho_factor(left)

    def solve(self, target: Sequence[Floats]) -> tuple[Floats, list[Floats]]:
        """The common unknowns, and each source's own."""
        right = np.zeros(len(self.common_share))
        for one, coupled in zip(target, self.coupled, strict=True):
            right += self.common_share * one - coupled.T @ (self.own_share * one)
        common: Floats = cho_solve(self.left, right)
        own = [
            cho_solve(factor, self.own_share * one) - coupled @ common
            for one, factor, coupled in zip(target, self.factors, self.coupled, strict=True)
        ]
        return common, own

    def covariance(self, source: int) -> Floats:
        """That of a source's unknowns, common and own together."""
        identity = np.eye(len(self.common_share))
        along = np.diag(self.common_share) - self.own_share[:, None] * self.coupled[source]
        alone = self.own_share[:, None] * cho_solve(self.factors[source], identity) * self.own_share
        covariance: Floats = along @ cho_solve(self.left, along.T) + alone
        return covariance

"""What a belief found out, in plain words: how far networks of equal size differ, and how much of that can be told."""

from dataclasses import dataclass

import numpy as np

from evo_fair.belief.belief import Belief, rank_correlation
from evo_fair.belief.trained import SIZES_ALONE
from evo_fair.evolution import Axis

__all__ = ["Finding", "describe_belief", "find"]

_LEAST_SHARE = 0.1
"""Below this share of the variance at equal size a search tells nothing that size doesn't."""

_SHARES = ("accuracy", "error", "gap", "difference")
"""How the names of objectives end that are shares of samples, where they have no unit and lie between 0 and 1."""

_FEW = 4
"""Trained networks below which nothing is said of ranks."""


@dataclass(frozen=True)
class Finding:
    """What is known of one objective among networks of equal size.

    `spread` is the standard deviation of the networks beyond noise, in the objective's unit. `told` is the share of its
    variance that the search can tell. `trained` is the number of trained networks; `tau` the rank correlation of what
    is believed with results that were left out, `size_tau` that of multiply-accumulates or of parameters, whichever is
    higher; NaN where there are too few, and `tau` where all results are the same. `in_points` is for shares, of which
    hundredths are spoken of as points.
    """

    name: str
    spread: float
    told: float
    trained: int
    tau: float
    size_tau: float
    in_points: bool

    @property
    def size_decides(self) -> bool:
        """Whether size alone tells as much as the search does."""
        return self.told < _LEAST_SHARE or self.tau <= self.size_tau


def find(belief: Belief, axis: Axis, place: int) -> Finding:
    """What a belief says of the objective `axis`, the one at `place` in it."""
    part = belief.parts[place]
    frozen = part.frozen
    networks, results = belief.results()
    corrected = belief.corrected(place)
    if corrected is None:
        told = float(np.var(frozen.genes + frozen.own))
        left = float(np.mean(frozen.variance))
        center = frozen.mean
    else:
        told = float(np.var(corrected.mean - corrected.by_size))
        left = float(np.mean(corrected.left))
        center = corrected.mean
    tau = size_tau = float("nan")
    if len(networks) >= _FEW:
        tau, _ = belief.left_out_tau(place)
        # The one that ranks best, in the direction that does: 'size alone decides' is rather said too often.
        sizes = part.known.size[networks, :SIZES_ALONE].T
        taus = [abs(rank_correlation(size, results[:, place])) for size in sizes]
        size_tau = max((one for one in taus if not np.isnan(one)), default=0.0)  # a size that all have ranks nothing
    middle = np.median(center)
    deviation = np.sqrt(told + left)
    spread = float(part.natural(np.array([middle]), np.array([deviation]))[1][0])
    share = told / (told + left) if told + left > 0 else 0.0
    in_points = axis.name.endswith(_SHARES) and not axis.unit and part.most == 1.0
    return Finding(axis.name, spread, share, len(networks), tau, size_tau, in_points)


def describe_belief(finding: Finding) -> str:
    """A finding as one to three short sentences."""
    what = f"{100 * finding.spread:.1f} points" if finding.in_points else f"{finding.spread:.2g}"
    name, told = finding.name.replace("_", " "), f"about {100 * finding.told:.0f} %"
    beyond = f"networks of equal size and latency probably differ by about {what}"
    if not finding.trained:
        first = f"{name}: before training of their own, {beyond}."
        if finding.size_decides:
            return f"{first} That is too little for the validation part to say which is better: size alone decides."
        return f"{first} The search sees {told} of that. How much is left after training, --trainings finds out."
    networks = f"{finding.trained} trained network{'s' if finding.trained > 1 else ''}"
    first = f"{name}: by {networks}, {beyond} once trained."
    if np.isnan(finding.tau):
        unchecked = "there are too few trainings to check it"
        if finding.trained >= _FEW:
            unchecked = "the trainings cannot check it, as all came to the same"
        return f"{first} The search may see {told} of that: {unchecked}."
    ranks = (
        f"each trained network predicted from the others: rank correlation {finding.tau:.2f}, from their size alone "
        f"{finding.size_tau:.2f}"
    )
    if finding.size_decides:
        return f"{first} The search sees no more of that than size does ({ranks}): size alone decides."
    return f"{first} The search sees {told} of that ({ranks})."

"""Who loses by pruning: the mean loss of accuracy of each group by band of sparsity, and how often it loses most."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from evo_fair.auditing.dense import DenseFacts
from evo_fair.fairness.degenerate import ends_where_alike, without_spread

__all__ = ["BANDS", "band_name", "band_of", "losses_by_factor", "losses_by_group", "sample_losses"]

BANDS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The bounds of the bands of sparsity, the upper one included."""
REPLICATES = 1000

_ALIKE = 1e-9
"""Losses that differ by less do so by rounding: the smallest group of a million loses a thousand times that."""


def band_of(sparsity: npt.ArrayLike, bands: Sequence[float] = BANDS) -> npt.NDArray[np.int64]:
    """The number of the band of each sparsity; -1 for 0.

    Args:
        sparsity: Sparsities, 0 to 1, `[n]`.
        bands: The bounds of the bands, the upper one included. Default: `BANDS`.
    """
    return np.asarray(np.searchsorted(bands, np.asarray(sparsity, np.float64), side="left") - 1, np.int64)


def band_name(number: int, bands: Sequence[float] = BANDS) -> str:
    """A band in words: `25 to 50 %`.

    Args:
        number: The band's number.
        bands: The bounds of the bands, the upper one included. Default: `BANDS`.
    """
    return f"{100 * bands[number]:.0f} to {100 * bands[number + 1]:.0f} %"


def sample_losses(
    networks: pd.DataFrame, predictions: npt.NDArray[np.uint8], facts: DenseFacts, chosen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """How much more often each sample is right before than after pruning, `[samples]`, over the `chosen` networks.

    Args:
        networks: A row a network.
        predictions: Predicted labels, uint8 `[networks, n]`.
        facts: What is known of the dense networks.
        chosen: Which networks, bool `[networks]`.
    """
    base = facts.numbers(networks["base"][chosen])
    dense = (facts.logits.argmax(axis=2) == facts.target)[base].mean(axis=0)
    return np.asarray(dense - (predictions[chosen] == facts.target).mean(axis=0), np.float64)


def losses_by_group(
    networks: pd.DataFrame, predictions: npt.NDArray[np.uint8], facts: DenseFacts, rng: np.random.Generator
) -> pd.DataFrame:
    """A row a grouping, group and band of sparsity that has networks; the last band holds all pruned networks.

    Columns: `grouping`, `group`, `band` (in words), `networks`, `samples`, `dense`
    (mean accuracy), `loss` with `low` and `high` (95 %; units of samples are drawn, the
    networks stay; NaN where units are too few), and `worst`, the share of the networks
    in which it loses, and no other group of the grouping loses more. Groups that lose
    the same share a network.

    Args:
        networks: A row a network.
        predictions: Predicted labels, uint8 `[networks, n]`.
        facts: What is known of the dense networks.
        rng: The Generator to draw with.
    """
    resamples = facts.resamples(REPLICATES, rng)
    weights = None if resamples is None else resamples.astype(np.float64)
    pruned = ~networks["dense"].to_numpy(bool)
    bands = band_of(networks["sparsity"])
    right = facts.logits.argmax(axis=2) == facts.target
    base = facts.numbers(networks["base"])
    rows = []
    for number in [*range(len(BANDS) - 1), None]:
        chosen = pruned & ((bands == number) if number is not None else True)
        if not chosen.any():
            continue
        change = sample_losses(networks, predictions, facts, chosen)
        for grouping, index in facts.groups.items():
            members = np.stack([index == g for g in range(len(facts.names[grouping]))]).astype(np.float64)
            sizes = members.sum(axis=1)
            losses = (members @ change) / sizes
            low, high = np.full((2, len(sizes)), np.nan)
            if weights is not None:
                drawn = (weights @ (members * change).T) / (weights @ members.T)
                units = np.array([len(np.unique(facts.units[index == g])) for g in range(len(sizes))])
                ends = np.percentile(drawn, [2.5, 97.5], axis=0)
                low, high = ends_where_alike(ends, losses, without_spread(drawn), units)
            shares = members.T / sizes
            worst = _shares_of_worst(right[base[chosen]] @ shares - (predictions[chosen] == facts.target) @ shares)
            for g, name in enumerate(facts.names[grouping]):
                rows.append(
                    {
                        "grouping": grouping,
                        "group": name,
                        "band": "all" if number is None else band_name(number),
                        "networks": int(chosen.sum()),
                        "samples": int(sizes[g]),
                        "dense": float((right[base[chosen]] @ shares[:, g]).mean()),
                        "loss": losses[g],
                        "low": low[g],
                        "high": high[g],
                        "worst": worst[g],
                    }
                )
    return pd.DataFrame(rows)


def _shares_of_worst(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """In what share of the networks each group loses most, from `[networks, groups]`; where none loses, none does."""
    most = losses.max(axis=1, keepdims=True)
    worst = (losses >= most - _ALIKE) & (most > _ALIKE)
    return np.asarray((worst / np.maximum(worst.sum(axis=1, keepdims=True), 1)).mean(axis=0))


def losses_by_factor(networks: pd.DataFrame, factor: str, columns: Sequence[str]) -> pd.DataFrame:
    """Means of `columns` over the pruned networks by level of a factor and band of sparsity, and how many they are.

    Networks that lost nothing, because a small share rounds to no channel, are in no
    band.

    Args:
        networks: A row a network.
        factor: The factor's column.
        columns: The columns whose means are taken.
    """
    pruned = networks[~networks["dense"].to_numpy(bool) & (networks["sparsity"].to_numpy(float) > 0)]
    band = [band_name(int(number)) for number in band_of(pruned["sparsity"])]
    grouped = pruned.assign(band=band).groupby([factor, "band"], sort=True)
    return grouped[list(columns)].mean().assign(networks=grouped.size()).reset_index()

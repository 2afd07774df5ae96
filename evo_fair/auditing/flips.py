"""Which samples will pruning change? A prediction from the dense network alone, and how well it holds.

After Iofinova, Peste and Alistarh 2023, who tell from the dense model, by its uncertainty for one, whether bias is
likely to grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evo_fair.arrays import Floats
from evo_fair.auditing.dense import DenseFacts, entropy_of
from evo_fair.errors import AuditError
from evo_fair.fairness.degenerate import without_spread

__all__ = ["SIGNS", "FlipForecast", "auc", "count_flips", "dense_signs", "forecast_flips"]

SIGNS = ("confidence", "margin", "entropy")
FOLDS = 5
REPLICATES = 500


@dataclass(frozen=True)
class FlipForecast:
    """A forecast of flips: `quality`, AUC by score and group, and `risk`, forecast and observed flips by group."""

    quality: pd.DataFrame
    risk: pd.DataFrame


def dense_signs(facts: DenseFacts) -> Floats:
    """What a dense network shows of each sample without its label: `[bases, samples, signs]`, in the order of `SIGNS`.

    Confidence is the largest probability, margin the distance to the next, entropy 1
    for a uniform guess.

    Args:
        facts: What is known of the dense networks.
    """
    p = np.sort(facts.probabilities, axis=2)
    return np.stack([p[..., -1], p[..., -1] - p[..., -2], entropy_of(facts.logits)], axis=2)


def count_flips(
    networks: pd.DataFrame, predictions: npt.NDArray[np.uint8], facts: DenseFacts
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many pruned networks of each architecture predict another label than the dense one, `[bases, samples]`, and
    how many pruned networks there are, `[bases]`.

    Args:
        networks: A row a network.
        predictions: Predicted labels, uint8 `[networks, n]`.
        facts: What is known of the dense networks.
    """
    dense = facts.logits.argmax(axis=2).astype(np.uint8)
    base = facts.numbers(networks["base"])
    flips = np.zeros(dense.shape, np.int64)
    counts = np.zeros(len(dense), np.int64)
    for number in np.flatnonzero(~networks["dense"].to_numpy(bool) & (base >= 0)):
        flips[base[number]] += predictions[number] != dense[base[number]]
        counts[base[number]] += 1
    return flips, counts


def forecast_flips(
    facts: DenseFacts,
    flips: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    groupings: Sequence[str],
    rng: np.random.Generator,
) -> FlipForecast:
    """Logistic regression of a flip on the signs of the dense network; every sample is judged while it is held out.

    Folds keep the samples of a unit together, for all architectures. An AUC is that of
    all pairs of a pruned network and a sample; its interval (95 %) draws units, the
    fitted model stays. By group it asks whether flips are told apart within the group;
    that of a group of one unit is the same in all resamples, and has no interval.
    `quality` has the columns `grouping`, `group`, `score`, `auc`, `low`, `high`,
    `samples`; `risk` `grouping`, `group`, `samples`, `forecast`, `observed`. Raises
    `AuditError` where nothing flips, or everything, or all samples are of one unit.

    Args:
        facts: What is known of the dense networks.
        flips: How many networks flip each sample, int64 `[bases, samples]`.
        counts: How many pruned networks each architecture has, int64 `[bases]`.
        groupings: The groupings' names.
        rng: The Generator to draw with.
    """
    used = counts > 0
    flips, stays = flips[used], (counts[used, None] - flips[used])
    if not flips.any() or not stays.any():
        raise AuditError(
            "a forecast of flips needs networks that flip some predictions and not all: audit more of them"
        )
    if len(np.unique(facts.units)) < 2:
        raise AuditError("a forecast of flips needs samples of two units: audit a part that holds more than one")
    signs = dense_signs(facts)[used]
    scores = {name: signs[..., i] * (1 if name == "entropy" else -1) for i, name in enumerate(SIGNS)}
    scores["fitted"] = _held_out(signs, flips, stays, facts.units)
    weights = facts.resamples(REPLICATES, rng)
    everyone = np.ones(len(facts.target), np.bool_)
    members = [("all", "all", everyone)]
    for grouping in groupings:
        members += [(grouping, name, facts.groups[grouping] == g) for g, name in enumerate(facts.names[grouping])]
    quality, risk = [], []
    for grouping, group, inside in members:
        about = {"grouping": grouping, "group": group, "samples": int(inside.sum())}
        for name in scores if grouping == "all" else ("fitted",):
            ranked = _Ranked(scores[name][:, inside], flips[:, inside], stays[:, inside])
            low, high = np.nan, np.nan
            if weights is not None and not np.isnan(ranked.auc()):
                drawn = np.array([ranked.auc(weight[inside]) for weight in weights])
                drawn = drawn[~np.isnan(drawn)]
                if len(drawn) and not without_spread(drawn):
                    low, high = np.percentile(drawn, [2.5, 97.5])
            quality.append(about | {"score": name, "auc": ranked.auc(), "low": float(low), "high": float(high)})
        observed = flips[:, inside].sum() / (flips + stays)[:, inside].sum()
        forecast = np.average(scores["fitted"][:, inside].mean(axis=1), weights=counts[used])
        risk.append(about | {"forecast": float(forecast), "observed": float(observed)})
    return FlipForecast(pd.DataFrame(quality), pd.DataFrame(risk))


def auc(score: npt.ArrayLike, positive: npt.ArrayLike, negative: npt.ArrayLike) -> float:
    """The chance that a positive has a higher score than a negative, ties a half; both are weights `[n]`.

    Args:
        score: Scores, `[n]`.
        positive: Weights of the positives, `[n]`.
        negative: Weights of the negatives, `[n]`.
    """
    return _Ranked(np.asarray(score), np.asarray(positive), np.asarray(negative)).auc()


class _Ranked:
    """Scores `[bases, samples]` sorted once, so that many weightings of the samples are cheap."""

    def __init__(
        self, score: npt.NDArray[np.floating], positive: npt.NDArray[np.integer], negative: npt.NDArray[np.integer]
    ) -> None:
        flat = score.ravel()
        order = np.argsort(flat, kind="stable")
        self._sample = np.broadcast_to(np.arange(score.shape[-1]), score.shape).ravel()[order]
        self._positive, self._negative = positive.ravel()[order], negative.ravel()[order]
        self._starts = np.flatnonzero(np.r_[True, np.diff(flat[order]) > 0])  # of scores that are equal

    def auc(self, weight: npt.NDArray[np.integer] | None = None) -> float:
        times = 1 if weight is None else weight[self._sample]
        positive = np.add.reduceat(self._positive * times, self._starts).astype(np.float64)
        negative = np.add.reduceat(self._negative * times, self._starts).astype(np.float64)
        pairs = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative / 2
        return float((positive * below).sum() / pairs) if pairs else float("nan")


def _held_out(
    signs: Floats, flips: npt.NDArray[np.int64], stays: npt.NDArray[np.int64], units: npt.NDArray[np.int64]
) -> Floats:
    """The probability of a flip for every architecture and sample, from models that did not see the sample's unit."""
    fitted = np.empty(flips.shape)
    for train, test in GroupKFold(min(FOLDS, len(np.unique(units)))).split(units, groups=units):
        x = signs[:, train].reshape(-1, signs.shape[2])
        weight = np.r_[flips[:, train].ravel(), stays[:, train].ravel()]
        y = np.repeat([1, 0], len(x))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(np.r_[x, x], y, logisticregression__sample_weight=weight / weight.mean())
        fitted[:, test] = model.predict_proba(signs[:, test].reshape(-1, signs.shape[2]))[:, 1].reshape(len(flips), -1)
    return fitted

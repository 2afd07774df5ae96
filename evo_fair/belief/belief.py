"""What is believed of networks: a mean and an error of each objective, from frozen scores, size and trainings."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evo_fair.arrays import Bools, Floats, Ints
from evo_fair.belief.features import size_features
from evo_fair.belief.frozen import Smoothed, smooth
from evo_fair.belief.trained import Corrected, Known, correct, left_out_pairs
from evo_fair.evolution.process import Scale

__all__ = ["Belief", "Trainings", "rank_correlation"]


@dataclass(frozen=True)
class Trainings:
    """What training networks really gave: `networks` are rows of the frozen scores, one may be there more than once.

    `networks` is `[trainings]`, `values` and `errors` are `[trainings, objectives]`. The errors are the sampling errors
    of the values; what another seed would have changed is estimated.
    """

    networks: Ints
    values: Floats
    errors: Floats

    @classmethod
    def of(cls, networks: npt.ArrayLike, values: npt.ArrayLike, errors: npt.ArrayLike = 0.0) -> "Trainings":
        """Trainings from plain arrays; `errors` may be one number, or one an objective."""
        values = np.asarray(values, np.float64)
        rows = np.asarray(networks, np.int64)
        if rows.ndim != 1 or values.ndim != 2 or len(values) != len(rows):
            raise ValueError(
                f"trainings are networks [trainings] and values [trainings, objectives], got {list(rows.shape)} and "
                f"{list(values.shape)}"
            )
        return cls(rows, values, np.broadcast_to(np.asarray(errors, np.float64), values.shape))

    def without(self, network: int) -> "Trainings":
        """All trainings but those of one network."""
        kept = self.networks != network
        return Trainings(self.networks[kept], self.values[kept], self.errors[kept])

    def __len__(self) -> int:
        return len(self.networks)


@dataclass(frozen=True)
class Belief:
    """What is believed of every network in every objective.

    `mean` and `error` are `[networks, objectives]` in the objectives' own units, the latter standard errors. Without
    trainings it is about what frozen scores would be without the noise of a finite validation part; with them about
    what networks reach once trained, the mean over seeds. Make one with `fit`. Errors are of what sets networks apart:
    what samples do to all of them alike is in none.

    Example, with six networks of which two were trained:

    >>> scores = [[0.40], [0.35], [0.33], [0.30], [0.29], [0.27]]
    >>> macs = [[1e6], [2e6], [4e6], [8e6], [16e6], [32e6]]
    >>> frozen = Belief.fit(scores, [0.01], macs)
    >>> belief = frozen.after(Trainings.of([0, 5], [[0.25], [0.15]], [0.01]))
    >>> belief.mean.shape
    (6, 1)
    >>> bool(0.15 < belief.mean[3, 0] < 0.25), bool(belief.error[3, 0] > belief.error[5, 0])
    (True, True)
    """

    mean: Floats
    error: Floats
    trainings: Trainings
    parts: tuple["_Part", ...]

    @classmethod
    def fit(
        cls,
        scores: npt.ArrayLike,
        errors: npt.ArrayLike,
        costs: npt.ArrayLike,
        *,
        genes: npt.ArrayLike | None = None,
        trainings: Trainings | None = None,
        read: npt.ArrayLike | None = None,
    ) -> "Belief":
        """Believes what frozen scores, size and trainings say together.

        `scores` `[networks, objectives]` have the standard errors `errors`, of the same shape or one an objective,
        without what all networks have in common by the choice of samples. `costs` `[networks, costs]` are not negative:
        multiply-accumulates and parameters, by which size alone goes, latency. `genes` `[networks, columns]` comes from
        `gene_features`; shared weights make neighbours' scores alike, and what neighbours say of a network takes out
        noise. Where not all networks were `read` (bool `[networks]`, all by default), the scores of the others are any
        that are likely, and their errors so large that they tell nothing.
        """
        scores = np.asarray(scores, np.float64)
        errors = np.broadcast_to(np.asarray(errors, np.float64), scores.shape)
        size = size_features(costs)
        own = np.empty((len(scores), 0)) if genes is None else np.asarray(genes, np.float64)
        if not scores.size:
            raise ValueError(f"scores {list(scores.shape)} are of no network, or of no objective")
        for name, array in (("scores", scores), ("errors", errors), ("costs", size), ("genes", own)):
            if array.ndim != 2 or len(array) != len(scores) or not np.isfinite(array).all():
                raise ValueError(f"{name} are finite numbers [networks, columns], got {list(array.shape)}")
        with threadpool_limits(1):  # sums depend on the number of threads
            parts = tuple(
                _Part.of(score, error, size, own, None if read is None else np.asarray(read, np.bool_))
                for score, error in zip(scores.T, errors.T, strict=True)
            )
            return cls._of(parts, trainings)

    @classmethod
    def _of(cls, parts: tuple["_Part", ...], trainings: Trainings | None) -> "Belief":
        if trainings is None:
            trainings = Trainings(np.empty(0, np.int64), np.empty((0, len(parts))), np.empty((0, len(parts))))
        if trainings.values.shape[1] != len(parts):
            raise ValueError(f"trainings have {trainings.values.shape[1]} objectives, and frozen scores {len(parts)}")
        parts = tuple(part.for_results(values) for part, values in zip(parts, trainings.values.T, strict=True))
        believed = [part.believed(trainings, place) for place, part in enumerate(parts)]
        mean, error = (np.stack([one[number] for one in believed], axis=1) for number in (0, 1))
        return cls(mean, error, trainings, parts)

    def after(self, trainings: Trainings) -> "Belief":
        """What is believed with these trainings in the place of its own; the frozen scores are not fitted anew."""
        with threadpool_limits(1):
            return self._of(self.parts, trainings)

    @property
    def trained(self) -> npt.NDArray[np.bool_]:
        """Which networks were trained, bool `[networks]`."""
        found = np.zeros(len(self.mean), np.bool_)
        found[self.trainings.networks] = True
        return found

    def left_out(self) -> tuple[Ints, Floats, Floats]:
        """What is believed of each trained network when its own trainings are left out.

        The networks `[trained]`, and mean and error `[trained, objectives]`: no network judged by its own training.
        """
        networks = np.unique(self.trainings.networks)
        mean, error = np.empty((2, len(networks), len(self.parts)))
        with threadpool_limits(1):
            for row, network in enumerate(networks):
                others = self.trainings.without(int(network))
                for place, part in enumerate(self.parts):
                    one = part.believed(others, place, network[None])
                    mean[row, place], error[row, place] = one[0][0], one[1][0]
        return networks, mean, error

    def left_out_pairs(self, place: int) -> tuple[Ints, Floats]:
        """What is believed of pairs of trained networks when the trainings of both are left out.

        The pairs `[pairs, 2]`, numbers of networks, and how much higher the objective at `place` is believed to be of
        the first of each, on the scale of the scores, `[pairs]`.
        """
        with threadpool_limits(1):
            return self.parts[place].left_out_pairs(self.trainings, place)

    def left_out_tau(self, place: int) -> tuple[float, int]:
        """Kendall's tau of belief and results in the objective at `place`, and how many networks it is of.

        Two networks are compared by what is believed of them when the trainings of both are left out. NaN below two
        networks, and where all results are the same.
        """
        with threadpool_limits(1):
            return self.parts[place].left_out_tau(self.trainings, place)

    def results(self) -> tuple[Ints, Floats]:
        """The trained networks `[trained]` and the means of their results `[trained, objectives]`."""
        networks, row = np.unique(self.trainings.networks, return_inverse=True)
        sums = np.zeros((len(networks), len(self.parts)))
        np.add.at(sums, row, self.trainings.values)
        return networks, sums / np.bincount(row, minlength=len(networks))[:, None]

    def corrected(self, place: int) -> Corrected | None:
        """What trainings say in the objective at `place`, on its scale; None without trainings."""
        with threadpool_limits(1):
            return self.parts[place].corrected(self.trainings, place) if len(self.trainings) else None


@dataclass(frozen=True)
class _Part:
    """One objective: its scale, what its frozen scores say, and the least and the most that it can be."""

    scale: Scale
    known: Known
    scores: Floats
    errors: Floats
    read: Bools | None
    least: float
    most: float

    @classmethod
    def of(
        cls,
        scores: Floats,
        errors: Floats,
        size: Floats,
        genes: Floats,
        read: Bools | None,
        beyond: Floats | None = None,
    ) -> "_Part":
        """`beyond` are results that lie where the scores alone would say that the objective can't be."""
        bounded, seen = (True, scores) if beyond is None else (False, np.concatenate([scores, beyond]))
        positive = bool((seen >= 0).all())
        scale = Scale(scores if positive else seen, bounded=bounded)
        noise = _scaled_errors(scale, scores, errors)
        frozen = smooth(scale(scores), noise, size, genes if genes.size else None, read)
        most = 1.0 if bounded and positive and scores.max() <= 1 else np.inf
        return cls(scale, Known(frozen, size, genes), scores, errors, read, 0.0 if positive else -np.inf, most)

    def for_results(self, results: Floats) -> "_Part":
        """The same, but for an objective that is shown to be no share from 0 to 1, or to go below 0, by its `results`.

        A scale that does not hold them would take them for the nearest that it holds.
        """
        held = self.scale.inverse(self.scale(results))
        if np.allclose(held.clip(self.least, self.most), results, atol=1e-9):
            return self
        return _Part.of(self.scores, self.errors, self.known.size, self.known.genes, self.read, results)

    @property
    def frozen(self) -> Smoothed:
        return self.known.frozen

    def corrected(self, trainings: Trainings, place: int, wanted: Ints | None = None) -> Corrected:
        values = trainings.values[:, place]
        noise = _scaled_errors(self.scale, values, trainings.errors[:, place])
        return correct(self.known, trainings.networks, self.scale(values), noise, wanted)

    def believed(self, trainings: Trainings, place: int, wanted: Ints | None = None) -> tuple[Floats, Floats]:
        """Means and standard errors of the networks `wanted`, all by default, in the objective's unit."""
        if len(trainings):
            found = self.corrected(trainings, place, wanted)
            return self.natural(found.mean, np.sqrt(found.variance))
        chosen = slice(None) if wanted is None else wanted
        return self.natural(self.frozen.mean[chosen], np.sqrt(self.frozen.variance[chosen]))

    def left_out_pairs(self, trainings: Trainings, place: int) -> tuple[Ints, Floats]:
        values = trainings.values[:, place]
        noise = _scaled_errors(self.scale, values, trainings.errors[:, place])
        return left_out_pairs(self.known, trainings.networks, self.scale(values), noise)

    def left_out_tau(self, trainings: Trainings, place: int) -> tuple[float, int]:
        values = trainings.values[:, place]
        pairs, higher = self.left_out_pairs(trainings, place)
        means = {network: float(values[trainings.networks == network].mean()) for network in np.unique(pairs)}
        truth = np.array([means[first] - means[second] for first, second in pairs])
        compared = truth != 0
        tau = float((np.sign(higher) * np.sign(truth)).sum() / compared.sum()) if compared.any() else np.nan
        return tau, len(np.unique(trainings.networks))

    def natural(self, mean: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Means and standard errors on the scale, in the objective's unit."""
        low, high = self.scale.inverse(mean - error), self.scale.inverse(mean + error)
        return self.scale.inverse(mean).clip(self.least, self.most), (high - low) / 2.0


def rank_correlation(believed: npt.ArrayLike, results: npt.ArrayLike) -> float:
    """Kendall's tau of two lists `[networks]`, as `Belief.left_out_tau`: of the pairs whose results differ.

    NaN where all results are the same.
    """
    higher, truth = (np.sign(np.subtract.outer(one, one)) for one in (np.asarray(believed), np.asarray(results)))
    compared = np.abs(truth).sum()
    return float((higher * truth).sum() / compared) if compared else float("nan")


def _scaled_errors(scale: Scale, values: Floats, errors: Floats) -> Floats:
    """Standard errors on a scale, by the slope of the scale over the interval."""
    return (scale(values + errors) - scale(values - errors)) / 2.0

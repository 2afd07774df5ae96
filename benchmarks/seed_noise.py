"""What few trainings leave uncertain of the mean over seeds, as draws that are added to resamples of the test part.

Drawing k seeds out of k with replacement has (k - 1) / k of their variance, and takes it for known. Of k = 3 trainings
it is neither: what the mean is off by, in units of its estimated standard error, has Student's t distribution with
k - 1 degrees of freedom. Differences of two means with a draw each are those of Behrens and Fisher (Fisher 1935), which
assume no equal variances.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["pooled", "with_seeds"]

Floats = npt.NDArray[np.float64]


def with_seeds(
    points: Floats, resampled: Floats, rng: np.random.Generator, others: tuple[float, int] | None = None
) -> Floats:
    """A metric's mean over seeds on each resample of the samples, and of trainings: `[replicates]`.

    `points` `[seeds]` are the metric's values, `resampled` `[replicates, seeds]` those on each resample. Of a single
    training the deviation is that of `others`, `(deviation, degrees of freedom)`; without it, what trainings differ by
    is left out.
    """
    seeds = len(points)
    means = np.asarray(resampled.mean(axis=1), np.float64)
    if seeds > 1:
        deviation, freedom = float(points.std(ddof=1)), seeds - 1
    elif others is not None:
        deviation, freedom = others
    else:
        return means
    return np.asarray(means + rng.standard_t(freedom, len(means)) * deviation / np.sqrt(seeds))


def pooled(trained: Sequence[Floats]) -> tuple[float, int] | None:
    """The deviation between trainings and its degrees of freedom, from networks that were trained more than once.

    None where none was.
    """
    several = [points for points in trained if len(points) > 1]
    freedom = sum(len(points) - 1 for points in several)
    if not freedom:
        return None
    squares = sum(float(((points - points.mean()) ** 2).sum()) for points in several)
    return float(np.sqrt(squares / freedom)), freedom

"""Wilson's interval of a share, such as the accuracy of a group: it has a width where all or none are right, too."""

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats, Ints

__all__ = ["wilson_ends"]


def wilson_ends(correct: Floats | Ints | int, samples: Floats | Ints | int, level: float = 0.95) -> Floats:
    """The ends of Wilson's interval of a share (Wilson 1927), which takes samples as independent.

    Args:
        correct: How many samples are right, `[...]`.
        samples: Of how many, 1 or more, `[...]`; also a number of units that is no whole one.
        level: The share of intervals that hold the true value. Default: 0.95.

    Returns:
        The lower and the upper ends, 0 to 1, float64 `[2, ...]`.
    """
    from statsmodels.stats.proportion import proportion_confint  # a second that searches don't need

    ends: npt.NDArray[np.float64] = np.stack(proportion_confint(correct, samples, 1 - level, method="wilson"))
    return ends.clip(0.0, 1.0)

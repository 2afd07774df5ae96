"""scikit-learn's 1,797 handwritten digits: the data set that needs no download."""

from collections.abc import Sequence

import numpy as np

from evo_fair.data.dataset import Dataset, class_grouping
from evo_fair.data.splits import split_units

__all__ = ["load_digits"]


def load_digits(fractions: Sequence[float], rng: np.random.Generator) -> Dataset:
    """The 8x8 digits that come with scikit-learn; each sample is a unit of its own.

    Args:
        fractions: The shares of train, validation and test.
        rng: The Generator that the split is drawn with.

    Returns:
        Inputs uint8 `[1797, 1, 8, 8]`, the 17 grey levels spread over 0 to 255.
    """
    from sklearn import datasets

    digits = datasets.load_digits()
    labels = digits.target.astype(np.int64)
    names = tuple(str(name) for name in digits.target_names)
    units = np.arange(len(labels))
    return Dataset(
        name="digits",
        inputs=np.rint(digits.images[:, None] * (255 / 16)).astype(np.uint8),
        labels=labels,
        label_names=names,
        groupings={"class": class_grouping(labels, names)},
        split=split_units(labels, units, fractions, rng),
        units=units,
        positive=(),
        licence="CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)",
    )

"""Two dense networks on eight samples of two classes and two sexes, worked out by hand."""

import numpy as np
import pytest

from evo_fair.auditing.dense import DenseFacts


@pytest.fixture
def facts() -> DenseFacts:
    target = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    sure = np.where(target[:, None] == np.arange(2), 2.0, 0.0).astype(np.float32)
    doubtful = sure.copy()
    doubtful[[5, 7]] = doubtful[[5, 7], ::-1] / 4  # wrong, and not sure of it
    sex = np.array([0, 0, 0, 1, 1, 1, 1, -1], np.int16)
    return DenseFacts(
        bases=("x", "y"),
        logits=np.stack([sure, doubtful]),
        target=target,
        units=np.arange(8),
        groups={"class": target.astype(np.int16), "sex": sex},
        names={"class": ("a", "b"), "sex": ("f", "m")},
        share={"class": np.array([0.75, 0.25]), "sex": np.array([0.4, 0.6])},
        complexity={"class": np.array([[0.2, 0.6], [0.3, 0.7]]), "sex": np.array([[0.5, 0.4], [0.6, 0.5]])},
    )

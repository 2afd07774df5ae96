"""What an audit's report says of who loses most, and how surely."""

import numpy as np
import pandas as pd
import pytest

from evo_fair.auditing.report_sections import _auc, _most

YOUNG, OLD = ("young", 0.02, 0.01, 0.03), ("old", 0.12, 0.09, 0.15)
UNKNOWN = (np.nan, np.nan)
TOLD = "**old** loses most, 12.0{} of a dense 80.0 (n = 100); young least, 2.0{} (n = 100). "


@pytest.mark.parametrize(
    ("rows", "told", "end"),
    [
        ((YOUNG, OLD), TOLD.format(" [9.0, 15.0]", " [1.0, 3.0]"), "networks."),
        ((("young", 0.02, 0.01, 0.11), OLD), "(n = 100)", "overlap: it is not known who loses more."),
        (
            ((*YOUNG[:2], *UNKNOWN), (*OLD[:2], *UNKNOWN)),
            TOLD.format("", ""),
            "No interval is known, nor who loses more.",
        ),
    ],
)
def test_who_loses_most_is_told_as_surely_as_known(
    rows: tuple[tuple[str, float, float, float], ...], told: str, end: str
) -> None:
    losses = pd.DataFrame(rows, columns=["group", "loss", "low", "high"]).assign(dense=0.8, samples=100, worst=0.5)
    text = _most(losses, "age", "over all pruned networks")
    assert told in text
    assert text.endswith(end)


def test_an_auc_without_an_interval_is_told_alone() -> None:
    assert _auc({"auc": 0.8, "low": np.nan, "high": np.nan}) == "0.800"
    assert _auc({"auc": 0.8, "low": 0.7, "high": 0.9}) == "0.800 [0.700, 0.900]"

"""What an audit's page says of who loses most."""

import numpy as np
import pandas as pd
import pytest

from evo_fair.report.page_audit import _most

BOTH = [("young", 0.02, 0.01, 0.03), ("old", 0.12, 0.09, 0.15)]


def losses(rows: list[tuple[str, float, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["group", "loss", "low", "high"])
    return table.assign(band="50 to 75 %", dense=0.8, samples=100)


@pytest.mark.parametrize(
    ("rows", "ends"),
    [
        (BOTH, "old loses most, 12.0 (9.0 to 15.0) points of 80.0 % (100 samples); young least, 2.0 (1.0 to 3.0)."),
        ([("young", 0.08, 0.05, 0.11), BOTH[1]], "The intervals overlap: who loses more is open."),
        ([(*BOTH[0][:2], np.nan, np.nan), BOTH[1]], "No interval is known: who loses more is open."),
        (BOTH[1:], "old loses 12.0 (9.0 to 15.0) points of 80.0 % (100 samples)."),
    ],
)
def test_who_loses_most_is_told_as_surely_as_known(rows: list[tuple[str, float, float, float]], ends: str) -> None:
    assert _most(losses(rows), "age").endswith(ends)

"""`ef.deploy` refuses values of a wrong kind in a line, before anything is read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evo_fair as ef


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"even_groups": "0.1"}, "even groups '0.1' is no finite number"),
        ({"fairness_weight": np.array([1.0, 2.0])}, "fairness weight .* is no finite number"),
        ({"references": [3]}, "references 3 is no path"),
        ({"data": 3}, "data 3 is no path"),
    ],
)
def test_values_of_a_wrong_kind_are_one_line(wrong: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ef.EvoFairError, match=told):
        ef.deploy(tmp_path, **wrong)

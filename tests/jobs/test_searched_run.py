"""What a job that goes on from a search refuses of what it is given."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import evo_fair as ef
from evo_fair.jobs.searched_run import supernet_of
from evo_fair.nets.device import CPU
from evo_fair.testing import small_dataset, small_space


@pytest.mark.parametrize(
    ("same_data", "told"),
    [(False, "the data differ from those that the run in found saw"), (True, "the run in found is of another search")],
)
def test_other_data_are_said_before_the_other_space_that_other_labels_make(same_data: bool, told: str) -> None:
    dataset = small_dataset()
    seen = {"data": {"fingerprint": dataset.fingerprint if same_data else "-"}, "space": {"fingerprint": "-"}}
    run = cast("ef.Run", SimpleNamespace(path=Path("found"), configuration=seen))
    with pytest.raises(ef.RunError, match=told):
        supernet_of(run, ef.load_problem("digits"), dataset, small_space(), True, CPU)

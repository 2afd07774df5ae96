"""What goes wrong in a user's own code is one line with the file and the line of it."""

import re

import pytest
import torch

from evo_fair.blame import blamed, check_takes
from evo_fair.errors import DataError, ObjectiveError


def test_a_failure_names_the_part_and_the_line() -> None:
    with pytest.raises(ObjectiveError) as caught, blamed("objective", "mine", ObjectiveError):
        _ = {}["missing"]
    assert re.fullmatch(
        r"objective 'mine' fails with KeyError: 'missing' \(test_blame.py:\d+\); fix it", str(caught.value)
    )


def test_an_exit_is_a_failure_and_ctrl_c_is_not() -> None:
    with (
        pytest.raises(ObjectiveError, match="objective 'mine' ends the process: 3"),
        blamed("objective", "mine", ObjectiveError),
    ):
        raise SystemExit(3)
    with pytest.raises(KeyboardInterrupt), blamed("objective", "mine", ObjectiveError):
        raise KeyboardInterrupt


def test_errors_that_are_one_line_already_pass() -> None:
    with pytest.raises(DataError, match=r"^as it is$"), blamed("objective", "mine", ObjectiveError):
        raise DataError("as it is")


@pytest.mark.parametrize("function", [lambda: 0, lambda a, b: 0, lambda *, a: 0, 3])
def test_what_can_not_be_called_so_is_refused(function: object) -> None:
    with pytest.raises(
        ObjectiveError, match=r"objective 'mine' (can't be called with \(counts\)|is 3: give a function)"
    ):
        check_takes("objective", "mine", function, ("counts",), ObjectiveError)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [lambda a: 0, lambda *a: 0, lambda a, b=1: 0, len, dict.fromkeys])
def test_what_can_be_called_so_passes(function: object) -> None:
    check_takes("objective", "mine", function, ("counts",), ObjectiveError)  # type: ignore[arg-type]


def test_what_a_part_switches_of_torchs_is_put_back() -> None:
    with blamed("objective", "mine", ObjectiveError):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device() == torch.device("cpu")
    assert not torch.overrides._get_current_function_mode_stack()  # type: ignore[no-untyped-call]

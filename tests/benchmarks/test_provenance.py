"""How benchmarks end, and what they say of themselves."""

import re

import pytest
from provenance import made_by, run

from evo_fair.errors import RunError


@pytest.mark.parametrize(
    ("failure", "code", "line"),
    [(RunError("mend\n  this"), 2, "mend this"), (KeyboardInterrupt(), 130, "the same command goes on")],
)
def test_an_expected_end_is_one_line(
    failure: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise failure

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == code
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert told.endswith(line)


def test_a_fault_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_command_versions_cores_and_date_are_said() -> None:
    line = made_by("python x.py", ["numpy"])
    assert re.fullmatch(r"python x.py; evo-fair \S+ numpy \S+; Python 3\S+; \d+ cores; \d{4}-\d\d-\d\d", line)

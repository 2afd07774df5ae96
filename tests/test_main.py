"""`python -m evo_fair` is the command line."""

import runpy

import pytest

from evo_fair import __version__


def test_the_package_run_as_a_module_is_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["evo-fair", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("evo_fair", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"evo-fair {__version__}\n"

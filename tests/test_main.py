"""`python -m evo_fair` is the command line, and an interrupt ends it from the first import on."""

import runpy
import sys
import tomllib
from pathlib import Path
from types import ModuleType

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


class _Interrupted(ModuleType):
    """A module whose import meets Ctrl-C."""

    def __getattr__(self, name: str) -> None:
        raise KeyboardInterrupt if name == "main" else AttributeError(name)


def test_an_interrupt_while_the_command_line_is_imported_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "evo_fair.cli", _Interrupted("evo_fair.cli"))
    with pytest.raises(SystemExit) as end:
        runpy.run_module("evo_fair", run_name="__main__")
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_installed_command_is_the_same() -> None:
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert content["project"]["scripts"] == {"evo-fair": "evo_fair.__main__:main"}

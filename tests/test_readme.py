"""What the README tells to type is there to be typed."""

import re
from pathlib import Path

import pytest
import typer

import evo_fair as ef
from evo_fair.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONS = {
    name: {option for parameter in command.params for option in parameter.opts}
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
}
OPTION = re.compile(r"--[a-z][a-z0-9-]*")


@pytest.mark.parametrize("line", [line for line in README.splitlines() if line.startswith("evo-fair ")])
def test_commands_of_the_readme_have_their_options(line: str) -> None:
    command = line.split()[1]
    given = set(OPTION.findall(line.split("#")[0]))
    assert given <= OPTIONS[command]


def test_other_options_of_the_readme_are_some_commands() -> None:
    assert set(OPTION.findall(README)) <= {"--help"}.union(*OPTIONS.values())


def test_names_of_the_readme_are_public() -> None:
    assert set(re.findall(r"\bef\.(\w+)", README)) <= set(ef.__all__)


def test_files_that_the_readme_links_to_are_there() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []

"""What the README tells to type is there to be typed."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer

import evo_fair as ef
from evo_fair.cli import app
from evo_fair.evolution.objectives import forget
from evo_fair.fairness import Counts, count_predictions

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


@pytest.mark.parametrize("line", [line for line in README.splitlines() if "python benchmarks/" in line])
def test_benchmarks_of_the_readme_have_their_options(line: str) -> None:
    script, options = re.findall(r"python (benchmarks/\w+\.py)([^`#]*)", line)[0]
    taken = re.findall(r"add_argument\(\s*\"(--[a-z-]+)\"", (ROOT / script).read_text(encoding="utf-8"))
    assert set(OPTION.findall(options)) <= {"--help", *taken}


def test_other_options_of_the_readme_are_some_commands() -> None:
    others = "\n".join(line for line in README.splitlines() if "python benchmarks/" not in line)
    assert set(OPTION.findall(others)) <= {"--help"}.union(*OPTIONS.values())


def test_names_of_the_readme_are_public() -> None:
    assert set(re.findall(r"\bef\.(\w+)", README)) <= set(ef.__all__)


def test_files_that_the_readme_links_to_are_there() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target.partition("#")[0]).exists()] == []


def test_objectives_of_the_readme_work() -> None:
    """The worst class of the first network is right in one of two, that of the second in none."""
    (code,) = re.findall(r"```python\nimport evo_fair as ef\n.*?```", README, re.DOTALL)
    namespace = {"ef": ef}
    exec(code[code.index("@ef.objective") : -3], namespace)
    try:
        target, groups = np.array([0, 0, 1, 1]), np.array([0, 1, 0, -1])
        predictions = np.array([[0, 0, 1, 0], [1, 1, 1, 1]], np.uint8)
        counts = Counts(*count_predictions(predictions, target, groups, 2, 2), ("f", "m"), ("a", "b"))
        assert namespace["worst_class_error"](counts).tolist() == [0.5, 1.0]  # type: ignore[operator]
        table = np.zeros((1, 3, 8), np.int32)
        table[0, :2, 2] = 16, 24
        assert namespace["widest_layer"](table).tolist() == [24]  # type: ignore[operator]
    finally:
        for name in ("worst_class_error", "widest_layer"):
            forget(name)

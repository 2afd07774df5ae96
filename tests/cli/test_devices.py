"""`evo-fair devices`: every shipped device, how well it holds, and how to add one's own."""

import json
import re
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from evo_fair.cli import app
from evo_fair.latency import device_names
from evo_fair.problem import problem_names


def test_every_device_is_listed_with_the_way_to_add_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["devices"])
    assert result.exit_code == 0
    for name in device_names():
        assert f"{name} " in result.output
    assert "TFLite 2.7.1 (ruy)" in result.output
    assert "evo-fair calibrate --kit DIR" in result.output


@pytest.mark.parametrize(("command", "names"), [("devices", device_names), ("problems", problem_names)])
@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_name_that_can_be_chosen_is_whole_in_a_narrow_terminal(
    command: str, names: Callable[[], list[str]], columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    table = CliRunner().invoke(app, [command]).output
    first = {line.split()[0] for line in re.sub(r"\x1b\[[0-9;]*m", "", table).splitlines() if line.strip()}
    assert set(names()) <= first


def test_every_figure_of_the_table_is_explained_below_it_and_in_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    table, below, _ = CliRunner().invoke(app, ["devices"]).output.split("\n\n")
    for column in ("networks", "error", "within 10 %"):
        assert column in table.splitlines()[0]
        assert f"{column}: " in below
    assert '"within 10 %" is the share' in CliRunner().invoke(app, ["devices", "--help"]).output


def test_json_holds_provenance_and_validation() -> None:
    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["devices", "--json"]).stdout)}
    assert set(rows) == set(device_names())
    assert rows["raspberry-pi-4"]["licence"] == "Apache-2.0"
    assert rows["raspberry-pi-4"]["validation"]["mape"] < 3.5
    assert rows["raspberry-pi-4"]["fitted_networks"] == 39
    assert "prices" not in rows["raspberry-pi-4"]

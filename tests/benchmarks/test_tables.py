"""Networks for tables beside a booster: claims by hand, the term of the loss, the whole way on a small table."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import tables
import torch
from seed_noise import Mean
from tables import claimed, told, within
from tables_units import even_odds
from torch.nn import functional

from evo_fair.problem import Problem, load_problem
from evo_fair.report import Run

from ..commands import Commands

SCRIPT = Path(tables.__file__)
SHIPPED = (SCRIPT.parents[1] / "problems" / "table.toml").read_text()


def _problem(folder: Path) -> Problem:
    """A table in which hours and a job tell the label, a group's column nearly so."""
    rng = np.random.default_rng(0)
    n = 600
    hours = rng.normal(40, 10, n)
    sex = rng.integers(0, 2, n)
    frame = pd.DataFrame(
        {
            "label": np.where(hours + 5 * sex + rng.normal(0, 8, n) > 42, "high", "low"),
            "age": rng.integers(20, 60, n),
            "hours": hours.round(1),
            "job": np.array(["cook", "baker"])[rng.integers(0, 2, n)],
            "sex": np.array(["f", "m"])[sex],
        }
    )
    frame.to_csv(folder / "table.csv", index=False)
    text = SHIPPED.replace("epochs = 20", "epochs = 2").replace("budget = 300", "budget = 16")
    text = text.replace("population = 32", "population = 8").replace('# positive = ["yes"]', 'positive = ["high"]')
    (folder / "people.toml").write_text(text)
    return load_problem(folder / "people.toml", data=folder)


def test_claims_hold_up_to_what_is_asked_and_no_further() -> None:
    def values(accuracy: float, difference: float) -> dict[str, Mean]:
        return {
            "accuracy": Mean(accuracy, np.full(9, accuracy), 0.0, 2),
            "equalized_odds_difference": Mean(difference, np.full(9, difference), 0.0, 2),
        }

    found = {
        "booster": values(0.8, 0.4),
        "small": values(0.796, 0.4),
        "even": values(0.791, 0.2),
        "blind": values(0.7, 0.21),
    }
    rows = pd.DataFrame(claimed(found, {"booster": 1000, "small": 10}))
    assert rows["holds"].tolist() == [True, True, False, True, True, False]
    assert rows["value"].tolist() == pytest.approx([0.004, 0.009, 0.1, 0.01, 0.5, 0.525])
    np.testing.assert_allclose(rows.loc[4, ["low", "high"]].to_numpy(float), 0.5)


def test_the_term_compares_groups_label_by_label() -> None:
    labels, samples = np.array([0, 0, 1, 1]), np.arange(4)
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    plain = functional.cross_entropy(logits, torch.from_numpy(labels))
    # Losses differ between labels, and not between groups within a label.
    for groups in (np.array([0, 1, 0, 1], np.int16), np.array([0, 0, 1, 1], np.int16)):
        assert even_odds(labels, groups, 5.0)(logits, samples, 1.0) == pytest.approx(float(plain))
    logits[1] = torch.tensor([0.0, 2.0])
    assert even_odds(labels, np.array([0, 1, 0, 1], np.int16), 5.0)(
        logits, samples, 1.0
    ) > 1.5 * functional.cross_entropy(logits, torch.from_numpy(labels))


def test_small_networks_are_all_that_were_evaluated_and_fit(tmp_path: Path) -> None:
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "a.onnx").write_bytes(bytes(140))  # ten parameters, and 100 bytes beside them
    networks = pd.DataFrame({"id": ["a", "b", "c", "d"], "params": [10, 20, 21, 5], "evaluated": [True] * 3 + [False]})
    searched = cast("Run", SimpleNamespace(path=tmp_path, front=networks[:1], networks=networks))
    assert within(searched, 180)["id"].tolist() == ["a", "b"]


def test_told_makes_the_groups_column_an_input(tmp_path: Path) -> None:
    problem = _problem(tmp_path)
    blind, aware = problem.dataset(), told(problem).dataset()
    assert aware.inputs.shape[1] == blind.inputs.shape[1] + 2
    np.testing.assert_array_equal(aware.split, blind.split)
    np.testing.assert_array_equal(aware.labels, blind.labels)


@pytest.mark.slow
def test_the_script_goes_the_whole_way_and_begins_nothing_twice(commands: Commands, tmp_path: Path) -> None:
    _problem(tmp_path)
    options = ["--networks", "1", "--epochs", "2", "--seeds", "0", "--replicates", "20", "--smaller", "1"]
    command = [tmp_path / "people.toml", "--data", tmp_path, *options, "--out", tmp_path / "out"]
    first = commands.start(command, script=str(SCRIPT)).done()
    assert first.returncode == 0, first.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv", comment="#")
    assert table["role"].tolist() == ["booster", "booster told", "small", "even", "blind"]
    assert len(pd.read_csv(tmp_path / "out" / "claims.csv", comment="#")) == 6
    assert len(list((tmp_path / "out" / "units").glob("booster-*.json"))) == 8
    again = commands.start([*command, "--report"], script=str(SCRIPT)).done()
    assert "booster" not in again.stdout.partition("role")[0]

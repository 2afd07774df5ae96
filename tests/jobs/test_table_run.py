"""A table goes the whole way: searched, deployed, reported, and each network handed on with its card."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import evo_fair as ef
from evo_fair.report.page import write_report

PROBLEM = """\
title = "who earns more"

[data]
source = "table"
min_samples = 2

[data.table]
file = "people.csv"
label = { column = "income", above = [40000] }
numbers = ["age", "hours"]
categories = ["job"]

[data.table.groups]
sex = "sex"

[fairness]
group = "sex"

[space]
channel_multiple = 4

[[space.stage]]
slots = 1
kinds = ["FC"]
keep_channels = [4, 8]

[training]
epochs = 1
supernet_epochs = 1
batch_size = 64

[search]
objectives = ["error", "unfairness", "latency_ms"]
budget = 4
population = 4
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ef.Run:
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            "age": rng.integers(18, 80, 200),
            "hours": rng.integers(5, 60, 200),
            "job": rng.choice(["pilot", "cook", "baker"], 200),
            "sex": rng.choice(["f", "m"], 200),
            "income": rng.uniform(20000, 60000, 200),
        }
    )
    people.to_csv(folder / "people.csv", index=False)
    (folder / "own.toml").write_text(PROBLEM)
    problem = ef.load_problem(folder / "own.toml", data=folder)
    return ef.search(problem, device="raspberry-pi-4", out=folder / "run", seed=0)


def test_its_networks_are_reported_with_the_columns_that_their_files_take(run: ef.Run) -> None:
    card = json.loads((run.path / "networks" / f"{run.front['id'][0]}.json").read_text())
    assert [column["name"] for column in card["input"]["columns"]] == ["age", "hours", "job"]
    assert '"prepares_columns":true' in write_report(run.path).read_text().replace(" ", "")


def test_its_deployment_is_reported_and_a_network_handed_on(run: ef.Run, tmp_path: Path) -> None:
    name = str(run.front["id"][0])
    ef.deploy(run, networks=[name], epochs=1, data=run.path.parent)
    assert write_report(run.path / "deployed").is_file()
    folder = ef.write_model_card(run.path, name, tmp_path / "card")
    assert "job" in (folder / "README.md").read_text() + (folder / "card.json").read_text()

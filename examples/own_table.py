"""A search on a table: people whose income depends on age and hours, and groups by sex and age band.

python examples/own_table.py [--budget 200] [--epochs 20] [--out results/example-table]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

import evo_fair as ef
from evo_fair.export import raw_rows

PROBLEM = """
title = "income of people, fairness between the sexes"
[data]
source = "table"
[data.table]
file = "table.csv"
label = { column = "income", above = [40000] }
numbers = ["age", "hours"]
categories = ["job"]
also_inputs = ["age"]
[data.table.groups]
sex = "sex"
age_band = { column = "age", at_least = [30, 60] }
[fairness]
group = "sex"
report = ["age_band", "class"]
[space]
channel_multiple = 4
[[space.stage]]
slots = 2
kinds = ["FC"]
keep_channels = [4, 8, 16, 32]
[training]
epochs = EPOCHS
batch_size = 64
learning_rate = 0.05
[search]
objectives = ["error", "unfairness", "latency_ms"]
budget = 200
population = 16
"""


def main() -> None:
    """Makes the table, searches, and asks a network of the front about five people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("results/example-table"))
    arguments = parser.parse_args()

    data = arguments.out.parent / "people"
    data.mkdir(parents=True, exist_ok=True)
    people = make_people()
    people.to_csv(data / "table.csv", index=False)
    problem_file = arguments.out.parent / "own-table.toml"
    problem_file.write_text(PROBLEM.replace("EPOCHS", str(arguments.epochs)), encoding="utf-8")

    problem = ef.load_problem(problem_file, data=data)
    run = ef.search(problem, budget=arguments.budget, seed=0, out=arguments.out)
    print(run.front[["id", "error", "unfairness", "latency_ms"]])

    # The file takes the raw columns and does all preprocessing itself.
    network = run.path / "networks" / f"{run.front['id'].iloc[0]}.onnx"
    card = json.loads(network.with_suffix(".json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(network)
    logits = np.asarray(session.run(None, {"columns": raw_rows(card, people.head())})[0])
    print([card["labels"][i] for i in logits.argmax(1)])


def make_people(n: int = 800) -> pd.DataFrame:
    """A row for each of `n` people who never lived."""
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"age": rng.integers(18, 80, n), "hours": rng.integers(10, 60, n)})
    people["job"] = rng.choice(["cook", "baker", "pilot"], n)
    people["sex"] = rng.choice(["f", "m"], n)
    people["income"] = 500 * people.age + 400 * people.hours + rng.normal(0, 4000, n)
    return people


if __name__ == "__main__":
    main()

"""How much of a true front a strategy finds: the engine on tables of networks that others really trained.

    python benchmarks/true_fronts.py --data DATA [--tables macro nb201] [--strategies surrogate ...] [--seeds 30]

`macro` is NAS-Bench-Macro (CIFAR-10 test error, multiply-accumulates), `nb201` NAS-Bench-201 (CIFAR-10 test error,
measured milliseconds on a Raspberry Pi 4), `nb201-two` the same with a Pixel 3 as a third objective. Every strategy of
the engine runs but `reinforce`, whose reward needs an unfairness, and Optuna's NSGA-II, TPE and Gaussian process
samplers. The costs are known to the engine before a network is evaluated, as sizes and predicted latencies are.
Hypervolume is measured in a box fixed beforehand, as a share of the true front's, after 50, 100, 300 and 1,000
networks (Optuna's Gaussian processes stop at 300: their time grows with the cube).

A run takes seconds to minutes and is a line of results/benchmarks/true_fronts_runs.csv once it is finished: the command
goes on where it was broken off. Writes results/benchmarks/true_fronts.csv, a row a table and strategy.
"""

import argparse
import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from provenance import made_by, run
from rich.console import Console
from rich.table import Table as Shown
from trained_tables import TABLES, TableEvaluator, TableSpace, load_table

from evo_fair.errors import EvoFairError
from evo_fair.evolution import ALGORITHMS, SearchPlan, hypervolume_trace, read_journal, search
from evo_fair.files import write_text
from evo_fair.report.compare import mean_interval

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
AT = (50, 100, 300, 1000)
POPULATION = {"surrogate": 4}
"""Networks a generation, 32 but for a strategy whose model is refitted after every generation."""

OURS = [name for name in ALGORITHMS if name != "reinforce"]
OPTUNA = ["optuna", "optuna-tpe", "optuna-gp"]
BUDGET = {"optuna-gp": 300}


def main() -> None:
    """Runs what is missing, prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that holds nas_bench_macro/ and nas_bench_201/"
    )
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--strategies", nargs="+", choices=[*OURS, *OPTUNA], default=[*OURS, *OPTUNA])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--budget", type=int, default=max(AT))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if set(arguments.strategies) & set(OPTUNA) and not find_spec("optuna"):
        raise EvoFairError("optuna is not installed: pip install 'evo-fair[bench]', or leave it out of --strategies")
    store = arguments.out / "true_fronts_runs.csv"
    wanted = [
        (table, strategy, seed)
        for seed in range(arguments.seeds)
        for table in arguments.tables
        for strategy in arguments.strategies
    ]
    finished = read_runs(store)
    missing = [unit for unit in wanted if unit not in set(finished.index)]
    made = joblib.Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(
        joblib.delayed(shares)(*unit, arguments.data, min(arguments.budget, BUDGET.get(unit[1], max(AT))))
        for unit in missing
    )
    for unit, found in made:
        finished.loc[unit, :] = found
        write_text(store, finished.sort_index().reset_index().to_csv(index=False, lineterminator="\n"))
    report(finished, arguments.out)


def read_runs(store: Path) -> pd.DataFrame:
    """The finished runs: shares of the true hypervolume, indexed by table, strategy and seed."""
    keys, columns = ["table", "strategy", "seed"], [*(f"after_{n}" for n in AT), "seconds"]
    if store.exists():
        return pd.read_csv(store).set_index(keys)[columns]
    return pd.DataFrame(columns=columns, index=pd.MultiIndex.from_arrays([[], [], []], names=keys), dtype=float)


def shares(name: str, strategy: str, seed: int, data: Path, budget: int) -> tuple[tuple[str, str, int], list[float]]:
    """One run: the shares of the true hypervolume found after `AT` networks, NaN beyond the budget, and its seconds."""
    table = load_table(name, data)
    space, evaluator = TableSpace(table), TableEvaluator(table)
    plan = SearchPlan(
        objectives=table.objectives,
        group="all",
        budget=budget,
        algorithm=strategy if strategy in ALGORITHMS else "random",
        population=POPULATION.get(strategy, 32),
        seed=seed,
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        if strategy in ALGORITHMS:
            search(plan, space, evaluator, journal, Path(folder) / "checkpoint.npz")
        else:
            from optuna_search import run_optuna

            run_optuna(plan, space, evaluator, journal, strategy)
        genomes = np.array([record.genome for record in read_journal(journal)])
    trace = hypervolume_trace(table.points[table.rows(genomes)], table.box) / table.true_hypervolume
    # A sampler that proposes nothing new any more has found all that it ever will.
    found = [float(trace[min(n, len(trace)) - 1]) if n <= budget else float("nan") for n in AT]
    return (name, strategy, seed), [*found, time.monotonic() - started]


def report(runs: pd.DataFrame, out: Path) -> None:
    """Prints and writes means with 95 % intervals over seeds, and in how many seeds `surrogate` is the better."""
    rows = []
    at_300 = runs["after_300"].unstack("strategy")
    for (table, strategy), own in runs.groupby(level=["table", "strategy"]):
        scores = at_300.loc[table].reindex(columns=sorted({"surrogate", strategy})).dropna()
        _, low, high = mean_interval(own["after_300"].to_numpy())
        rows.append(
            {
                "table": table,
                "strategy": strategy,
                "seeds": len(own),
                **{f"after_{n}": own[f"after_{n}"].mean() for n in AT},
                "after_300_low": low,
                "after_300_high": high,
                "surrogate_better": int((scores["surrogate"] > scores[strategy]).sum()),
                "of": len(scores),
                "seconds": own["seconds"].median(),
            }
        )
    result = pd.DataFrame(rows)
    shown = Shown(*result.columns)
    for row in result.round(4).astype(str).to_numpy():
        shown.add_row(*map(str, row))
    Console(width=170).print(shown)
    packages = ("numpy", "pymoo", "moocore", "scikit-learn", *(["optuna"] if find_spec("optuna") else []))
    how = made_by("python benchmarks/true_fronts.py --data DATA", packages)
    write_text(
        out / "true_fronts.csv", f"# {how}\n" + result.to_csv(index=False, lineterminator="\n", float_format="%.5f")
    )


if __name__ == "__main__":
    run(main)

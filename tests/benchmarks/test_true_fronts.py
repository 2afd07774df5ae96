"""The tables of trained networks as the engine sees them, on a made-up one."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trained_tables import Table, TableEvaluator, TableSpace
from true_fronts import AT, read_runs, report

from evo_fair.evolution import SearchPlan, read_journal, search


@pytest.fixture
def table() -> Table:
    """All 27 networks of three genes, listed backwards; the first gene costs, the others make errors fewer."""
    genomes = np.array(list(product(range(3), repeat=3)), np.int16)[::-1].copy()
    right = 100 * (genomes @ [3, 2, 1]) + 200
    return Table("made-up", genomes, 3, right, 1000, {"macs": 1.0 + genomes[:, 0]}, worst_error=1.0)


def test_a_genome_is_looked_up_wherever_it_stands(table: Table) -> None:
    asked = np.array([[2, 0, 1], [0, 0, 0]])
    assert table.rows(asked).tolist() == [26 - (2 * 9 + 1), 26]
    counts = TableEvaluator(table).evaluate(asked)["all"]
    error, macs = table.objectives
    assert error.measure(counts) == pytest.approx([0.1, 0.8])
    assert macs.measure(TableSpace(table).decode(asked)).tolist() == [3.0, 1.0]


def test_the_hypervolume_of_the_true_front_by_hand(table: Table) -> None:
    # The best of each cost: error 0.2 at 1 and below 0 at 2 and 3, in a box up to 1 and 3.
    best = {cost: min(point[0] for point in table.points if point[1] == cost) for cost in (1.0, 2.0)}
    by_hand = ((1 - best[1.0]) * 1 + (1 - best[2.0]) * 1) / 3
    assert table.true_hypervolume == pytest.approx(by_hand)


def test_the_engine_searches_a_table(table: Table, tmp_path: Path) -> None:
    plan = SearchPlan(table.objectives, "all", budget=27, population=9, seed=0)
    search(plan, TableSpace(table), TableEvaluator(table), tmp_path / "journal.jsonl", tmp_path / "checkpoint.npz")
    found = table.rows([record.genome for record in read_journal(tmp_path / "journal.jsonl")])
    assert sorted(found) == list(range(27))


def test_wins_are_counted_seed_by_seed(tmp_path: Path) -> None:
    runs = read_runs(tmp_path / "none.csv")
    for seed, (ours, theirs) in enumerate([(0.9, 0.8), (0.7, 0.8), (0.9, 0.85)]):
        for strategy, share in (("surrogate", ours), ("nsga2", theirs)):
            runs.loc[("macro", strategy, seed), :] = [share] * len(AT) + [1.0]
    report(runs, tmp_path)
    table = pd.read_csv(tmp_path / "true_fronts.csv", comment="#").set_index("strategy")
    assert table.loc["nsga2", ["surrogate_better", "of"]].tolist() == [2, 3]
    assert table.loc["nsga2", "after_300"] == pytest.approx(2.45 / 3, abs=1e-5)

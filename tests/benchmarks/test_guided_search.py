"""Searches with few trainings, on made-up networks whose errors are known."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from guided_search import TRAININGS, believe, genomes_of, guided, kept, needed, rankings, read_scores
from trained_tables import Table

from evo_fair.errors import EvoFairError
from evo_fair.layers import macs
from evo_fair.problem import load_problem

SAMPLES = 400


@pytest.fixture
def table() -> Table:
    """All 243 networks of five genes: each gene costs what it is, and gains in its own way."""
    genomes = np.array(list(product(range(3), repeat=5)), np.int16)
    error = 0.6 * 0.8 ** (genomes @ [0.5, 2.0, 1.0, 1.5, 0.1])
    right = np.round(30_000 * (1 - error)).astype(np.int64)
    return Table("made-up", genomes, 3, right, 30_000, {"macs": 1e6 * (1.0 + genomes.sum(axis=1))}, worst_error=0.6)


@pytest.fixture
def scores(table: Table) -> pd.DataFrame:
    """A supernet's scores of every other network: right on the whole, with the noise of its samples."""
    rows = np.arange(0, len(table.genomes), 2)
    error = np.random.default_rng(0).binomial(SAMPLES, 0.2 + 0.8 * table.points[rows, 0]) / SAMPLES
    names = ["".join(map(str, genome)) for genome in table.genomes[rows]]
    return pd.DataFrame({"error": error, "log_loss": error}, index=pd.Index(names, name="network"))


def test_beliefs_rank_networks_that_were_not_scored_better_than_scores_do(table: Table, scores: pd.DataFrame) -> None:
    trained = np.repeat(table.points[:, :1], 3, axis=1)
    rows = {row["what"]: row for row in rankings(table, scores, believe(table, scores, SAMPLES), trained)}
    assert rows["believed"]["networks"] == 243
    assert rows["believed"]["tau"] > rows["frozen error, scored networks"]["tau"] > 0.6
    assert rows["a second training"]["tau"] == pytest.approx(1.0)


def test_a_guided_search_finds_most_of_the_front_in_forty_trainings(table: Table, scores: pd.DataFrame) -> None:
    trained = np.repeat(table.points[:, :1], 3, axis=1)
    belief = believe(table, scores, SAMPLES)
    trace = guided(table, belief, trained, seed=1)
    assert len(trace) == TRAININGS
    assert (np.diff(trace) >= 0).all()
    assert trace[-1] > 0.97
    assert np.array_equal(trace, guided(table, belief, trained, seed=1))


def test_trainings_are_counted_up_to_the_share() -> None:
    assert needed(np.array([0.1, 0.5, 0.9]), 0.5) == 2
    assert needed(np.array([0.1, 0.5, 0.9]), 0.95) == float("inf")


def test_scores_of_another_supernet_are_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("# this 1000\nnetwork,error,log_loss\n00120000,0.5,1.5\n")
    assert read_scores(path, "this 1000").loc["00120000"].tolist() == [0.5, 1.5]
    assert read_scores(path, "that 1000").empty


def test_networks_whose_costs_are_not_the_published_ones_are_refused() -> None:
    space = load_problem("nas_bench_macro").search_space((3, 32, 32), 10)
    genomes = np.array([[0] * 8, [2] * 8], np.int16)
    table = Table("two", genomes, 3, np.array([1, 2]), 3, {"macs": np.array([7713280.0, 105660928.0])}, 0.3)
    assert macs(space.decode(genomes_of(space, table))).tolist() == [7713280, 105660928]
    wrong = Table("two", genomes, 3, np.array([1, 2]), 3, {"macs": np.array([7713280.0, 1.0])}, 0.3)
    with pytest.raises(EvoFairError, match=r"1 networks of .* have other multiply-accumulates than published"):
        genomes_of(space, wrong)


def test_kept_scores_are_of_the_networks_and_samples_that_are_asked_for(tmp_path: Path, scores: pd.DataFrame) -> None:
    store, names = tmp_path / "scores.csv", list(scores.index[:5])
    with pytest.raises(EvoFairError, match="does not exist: leave out --report"):
        kept(store, names, SAMPLES)
    store.write_text(f"# macro-123 {SAMPLES}\n{scores.to_csv()}")
    found, supernet = kept(store, names, SAMPLES)
    assert supernet == "macro-123"
    assert np.allclose(found, scores.loc[names])
    for wrong, samples in ((names, SAMPLES + 1), ([*names, "22222000"], SAMPLES)):
        with pytest.raises(EvoFairError, match="leave out --report"):
            kept(store, wrong, samples)

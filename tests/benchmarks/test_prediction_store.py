"""The store of predictions: it changes no result, outlives a kill, and is not taken for another proxy's."""

from pathlib import Path

import numpy as np
import prediction_store
import pytest
from prediction_store import PredictionStore

from evo_fair.data import Dataset
from evo_fair.problem import Problem
from evo_fair.proxy.supernets import StoredSupernet, proxy_source
from evo_fair.space import SearchSpace


@pytest.fixture
def opened(tmp_path: Path, problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet):
    def new() -> PredictionStore:
        return PredictionStore(tmp_path / "work", problem, dataset, space, stored, ("class",), 1)

    return new


@pytest.fixture
def genomes(space: SearchSpace) -> np.ndarray:
    return space.canonical(space.sample(np.random.default_rng(0), 6))


def test_predictions_are_the_proxys_whatever_was_there(
    opened, genomes, problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet
) -> None:
    expected = proxy_source(problem, dataset, space, stored.path).open().predict(genomes)
    with opened() as store:
        np.testing.assert_array_equal(store.predict(genomes[:4]), expected[:4])
        assert store.evaluated == 4
    with opened() as store:
        order = [5, 0, 3, 5, 1]  # a new one twice, among known ones
        np.testing.assert_array_equal(store.predict(genomes[order]), expected[order])
        assert store.evaluated == 1
        counts = store.evaluate(genomes[:1])["class"]
        np.testing.assert_array_equal(counts.values, dataset.counts(expected[:1], "validation", "class").values)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_what_follows_a_damaged_row_is_evaluated_again(opened, genomes, tmp_path: Path, damage: str) -> None:
    with opened() as store:
        expected = store.predict(genomes[:4])
    (file,) = (tmp_path / "work").iterdir()
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[-3:]
    else:
        content[len(content) // 4 * 2 + 40] ^= 1  # in the third of four rows
    file.write_bytes(content)
    with opened() as store:
        np.testing.assert_array_equal(store.predict(genomes[:4]), expected)
        assert store.evaluated == {"cut": 1, "changed": 2}[damage]
    with opened() as store:
        store.predict(genomes[:4])
        assert store.evaluated == 0


def test_predictions_of_other_code_do_not_count(opened, genomes, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened() as store:
        store.predict(genomes[:2])
    monkeypatch.setattr(prediction_store, "PROXY_CODE", prediction_store.PROXY_CODE + 1)
    with opened() as store:
        store.predict(genomes[:2])
        assert store.evaluated == 2

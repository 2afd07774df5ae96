"""The larger the fairer? Correlations by hand, and the known networks that the headline trained."""

from pathlib import Path

import numpy as np
import pytest
from larger_fairer import correlation, references

from evo_fair.data import Dataset, load_dataset
from evo_fair.errors import EvoFairError
from evo_fair.files import write_json


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits")


def test_known_networks_are_read_from_the_headlines_units(dataset: Dataset, tmp_path: Path) -> None:
    assert references(tmp_path, dataset).empty
    target = dataset.labels[dataset.part("validation")]
    facts = {"network": "squeezenet", "start": "scratch", "option": "plain", "epochs": 7, "seed": 1, "params": 99}
    facts |= {"made_of": {"data": dataset.fingerprint}, "validation": "".join(map(str, target))}
    write_json(tmp_path / "a.json", facts)
    write_json(tmp_path / "b.json", facts | {"network": "abcdef", "seed": 2})
    write_json(tmp_path / "c.json", facts | {"option": "fair", "seed": 3})
    write_json(tmp_path / "d.json", facts | {"start": "tuned", "seed": 4})
    (row,) = references(tmp_path, dataset, "class").to_dict("records")
    assert row["network"] == "squeezenet, 7 epochs, seed 1"
    assert (row["params"], row["accuracy"], row["unfairness"]) == (99, 1.0, 0.0)
    write_json(tmp_path / "a.json", facts | {"made_of": {"data": "another"}})
    with pytest.raises(EvoFairError, match="was trained on other data"):
        references(tmp_path, dataset, "class")


def test_a_perfect_order_correlates_fully(dataset: Dataset) -> None:
    """Each network gets more samples right than the one before, whichever lesions are drawn."""
    target = dataset.labels[dataset.part("validation")]
    wrong = ((target + 1) % 10).astype(np.uint8)
    share = np.linspace(0, 1, 25)
    order = np.random.default_rng(0).permutation(len(target))
    predictions = np.stack([np.where(order < s * len(target), target, wrong) for s in share]).astype(np.uint8)
    found = correlation("accuracy", share, predictions, dataset, np.random.default_rng(0), "class")
    assert found["spearman"] == pytest.approx(1)
    assert 0.98 < found["low"] <= found["high"] <= 1

import dataclasses

import numpy as np
import pandas as pd
import pytest

from evo_fair.auditing.dense import DenseFacts
from evo_fair.auditing.effects import changes_of, effects, formula_of
from evo_fair.data import load_dataset
from evo_fair.errors import AuditError

PLANTED = {
    "Intercept": -0.10,
    "sparsity": -0.030,
    "sparsity squared": -0.0020,
    "share": 0.02,
    "sparsity x share": 0.005,
    "complexity": -0.010,
    "sparsity x complexity": -0.0025,
    "criterion random": -0.15,
    "sparsity x criterion random": -0.040,
}


def planted(rng, networks, noise_of_networks=0.0) -> pd.DataFrame:
    """Changes that follow `PLANTED`, with noise of rows and, on top, noise that a network's rows share."""
    share = np.array([0.6, 0.2, 0.1, 0.06, 0.04])
    complexity = np.array([0.2, 0.6, 0.3, 0.7, 0.5])
    table = pd.DataFrame(
        {
            "id": np.repeat(np.arange(networks), 5),
            "base": np.repeat(np.arange(networks) % 7, 5),
            "group": np.tile(list("abcde"), networks),
            "sparsity": np.repeat(rng.random(networks), 5),
            "criterion": np.repeat(np.where(np.arange(networks) % 2, "random", "magnitude"), 5),
            "scope": "uniform",
            "structure": "structured",
            "treatment": "statistics",
            "share": np.tile(share, networks),
            "complexity": np.tile(complexity, networks),
        }
    )
    s, random = 10 * (table["sparsity"] - 0.5), table["criterion"] == "random"
    size, hard = np.log2(table["share"] * 5), 10 * (table["complexity"] - complexity.mean())
    p = PLANTED
    table["change"] = (
        p["Intercept"]
        + p["sparsity"] * s
        + p["sparsity squared"] * s**2
        + (p["share"] + p["sparsity x share"] * s) * size
        + (p["complexity"] + p["sparsity x complexity"] * s) * hard
        + (p["criterion random"] + p["sparsity x criterion random"] * s) * random
        + rng.normal(0, 0.02, len(table))
        + np.repeat(rng.normal(0, 1, networks) * noise_of_networks, 5)
    )
    return table


def test_planted_coefficients_lie_in_their_intervals():
    found = effects(planted(np.random.default_rng(1), 2000, 0.05)).set_index("term")
    assert set(found.index) == set(PLANTED)
    for term, value in PLANTED.items():
        assert found.loc[term, "low"] <= value <= found.loc[term, "high"], term
        assert found.loc[term, "high"] - found.loc[term, "low"] < 0.07, term


def test_intervals_hold_as_often_as_they_say():
    """Over 100 draws, with noise that a network's rows share, which plain intervals would not see."""
    hits = dict.fromkeys(PLANTED, 0)
    for seed in range(100):
        found = effects(planted(np.random.default_rng(seed), 120, 0.1)).set_index("term")
        for term, value in PLANTED.items():
            hits[term] += found.loc[term, "low"] <= value <= found.loc[term, "high"]
    assert min(hits.values()) >= 85
    assert np.mean(list(hits.values())) >= 91


def test_factors_that_do_not_vary_are_left_out():
    table = planted(np.random.default_rng(0), 50)
    assert "scope" not in formula_of(table)
    assert "criterion" not in formula_of(table.assign(criterion="random"))
    assert "complexity" not in formula_of(table[table["group"].isin(["a", "b"])])


def test_terms_that_say_the_same_are_told_once_and_named():
    """Of classes that are equally frequent the share says nothing; a structure that one criterion alone prunes by."""
    changes = planted(np.random.default_rng(2), 200).assign(share=0.2)
    changes["structure"] = np.where(changes["criterion"] == "random", "unstructured", "structured")
    found = effects(changes)
    assert found.attrs["left_out"] == [
        "structure unstructured",
        "sparsity x structure unstructured",
        "share",
        "sparsity x share",
    ]
    rest = effects(changes, formula=formula_of(changes).replace("share + sparsity:share + ", "").split(" + C(str")[0])
    pd.testing.assert_frame_equal(rest.set_index("term"), found.set_index("term"))


def test_one_network_is_not_enough():
    with pytest.raises(AuditError, match="two or more"):
        effects(planted(np.random.default_rng(0), 1))


def test_changes_are_pruned_minus_dense(facts):
    networks = pd.DataFrame(
        {
            "id": ["d", "p", "orphan"],
            "base": ["x", "x", "gone"],
            "dense": [True, False, False],
            "sparsity": [0.0, 0.5, 0.5],
            "criterion": ["none", "random", "random"],
            "scope": "uniform",
            "structure": "structured",
            "treatment": "statistics",
            "accuracy[class:a]": [0.9, 0.8, 0.1],
            "accuracy[class:b]": [0.5, 0.75, 0.1],
        }
    )
    found = changes_of(networks, facts, "class")
    assert found["id"].tolist() == ["p", "p"]
    assert found["group"].tolist() == ["a", "b"]
    assert found["change"].tolist() == pytest.approx([-0.1, 0.25])
    assert found["share"].tolist() == [0.75, 0.25]
    assert found["complexity"].tolist() == [0.2, 0.6]


def test_groups_that_dense_networks_never_get_right_are_left_out_and_named(facts):
    hopeless = dataclasses.replace(facts, logits=facts.logits.copy())
    hopeless.logits[:, facts.target == 1] = [1.0, 0.0]
    networks = pd.DataFrame({"id": ["d", "p"], "base": "x", "dense": [True, False], "sparsity": [0.0, 0.5]})
    networks = networks.assign(criterion="random", scope="late", structure="structured", treatment="statistics")
    networks = networks.assign(**{"accuracy[class:a]": [0.9, 0.8], "accuracy[class:b]": 0.0})
    found = changes_of(networks, hopeless, "class")
    assert found["group"].tolist() == ["a"]
    assert found.attrs["left_out"] == ["b"]


def test_groups_of_unknown_complexity_are_left_out_and_named(facts):
    complexity = {**facts.complexity, "class": np.array([[np.nan, 0.6], [np.nan, 0.7]])}
    networks = pd.DataFrame({"id": ["d", "p"], "base": "x", "dense": [True, False], "sparsity": [0.0, 0.5]})
    networks = networks.assign(criterion="random", scope="late", structure="structured", treatment="statistics")
    networks = networks.assign(**{"accuracy[class:a]": [0.9, 0.8], "accuracy[class:b]": [0.9, 0.7]})
    found = changes_of(networks, dataclasses.replace(facts, complexity=complexity), "class")
    assert found["group"].tolist() == ["b"]
    assert found.attrs["left_out"] == ["a"]


def test_complexity_of_a_group_that_was_not_looked_at_is_unknown():
    dataset = load_dataset("digits")
    train = dataset.part("train")
    seen = train[dataset.labels[train] != 3]
    logits = np.zeros((1, len(dataset.part("validation")), 10), np.float32)
    found = DenseFacts.gather(["x"], logits, np.full((1, len(seen)), 0.9, np.float32), seen, dataset, ())
    assert np.isnan(found.complexity["class"][0]).tolist() == [label == 3 for label in range(10)]
    assert np.nanmax(np.abs(found.complexity["class"] - 0.9)) < 1e-6


def test_two_groups_can_t_tell_share_and_complexity_apart_and_one_has_neither():
    changes = planted(np.random.default_rng(1), 60)
    two, one = (changes[changes["group"].isin(list(groups))] for groups in ("ab", "a"))
    assert {term for term in ("share", "complexity") if term in formula_of(changes)} == {"share", "complexity"}
    assert {term for term in ("share", "complexity") if term in formula_of(two)} == {"share"}
    assert not {term for term in ("share", "complexity") if term in formula_of(one)}
    assert "sparsity x share" in effects(two)["term"].tolist()


def test_the_table_says_what_it_is_made_of():
    changes = planted(np.random.default_rng(1), 60)
    facts = effects(changes).attrs
    assert (facts["rows"], facts["clusters"], facts["cluster"]) == (300, 60, "id")
    assert facts["references"] == {"criterion": "magnitude"}, "factors that do not vary have none"
    assert effects(changes, "base").attrs["clusters"] == 7

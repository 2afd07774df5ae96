import dataclasses

import numpy as np
import pandas as pd
import pytest

from evo_fair.auditing.losses import band_name, band_of, losses_by_factor, losses_by_group


def test_bands_take_their_upper_bound():
    assert band_of([0.0, 0.1, 0.25, 0.26, 0.9]).tolist() == [-1, 0, 0, 1, 3]
    assert band_name(1) == "25 to 50 %"


def test_losses_by_hand(facts):
    """Architecture y is wrong on samples 5 and 7 when dense; pruned, it also loses 0 and 6, and x loses none."""
    dense = facts.logits.argmax(axis=2).astype(np.uint8)
    pruned = dense[1].copy()
    pruned[[0, 6]] ^= 1
    networks = pd.DataFrame(
        {"base": list("xyxy"), "dense": [True, True, False, False], "sparsity": [0.0, 0.0, 0.2, 0.6]}
    )
    found = losses_by_group(networks, np.stack([*dense, dense[0], pruned]), facts, np.random.default_rng(0))
    found = found.set_index(["grouping", "group", "band"])
    assert found.loc[("class", "a", "50 to 75 %"), "loss"] == pytest.approx(1 / 6)
    assert found.loc[("class", "b", "50 to 75 %"), "loss"] == pytest.approx(1 / 2)
    assert found.loc[("class", "b", "50 to 75 %"), "dense"] == pytest.approx(1 / 2)
    assert found.loc[("class", "b", "50 to 75 %"), "worst"] == 1.0
    assert found.loc[("class", "b", "0 to 25 %"), "loss"] == 0.0
    assert found.loc[("class", "b", "all"), "loss"] == pytest.approx(1 / 4)
    assert found.loc[("sex", "m", "50 to 75 %"), "loss"] == pytest.approx(1 / 4)
    assert found.loc[("sex", "m", "50 to 75 %"), "samples"] == 4
    assert (found["low"] <= found["loss"] + 1e-12).all()
    assert (found["high"] >= found["loss"] - 1e-12).all()


def test_too_few_units_have_losses_without_intervals(facts):
    groups = {**facts.groups, "alone": np.arange(8, dtype=np.int16)}
    names = {**facts.names, "alone": tuple("abcdefgh")}
    alone = dataclasses.replace(facts, groups=groups, names=names)
    networks = pd.DataFrame({"base": ["x", "x"], "dense": [True, False], "sparsity": [0.0, 0.6]})
    predictions = np.zeros((2, 8), np.uint8)
    found = losses_by_group(networks, predictions, alone, np.random.default_rng(0))
    assert found["loss"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)


def test_networks_that_lost_nothing_are_in_no_band():
    networks = pd.DataFrame(
        {"criterion": ["a", "a"], "dense": False, "sparsity": [0.0, 0.3], "accuracy_loss": [0, 0.5]}
    )
    found = losses_by_factor(networks, "criterion", ["accuracy_loss"])
    assert found[["band", "networks", "accuracy_loss"]].to_numpy().tolist() == [["25 to 50 %", 1, 0.5]]


def test_means_by_factor():
    networks = pd.DataFrame(
        {"criterion": ["none", "a", "a", "b"], "dense": [True, False, False, False]}
        | {"sparsity": [0.0, 0.3, 0.4, 0.4], "accuracy_loss": [0.0, 0.1, 0.3, 0.0]}
    )
    found = losses_by_factor(networks, "criterion", ["accuracy_loss"]).set_index("criterion")
    assert found["accuracy_loss"].tolist() == pytest.approx([0.2, 0.0])
    assert found["networks"].tolist() == [2, 1]


def test_nobody_loses_most_where_nobody_loses_and_equal_losses_are_shared(facts):
    dense = facts.logits.argmax(axis=2).astype(np.uint8)
    worse = dense[0].copy()
    worse[[0, 1, 3, 4]] ^= 1  # two of three women, two of four men
    networks = pd.DataFrame({"base": list("xxx"), "dense": [True, False, False], "sparsity": [0.0, 0.2, 0.2]})
    found = losses_by_group(networks, np.stack([dense[0], dense[0], worse]), facts, np.random.default_rng(0))
    found = found[found["band"] == "all"].set_index(["grouping", "group"])["worst"]
    assert found["sex"].to_dict() == {"f": 0.5, "m": 0.0}
    worse[[2, 5, 6]] ^= 1  # all of them
    found = losses_by_group(networks, np.stack([dense[0], dense[0], worse]), facts, np.random.default_rng(0))
    found = found[found["band"] == "all"].set_index(["grouping", "group"])["worst"]
    assert found["sex"].to_dict() == {"f": 0.25, "m": 0.25}


def test_losses_of_one_unit_are_not_known_for_sure(facts):
    """Of the three women's images, all of one woman, one is lost: it is so in every resample."""
    of_one = dataclasses.replace(facts, units=np.array([0, 0, 0, 3, 4, 5, 6, 7]))
    dense = facts.logits.argmax(axis=2).astype(np.uint8)
    worse = dense[0].copy()
    worse[0] ^= 1
    networks = pd.DataFrame({"base": list("xx"), "dense": [True, False], "sparsity": [0.0, 0.2]})
    found = losses_by_group(networks, np.stack([dense[0], worse]), of_one, np.random.default_rng(0))
    woman = found[(found["group"] == "f") & (found["band"] == "all")].iloc[0]
    assert woman["loss"] == pytest.approx(1 / 3)
    assert woman["low"] < 0
    assert woman["high"] > 0.8


def test_a_group_in_which_nothing_changed_may_have_lost_something(facts):
    dense = facts.logits.argmax(axis=2).astype(np.uint8)
    networks = pd.DataFrame({"base": list("xx"), "dense": [True, False], "sparsity": [0.0, 0.2]})
    found = losses_by_group(networks, np.stack([dense[0], dense[0]]), facts, np.random.default_rng(0))
    woman = found[(found["group"] == "f") & (found["band"] == "all")].iloc[0]
    assert woman["loss"] == 0.0
    assert woman["high"] == pytest.approx(3.8415 / (3 + 3.8415), abs=1e-4)
    assert woman["low"] == -woman["high"]

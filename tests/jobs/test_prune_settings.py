"""Settings of a pruning: what is made of them, and what is refused before anything begins."""

from typing import Any

import numpy as np
import pytest

from evo_fair.errors import EvoFairError
from evo_fair.jobs.prune_settings import PruneSettings


def test_units_are_all_combinations_in_order() -> None:
    settings = PruneSettings(["magnitude", "taylor"], sparsities=np.array([0.3, 0.5], np.float32), seeds=range(2))
    names = [
        f"{method}-{sparsity}-{seed}"
        for method in ("magnitude", "taylor")
        for sparsity in (0.3, 0.5)
        for seed in (0, 1)
    ]
    assert [unit.name for unit in settings.units] == names


def test_shares_by_layer_take_the_place_of_sparsities() -> None:
    settings = PruneSettings(ratios={"first": 0.5})
    (unit,) = settings.units
    assert unit.name == "magnitude-given-0"
    request = settings.request(unit, 7)
    assert (request.ratios, request.sparsity, request.epochs) == ({"first": 0.5}, 0.0, 7)
    assert PruneSettings(ratios={}) == PruneSettings()


@pytest.mark.parametrize(("given", "recipe", "spent"), [(None, 40, 10), (None, 2, 1), (0, 40, 0), (3, 40, 3)])
def test_a_method_may_train_a_quarter_of_the_recipe_unless_told(given: int | None, recipe: int, spent: int) -> None:
    assert PruneSettings(epochs=given).spent(recipe) == spent


def test_scopes_are_global_unless_told() -> None:
    settings = PruneSettings()
    assert settings.request(settings.units[0], 1).scope == "global"
    uniform = PruneSettings(scope="uniform")
    assert uniform.request(uniform.units[0], 1).scope == "uniform"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"methods": "magnitude"}, "methods = .* is a single one: give a list"),
        ({"methods": []}, "nothing to do"),
        ({"ratios": 3}, "ratios 3 are no shares by layer"),
        ({"ratios": [("first", 0.5)]}, "are no shares by layer"),
        ({"methods": ["magnitude", "magnitude"]}, "is given twice"),
        ({"sparsities": [-0.0, 0.0]}, "is given twice"),
        ({"sparsities": [1.0]}, "sparsity 1 "),
        ({"seeds": [-1]}, "seed -1 is negative"),
        ({"structure": "whole"}, "unknown structure 'whole'"),
        ({"scope": "local"}, "unknown scope 'local'"),
        ({"scope": ""}, "unknown scope ''"),
        ({"methods": ["evo"], "scope": "uniform"}, "evo has a scope of its own"),
        ({"rounds": 2, "ratios": {"first": 0.5}}, "shares by layer are for one shot"),
        ({"ratios": {"first": 1.5}}, "the share of layer 'first'"),
        ({"epsilon": 1.0}, r"epsilon 1 is outside \[0, 1\)"),
        ({"distillation": 2}, "distillation 2 is no share of the loss"),
        ({"distillation": "half"}, "distillation 'half' is no finite number"),
        ({"epochs": -1}, "epochs -1 is negative"),
        ({"epochs": "many"}, "epochs 'many' is no whole number"),
    ],
)
def test_what_can_not_be_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(EvoFairError, match=told):
        PruneSettings(**wrong)

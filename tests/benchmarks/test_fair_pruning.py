"""The pruning benchmark takes up what is finished, and nothing that was made of something else."""

from argparse import Namespace
from math import isnan
from pathlib import Path
from types import SimpleNamespace

import fair_pruning
import pytest
from fair_pruning import Unit, comparison, is_done, path_of, tables
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from evo_fair.errors import EvoFairError
from evo_fair.files import write_json
from evo_fair.pruning.methods import PRUNING_CODE

UNIT = Unit(0, "ham10000", "resnet8", 0.9, "ballot")


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    task = SimpleNamespace(dataset=SimpleNamespace(fingerprint="abc"))
    monkeypatch.setattr(fair_pruning, "task_of", lambda _data, _folder: task)
    return Namespace(work=tmp_path, data=None, dense_epochs=12, epochs=6)


def test_a_finished_unit_is_not_made_again(arguments: Namespace) -> None:
    assert not is_done(UNIT, arguments)
    write_json(path_of(UNIT, arguments), {"made_of": [12, 6, "abc", f"code {PRUNING_CODE}"]})
    assert is_done(UNIT, arguments)


@pytest.mark.parametrize(
    ("method", "changed"), [("ballot", True), ("evo", True), ("fair-scratch", True), ("bifp", False)]
)
def test_units_from_before_a_methods_code_changed_are_refused(arguments: Namespace, method: str, changed: bool) -> None:
    unit = UNIT._replace(method=method)
    write_json(path_of(unit, arguments), {"made_of": [12, 6, "abc"]})
    if changed:
        with pytest.raises(EvoFairError, match=f"not .*'code {PRUNING_CODE}'.*: remove it, or give another --work"):
            is_done(unit, arguments)
    else:
        assert is_done(unit, arguments)


@pytest.mark.parametrize("made_of", [[12, 5, "abc"], [12, 6, "other data"], None])
def test_a_unit_of_other_epochs_or_data_is_refused(arguments: Namespace, made_of: list[object] | None) -> None:
    write_json(path_of(UNIT, arguments), {"made_of": made_of})
    with pytest.raises(EvoFairError, match="remove it, or give another --work"):
        is_done(UNIT, arguments)


def test_tables_of_nothing_are_refused(arguments: Namespace) -> None:
    with pytest.raises(EvoFairError, match="nothing is finished"):
        tables(arguments)


def test_tables_of_trials_elsewhere_leave_the_results_alone(
    arguments: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_pruning, "OUT", tmp_path / "results")
    monkeypatch.setattr(fair_pruning, "figure", lambda _frame: Figure())
    measures = dict.fromkeys((*fair_pruning.MEASURED, "iterations"), 1.0)
    row = {"seed": 0, "data": "ham10000", "network": "resnet8", "sparsity": 0.9, "method": "ballot", **measures}
    write_json(arguments.work / "units" / "one.json", row)
    arguments.name = "trial"
    tables(arguments)
    assert (arguments.work / "trial_runs.csv").is_file()
    assert not (tmp_path / "results").exists()


def test_methods_are_compared_over_the_seeds_that_both_have() -> None:
    shared = {"data": "d", "network": "n", "sparsity": 0.5, "mcd": 0.5, "balanced_accuracy": 0.5, "iterations": 10}
    shared |= {"performance_fairness": 0.1, "degradation_fairness": 0.1}
    rows = [("ballot", 0, 0.03, 0.80), ("magnitude", 0, 0.04, 0.81), ("magnitude", 1, 0.99, 0.10)]
    frame = DataFrame([shared | dict(zip(("method", "seed", "cwv", "accuracy"), row, strict=True)) for row in rows])
    other = frame[frame["seed"] == 0].assign(data="other", cwv=[0.02, 0.04])
    first, second, of_first, of_second, mean = comparison(concat([frame, other])).to_dict("records")
    assert (first["seeds"], second["seeds"]) == (1, 1)
    assert [row["data"] for row in (of_first, of_second, mean)] == ["d", "other", "all"]
    assert of_first["cwv_lower_percent"] == pytest.approx(25)
    assert of_second["cwv_lower_percent"] == pytest.approx(50)
    assert mean["settings"] == 2
    assert mean["cwv_lower_percent"] == pytest.approx(37.5)
    assert mean["accuracy_points"] == pytest.approx(-1)
    assert isnan(mean["cwv_lower_percent_low"]), "a single seed has no interval"


def test_means_have_intervals_over_seeds() -> None:
    shared = {"data": "d", "network": "n", "sparsity": 0.5, "mcd": 0.5, "balanced_accuracy": 0.5, "iterations": 10}
    shared |= {"performance_fairness": 0.1, "degradation_fairness": 0.1}
    rows = [("magnitude", seed, 0.10, 0.8) for seed in (0, 1, 2)]
    rows += [("ballot", seed, cwv, 0.8) for seed, cwv in enumerate((0.04, 0.05, 0.06))]
    frame = DataFrame([shared | dict(zip(("method", "seed", "cwv", "accuracy"), row, strict=True)) for row in rows])
    of_all = comparison(frame).query("data == 'all'").iloc[0]
    margin = 4.302653 * 10 / 3**0.5  # 60, 50 and 40 per cent
    assert of_all["cwv_lower_percent"] == pytest.approx(50)
    assert of_all["cwv_lower_percent_low"] == pytest.approx(50 - margin)
    assert of_all["cwv_lower_percent_high"] == pytest.approx(50 + margin)
    assert of_all["accuracy_points_low"] == of_all["accuracy_points_high"] == pytest.approx(0)

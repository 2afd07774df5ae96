import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from evo_fair.cli import main
from evo_fair.errors import ConstraintError, EvoFairError, RunError, UnknownNameError
from evo_fair.evolution import create_run, describe
from evo_fair.evolution.objectives import Axis
from evo_fair.report import operating_point
from evo_fair.report.candidates import choose_in
from evo_fair.report.operating_point import choose, table_axes

from .conftest import AXES as RUN_AXES
from .conftest import NETWORKS, record, write_run
from .folders import write_network

AXES = (Axis("accuracy", "max"), Axis("latency_ms"), Axis("size"))


@pytest.mark.parametrize(
    ("limits", "minimise", "number"),
    [
        ([], "latency_ms", 4),
        (["accuracy >= 0.75"], "latency_ms", 1),
        (["accuracy >= 0.75", "unfairness <= 0.15"], "latency_ms", 3),
        (["accuracy >= 0.75"], "params", 3),
        (["accuracy[sex:female] >= 0.85"], "unfairness", 0),
        (["latency_ms <= 5", "accuracy >= 0.86"], "latency_ms", None),
        (["accuracy >= 0.85"], "params", 2),
        (["latency_ms <= 1"], "unfairness", None),
    ],
)
def test_points_by_hand(run, limits, minimise, number):
    """Of equals in latency the more accurate one is taken, and of equals in all objectives the first by id."""
    point = run.operating_point(limits, minimise=minimise)
    assert (None if point is None else int(point["id"])) == number


def test_a_goal_can_be_maximised_and_there_is_one(run):
    point = run.operating_point(["latency_ms <= 5"], maximise="accuracy")
    within = run.front[run.front["latency_ms"] <= 5]
    assert point["accuracy"] == within["accuracy"].max()
    with pytest.raises(ConstraintError, match="'latency_ms' is better the lower it is: minimise it"):
        run.operating_point([], maximise="latency_ms")
    for goals in ({}, {"minimise": "latency_ms", "maximise": "accuracy"}):
        with pytest.raises(ConstraintError, match="an operating point has one goal"):
            run.operating_point([], **goals)


def test_columns_whose_names_are_no_texts_are_left_alone():
    networks = pd.DataFrame({"id": ["a", "b"], "cost": [2.0, 1.0], 7: [0.5, 0.5]})
    assert operating_point(networks, [], "cost")["id"] == "b"
    with pytest.raises(ConstraintError, match="unknown metric '7'"):
        operating_point(networks, ["7 <= 1"], "cost")


def test_of_all_networks_only_feasible_and_non_dominated_ones_count(run):
    """The network with the fewest parameters breaks a limit, and the next one is dominated."""
    point = operating_point(run.networks, [], "params", run.axes)
    assert point is not None
    assert point["params"] == 20_000


@given(
    st_numpy.arrays(float, st.tuples(st.integers(1, 15), st.just(3)), elements=st.integers(0, 5)),
    st.integers(0, 5),
    st.sampled_from(["latency_ms", "size"]),
)
def test_a_point_is_never_dominated_and_never_over_its_limits(values, floor, minimise):
    networks = pd.DataFrame(values, columns=["accuracy", "latency_ms", "size"])
    networks["id"] = [f"{number:03d}" for number in range(len(networks))]
    point = operating_point(networks, [f"accuracy >= {floor}"], minimise, AXES)
    losses = values * [-1, 1, 1]
    beaten = [any((o <= p).all() and (o < p).any() for o in losses) for p in losses]
    allowed = networks[(networks["accuracy"] >= floor) & ~np.array(beaten)]
    if point is None:
        assert allowed.empty
    else:
        assert point["id"] in set(allowed["id"])
        assert point[minimise] == allowed[minimise].min()


def test_an_unmeasured_value_meets_no_limit():
    networks = pd.DataFrame({"id": ["a", "b"], "cost": [1.0, 2.0], "rate": [np.nan, 0.5]})
    point = operating_point(networks, ["rate <= 0.9"], "cost")
    assert point is not None
    assert point["id"] == "b"


@pytest.mark.parametrize(
    ("limits", "minimise", "error", "told"),
    [
        ([], "latncy_ms", UnknownNameError, "did you mean 'latency_ms'"),
        ([], "genome", UnknownNameError, "unknown metric 'genome'"),
        ([], "feasible", UnknownNameError, "unknown metric 'feasible'"),
        ([], "accuracy", ConstraintError, "better the higher it is"),
        ([], "accuracy[sex:male]", ConstraintError, "better the higher it is"),
        (["acuracy >= 0.7"], "latency_ms", ConstraintError, "did you mean 'accuracy'"),
        (["accuracy > 0.7"], "latency_ms", ConstraintError, "write accuracy >= 0.7"),
        (["accuracy>=0.7,params<=9"], "latency_ms", ConstraintError, "give each by its own, --constraint 'acc"),
    ],
)
def test_wrong_wishes_are_refused(run, limits, minimise, error, told):
    with pytest.raises(error, match=told):
        operating_point(run.networks, limits, minimise, run.axes)


def test_a_table_without_ids_has_a_point_and_the_first_of_equals_is_taken():
    networks = pd.DataFrame({"cost": [3.0, 1.0, 1.0], "rate": [0.9, 0.5, 0.5]}, index=["x", "y", "z"])
    point = operating_point(networks, ["rate <= 0.9"], "cost", (Axis("cost"), Axis("rate", "max")))
    assert point is not None
    assert point.name == "y"


@pytest.mark.parametrize(
    ("networks", "error", "told"),
    [
        ({"cost": [1.0, 2.0]}, UnknownNameError, "unknown objective 'rate': expected one of cost"),
        ({"cost": [1.0, 2.0], "rate": ["0.5", "x"]}, UnknownNameError, "unknown objective 'rate'"),
        ({"cost": [1.0, 2.0], "rate": [0.5, 1.0], "feasible": ["False", "True"]}, EvoFairError, "feasible = 'False'"),
        (
            {"cost": [1.0, 2.0], "rate": [0.5, 1.0], "feasible": [True, None]},
            EvoFairError,
            "feasible = None: give",
        ),
    ],
)
def test_a_table_that_can_not_be_chosen_from_is_refused(networks, error, told):
    with pytest.raises(error, match=told):
        operating_point(pd.DataFrame(networks), [], "cost", (Axis("cost"), Axis("rate", "max")))


# Sparsity, accuracy and what the worst group loses. The third is dominated by the second.
TABLE = pd.DataFrame(
    {
        "id": list("abcde"),
        "sparsity": [0.0, 0.5, 0.5, 0.7, 0.9],
        "accuracy": [0.90, 0.88, 0.87, 0.85, 0.60],
        "worst_group_loss": [0.00, 0.02, 0.03, 0.05, 0.40],
    }
)


@pytest.mark.parametrize(
    ("limits", "best", "costs"),
    [
        ([], "e", []),
        (["worst_group_loss <= 0.02"], "b", [(0.9, 0.4)]),
        (["worst_group_loss <= 0.05", "accuracy >= 0.86"], "b", [(0.5, 0.0), (0.7, 0.2)]),
        (["worst_group_loss <= 0.05", "accuracy >= 0.8"], "d", [(0.7, 0.0), (0.7, 0.0)]),
        (["worst_group_loss <= 0.01", "sparsity >= 0.5"], None, [(0.9, None), (0.0, None)]),
        (["worst_group_loss <= -1", "accuracy >= 1"], None, [(None, None), (None, None)]),
    ],
)
def test_highest_sparsity_within_limits_and_what_they_cost(limits, best, costs):
    choice = choose(TABLE, limits, maximise="sparsity", axes=table_axes(TABLE, limits, "sparsity", "max"))
    assert (None if choice.point is None else choice.point["id"]) == best
    assert [cost.limit for cost in choice.costs] == limits
    for found, (value, cost) in zip(choice.costs, costs, strict=True):
        assert found.best == (None if value is None else pytest.approx(value))
        assert found.cost == (None if cost is None else pytest.approx(cost))


def test_of_a_limit_that_no_network_meets_the_nearest_value_is_told():
    limits = ["accuracy >= 0.95", "sparsity <= -1", "worst_group_loss <= 0.02"]
    choice = choose(TABLE, limits, maximise="sparsity")
    assert choice.point is None
    assert [cost.nearest for cost in choice.costs] == [0.9, 0.0, None]


BANDS = pd.DataFrame({"id": list("abcd"), "sparsity": [0.1, 0.8, 0.8, 0.95], "accuracy": [0.9, 0.7, 0.8, 0.85]})


@pytest.mark.parametrize(
    ("limits", "best"),
    [
        (["sparsity <= 0.85"], "c"),
        (["sparsity <= 0.7"], "a"),
        (["accuracy >= 0.75", "accuracy <= 0.95"], "d"),
        (["accuracy >= 0.75", "accuracy <= 0.83"], "c"),
        (["accuracy <= 0.83"], "c"),
        (["sparsity >= 0.5", "sparsity <= 0.9"], "c"),
        (["sparsity >= 0.5", "sparsity <= 0.7"], None),
    ],
)
def test_limits_from_above_and_below_leave_the_best_within_them(limits, best):
    """Networks beyond the limits dominate none: the last row beats the two before it in both columns."""
    choice = choose(BANDS, limits, maximise="sparsity", axes=table_axes(BANDS, limits, "sparsity", "max"))
    assert (None if choice.point is None else choice.point["id"]) == best


def test_an_upper_limit_costs_what_it_takes_from_the_goal():
    limits = ["sparsity <= 0.85", "accuracy >= 0.75"]
    choice = choose(BANDS, limits, maximise="sparsity", axes=table_axes(BANDS, limits, "sparsity", "max"))
    assert [cost.cost for cost in choice.costs] == [pytest.approx(0.15), 0]


def test_a_dominated_network_is_never_chosen():
    table = TABLE.assign(latency_ms=[5.0, 3.0, 3.0, 4.0, 4.0])
    axes = table_axes(table, ["worst_group_loss <= 0.1"], "latency_ms", "min")
    choice = choose(table.iloc[::-1], ["worst_group_loss <= 0.1"], minimise="latency_ms", axes=axes)
    assert choice.point is not None
    assert choice.point["id"] == "b"


def test_a_goal_is_needed_and_has_a_direction():
    for goals in ({}, {"minimise": "sparsity", "maximise": "accuracy"}):
        with pytest.raises(ConstraintError, match="one goal"):
            choose(TABLE, [], **goals)
    with pytest.raises(ConstraintError, match="better the higher"):
        choose(TABLE, [], minimise="sparsity")
    with pytest.raises(ConstraintError, match="better the lower"):
        choose(TABLE.assign(cwv=0.1), [], maximise="cwv")


@pytest.mark.parametrize(
    ("columns", "limits", "goal", "told"),
    [
        (["latency_ms", 1], [], 1, "minimise 1 is no text"),
        ([0, 1], [], "latency_ms", "unknown metric 'latency_ms': expected one of .none."),
        (["latency_ms", "latency_ms"], [], "latency_ms", "the table has two columns 'latency_ms': rename one"),
        (["latency_ms", "accuracy"], "accuracy >= 0.5", "latency_ms", "limits = .* is a single one: give"),
    ],
)
def test_other_tables_goals_and_limits_are_refused_in_a_line(columns, limits, goal, told):
    with pytest.raises(EvoFairError, match=told):
        operating_point(pd.DataFrame([[1.0, 0.5], [2.0, 0.6]], columns=columns), limits, minimise=goal)


def test_a_column_whose_name_is_a_whole_number_hinders_nothing():
    table = pd.DataFrame({"latency_ms": [2.0, 1.0], 0: [1, 2], 1: ["x", "y"]})
    point = operating_point(table, ["latency_ms <= 2"], minimise="latency_ms")
    assert point is not None
    assert point[1] == "y"


def _with_worst(path, groups, worst=2 / 3):
    """A run of one network whose worst group of race is right in `worst`, and its card with `groups`."""
    run = create_run(path, {"search": {"objectives": describe(RUN_AXES), "constraints": [], "group": "race"}})
    found = record(0, *NETWORKS[0])
    found = replace(found, metrics={**found.metrics, "worst_group_accuracy": worst})
    run.journal.write_bytes(found.line())
    write_network(path / "networks", found.id)
    card = path / "networks" / f"{found.id}.json"
    told = {name: {"samples": samples, "correct": correct} for name, (samples, correct) in groups.items()}
    card.write_text(json.dumps(json.loads(card.read_text()) | {"groups": {"race": told}}))
    return card


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({"other": (12, 8), "white": (300, 290), "nobody": (0, 0)}, "race:other, 12 samples"),
        ({"other": (12, 8), "white": (1, 1), "black": (3, 2)}, "race:other, 12 samples, and race:black, 3 samples"),
        ({"other": (12, 9), "white": (300, 290)}, None),  # not what the run has read
        ({}, None),
    ],
)
def test_it_is_said_whose_the_worst_accuracy_is_and_of_how_many_samples(tmp_path, capsys, groups, told):
    _with_worst(tmp_path / "run", groups)
    with pytest.raises(SystemExit):
        main(["operating-point", str(tmp_path / "run")])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("worst_group_accuracy is")]
    assert lines == ([] if told is None else [f"worst_group_accuracy is that of {told} of the validation part"])


@pytest.mark.parametrize("content", [None, "{"])
def test_without_its_card_nothing_is_said_of_the_worst_group(tmp_path, content):
    card = _with_worst(tmp_path / "run", {"other": (12, 8)})
    assert choose_in(tmp_path / "run", []).worst_groups == {"race:other": 12}
    assert choose_in(tmp_path / "run", ["latency_ms <= 0"]).worst_groups == {}
    card.unlink() if content is None else card.write_text(content)
    choice = choose_in(tmp_path / "run", [])
    assert choice.point is not None
    assert choice.worst_groups == {}


def test_tables_are_read_from_files_and_folders(tmp_path, run):
    TABLE.drop(columns="id").to_csv(tmp_path / "networks.csv", index=False)
    for source in (tmp_path, tmp_path / "networks.csv"):
        choice = choose_in(source, ["worst_group_loss <= 0.02"])
        assert choice.point is not None
        assert choice.point["id"] == "row 2"
    assert choose_in(run.path, []).goal == Axis("latency_ms")
    point = choose_in(run.path, [], maximise="accuracy").point
    assert point is not None
    assert point["accuracy"] == 0.9
    (tmp_path / "empty.csv").write_text("id,sparsity\n")
    with pytest.raises(RunError, match="lists no network"):
        choose_in(tmp_path / "empty.csv", [])
    with pytest.raises(RunError, match="there is no run in"):
        choose_in(tmp_path / "nowhere", [])
    (run.path / "networks").mkdir()
    with pytest.raises(RunError, match=r"give the folder of one, or a CSV of networks, such as .*ham$"):
        choose_in(run.path / "networks", [])


def test_a_line_on_how_a_table_was_made_is_no_row(tmp_path):
    (tmp_path / "networks.csv").write_text("# by a script\nid,sparsity\nx,0.5\ny,0.7\n")
    point = choose_in(tmp_path, []).point
    assert point is not None
    assert point["id"] == "y"


@pytest.mark.parametrize(("cells", "best"), [("True,False", "a"), ("1,0", "a"), ("no,yes", None), (",True", None)])
def test_what_is_feasible_has_to_be_said_clearly(tmp_path, cells, best):
    first, second = cells.split(",")
    (tmp_path / "own.csv").write_text(f"id,latency_ms,feasible\na,2,{first}\nb,1,{second}\n")
    if best is None:
        with pytest.raises(RunError, match=r"feasible = .*: give True or False in each row"):
            choose_in(tmp_path / "own.csv", [])
    else:
        point = choose_in(tmp_path / "own.csv", []).point
        assert point is not None
        assert point["id"] == best


def test_a_run_without_a_front_says_so(tmp_path):
    run = write_run(tmp_path / "none", networks=NETWORKS[-1:])
    with pytest.raises(RunError, match="none has no network on its front: search on"):
        choose_in(run.path, [])


@pytest.mark.parametrize(
    ("limits", "goals"),
    [
        (["test_accuracy >= 0.5"], {}),
        ([], {"maximise": "test_accuracy"}),
        ([], {"minimise": "test_accuracy[sex:female]"}),
    ],
)
def test_the_test_part_chooses_nothing(tmp_path, limits, goals):
    names = ("accuracy", "accuracy[sex:female]")
    table = TABLE.assign(**{f"{part}{name}": 0.6 for part in ("", "validation_") for name in names})
    table.to_csv(tmp_path / "pruned.csv", index=False)
    with pytest.raises(ConstraintError, match=r"'test_accuracy.*' is of the test part, .*: use 'accuracy.*'"):
        choose_in(tmp_path, limits, **goals)
    point = choose_in(tmp_path, ["accuracy >= 0.5"], maximise="accuracy").point
    assert point is not None
    assert point["test_accuracy"] == 0.6


def test_a_metric_of_both_parts_and_of_an_unknown_one_is_refused(tmp_path):
    table = TABLE.assign(validation_accuracy=0.6, test_accuracy=0.5)
    table.to_csv(tmp_path / "pruned.csv", index=False)
    with pytest.raises(RunError, match="has 'accuracy' beside those of the validation and the test part"):
        choose_in(tmp_path, [])


def test_deployed_networks_are_not_chosen_by_their_test_part(tmp_path):
    figures = {"measured_ms": [2.0, 1.0], "accuracy": [0.8, 0.7], "accuracy_low": [0.7, 0.6], "accuracy_high": 0.9}
    pd.DataFrame({"id": ["a", "b"], **figures}).to_csv(tmp_path / "deployed.csv", index=False)
    with pytest.raises(ConstraintError, match="'accuracy' of deployed networks is of the test part"):
        choose_in(tmp_path / "deployed.csv", ["accuracy >= 0.75"])
    choice = choose_in(tmp_path / "deployed.csv", ["measured_ms <= 3"])
    assert choice.of_test_part
    point = choice.point
    assert point is not None
    assert point["id"] == "b"


def test_a_table_without_a_wish_is_chosen_from_by_its_latency(tmp_path):
    table = TABLE.drop(columns="sparsity").assign(measured_ms=[5.0, 4.0, 3.0, 2.0, 1.0])
    table.to_csv(tmp_path / "deployed.csv", index=False)
    point = choose_in(tmp_path / "deployed.csv", ["accuracy >= 0.86"]).point
    assert point is not None
    assert point["id"] == "c"
    table.drop(columns="measured_ms").to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ConstraintError, match="name a column to minimise or to maximise"):
        choose_in(tmp_path / "other.csv", [])


@pytest.mark.parametrize(
    ("scale", "limit", "told"),
    [
        (1, "accuracy >= 85", "the highest accuracy is 0.9 (it is a share: write 0.85 for 85 %)"),
        (1, "accuracy >= 5", "(it is a share: write 0.05 for 5 %)"),
        (1, "accuracy >= 1.1", "the highest accuracy is 0.9;"),
        (1, "accuracy >= 101", "the highest accuracy is 0.9;"),
        (100, "accuracy >= 95", "the highest accuracy is 90;"),
    ],
)
def test_a_limit_in_percent_is_told_from_other_slips(tmp_path, capsys, scale, limit, told):
    table = pd.DataFrame({"accuracy": [0.8 * scale, 0.9 * scale], "latency_ms": [1.0, 2.0]})
    table.to_csv(tmp_path / "networks.csv", index=False)
    with pytest.raises(SystemExit) as ended:
        main(["operating-point", str(tmp_path / "networks.csv"), "--constraint", limit])
    assert ended.value.code == 0
    assert told in capsys.readouterr().out

"""What latencies are called and measured by where a search is for one device, and where it is for several."""

import numpy as np
import pytest

from evo_fair.errors import ConstraintError, ObjectiveError, UnknownNameError
from evo_fair.evolution import (
    SearchPlan,
    create_run,
    describe,
    objective_direction,
    resolve,
    resolve_constraints,
    search,
    sources,
)
from evo_fair.evolution.devices import Devices, device_named, plain_name
from evo_fair.evolution.searched import Searched

from .fakes import FakeEvaluator, FakeSpace, fake_latency

SPACE = FakeSpace()
TABLE = SPACE.decode(SPACE.sample(np.random.default_rng(0), 7))
MODELS = {"board": fake_latency, "phone.v2": lambda table: 3.0 - 0.2 * fake_latency(table)}
BOARD, PHONE = (model(TABLE) for model in MODELS.values())


def devices(*names: str, models=MODELS, limits=()) -> Devices:
    return Devices.of(models, names, limits)


@pytest.mark.parametrize(
    ("name", "device", "plain"),
    [
        ("latency_ms[phone.v2]", "phone.v2", "latency_ms"),
        ("latency_ms[]", "", "latency_ms"),
        ("latency_ms", None, "latency_ms"),
        ("params[board]", None, "params[board]"),
        ("latency_ms[board", None, "latency_ms[board"),
    ],
)
def test_names_say_their_device(name, device, plain):
    assert (device_named(name), plain_name(name)) == (device, plain)


def test_each_device_has_a_latency_and_the_plain_name_is_the_firsts():
    first, second = resolve(["latency_ms", "latency_ms[phone.v2]"], devices())
    assert (first.name, first.title) == ("latency_ms[board]", "latency on board (ms)")
    assert (second.name, second.title) == ("latency_ms[phone.v2]", "latency on phone.v2 (ms)")
    np.testing.assert_array_equal(first.measure(TABLE), BOARD)
    np.testing.assert_array_equal(second.measure(TABLE), PHONE)


def test_one_device_keeps_the_plain_name_unless_it_is_named():
    one = {"board": fake_latency}
    assert resolve(["latency_ms"], devices("latency_ms", models=one)) == resolve(["latency_ms"], fake_latency, "board")
    named = devices("latency_ms[board]", models=one)
    assert [goal.name for goal in resolve(["latency_ms[board]"], named)] == ["latency_ms[board]"]
    assert [limit.text for limit in resolve_constraints(["latency_ms<=5"], named)] == ["latency_ms[board] <= 5"]


@pytest.mark.parametrize(
    ("names", "kind", "told"),
    [
        (
            ["latency_ms[phone]"],
            UnknownNameError,
            r"unknown device 'phone': .* board, phone.v2.*did you mean 'phone.v2'",
        ),
        (["latency_ms['board']"], UnknownNameError, "did you mean 'board'"),
        (["latency_ms[]"], UnknownNameError, "unknown device ''"),
        (["params[board]"], UnknownNameError, "unknown objective"),
        (["latency_ms", "latency_ms[board]"], ObjectiveError, "given twice, and 'latency_ms' is that of the first"),
        (["worst_latency"], ObjectiveError, r"no latency has one: add .* as in 'latency_ms\[board\] <= 5'"),
    ],
)
def test_wrong_names_are_one_line(names, kind, told):
    with pytest.raises(kind, match=told):
        resolve(names, devices())


def test_a_limit_is_on_the_device_that_it_names():
    limits = resolve_constraints(["latency_ms <= 5", "latency_ms[phone.v2]<=2", "latency_ms[board]<=5.0"], devices())
    assert [limit.text for limit in limits] == ["latency_ms[board] <= 5", "latency_ms[phone.v2] <= 2"]
    assert all(limit.cheap for limit in limits)
    np.testing.assert_array_equal(limits[1].objective.measure(TABLE), PHONE)
    with pytest.raises(ConstraintError, match=r"'latency_ms\[phone\] <= 5': unknown device 'phone'"):
        resolve_constraints(["latency_ms[phone] <= 5"], devices())
    with pytest.raises(ConstraintError, match="never below 0"):
        resolve_constraints(["latency_ms[board] <= -1"], devices())


def test_the_worst_latency_is_the_largest_share_of_a_limit():
    stated = [("latency_ms", 4.0), ("latency_ms[phone.v2]", 9.0), ("latency_ms[phone.v2]", 1.5), ("error", 0.1)]
    (worst,) = resolve(["worst_latency"], devices(limits=stated))
    np.testing.assert_allclose(worst.measure(TABLE), np.maximum(BOARD / 4.0, PHONE / 1.5))
    (alone,) = resolve(["worst_latency"], devices(limits=stated[:1]))
    np.testing.assert_allclose(alone.measure(TABLE), BOARD / 4.0)
    assert (worst.direction, worst.cheap) == ("min", True)


def test_a_ratio_to_a_limit_of_nothing_is_refused():
    with pytest.raises(ObjectiveError, match="'worst_latency' is a ratio to limits above 0, and that of board is 0"):
        resolve(["worst_latency"], devices(limits=[("latency_ms", 0.0)]))


def test_latencies_are_known_as_evo_fairs_own_measures():
    goals = resolve(["latency_ms", "latency_ms[phone.v2]", "worst_latency"], devices(limits=[("latency_ms", 4.0)]))
    assert sources(goals) == {}
    assert [objective_direction(goal.name) for goal in goals] == ["min", "min", "min"]


def test_a_run_for_two_devices_reads_back(tmp_path):
    goals = resolve(["error", "latency_ms", "latency_ms[phone.v2]"], devices())
    limits = resolve_constraints(["latency_ms[phone.v2] <= 2.5"], devices())
    plan = SearchPlan(goals, "sex", 60, limits, population=12)
    run = create_run(tmp_path / "run", {"search": {"objectives": describe(goals), "constraints": [limits[0].text]}})
    records = search(plan, SPACE, FakeEvaluator(), run.journal, run.checkpoint).records
    assert [axis.name for axis in Searched.of(run).axes] == ["error", "latency_ms[board]", "latency_ms[phone.v2]"]
    assert all(record.constraints["latency_ms[phone.v2] <= 2.5"] <= 2.5 for record in records if record.evaluated)
    assert any(not record.evaluated for record in records)


def test_an_end_of_an_interval_needs_a_device_that_has_one():
    with pytest.raises(ObjectiveError, match="is an end of an interval, and the profile of board has none: fit it"):
        devices("latency_ms_high").function("latency_ms_high")
    with pytest.raises(ObjectiveError, match="the profile of this device has none"):
        Devices({"": fake_latency}).function("latency_ms_high")


@pytest.mark.parametrize(("limit", "told"), [(0.0, "is 0: raise it"), (-1.0, "is -1: raise it")])
def test_the_ratio_to_any_limit_above_0_is_taken(limit, told):
    with pytest.raises(ObjectiveError, match=told):
        Devices(MODELS, limits={"board": limit}).function("worst_latency")
    ratio = Devices(MODELS, limits={"board": 0.5}).function("worst_latency")(TABLE)
    np.testing.assert_allclose(ratio, BOARD / 0.5)

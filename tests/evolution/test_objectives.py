import numpy as np
import pytest

from evo_fair.errors import EvoFairError, ObjectiveError, UndefinedMetricError, UnknownNameError
from evo_fair.evolution import axes_from, describe, forget, objective, objective_names, resolve, to_minimise
from evo_fair.evolution.devices import Devices
from evo_fair.evolution.objectives import Objective, register
from evo_fair.fairness import METRICS

from .fakes import FakeEvaluator, FakeSpace, fake_latency

SPACE = FakeSpace()
GENOMES = SPACE.sample(np.random.default_rng(0), 7)
COUNTS = FakeEvaluator().evaluate(GENOMES)["sex"]

DESIGNED = [
    *("error", "balanced_error", "unfairness", "accuracy_gap", "worst_group_error", "cwv", "mcd"),
    *("demographic_parity_difference", "equal_opportunity_difference"),
    *("equalized_odds_difference", "average_odds_difference"),
    *("latency_ms", "params", "macs", "peak_memory_bytes"),
]


@pytest.fixture
def own():
    """Takes the test's own objectives out of the registry again."""
    before = set(objective_names())
    yield
    for name in set(objective_names()) - before:
        forget(name)


def test_every_name_of_the_design_is_there():
    assert set(DESIGNED) <= set(objective_names())
    assert set(METRICS) <= set(objective_names())


@pytest.mark.parametrize("name", DESIGNED)
def test_what_the_design_names_is_minimised(name):
    assert resolve([name], fake_latency)[0].direction == "min"


def test_accuracies_are_maximised_and_turned_in_one_place():
    axes = resolve(["accuracy", "error"])
    assert [axis.direction for axis in axes] == ["max", "min"]
    assert to_minimise([[0.75, 0.25], [0.0, 1.0]], axes).tolist() == [[-0.75, 0.25], [0.0, 1.0]]
    assert not np.signbit(to_minimise([[0.0, 0.0]], axes)).any()


def test_a_metric_measures_what_fairness_computes():
    (measure,) = resolve(["unfairness"])
    np.testing.assert_array_equal(measure.measure(COUNTS), METRICS["unfairness"](COUNTS))


def test_params_stay_whole_numbers():
    (measure,) = resolve(["params"])
    assert measure.measure(SPACE.decode(GENOMES)).dtype == np.int64


def test_latency_is_bound_to_a_device():
    (measure,) = resolve(["latency_ms"], fake_latency, "raspberry-pi-4")
    assert measure.title == "latency on raspberry-pi-4 (ms)"
    assert measure.better == "lower is better"
    table = SPACE.decode(GENOMES)
    np.testing.assert_array_equal(measure.measure(table), fake_latency(table))


def test_the_ends_of_an_interval_are_objectives_where_the_device_has_them():
    models = {"a board": fake_latency}
    ends = {"latency_ms_high": lambda table: 2 * fake_latency(table)}
    _, measure = resolve(["latency_ms", "latency_ms_high"], Devices(models, ends=ends))
    assert measure.title == "most latency on a board (ms)"
    table = SPACE.decode(GENOMES)
    np.testing.assert_array_equal(measure.measure(table), 2 * fake_latency(table))
    with pytest.raises(ObjectiveError, match=r"'latency_ms_high' is an end of an interval.* of a board has none"):
        resolve(["latency_ms_high"], Devices(models))


def test_latency_without_a_device_is_refused():
    with pytest.raises(ObjectiveError, match=r"latency_ms.*needs a device"):
        resolve(["latency_ms"])


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"'eror'.*balanced_error.*did you mean 'error'"):
        resolve(["eror"])


def test_a_name_given_twice_is_refused():
    with pytest.raises(ObjectiveError, match="'error' is given twice"):
        resolve(["error", "params", "error"])


def test_the_decorator_registers_and_leaves_the_function(own):
    @objective(direction="max")
    def luck(counts):
        return counts.overall[:, 0, 0] / 7

    assert luck(COUNTS).shape == (7,)
    (measure,) = resolve(["luck"])
    assert (measure.direction, measure.cheap) == ("max", False)
    np.testing.assert_array_equal(measure.measure(COUNTS), luck(COUNTS))


def test_a_cheap_objective_gets_the_layer_table(own):
    @objective(cheap=True, unit="bytes")
    def weight_bytes(layers):
        return layers[:, :, 1].sum(axis=1) * 4

    (measure,) = resolve(["weight_bytes"])
    assert measure.cheap
    assert measure.title == "weight (bytes)"
    assert measure.measure(SPACE.decode(GENOMES)).shape == (7,)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (lambda counts: 0.5, r"returned 0\.5, which is no array"),
        (lambda counts: counts.overall[:, 0], r"shape \[7, 3\]"),
        (lambda counts: np.zeros(6), r"shape \[6\] for 7 networks"),
        (lambda counts: np.zeros(7, bool), "returned bool"),
        (lambda counts: np.zeros(7, complex), "returned complex128"),
        (lambda counts: np.array(["a"] * 7), "returned <U1"),
        (lambda counts: None, "returned None, which is no array"),
    ],
)
def test_a_wrong_result_is_refused_with_the_name(result, told):
    with pytest.raises(ObjectiveError, match=told) as caught:
        Objective("mine", function=result).measure(COUNTS)
    assert "'mine'" in str(caught.value)


def test_numbers_beneath_a_mask_are_none():
    def masked(counts):
        return np.ma.masked_array(np.arange(7), mask=[True] + [False] * 6)

    np.testing.assert_array_equal(Objective("mine", function=masked).measure(COUNTS), [np.nan, 1, 2, 3, 4, 5, 6])


def test_an_undefined_metric_says_which_objective():
    def undefined(counts):
        raise UndefinedMetricError("no positives")

    with pytest.raises(UndefinedMetricError, match="'mine': no positives"):
        Objective("mine", function=undefined).measure(COUNTS)


def test_a_second_entry_under_one_name_is_refused(own):
    register(Objective("twice", function=len))
    with pytest.raises(ObjectiveError, match="'twice' already"):
        register(Objective("twice", function=len))


@pytest.mark.parametrize(
    "name", ["error", "latency_ms", "genome", "front", "error_believed", "my_uncertainty", "worst class", ""]
)
def test_taken_and_impossible_names_are_refused(name):
    with pytest.raises(ObjectiveError):
        register(Objective(name, function=len))


def test_a_wrong_direction_is_refused():
    with pytest.raises(ObjectiveError, match=r"'down'.*expected 'min' or 'max'"):
        objective(direction="down")(len)


@pytest.mark.parametrize("key", ["unit", "label"])
@pytest.mark.parametrize("value", [None, 3])
def test_a_unit_or_label_that_is_no_text_is_refused(key, value):
    with pytest.raises(ObjectiveError, match=rf"{key} {value} of objective 'mine' is no text"):
        resolve([Objective("mine", function=len, **{key: value})])


def test_the_decorator_without_brackets_is_refused():
    with pytest.raises(ObjectiveError, match="brackets"):

        @objective
        def mine(counts): ...


@pytest.mark.parametrize("name", ["error", "nobody"])
def test_only_own_objectives_can_be_forgotten(name):
    with pytest.raises(EvoFairError, match=name):
        forget(name)


def test_axes_survive_being_written_down():
    axes = resolve(["accuracy", "latency_ms"], fake_latency, "a board")
    back = axes_from(describe(axes))
    assert [(axis.name, axis.title, axis.sign) for axis in back] == [(a.name, a.title, a.sign) for a in axes]


def add_one(counts):
    values = counts.values
    values += 1
    return values[:, 0, 0, 0]


def fill(layers):
    layers[layers == 0] = 1
    return layers[:, 0, 0]


def through_overall(counts):
    counts.overall[:] = 0
    return counts.overall[:, 0, 0]


@pytest.mark.parametrize(
    ("change", "cheap"), [(add_one, False), (through_overall, False), (lambda c: c.rest.fill(1), False), (fill, True)]
)
def test_an_objective_that_changes_its_array_is_refused(change, cheap):
    source = SPACE.decode(GENOMES) if cheap else COUNTS
    with pytest.raises(ObjectiveError, match=r"'mine' changes the array that it is given.*change a copy"):
        Objective("mine", cheap=cheap, function=change).measure(source)


def test_what_an_objective_forces_stays_its_own():
    before = COUNTS.values.copy()
    table = SPACE.decode(GENOMES)
    kept = table.copy()

    def force(array):
        array.flags.writeable = True
        array[:] = 0
        return np.zeros(7)

    Objective("mine", cheap=True, function=force).measure(table)
    Objective("mine", function=lambda counts: force(counts.values.base)).measure(COUNTS)
    np.testing.assert_array_equal(table, kept)
    np.testing.assert_array_equal(COUNTS.values, before)


@pytest.mark.parametrize("kind", [np.uint64, np.uint8, np.float32, np.int8, list])
def test_numbers_of_every_kind_are_a_result(kind):
    result = [1, 2, 3, 4, 5, 6, 7]
    values = Objective("mine", function=lambda counts: result if kind is list else np.array(result, kind)).measure(
        COUNTS
    )
    assert values.tolist() == result
    assert values.dtype == (np.float64 if kind is np.float32 else np.int64)


def test_unsigned_numbers_that_wrapped_are_refused():
    def difference(counts):
        return np.full(7, 3, np.uint64) - np.full(7, 5, np.uint64)

    with pytest.raises(ObjectiveError, match="'mine' returned 18446744073709551614 as uint64"):
        Objective("mine", function=difference).measure(COUNTS)


class Calls:
    """Counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, counts):
        self.asked += 1
        return np.full(len(counts), self.asked)


def noise(seed):
    rng = np.random.default_rng(seed)
    return lambda source: rng.random(len(source))


@pytest.mark.parametrize("cheap", [False, True])
@pytest.mark.parametrize("make", [lambda: noise(None), lambda: noise(0), Calls])
def test_an_objective_that_says_something_else_the_second_time_is_refused(make, cheap):
    source = SPACE.decode(GENOMES) if cheap else COUNTS
    with pytest.raises(ObjectiveError, match=r"'mine' says \S+ and then \S+ of the same network: it must say the same"):
        Objective("mine", cheap=cheap, function=make()).check_steady(source)


def test_an_objective_that_depends_on_the_networks_beside_is_refused():
    def share_of_largest(layers):
        sizes = layers[:, :, 2].sum(axis=1)
        return sizes / sizes.max()

    with pytest.raises(ObjectiveError, match=r"'mine' says \S+ of a network beside others and 1 of it alone"):
        Objective("mine", cheap=True, function=share_of_largest).check_steady(SPACE.decode(GENOMES))


@pytest.mark.parametrize(
    "function",
    [
        lambda source: np.random.default_rng(0).random(1).repeat(len(source)),
        lambda source: np.full(len(source), np.nan),
        lambda source: np.ones((len(source), 64)) @ np.linspace(0.1, 0.3, 64),
    ],
)
def test_a_steady_objective_is_taken(function):
    Objective("mine", function=function).check_steady(COUNTS)
    Objective("mine", cheap=True, function=function).check_steady(SPACE.decode(GENOMES))

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo_fair.errors import ConstraintError
from evo_fair.evolution import Constraint, Limit, Objective, parse_limit, resolve_constraints

from .fakes import fake_latency


@pytest.mark.parametrize(
    ("text", "name", "relation", "number", "written"),
    [
        ("latency_ms <= 5", "latency_ms", "<=", 5.0, "latency_ms <= 5"),
        ("accuracy>=0.75", "accuracy", ">=", 0.75, "accuracy >= 0.75"),
        ("  params<=1e6 ", "params", "<=", 1e6, "params <= 1000000"),
        ("params <= 100_000", "params", "<=", 1e5, "params <= 100000"),
        ("cwv <= .001", "cwv", "<=", 0.001, "cwv <= 0.001"),
        ("loss >= -2.5e-3", "loss", ">=", -0.0025, "loss >= -0.0025"),
        ("accuracy[site:a\nb]>=0.6", "accuracy[site:a\nb]", ">=", 0.6, "accuracy[site:a\nb] >= 0.6"),
        ("accuracy[age:>=60] >= 0.6", "accuracy[age:>=60]", ">=", 0.6, "accuracy[age:>=60] >= 0.6"),
    ],
)
def test_limits_are_read(text, name, relation, number, written):
    limit = parse_limit(text)
    assert (limit.name, limit.relation, limit.number, limit.text) == (name, relation, number, written)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["<=", ">="]))
def test_the_written_form_reads_back_the_same(number, relation):
    limit = Limit("latency_ms", relation, number)
    assert parse_limit(limit.text) == limit


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("latency_ms < 5", "write latency_ms <= 5"),
        ("accuracy > 0.75", "write accuracy >= 0.75"),
        ("accuracy == 0.75", "only <= and >="),
        ("accuracy = 0.75", "only <= and >="),
        ("latency_ms <= 5ms", "without a unit"),
        ("latency_ms <= 5 %", "without a unit"),
        ("5 >= latency_ms", "without a unit"),
        ("latency_ms", "without a unit"),
        ("<= 5", "without a unit"),
        ("", "without a unit"),
        ("latency_ms <= nan", "without a unit"),
        ("latency_ms <= 1e999", "not a finite number"),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(text, mend):
    with pytest.raises(ConstraintError) as caught:
        parse_limit(text)
    assert mend in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "each"),
    [
        ("accuracy>=0.6,unfairness<=0.4", ["accuracy>=0.6", "unfairness<=0.4"]),
        ("accuracy >= 0.6 and unfairness <= 0.4", ["accuracy >= 0.6", "unfairness <= 0.4"]),
        ("a >= 1; b <= 2 && c < 3", ["a >= 1", "b <= 2", "c <= 3"]),
        ("accuracy>0.58 and unfairness<0.05", ["accuracy >= 0.58", "unfairness <= 0.05"]),
        (
            "accuracy[sex:f, m]>=0.6, accuracy[age:x and y]>=0.5",
            ["accuracy[sex:f, m]>=0.6", "accuracy[age:x and y]>=0.5"],
        ),
        ("0.6 <= accuracy < 0.9", ["accuracy >= 0.6", "accuracy <= 0.9"]),
    ],
)
def test_several_limits_in_one_are_taken_apart(text, each):
    with pytest.raises(ConstraintError) as caught:
        parse_limit(text)
    options = " ".join(f"--constraint '{one}'" for one in each)
    told = f"the constraint {text!r} is {len(each)} in one: give each by its own, {options}; in Python and in problem"
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith(f"files [{', '.join(map(repr, each))}]")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("accuracy[age:>=60, <=70] >= 0.6", "accuracy[age:>=60, <=70]"),
        ("accuracy[site:a and b>=2] >= 0.6", "accuracy[site:a and b>=2]"),
        ("sand >= 1", "sand"),
    ],
)
def test_what_joins_limits_may_be_a_part_of_a_name(text, name):
    assert parse_limit(text).name == name


def test_a_comma_for_a_point_is_no_second_limit():
    with pytest.raises(ConstraintError, match=r"can't read the constraint 'accuracy >= 0,6': write a name"):
        parse_limit("accuracy >= 0,6")


def test_the_limit_itself_is_met():
    assert Limit("a", "<=", 5.0).met([4.9, 5.0, 5.1, np.nan]).tolist() == [True, True, False, False]
    assert Limit("a", ">=", 5.0).met([4.9, 5.0, 5.1, np.nan]).tolist() == [False, True, True, False]


def test_a_share_that_rounding_moves_meets_the_limit_that_it_equals():
    for samples in (20, 100, 1000):
        wrong = np.arange(1, samples)
        for limit, error in zip(wrong / samples, 1 - (samples - wrong) / samples, strict=True):
            assert Limit("error", "<=", limit).met(error)
            assert Limit("error", "<=", limit).violation(error) == 0.0
            assert Limit("accuracy", ">=", 1 - limit).met((samples - round(limit * samples)) / samples)
    assert not Limit("error", "<=", 0.15).met(0.15 + 1e-9)
    assert not Limit("energy", "<=", 1e-14).met(1.1e-14)
    assert not Limit("macs", "<=", 1e12).met(1e12 + 1)
    assert not Limit("gap", "<=", 0.0).met(1e-300)


def test_violations_are_relative_and_below_one():
    # Excess 5 over a limit of 5 is 1, and 1 / (1 + 1) = 0.5; 0.6 under a floor of 0.75 is 0.2, and 0.2 / 1.2 = 1/6.
    np.testing.assert_allclose(Limit("a", "<=", 5.0).violation([3.0, 5.0, 10.0, 1e300]), [0, 0, 0.5, 1.0])
    np.testing.assert_allclose(Limit("a", ">=", 0.75).violation([0.75, 0.6]), [0, 1 / 6])
    np.testing.assert_allclose(Limit("a", "<=", 0.0).violation([1.0]), [0.5])


@given(
    st.floats(-1e9, 1e9),
    st.floats(-1e9, 1e9),
    st.sampled_from(["<=", ">="]),
)
def test_a_violation_is_zero_exactly_where_the_limit_is_met(number, value, relation):
    limit = Limit("a", relation, number)
    assert (limit.violation(value) == 0.0) == limit.met(value)


@pytest.mark.parametrize("number", [40, 40.0, np.float64(40), np.int64(40)])
def test_numbers_of_every_kind_make_the_same_constraint(number):
    layers = Objective("layers_in_all", cheap=True, function=lambda table: (table[:, :, 0] > 0).sum(axis=1))
    (constraint,) = resolve_constraints([Constraint("layers_in_all", "<=", number, layers)])
    assert constraint.text == "layers_in_all <= 40"
    assert isinstance(constraint.number, float)


@pytest.mark.parametrize("name", ["depth", "accuracy"])
def test_a_constraint_and_its_objective_have_one_name(name):
    layers = Objective("layers_in_all", cheap=True, function=lambda table: (table[:, :, 0] > 0).sum(axis=1))
    with pytest.raises(ConstraintError, match=f"'{name} <= 0.5' is on '{name}', and its objective is called 'layers"):
        resolve_constraints([Constraint(name, "<=", 0.5, layers)])


def test_constraints_know_whether_they_are_cheap():
    constraints = resolve_constraints(["latency_ms <= 5", "accuracy >= 0.75", "latency_ms<=5.0"], fake_latency)
    assert [(constraint.text, constraint.cheap) for constraint in constraints] == [
        ("latency_ms <= 5", True),
        ("accuracy >= 0.75", False),
    ]


@pytest.mark.parametrize(
    ("text", "told"), [("latncy_ms <= 5", "did you mean 'latency_ms'"), ("latency_ms <= 5", "needs a device")]
)
def test_constraints_that_nothing_measures_are_refused(text, told):
    with pytest.raises(ConstraintError, match=told):
        resolve_constraints([text])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("accuracy >= 75", "accuracy is a share, at most 1; write accuracy >= 0.75 for 75 %"),
        ("worst_group_accuracy >= 1.01", "is a share, at most 1"),
        ("latency_ms <= -1", "latency_ms is never below 0"),
        ("error <= -0.1", "error is never below 0"),
    ],
)
def test_what_no_network_can_meet_is_refused_at_once(text, told):
    with pytest.raises(ConstraintError, match=told):
        resolve_constraints([text], fake_latency, "board")


@pytest.mark.parametrize("text", ["accuracy >= 1", "error <= 0", "error >= 2", "latency_ms >= 5", "accuracy <= 75"])
def test_limits_at_the_edge_are_taken(text):
    assert len(resolve_constraints([text], fake_latency, "board")) == 1

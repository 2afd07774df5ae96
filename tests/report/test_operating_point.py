import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from evo_fair.errors import ConstraintError, UnknownNameError
from evo_fair.report import operating_point
from evo_fair.search.objectives import Axis

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
    ],
)
def test_wrong_wishes_are_refused(run, limits, minimise, error, told):
    with pytest.raises(error, match=told):
        operating_point(run.networks, limits, minimise, run.axes)

import subprocess
import sys

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from evo_fair.evolution import Box, HypervolumeTracker, box_around, hypervolume, hypervolume_trace, non_dominated
from evo_fair.evolution.hypervolume import hypervolume_gains

UNIT = Box(np.zeros(2), np.ones(2))


@pytest.mark.parametrize(
    ("points", "volume"),
    [
        ([[0.0, 0.0]], 1.0),
        ([[0.5, 0.5]], 0.25),
        # Two overlapping rectangles, 0.75 * 0.25 and 0.25 * 0.75, that share 0.25 * 0.25.
        ([[0.25, 0.75], [0.75, 0.25]], 0.3125),
        ([[0.25, 0.75], [0.75, 0.25], [0.8, 0.8]], 0.3125),
        ([[1.0, 0.0], [2.0, -1.0]], 0.0),
        ([[-1.0, 0.5]], 1.0),
        (np.empty((0, 2)), 0.0),
    ],
)
def test_hypervolumes_by_hand(points, volume):
    assert hypervolume(np.array(points), UNIT) == pytest.approx(volume)


def test_units_do_not_matter():
    points = np.array([[0.25, 0.75], [0.75, 0.25]])
    scale, shift = np.array([1e6, 1e-3]), np.array([3e6, 0.5])
    box = Box(shift, scale + shift)
    assert hypervolume(points * scale + shift, box) == pytest.approx(0.3125)


@pytest.mark.parametrize("objectives", [1, 3, 5])
def test_the_ideal_point_fills_the_box(objectives):
    box = Box(np.zeros(objectives), np.full(objectives, 2.0))
    assert hypervolume(np.zeros((1, objectives)), box) == pytest.approx(1.0)
    assert hypervolume(np.ones((1, objectives)), box) == pytest.approx(0.5**objectives)


def test_the_box_ends_a_tenth_beyond_the_worst():
    box = box_around(np.array([[0.0, 5.0, 0.0], [10.0, 5.0, 0.0]]))
    assert box.ideal.tolist() == [0.0, 5.0, 0.0]
    assert box.reference.tolist() == [11.0, 5.5, 0.1]


@given(st_numpy.arrays(float, st.tuples(st.integers(0, 12), st.integers(1, 4)), elements=st.integers(0, 4)))
def test_non_dominated_agrees_with_the_definition(points):
    expected = [not any((other <= point).all() and (other < point).any() for other in points) for point in points]
    assert non_dominated(points).tolist() == expected


def test_the_tracker_fixes_its_box_with_the_first_feasible_generation():
    tracker = HypervolumeTracker(2)
    tracker.add(np.array([[0.0, 20.0], [10.0, 0.0]]), np.array([False, False]))
    assert tracker.box is None
    assert tracker.value == 0.0
    tracker.add(np.array([[5.0, 10.0]]), np.array([True]))
    assert tracker.box is not None
    assert tracker.box.reference.tolist() == [11.0, 22.0]
    first = tracker.value
    assert first == pytest.approx(6 * 12 / (11 * 22))
    tracker.add(np.array([[100.0, 100.0], [5.0, 9.0]]), np.array([True, True]))
    assert tracker.box.reference.tolist() == [11.0, 22.0]
    assert tracker.value == pytest.approx(6 * 13 / (11 * 22))


def test_the_tracker_takes_generations_without_evaluations():
    tracker = HypervolumeTracker(2)
    tracker.add(np.empty((0, 2)), np.zeros(0, bool))
    assert tracker.value == 0.0


def test_the_trace_follows_a_search_point_by_point():
    points = np.array([[2.0, 0.1], [0.25, 0.75], [np.nan, 0.0], [0.8, 0.8], [0.75, 0.25], [0.25, 0.75], [0.0, 0.0]])
    assert hypervolume_trace(points, UNIT) == pytest.approx([0, 0.1875, 0.1875, 0.1875, 0.3125, 0.3125, 1])


@given(st_numpy.arrays(float, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(0, 4)))
def test_the_trace_is_the_hypervolume_of_all_points_so_far(points):
    box = Box(np.zeros(3), np.full(3, 4.0))
    expected = [hypervolume(points[: n + 1], box) for n in range(len(points))]
    np.testing.assert_allclose(hypervolume_trace(points, box), expected)


@given(
    st_numpy.arrays(float, st.tuples(st.integers(0, 8), st.just(3)), elements=st.integers(0, 5)),
    st_numpy.arrays(float, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(0, 5)),
)
def test_a_gain_is_what_a_point_adds_to_the_hypervolume(front, points):
    box = Box(np.zeros(3), np.full(3, 4.0))
    alone = hypervolume(front, box)
    expected = [hypervolume(np.concatenate([front, point[None]]), box) - alone for point in points]
    np.testing.assert_allclose(hypervolume_gains(points, front, box), expected, atol=1e-12)


def test_of_nine_objectives_no_exact_volume_is_asked_for(monkeypatch):
    """One of these would take minutes, and each further objective several times as long."""
    monkeypatch.setattr(moocore, "hypervolume", lambda *_, **__: pytest.fail("an exact volume was asked for"))
    rng, objectives = np.random.default_rng(0), 9
    away = np.abs(rng.normal(size=(150, objectives)))
    front = 1.0 - away / np.linalg.norm(away, axis=1, keepdims=True)  # none dominates another
    box = Box(np.zeros(objectives), np.ones(objectives))
    whole = hypervolume(front, box)
    gains = hypervolume_gains(np.stack([front[-1], front[0] + 0.01, front[0] * 1.2]), front[:-1], box)
    assert 0 < hypervolume(front[:-1], box) <= whole
    assert gains[0] > 0
    assert gains[1:].tolist() == [0.0, 0.0]


def test_many_objectives_agree_with_volumes_by_hand():
    box = Box(np.zeros(8), np.ones(8))
    # Two boxes that differ in two sides: 0.75 * 0.25 and 0.25 * 0.75 share 0.25 * 0.25, as above; the others are 0.5.
    points = np.full((2, 8), 0.5)
    points[:, :2] = [[0.25, 0.75], [0.75, 0.25]]
    assert hypervolume(points, box) == pytest.approx(0.3125 / 2**6, rel=0.03)
    gains = hypervolume_gains(points[:1], points[1:], box)
    assert gains == pytest.approx([0.125 / 2**6], rel=0.1)
    beyond = np.vstack([points, np.full((1, 8), 1.5)])
    assert hypervolume_gains(points[:1], beyond[1:], box) == pytest.approx(gains)


def test_domination_among_infinities():
    """In a process of its own: moocore 0.3.1 ends the process at three objectives with one below all numbers."""
    points = np.array([[0.5, 100.0, -0.9], [0.25, -np.inf, -0.85], [0.25, -np.inf, -0.8], [np.inf, np.inf, -np.inf]])
    code = "import numpy as np; from numpy import inf, array; from evo_fair.evolution import non_dominated\n"
    code += f"assert non_dominated({points!r}).tolist() == [True, True, False, True]"
    subprocess.run([sys.executable, "-c", code], check=True)

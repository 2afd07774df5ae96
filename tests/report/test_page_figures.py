"""Rulers of the pages' figures."""

import pytest

from evo_fair.report.page_figures import Series, points_figure


def rulers(x: list[float], y: list[float], low: list[float], high: list[float], *, log: bool) -> list[str]:
    """The kinds of the rulers of a figure of these points, x first."""
    names = [str(place) for place in range(len(x))]
    made = points_figure("here", "points", ("x", "y"), [Series("all", x, y, names, low=low, high=high)], log=log)
    plot = made["item"]["doc"]["roots"][0]["attributes"]
    return [plot[f"{axis}_scale"]["name"] for axis in "xy"]


@pytest.mark.parametrize(
    ("y", "low", "high", "log", "expected"),
    [
        ([0.3, 0.5], [0.2, 0.4], [0.4, 0.6], True, "LinearScale"),
        ([0.3, 0.5], [0.012, 0.4], [0.4, 0.6], True, "LinearScale"),  # an interval that comes near 0
        ([0.01, 0.5], [0.009, 0.4], [0.02, 0.6], True, "LogScale"),
        ([0.01, 0.5], [-0.01, 0.4], [0.02, 0.6], True, "LinearScale"),  # one that goes beyond it
        ([0.01, 0.5], [0.009, 0.4], [0.02, 0.6], False, "LinearScale"),
    ],
)
def test_a_ruler_is_logarithmic_by_its_points_where_intervals_allow_it(
    y: list[float], low: list[float], high: list[float], log: bool, expected: str
) -> None:
    assert rulers([1.0, 100.0], y, low, high, log=log) == ["LogScale" if log else "LinearScale", expected]

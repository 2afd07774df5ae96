from pathlib import Path

import matplotlib as mpl
import matplotlib.image as mpl_image
import numpy as np
import pytest

from evo_fair.errors import EvoFairError, FigureError, RunError
from evo_fair.evolution import Axis, parse_limit
from evo_fair.report import pareto
from evo_fair.report.plots import pareto_figure, short_names
from evo_fair.report.style import _STYLE, looks

from .conftest import AXES, NETWORKS, write_run


def panels(figure):
    return [panel for panel in figure.axes if panel.get_visible()]


def test_there_is_a_panel_for_every_pair_with_units_and_directions(run):
    labels = [(panel.get_xlabel(), panel.get_ylabel()) for panel in panels(pareto_figure([run]))]
    accuracy, unfairness = "accuracy\nhigher is better", "unfairness\nlower is better"
    latency = "latency on a board (ms)\nlower is better"
    assert labels == [(unfairness, accuracy), (latency, accuracy), (latency, unfairness)]


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 1), (3, 3)])
def test_any_number_of_objectives_is_drawn(tmp_path, count, expected):
    run = write_run(tmp_path / "run", AXES[:count])
    assert len(panels(pareto_figure([run]))) == expected


def test_the_legend_counts_front_dominated_and_infeasible_networks(run):
    (legend,) = pareto_figure([run]).legends
    texts = [text.get_text() for text in legend.get_texts()]
    said = ["front (5)", "dominated (2)", "breaks a constraint (2)", "limit of the search", "unbeaten in this pair"]
    assert texts == said


def test_the_whole_network_is_marked_where_its_pruned_forms_were_searched(tmp_path):
    for budget, expected in ((40, [(0.30, 8.0)]), (1, [])):
        run = write_run(tmp_path / str(budget), AXES[1:], initial="known", budget=budget)
        (panel,) = panels(pareto_figure([run]))
        found = [dots for dots in panel.collections if dots.get_label() == "whole network"]
        assert [tuple(point)[::-1] for dots in found for point in dots.get_offsets()] == expected


def test_the_networks_are_where_they_belong(run):
    panel = panels(pareto_figure([run]))[1]
    drawn = {dots.get_label().split(" (")[0]: np.asarray(dots.get_offsets()) for dots in panel.collections}
    assert sorted(map(tuple, drawn["front"])) == [(2.0, 0.7), (5.0, 0.8), (5.0, 0.85), (5.0, 0.85), (8.0, 0.9)]
    assert sorted(map(tuple, drawn["dominated"])) == [(4.0, 0.65), (5.0, 0.8)]
    low, high = panel.get_ylim()
    assert all(low < accuracy < high for _, accuracy in drawn["front"])


def test_the_kinds_differ_by_shape_and_lightness_not_only_hue(run):
    panel = panels(pareto_figure([run]))[0]
    shapes = {dots.get_paths()[0].vertices.tobytes() for dots in panel.collections}
    assert len(shapes) == 3
    inks = [(*dots.get_facecolor(), *dots.get_edgecolor())[0] for dots in panel.collections]
    lightness = sorted(float(np.dot(ink[:3], [0.2126, 0.7152, 0.0722])) for ink in inks)
    assert np.diff(lightness).min() > 0.15


def test_the_line_follows_what_no_network_beats_in_a_panel(run):
    """In latency and accuracy: 2 ms 0.70, 5 ms 0.85, 8 ms 0.90; the network of 5 ms and 0.80 lies below the line."""
    panel = panels(pareto_figure([run]))[1]
    border = panel.lines[0].get_xydata()
    assert [tuple(point) for point in border[1:-1]] == [(2.0, 0.7), (5.0, 0.85), (5.0, 0.85), (8.0, 0.9)]


def test_declared_limits_are_drawn_where_they_are_objectives(run):
    panel = panels(pareto_figure([run]))[1]
    assert [list(line.get_xdata()) for line in panel.lines[1:]] == [[9.0, 9.0], [0.0, 1.0]]


def test_limits_from_above_and_below_are_both_drawn(run):
    run.limits = (*run.limits, parse_limit("latency_ms >= 1.5"))
    panel = panels(pareto_figure([run]))[1]
    assert [9.0, 9.0] in [list(line.get_xdata()) for line in panel.lines]
    assert [1.5, 1.5] in [list(line.get_xdata()) for line in panel.lines]


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_same_run_gives_the_same_bytes(run, tmp_path, suffix):
    first, second = tmp_path / f"a.{suffix}", tmp_path / "deeper" / f"b.{suffix}"
    run.plot(first)
    run.plot(str(second))
    assert first.read_bytes() == second.read_bytes()
    assert b"2026" not in first.read_bytes() or suffix == "png"


def test_a_picture_has_print_resolution(run, tmp_path):
    run.plot(tmp_path / "pareto.png")
    height, width = mpl_image.imread(tmp_path / "pareto.png").shape[:2]
    assert width == 2100
    assert 600 < height < 1000


def test_several_runs_are_drawn_as_fronts_by_name(run, tmp_path):
    other = write_run(tmp_path / "random", networks=NETWORKS[3:])
    figure = pareto_figure([run, other])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ham (5)", "random (3)"]
    pareto([run, other], [tmp_path / "both.png", tmp_path / "both.pdf"])
    assert (tmp_path / "both.pdf").read_bytes().startswith(b"%PDF")


def test_runs_of_one_name_are_told_apart_by_their_folders(run, tmp_path, monkeypatch):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c"]
    assert short_names(paths) == ["a/run", "b/run", f"{tmp_path.name}/c"]
    assert short_names([run.path, run.path]) == ["ham", "ham"]
    monkeypatch.chdir(run.path)
    assert short_names([Path()]) == ["ham"]


def test_as_many_fronts_as_there_are_look_different():
    assert len({(marker, colour) for marker, colour, _, _ in looks(40)}) == 40
    assert len({(colour, line) for _, colour, line, _ in looks(12)}) == 12  # a comparison has lines alone


LONG = "a board with a long name and eight threads on it"


@pytest.mark.parametrize("count", [2, 3])
def test_long_names_lie_within_the_figure_and_over_no_other_text(tmp_path, count):
    objectives = Axis("accuracy", "max", label=f"accuracy of {LONG}"), Axis("unfairness", label=LONG)
    latency = Axis("latency_ms", unit="ms", label=f"latency on {LONG.replace(' ', '-')}")
    runs = [write_run(tmp_path / f"{LONG} {number}", (*objectives, latency)[:count]) for number in range(9)]
    with mpl.rc_context(_STYLE):
        figure = pareto_figure(runs)
        figure.draw_without_rendering()
    texts = [text for panel in panels(figure) for text in (panel.xaxis.label, panel.yaxis.label)]
    boxes = [text.get_window_extent() for text in (*texts, *figure.legends[0].get_texts())]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
    assert min(panel.bbox.height for panel in panels(figure)) > figure.dpi


def test_a_logarithmic_ruler_has_several_numbers(tmp_path):
    networks = [(0.9, unfairness, latency, 1) for unfairness, latency in ((0.004, 8.0), (0.02, 3.0), (0.09, 1.0))]
    panel = panels(pareto_figure([write_run(tmp_path / "wide", networks=networks)]))[0]
    assert panel.get_xscale() == "log"
    low, high = panel.get_xlim()
    shown = [tick for tick in panel.get_xticks() if low <= tick <= high]
    np.testing.assert_allclose(shown, [0.005, 0.01, 0.02, 0.05, 0.1])


def test_latencies_on_two_devices_do_not_claim_to_be_one(run, tmp_path):
    other = write_run(tmp_path / "b", (*AXES[:2], Axis("latency_ms", unit="ms", label="latency on another board")))
    assert panels(pareto_figure([run, other]))[1].get_xlabel() == "latency (ms)\nlower is better"


def test_runs_with_other_objectives_are_refused(run, tmp_path):
    other = write_run(tmp_path / "b", AXES[:2])
    with pytest.raises(RunError, match=r"accuracy, unfairness, latency_ms, and .* accuracy, unfairness:"):
        pareto_figure([run, other])


def test_a_run_without_a_feasible_network_is_drawn(tmp_path):
    run = write_run(tmp_path / "none", networks=NETWORKS[:0])
    run.plot(tmp_path / "none.png")
    assert (tmp_path / "none.png").stat().st_size > 0


@pytest.mark.parametrize("name", ["pareto.jpg", "pareto"])
def test_an_unknown_form_is_refused_before_drawing(run, tmp_path, name):
    with pytest.raises(EvoFairError, match=rf"{name}.*\.png, \.pdf, \.svg"):
        run.plot(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_values_that_cannot_be_drawn_are_an_error_of_their_own(tmp_path):
    networks = [(0.9, 0.3, 1e300, 9), (0.8, 0.2, 1e-300, 9), (0.7, 0.1, 1e308, 9)]
    run = write_run(tmp_path / "run", networks=networks)
    with pytest.raises(FigureError, match=r"front\.png can't be drawn \(.*\): a value lies near the end of the range"):
        run.plot(tmp_path / "front.png")
    assert not list(tmp_path.glob("*.png"))

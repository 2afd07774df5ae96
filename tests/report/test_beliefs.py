"""A run with beliefs: front, figure, table and operating point go by them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evo_fair.belief import write_beliefs
from evo_fair.errors import RunError
from evo_fair.evolution import create_run, describe, non_dominated, read_front
from evo_fair.export.choice import usual_choice
from evo_fair.report import load_run, operating_point
from evo_fair.report.operating_point import choose
from evo_fair.report.plots import pareto_figure
from evo_fair.report.table import front_markdown

from .conftest import AXES, NETWORKS, record

ERRORS = (replace(AXES[0], name="error", direction="min"), *AXES[1:])


def write_errors(path):
    run = create_run(path, {"search": {"objectives": describe(ERRORS)}})
    lines = []
    for number, network in enumerate(NETWORKS):
        one = record(number, *network)
        objectives = dict(one.objectives)
        if one.evaluated:
            objectives["error"] = 1 - objectives.pop("accuracy")
        lines.append(replace(one, objectives=objectives).line())
    run.journal.write_bytes(b"".join(lines))
    return load_run(path)


@pytest.fixture
def believed(tmp_path):
    """The nine networks, their accuracy as error; the luckiest reading, the first, is believed to be bad."""
    run = write_errors(tmp_path / "run")
    rows = {"id": [record.id for record in run.records if record.evaluated]}
    values = [0.35, 0.16, 0.17, 0.20, 0.28, 0.14, 0.36, 0.48]
    beliefs = pd.DataFrame(rows | {"error_believed": values, "error_uncertainty": [0.01 * (i + 1) for i in range(8)]})
    write_beliefs(tmp_path / "run" / "beliefs.csv", beliefs)
    return load_run(tmp_path / "run")


def numbers(front):
    return [int(name) for name in front["id"]]


def test_the_front_is_taken_from_what_is_believed_and_sorted_by_it(believed):
    # 5 is read as dominated by 1, and believed to be the best; 0, the luckiest, is believed to be worse than 3.
    assert numbers(believed.front) == [5, 1, 3, 4]
    assert believed.front["error_believed"].tolist() == [0.14, 0.16, 0.20, 0.28]
    assert believed.front["error"].tolist() == pytest.approx([0.20, 0.15, 0.20, 0.30])
    columns = ["id", "error", "unfairness", "latency_ms", "error_believed", "error_uncertainty"]
    assert believed.front.columns[:6].tolist() == columns
    assert pd.isna(believed.networks["error_believed"].iloc[8])
    points = believed.front[["error_believed", "unfairness", "latency_ms"]].to_numpy(float)
    assert non_dominated(points).all()


def test_a_front_that_was_passed_on_alone_is_read_with_its_beliefs(believed):
    believed.write_front()
    (believed.path / "journal.jsonl").unlink()
    again = load_run(believed.path)
    assert again.front["error_believed"].tolist() == believed.front["error_believed"].tolist()
    assert again.believed()[again.front["id"][0]] == {"error": {"value": 0.14, "uncertainty": 0.06}}
    text = (believed.path / "front.csv").read_text().replace("error_uncertainty", "uncertainty")
    (believed.path / "front.csv").write_text(text)
    with pytest.raises(RunError, match="has no column 'error_uncertainty'"):
        read_front(believed.path / "front.csv", believed.axes)


def test_a_choice_says_which_of_its_columns_are_believed(believed):
    front = believed.front.assign(accuracy=1 - believed.front["error"])
    limits = ["accuracy >= 0.83", "latency_ms <= 99"]
    choice = choose(front, limits, minimise="unfairness", axes=believed.axes)
    assert choice.believed == {"accuracy": pytest.approx(0.84)}
    assert choice.point["accuracy"] == pytest.approx(0.85)
    none = choose(front, ["accuracy >= 0.99"], minimise="error", axes=believed.axes)
    assert list(none.believed) == ["error", "accuracy"]
    assert np.isnan(list(none.believed.values())).all()
    assert none.costs[0].nearest == pytest.approx(0.86)


def test_an_operating_point_goes_by_what_is_believed(believed):
    point = believed.operating_point(["error <= 0.19"], minimise="unfairness")
    assert int(point["id"]) == 1
    assert point["error"] == pytest.approx(0.15)  # the row stays as it is
    assert int(believed.operating_point([], minimise="error")["id"]) == 5
    front = believed.front.assign(accuracy=0.5)
    assert int(believed.operating_point(["error <= 0.15"], minimise="latency_ms")["id"]) == 5
    assert int(operating_point(front, ["accuracy >= 0.85"], "latency_ms")["id"]) == 5


def test_the_usual_choice_of_a_deployment_goes_by_what_is_believed(believed):
    assert int(usual_choice(believed.front, believed.axes)[0]) == 5


def test_tables_say_how_sure_it_is(believed):
    table = front_markdown(believed.front, believed.axes)
    assert "0.1400 ± 0.0600" in table
    assert "0.1600 ± 0.0200" in table


def test_figures_show_what_is_believed_with_bars_of_its_error(believed):
    figure = pareto_figure([believed])
    panel = figure.axes[0]  # unfairness, error
    (bars,) = [c for c in panel.collections if hasattr(c, "get_segments") and len(c.get_segments()) == 4]
    ends = sorted(tuple(segment[:, 1].round(6)) for segment in bars.get_segments())
    assert ends == [(0.08, 0.2), (0.14, 0.18), (0.16, 0.24), (0.23, 0.33)]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[0].startswith("front")
    assert texts[-1] == "± standard error"


def test_several_runs_are_drawn_by_beliefs_only_where_all_have_them(believed, tmp_path):
    other = write_errors(tmp_path / "other")
    mixed = pareto_figure([believed, other]).axes[0].collections[0].get_offsets()
    assert mixed[:, 1].tolist() == pytest.approx(believed.networks["error"][believed.networks["front"]].tolist())
    alike = pareto_figure([believed, load_run(believed.path)]).axes[0].collections[0].get_offsets()
    assert sorted(alike[:, 1]) == pytest.approx([0.14, 0.16, 0.20, 0.28])


@pytest.mark.parametrize(("old", "told"), [("0.35", "row 1, column 'error_believed'"), ("000000000000,", "row 1")])
def test_damaged_beliefs_are_one_line(believed, old, told):
    path = believed.path / "beliefs.csv"
    path.write_text(path.read_text().replace(old, "x" + old, 1))
    with pytest.raises(RunError, match=told):
        _ = load_run(believed.path).front

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evo_fair.errors import EvoFairError, RunError
from evo_fair.evolution import Axis, Box, Record, create_run, describe
from evo_fair.latency import load_profile
from evo_fair.report import compare, comparison_markdown, load_run, write_comparison
from evo_fair.report.compare import attainment, coverage, mean_interval
from evo_fair.report.compare_tables import attainment_frame
from evo_fair.report.compare_text import comparison_figure
from evo_fair.report.page import write_report
from evo_fair.report.page_compare import comparison_sheet
from evo_fair.report.page_search import search_sheet
from tests.cli.conftest import refusal
from tests.report import folders

AXES = (Axis("accuracy", "max"), Axis("latency_ms", unit="ms"))

# accuracy and latency: the best of all fronts are 0.9 and 1 ms, the worst 0.4 and 11 ms, so that the box reaches from
# (-0.9, 1) to (-0.4 + 0.05, 11 + 1) = (-0.35, 12): 0.55 by 11.
GOOD = ((0.9, 6.0), (0.6, 1.0), (0.5, 9.0))
POOR = ((0.8, 6.0), (0.6, 1.0), (0.85, 11.0))
WORST = ((0.4, 1.0),)


def made(path, networks, algorithm="nsga2", seed=0, axes=AXES, **other):
    configuration = {
        "search": {"algorithm": algorithm, "seed": seed, "objectives": describe(axes), "group": "sex"},
        "data": {"fingerprint": "a1"},
        "device": {"sha256": "b2"},
        "supernet": {"sha256": "c3"},
    }
    for section, values in other.items():
        configuration[section] |= values
    run = create_run(path, configuration)
    lines = []
    for number, (accuracy, latency) in enumerate(networks):
        values = dict(zip([axis.name for axis in axes], (accuracy, latency), strict=False))
        lines.append(
            Record(f"{number:012d}", number, (number,), 0.0, values, {}, values, {"sex": {"female": accuracy}}).line()
        )
    run.journal.write_bytes(b"".join(lines))
    return load_run(path)


@pytest.fixture
def runs(tmp_path):
    return [
        made(tmp_path / "a", GOOD),
        made(tmp_path / "b", POOR, "random"),
        made(tmp_path / "c", WORST, "random", 1),
    ]


def test_hypervolumes_by_hand(runs):
    comparison = compare(runs)
    np.testing.assert_allclose(comparison.box.ideal, [-0.9, 1.0])
    np.testing.assert_allclose(comparison.box.reference, [-0.35, 12.0])
    area = 0.55 * 11
    good = 0.55 * 6 + 0.25 * 5  # 0.9 at 6 ms; 0.6 at 1 ms beside it
    poor = 0.45 * 6 + 0.25 * 5 + 0.05 * 1
    worst = 0.05 * 11
    by_run = comparison.by_run
    np.testing.assert_allclose(by_run["hypervolume"], np.array([good, poor, worst]) / area)
    assert by_run["front"].tolist() == [2, 3, 1]
    assert by_run["evaluated"].tolist() == [3, 3, 1]
    np.testing.assert_allclose(comparison.traces[0], np.array([0.55 * 6, good, good]) / area)


def test_a_box_can_be_given(runs):
    comparison = compare(runs, box=Box(np.array([-1.0, 0.0]), np.array([-0.5, 10.0])))
    # 0.9 at 6 ms covers 0.4 by 4, and 0.6 at 1 ms another 0.1 by 5, of 0.5 by 10.
    assert comparison.by_run["hypervolume"][0] == pytest.approx((0.4 * 4 + 0.1 * 5) / 5)
    assert "The box was given, and is the same for all runs." in comparison_markdown(comparison)
    assert "Reference point: accuracy 0.5, latency_ms 10." in comparison_markdown(comparison)


def test_runs_can_be_given_by_their_folders(runs):
    pd.testing.assert_frame_equal(compare([run.path for run in runs]).by_run, compare(runs).by_run)
    with pytest.raises(EvoFairError, match=r"runs = .* is a single one: give a list"):
        compare(runs[0].path)


def test_an_interval_needs_three_runs(runs, tmp_path):
    text = comparison_markdown(compare(runs))
    assert "| random | 2 |" in text
    assert "| two runs |" in text
    three = [*runs[1:], made(tmp_path / "d", POOR, "random", 2)]
    assert "runs |" not in comparison_markdown(compare(three)).split("\n", 2)[2]


def test_runs_go_together_by_algorithm_with_students_interval(runs, tmp_path):
    comparison = compare([*runs, made(tmp_path / "d", WORST, "random", 2)])
    assert comparison.groups == ("nsga2", "random")
    table = comparison.by_label.set_index("label")
    three = comparison.by_run["hypervolume"].to_numpy()[1:]
    assert table.loc["random", "hypervolume"] == pytest.approx(three.mean())
    # With two degrees of freedom the 97.5 % quantile of t is 4.3027.
    half = 4.30265 * three.std(ddof=1) / 3**0.5
    assert table.loc["random", "high"] - table.loc["random", "hypervolume"] == pytest.approx(half, rel=1e-5)
    assert np.isnan(table.loc["nsga2", "low"])
    two = compare(runs).by_label.set_index("label")
    assert two.loc["random", ["low", "high"]].isna().all(), "of two runs an interval says nothing"


def test_a_run_counts_once(runs, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(EvoFairError, match="a is given more than once: name each run once"):
        compare([*runs, load_run(tmp_path / "link")])


def test_labels_say_what_goes_together(runs):
    assert compare(runs, ["x", "y", "x"]).by_label["runs"].tolist() == [2, 1]


def test_who_dominates_whom(runs):
    """GOOD's front dominates 0.8 at 6 ms and 0.85 at 11 ms of POOR's, and equals 0.6 at 1 ms; it dominates WORST."""
    comparison = compare(runs)
    assert comparison.dominated.loc["random", "nsga2"] == pytest.approx((2 / 3 + 1) / 2)
    assert comparison.dominated.loc["nsga2", "random"] == 0.0
    assert np.isnan(comparison.dominated.loc["random", "random"])
    assert comparison.larger.loc["nsga2", "random"] == 1.0
    assert comparison.larger.loc["random", "nsga2"] == 0.0


def test_equal_runs_are_level(tmp_path):
    comparison = compare([made(tmp_path / "a", GOOD), made(tmp_path / "b", GOOD)], ["x", "y"])
    assert comparison.larger.loc["x", "y"] == comparison.larger.loc["y", "x"] == 0.5
    assert comparison.dominated.loc["x", "y"] == 0.0


def test_coverage_needs_strict_domination():
    front = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert coverage(front, front) == 0.0
    assert coverage(front, np.array([[1.0, 2.5], [2.0, 2.0]])) == pytest.approx(1 / 3)
    assert coverage(front, np.array([[2.0, 1.0]])) == pytest.approx(2 / 3)


def test_the_attainment_surface_is_what_its_share_of_the_fronts_dominates():
    rng = np.random.default_rng(0)
    fronts = [rng.integers(0, 20, (6, 2)).astype(float) for _ in range(5)]
    places = np.indices((22, 22)).reshape(2, -1).T.astype(float)

    def attained(front):
        return (front[None] <= places[:, None]).all(axis=2).any(axis=1)

    times = np.sum([attained(front) for front in fronts], axis=0)
    for percentile, least in ((0, 1), (20, 1), (50, 3), (60, 3), (100, 5)):
        np.testing.assert_array_equal(attained(attainment(fronts, percentile)), times >= least)


def test_the_surface_of_one_objective_is_a_rank():
    fronts = [np.array([[value]]) for value in (4.0, 1.0, 3.0, 2.0)]
    assert [attainment(fronts, share)[0, 0] for share in (0, 25, 50, 75, 100)] == [1, 1, 2, 3, 4]
    fronts = [np.array([[float(value)]]) for value in range(25)]
    assert attainment(fronts, 28)[0, 0] == 6, "28 % of 25 fronts are seven, however 0.28 is rounded"


@pytest.mark.parametrize(
    ("ideal", "reference"),
    [
        ([0.0], [1.0]),  # would be taken for both objectives
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
        ([1.0, 1.0], [0.0, 2.0]),
        ([0.0, 0.0], [1.0, np.nan]),
        ([0.0, 0.0], [1.0, np.inf]),
        ("best", "worst"),
    ],
)
def test_a_box_that_is_none_of_the_objectives_is_refused(runs, ideal, reference):
    with pytest.raises(EvoFairError, match="give a best and a worst value of each of accuracy, latency_ms, minimised"):
        compare(runs, box=Box(ideal, reference))


def test_a_box_of_lists_is_one_and_a_number_is_none(runs):
    box = Box([-1.0, 0.0], [-0.5, 10.0])
    arrays = Box(np.array(box.ideal), np.array(box.reference))
    assert compare(runs, box=box).by_run.equals(compare(runs, box=arrays).by_run)
    with pytest.raises(EvoFairError, match=r"^box 3 is no evo_fair\.evolution\.Box"):
        compare(runs, box=3)


@pytest.mark.parametrize("percentile", [-1, 101, float("nan"), "half"])
def test_a_percentile_that_is_none_is_refused(runs, percentile):
    """moocore would end the process by one beyond 100."""
    with pytest.raises(EvoFairError, match=r"^percentile "):
        compare(runs).surface("random", percentile)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("randon", 50), "unknown label 'randon': expected one of nsga2, random; did you mean 'random'?"),
        (("random", 50, [0, 2]), "objectives = [0, 2]: give one to three numbers of objectives, from 0 to 1"),
        (("random", 50, []), "objectives = []: give one to three numbers of objectives, from 0 to 1"),
    ],
)
def test_the_surface_of_what_there_is_not_is_refused(runs, asked, told):
    with pytest.raises(EvoFairError) as caught:
        compare(runs).surface(*asked)
    assert str(caught.value) == told


def test_the_mean_interval_is_students():
    values = np.random.default_rng(1).normal(size=9)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_interval(values)[1:] == pytest.approx((expected.low, expected.high))


def test_infeasible_networks_do_not_count(tmp_path):
    run = made(tmp_path / "a", GOOD)
    lines = run.path.joinpath("journal.jsonl").read_text().splitlines()
    broken = lines[0].replace('"violation":0.0', '"violation":0.5')
    run.path.joinpath("journal.jsonl").write_text("\n".join([broken, *lines[1:]]) + "\n")
    (trace,) = compare([load_run(run.path)]).traces
    assert trace[0] == 0.0
    assert trace[1] > 0


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"search": {"group": "age"}}, r"differ in the group \(sex, age\)"),
        ({"data": {"fingerprint": "z9"}}, r"differ in the data \(a1, z9\)"),
        ({"supernet": {"sha256": "z9"}}, "differ in the supernet"),
        ({"device": {"sha256": "z9"}}, "differ in the device"),
    ],
)
def test_runs_that_were_measured_otherwise_are_refused_in_one_line(tmp_path, other, told):
    with pytest.raises(RunError, match=told) as caught:
        compare([made(tmp_path / "a", GOOD), made(tmp_path / "b", GOOD, **other)])
    assert "\n" not in str(caught.value)


def test_another_device_does_not_matter_where_latency_is_no_objective(tmp_path):
    axes = (Axis("accuracy", "max"), Axis("params"))
    runs = [made(tmp_path / "a", GOOD, axes=axes), made(tmp_path / "b", GOOD, axes=axes, device={"sha256": "z9"})]
    assert len(compare(runs, ["x", "y"]).by_label) == 2


def test_an_objective_of_ones_own_has_to_be_the_same_function(tmp_path):
    axes = (Axis("wrong"), Axis("params"))

    def run(name, **search):
        return made(tmp_path / name, GOOD, axes=axes, search=search)

    first = run("a", sources={"wrong": "a1", "of_a_limit": "b1"})
    with pytest.raises(RunError, match=r"differ in the source of wrong \(a1, z9\)"):
        compare([first, run("b", sources={"wrong": "z9"})])
    alike = [run("c", sources={"wrong": "a1", "of_a_limit": "z9"}), run("d")]  # the latter is of a version without
    assert len(compare([first, *alike], ["x", "y", "z"]).by_label) == 3


@pytest.mark.parametrize("name", ["latency_ms_low", "latency_ms_high"])
def test_an_end_of_the_latency_is_of_a_device_too(tmp_path, name):
    axes = (Axis("accuracy", "max"), Axis(name, unit="ms"))
    runs = [made(tmp_path / "a", GOOD, axes=axes), made(tmp_path / "b", GOOD, axes=axes, device={"sha256": "z9"})]
    with pytest.raises(RunError, match="differ in the device"):
        compare(runs)


TWO = (Axis("latency_ms[a]", unit="ms"), Axis("latency_ms[b]", unit="ms"))


def on_devices(path, axes=TWO, limits=("latency_ms[a] <= 9",), b="b2"):
    run = made(path, GOOD, axes=axes, search={"constraints": list(limits)})
    text = (path / "run.toml").read_text()
    devices = "".join(f'[[devices]]\nname = "{name}"\nsha256 = "{sha}"\n' for name, sha in (("a", "a1"), ("b", b)))
    (path / "run.toml").write_text(text + devices)
    return load_run(run.path)


def test_runs_for_the_same_devices_are_compared(tmp_path):
    comparison = compare([on_devices(tmp_path / "a"), on_devices(tmp_path / "b")])
    assert [axis.name for axis in comparison.axes] == ["latency_ms[a]", "latency_ms[b]"]
    assert "latency_ms[b]" in comparison_markdown(comparison)


@pytest.mark.parametrize(
    ("axes", "other", "told"),
    [
        (TWO, {"b": "z9"}, r"differ in the device b \(b2, z9\)"),
        ((Axis("worst_latency"), Axis("params")), {"limits": ["latency_ms[a] <= 8"]}, "differ in the limits of latenc"),
        ((Axis("worst_latency"), Axis("params")), {"limits": ["latency_ms[b] <= 9"]}, "differ in the limits of latenc"),
        ((Axis("params"), Axis("macs")), {"b": "z9"}, None),
        ((Axis("worst_latency"), Axis("params")), {"b": "z9"}, None),  # whose limits are all of the other device
    ],
)
def test_what_latencies_rest_on_must_agree(tmp_path, axes, other, told):
    runs = [on_devices(tmp_path / "a", axes), on_devices(tmp_path / "b", axes, **other)]
    if told is None:
        assert len(compare(runs, ["x", "y"]).by_label) == 2
        return
    with pytest.raises(RunError, match=told):
        compare(runs)


def test_runs_with_other_objectives_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"accuracy, latency_ms, and .* accuracy, params: give runs"):
        compare([made(tmp_path / "a", GOOD), made(tmp_path / "b", GOOD, axes=(AXES[0], Axis("params")))])


def test_a_run_without_a_front_and_labels_that_do_not_fit_are_refused(tmp_path, runs):
    with pytest.raises(RunError, match="no feasible network"):
        compare([*runs, made(tmp_path / "none", ())])
    with pytest.raises(EvoFairError, match="2 labels for 3 runs"):
        compare(runs, ["x", "y"])
    with pytest.raises(EvoFairError, match="0 labels for 3 runs"):
        compare(runs, [])
    with pytest.raises(EvoFairError, match=r"labels = \['a', ' ', 'b'\]: one is empty"):
        compare(runs, ["a", " ", "b"])


def test_the_files_hold_what_was_compared(runs, tmp_path):
    comparison = compare(runs)
    first, second = (write_comparison(comparison, tmp_path / name) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    text = (tmp_path / "one" / "compare.md").read_text()
    assert text == comparison_markdown(comparison)
    assert "| nsga2 | 1 | 3 | 2.0 | 0.7521 | one run |" in text  # (0.55 * 6 + 0.25 * 5) / (0.55 * 11)
    assert "Reference point: accuracy 0.35, latency_ms 12." in text
    assert "The median surface is what half of its runs attain with their fronts." in text
    assert "| random | 83 % |  |" in text
    table = pd.read_csv(tmp_path / "one" / "runs.csv")
    np.testing.assert_allclose(table["hypervolume"], comparison.by_run["hypervolume"])
    assert (tmp_path / "one" / "compare.pdf").read_bytes().startswith(b"%PDF")


def test_the_attainment_table_is_in_the_objectives_own_signs(runs):
    frame = attainment_frame(compare(runs))
    median = frame[(frame["label"] == "nsga2") & (frame["percentile"] == 50)]
    assert sorted(zip(median["accuracy"], median["latency_ms"], strict=True)) == [(0.6, 1.0), (0.9, 6.0)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_objectives_is_drawn(tmp_path, count):
    axes = (Axis("accuracy", "max"), Axis("latency_ms"), Axis("params"), Axis("macs"))[:count]
    runs = []
    for number, networks in enumerate((GOOD, POOR, WORST)):
        run = create_run(tmp_path / str(number), {"search": {"objectives": describe(axes), "algorithm": "x"}})
        lines = []
        for place, (accuracy, latency) in enumerate(networks):
            values = dict(zip([axis.name for axis in axes], (accuracy, latency, latency**2, 5.0), strict=False))
            record = Record(f"{place:012d}", 0, (place,), 0.0, values, {}, values, {"sex": {"female": 0.5}})
            lines.append(record.line())
        run.journal.write_bytes(b"".join(lines))
        runs.append(load_run(run.path))
    comparison = compare(runs, ["x", "x", "y"])
    figure = comparison_figure(comparison)
    assert sum(panel.get_visible() for panel in figure.axes) == count * (count - 1) // 2 + 1
    write_comparison(comparison, tmp_path / "out")
    assert (tmp_path / "out" / "compare.md").read_text().count("\n| x |") == 3


def test_a_report_of_what_was_compared_before_leaves(runs, tmp_path):
    write_comparison(compare(runs[:2], ["x", "y"]), tmp_path / "out")
    page = write_report(tmp_path / "out")
    write_comparison(compare(runs, ["x", "x", "y"]), tmp_path / "out")
    assert not page.exists()


def test_runs_of_one_name_are_told_apart_in_the_report(tmp_path):
    """Folders are often called by what was searched, one for each strategy or day."""
    runs = [made(tmp_path / day / "digits", front) for day, front in (("monday", GOOD), ("friday", POOR))]
    write_comparison(compare(runs, ["x", "x"]), tmp_path / "out")
    sheet = comparison_sheet(tmp_path / "out")
    fronts, indicators = sheet.content["fronts"], sheet.content["indicators"]
    assert {row[1] for row in fronts["tables"][0].rows} == {"monday/digits", "friday/digits"}
    assert [one["name"] for one in indicators["figures"][0]["key"]] == ["x: monday/digits", "x: friday/digits"]
    assert " of monday/digits" in json.dumps(fronts["figures"][0]["item"])


def test_a_label_may_be_called_none(runs, tmp_path):
    write_comparison(compare(runs, ["None", "NA", "NA"]), tmp_path / "out")
    sheet = comparison_sheet(tmp_path / "out")
    assert [row[0] for row in sheet.content["indicators"]["tables"][0].rows] == ["None", "NA"]
    assert len(sheet.content["pairs"]["tables"][0].rows) == 2


def test_labels_are_shown_as_they_are(runs, tmp_path):
    labels = ["_$x$|\x1b[31m", "<b>[/red]", "$\\frac{$"]
    comparison = compare(runs, labels)
    text = comparison_markdown(comparison)
    assert "| \\_\\$x\\$\\|\\\\u001b[31m | 1 |" in text
    assert "<b>" not in text
    write_comparison(comparison, tmp_path / "out")
    (legend,) = comparison_figure(comparison).legends
    shown = [one.get_text() for one in legend.get_texts()]
    assert shown == [" _\\$x\\$|\\u001b[31m (1)", "<b>[/red] (1)", "\\$\\frac{\\$ (1)"]


def test_a_device_that_got_intervals_since_is_the_same(tmp_path):
    profile = load_profile("pixel-3")
    hashes = (profile.sha256, profile.without_intervals.sha256)
    runs = [made(tmp_path / sha, GOOD, device={"name": "pixel-3", "sha256": sha}) for sha in hashes]
    assert len(compare(runs, ["x", "y"]).by_label) == 2


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_folders_of_other_jobs_are_left_alone(runs, tmp_path):
    comparison = compare(runs)
    places = {
        "a search (evo-fair search)": runs[0].path,
        "a deployment (evo-fair deploy)": folders.write_deployment(tmp_path / "deployed"),
        "a pruning (evo-fair prune)": folders.write_pruning(tmp_path / "pruned"),
        "an audit (evo-fair audit)": folders.write_audit(tmp_path / "audited"),
    }
    for told, place in places.items():
        (place / "report.html").write_text("the page")
        before = _files(place)
        with pytest.raises(RunError, match=rf"holds {re.escape(told)}: give another folder for the comparison$"):
            write_comparison(comparison, place)
        assert _files(place) == before


@pytest.mark.parametrize("name", ["compare.md", "runs.csv", "compare.pdf", "report.html"])
def test_files_that_are_no_comparisons_are_left_alone(runs, tmp_path, name):
    place = tmp_path / "out"
    place.mkdir()
    (place / name).write_text("mine")
    with pytest.raises(RunError, match=rf"out holds a {name} that is no comparison's: give another folder"):
        write_comparison(compare(runs), place)
    assert _files(place) == {name: b"mine"}


def test_a_comparison_that_was_killed_is_made_again(runs, tmp_path):
    first = _files(write_comparison(compare(runs), tmp_path / "out")[0].parent)
    for name in ("compare.json", "compare.pdf"):
        (tmp_path / "out" / name).unlink()
    write_comparison(compare(runs), tmp_path / "out")
    assert _files(tmp_path / "out") == first


def test_a_file_in_the_place_of_the_folder_is_refused_in_one_line(runs, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    given = [run.path for run in runs]
    assert "file is a file: give a folder for the" in refusal(capsys, "compare", *given, "--out", tmp_path / "file")
    below = refusal(capsys, "compare", *given, "--out", tmp_path / "file" / "x")
    assert "file is a file; give a folder in its place" in below
    assert (tmp_path / "file").read_text() == "mine"


def test_a_page_of_one_run_and_one_objective_says_so(tmp_path):
    run = made(tmp_path / "a", GOOD, axes=AXES[:1])
    write_comparison(compare([run]), tmp_path / "out")
    sheet = comparison_sheet(tmp_path / "out")
    assert sheet.title == "1 run compared"
    assert sheet.lead == "Report of the comparison out: nsga2, by accuracy."
    assert search_sheet(run.path).lead == "Report of the search a: 1 network on the front, by accuracy."

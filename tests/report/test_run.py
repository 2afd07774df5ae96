import re

import pandas as pd
import pytest
import tomli_w

from evo_fair.errors import RunError
from evo_fair.evolution import create_run, read_front
from evo_fair.report import load_run
from evo_fair.report.candidates import choose_in

from .conftest import write_run


def numbers(front):
    return [int(name) for name in front["id"]]


def test_a_run_is_read_from_its_folder(run):
    assert run.path.name == "ham"
    assert [axis.title for axis in run.axes] == ["accuracy", "unfairness", "latency on a board (ms)"]
    assert [limit.text for limit in run.limits] == ["latency_ms <= 9", "accuracy >= 0.6"]
    assert len(run.networks) == 9
    assert numbers(run.front) == [0, 1, 2, 3, 4]
    assert [record.genome[0] for record in run.front_records] == [0, 1, 2, 3, 4]
    assert run.front_records[0] is run.records[0]


def test_reading_changes_nothing(run):
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    assert len(load_run(run.path).front) == 5
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before


def test_the_front_is_written_beside_the_journal(run):
    run.write_front()
    pd.testing.assert_frame_equal(read_front(run.path / "front.csv"), run.front)


def test_a_search_without_its_front_has_not_ended(tmp_path):
    run = write_run(tmp_path / "ham", budget=300)
    assert run.unfinished == (
        f"the search in {run.path} has not ended: 8 of 300 networks are evaluated, and its front may change, "
        "and limits and goals go by what was read, not by what is believed; go on with the same command and --resume"
    )
    assert choose_in(run.path, []).caution == run.unfinished
    run.write_front()
    assert run.unfinished == choose_in(run.path, []).caution == ""


def test_networks_that_trainings_chose_are_not_counted_as_those_of_the_budget(tmp_path):
    run = write_run(tmp_path / "ham", budget=6)
    assert "has not ended: 8 networks are evaluated, 2 of them chosen by trainings, and its front" in run.unfinished


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (",0.9,", ",much,", "row 1, column 'accuracy'"),
        ("accuracy,", "[/red],", "'accuracy'"),
        (",0.9,", "\n", "row 1"),
    ],
)
def test_a_damaged_front_is_refused_though_the_journal_is_whole(run, old, new, told):
    run.write_front()
    path = run.path / "front.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    for ask in (lambda damaged: damaged.front, lambda damaged: damaged.networks):
        with pytest.raises(RunError, match=re.escape(told)):
            ask(load_run(run.path))


def test_a_run_that_does_not_say_what_it_searched_is_refused(tmp_path):
    create_run(tmp_path / "odd", {"search": {"seed": 3}})
    with pytest.raises(RunError, match=r"run\.toml does not say what was searched.*objectives"):
        load_run(tmp_path / "odd")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run in"):
        load_run(tmp_path / "nowhere")


def test_a_front_without_its_journal_is_read_and_what_needs_the_journal_is_refused(run, tmp_path):
    """As results are that were passed on without the journal: nothing may take them for a run that found nothing."""
    run.write_front()
    run.path.joinpath("journal.jsonl").unlink()
    passed_on = load_run(run.path)
    pd.testing.assert_frame_equal(passed_on.front, run.front)
    assert passed_on.operating_point(["accuracy >= 0.8"], "latency_ms")["latency_ms"] == 5.0
    for ask in (lambda: passed_on.networks, lambda: passed_on.plot(tmp_path / "front.png")):
        with pytest.raises(RunError, match=r"holds its front but no journal\.jsonl"):
            ask()
    assert not (tmp_path / "front.png").exists()


def test_a_deployment_is_no_run_to_read_and_its_search_is_named(run):
    create_run(run.path / "deployed", {"deploy": {"seed": 0}})
    told = f"{run.path / 'deployed'} is the folder of a deployment: give that of a search, such as {run.path}"
    with pytest.raises(RunError, match=f"^{re.escape(told)}$"):
        load_run(run.path / "deployed")


def test_a_run_without_a_search_is_refused_in_plain_words(tmp_path):
    create_run(tmp_path / "odd", {"data": {}})
    with pytest.raises(RunError, match=r"does not say what was searched, it has no \[search\]: give the folder that a"):
        load_run(tmp_path / "odd")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (5, "search = 5 should be a table"),
        ({"objectives": []}, "search.objectives: List should have at least 1 item"),
        ({"objectives": [{"name": [4, 8]}]}, r"search.objectives.1.name: Input should be a valid string, got \[4, 8\]"),
        ({"objectives": [{"name": 256}]}, "search.objectives.1.name"),
        ({"objectives": [{"name": "../x"}]}, "search.objectives.1.name"),
        ({"objectives": [{"name": "error", "direction": "up"}]}, "search.objectives.1.direction"),
        ({"objectives": [{"name": "error"}, {"name": "error"}]}, "search.objectives names one twice"),
        ({"objectives": [{"name": "error"}], "constraints": 7}, "search.constraints: Input should be a valid list"),
        ({"objectives": [{"name": "error"}], "constraints": ["error < 1"]}, "search.constraints: can't read"),
        ({"objectives": [{"name": "error"}], "algorithm": 1}, "search.algorithm"),
        ({"objectives": [{"name": "error"}], "initial": "none"}, "search.initial"),
    ],
)
def test_a_damaged_run_toml_is_refused_naming_its_key(tmp_path, search, message):
    (tmp_path / "run.toml").write_text(tomli_w.dumps({"format": 1, "search": search}))
    with pytest.raises(RunError, match=rf"run\.toml.*{message}"):
        load_run(tmp_path)


def test_a_journal_without_one_of_the_objectives_is_refused(run):
    lines = run.path.joinpath("journal.jsonl").read_text().replace('"accuracy":', '"acuracy":', 1)
    run.path.joinpath("journal.jsonl").write_text(lines)
    with pytest.raises(RunError, match=r"line 1 of .* is damaged \(it has no objective 'accuracy'\)"):
        _ = load_run(run.path).front

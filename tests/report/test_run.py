import pandas as pd
import pytest

from evo_fair.errors import RunError
from evo_fair.report import load_run
from evo_fair.search import create_run, read_front


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

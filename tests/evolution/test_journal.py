import json
import os
import shutil
from pathlib import Path

import pytest

from evo_fair.errors import RunError, StorageError
from evo_fair.evolution import Journal, Record, read_journal, search
from evo_fair.evolution.record import parse_line

from .fakes import FakeEvaluator, FakeSpace, make_plan

DATA = Path(__file__).parent / "data"


def record(number: int, generation: int = 0) -> Record:
    return Record(
        id=f"{number:012x}",
        generation=generation,
        genome=(number, 0, 3),
        violation=0.0,
        objectives={"error": 1 / 3 + number, "params": 12},
        constraints={"params <= 20": 12},
        metrics={"accuracy": 2 / 3, "cwv": None},
        groups={"sex": {"female": 0.5, "männlich": None}},
    )


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as book:
        book.append([record(1), record(2)])
        book.append([record(3, 1)])
    return path


def test_records_read_back_exactly(journal):
    assert read_journal(journal) == [record(1), record(2), record(3, 1)]
    assert journal.read_bytes() == b"".join(r.line() for r in read_journal(journal))


def test_a_pipe_in_its_place_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(RunError, match=r"journal\.jsonl is a pipe or a device"):
        read_journal(tmp_path / "journal.jsonl")


def test_a_line_is_json_without_blanks():
    assert record(1).line().decode() == (
        '{"id":"000000000001","generation":0,"genome":[1,0,3],"violation":0.0,'
        '"objectives":{"error":1.3333333333333333,"params":12},"constraints":{"params <= 20":12},'
        '"metrics":{"accuracy":0.6666666666666666,"cwv":null},"groups":{"sex":{"female":0.5,"männlich":null}}}\n'
    )


def test_a_last_line_cut_at_any_byte_is_dropped(journal):
    whole = journal.read_bytes()
    start = len(record(1).line() + record(2).line())
    for size in range(start, len(whole)):
        journal.write_bytes(whole[:size])
        assert read_journal(journal) == [record(1), record(2)]
        assert journal.stat().st_size == size, "reading alone must not change the file"
        with Journal(journal) as book:
            assert len(book.records) == 2
        assert journal.read_bytes() == whole[:start]


def test_appending_goes_on_after_a_cut_line(journal):
    journal.write_bytes(journal.read_bytes()[:-7])
    with Journal(journal) as book:
        book.skip(2)
        book.append([record(3, 1)])
    assert read_journal(journal) == [record(1), record(2), record(3, 1)]


def test_lines_that_are_there_are_not_written_twice(journal):
    before = journal.read_bytes()
    with Journal(journal) as book:
        book.append([record(1), record(2)])
        assert journal.read_bytes() == before
        book.append([record(3, 1), record(4, 1)])
    assert journal.read_bytes() == before + record(4, 1).line()


def test_another_network_in_a_lines_place_is_refused(journal):
    before = journal.read_bytes()
    with Journal(journal) as book, pytest.raises(RunError, match=r"line 2 of .* is not what this search gives"):
        book.append([record(1), record(5)])
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"garbage", "Expecting value"),
        (b"", "Expecting value"),
        (b"[]", "no JSON object"),
        (record(2).line()[:-20], "Expecting|Unterminated"),
        (record(2).line().replace(b'"violation"', b'"violence"'), "no 'violation'"),
        (record(2).line().replace(b'"violation":0.0', b'"violation":NaN'), "NaN"),
        (record(2).line().replace(b'"accuracy":0.6', b'"accuracy":"x","b":0.6'), "accuracy is 'x'"),
        (record(2).line().replace(b"[2,0,3]", b"[2,0,3.5]"), "wrong kind"),
        (record(2).line().replace(b"[2,0,3]", b"7"), "wrong kind"),
        (record(2).line().replace(b'"generation":0', b'"generation":true'), "wrong kind"),
        (record(2).line().replace(b'"generation":0', b'"generation":4'), "generation 1 comes after 4"),
        (record(1).line(), "stands there already"),
        (b"\xff\xfe", "decode"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_middle_line_is_refused_with_its_number(journal, line, reason):
    content = record(1).line() + line.rstrip(b"\n") + b"\n" + record(3, 1).line()
    journal.write_bytes(content)
    number = 3 if "comes after" in reason else 2
    for read in (read_journal, Journal):
        with pytest.raises(RunError, match=f"line {number} of .* is damaged .*{reason}"):
            read(journal)
    assert journal.read_bytes() == content


def test_a_journal_that_is_not_there_is_empty(tmp_path):
    assert read_journal(tmp_path / "journal.jsonl") == []


def test_a_journal_of_the_first_format_stays_readable():
    """Written by the first version; never to be made anew."""
    records = read_journal(DATA / "journal-format-1.jsonl")
    assert len(records) == 7
    assert sum(r.evaluated for r in records) == 6
    assert records[0].id == "717dde547724"
    assert records[0].objectives["latency_ms"] > 0


def test_a_run_of_the_first_format_is_resumed_from_it(tmp_path):
    """The old lines are taken as they are: same genomes, same form. All runs of that time began at random."""
    old = (DATA / "journal-format-1.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").write_bytes(old)
    evaluator = FakeEvaluator()
    plan = make_plan("latency_ms <= 5", budget=6, population=8, initial="random")
    search(plan, FakeSpace(), evaluator, tmp_path / "journal.jsonl", tmp_path / "checkpoint.npz")
    assert (tmp_path / "journal.jsonl").read_bytes() == old
    assert evaluator.asked == []


def test_parsing_keeps_integers_and_floats_apart():
    back = parse_line(record(1).line())
    assert isinstance(back.objectives["params"], int)
    assert isinstance(back.objectives["error"], float)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "..", "a/b", "a\\\\b", "", "-x", "a" * 65, 5, None, "x.json"]
)
def test_an_id_that_is_a_path_or_no_name_is_refused(journal, name):
    line = json.loads(record(2).line()) | {"id": name}
    journal.write_bytes(record(1).line() + json.dumps(line).encode() + b"\n")
    with pytest.raises(RunError, match=r"line 2 of .* is damaged \(its id .* is none of a network\)"):
        read_journal(journal)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "0123456789ab"}, "its id '0123456789ab' is not that of its genome"),
        ({"genome": [1, 1, 1]}, "its genome has 3 genes, and the space 6"),
        ({"genome": [9, 1, 1, 1, 1, 0]}, "out of range"),
        ({"genome": [-1, 1, 1, 1, 1, 0]}, "a gene -1"),
        ({"genome": [2**40, 1, 1, 1, 1, 0]}, "a gene 1099511627776"),
        ({"genome": [0, 1, 1, 1, 1, 0]}, "is not that of its genome"),  # not in canonical form
        ({"objectives": {"unfairness": 1.0, "latency_ms": 1.0}}, "it has no objective 'error'"),
    ],
)
def test_a_search_does_not_go_on_from_networks_that_are_none_of_its_space(tmp_path, changes, reason):
    journal, checkpoint = tmp_path / "journal.jsonl", tmp_path / "checkpoint.npz"
    plan = make_plan(budget=24)
    search(plan, FakeSpace(), FakeEvaluator(), journal, checkpoint)
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = json.loads(lines[3]) | changes
    journal.write_bytes(b"".join([*lines[:3], json.dumps(damaged).encode() + b"\n", *lines[4:]]))
    before = journal.read_bytes()
    with pytest.raises(RunError, match=rf"line 4 of .*journal.jsonl is damaged \(.*{reason}"):
        search(plan, FakeSpace(), FakeEvaluator(), journal, checkpoint)
    assert journal.read_bytes() == before


@pytest.mark.parametrize("replaced", [False, True])
def test_a_search_whose_folder_is_gone_says_so_within_a_generation(tmp_path, replaced):
    folder, heard = tmp_path / "run", []
    folder.mkdir()

    def remove(progress):
        heard.append(progress.generation)
        shutil.rmtree(folder)
        if replaced:
            folder.mkdir()
            (folder / "journal.jsonl").touch()

    evaluator = FakeEvaluator()
    with pytest.raises(StorageError, match=r"journal.jsonl was removed or replaced while the search was writing it"):
        search(make_plan(budget=60), FakeSpace(), evaluator, folder / "journal.jsonl", folder / "c.npz", remove)
    assert heard == [1]
    assert not (folder / "c.npz").exists()

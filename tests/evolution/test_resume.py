"""Whatever a kill leaves behind, a resumed search ends with the journal of an undisturbed one."""

import json
import resource
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo_fair.errors import RunError, StorageError
from evo_fair.evolution import ALGORITHMS, engine, search
from evo_fair.evolution.checkpoint import read_checkpoint, write_checkpoint
from evo_fair.evolution.journal import Journal

from .fakes import FakeEvaluator, FakeSpace, make_plan

SPACE = FakeSpace()
NAMES = sorted(ALGORITHMS)


class KilledError(BaseException):
    """Stands in for a kill: nothing catches it."""


def plan(algorithm="nsga2"):
    return make_plan("latency_ms <= 5", "accuracy >= 0.6", algorithm=algorithm, budget=36)


@dataclass(frozen=True)
class Run:
    """An undisturbed run: its journal, and the checkpoint and the journal's length after each generation."""

    journal: bytes
    checkpoints: tuple[bytes, ...]
    sizes: tuple[int, ...]


@cache
def undisturbed(algorithm) -> Run:
    checkpoints, sizes = [], [0]
    with TemporaryDirectory() as name:
        journal, checkpoint = Path(name) / "journal.jsonl", Path(name) / "checkpoint.npz"

        def keep(_):
            checkpoints.append(checkpoint.read_bytes())
            sizes.append(journal.stat().st_size)

        search(plan(algorithm), SPACE, FakeEvaluator(), journal, checkpoint, keep)
        return Run(journal.read_bytes(), tuple(checkpoints), tuple(sizes))


def resumed(folder: Path, algorithm="nsga2") -> tuple[bytes, int]:
    """The journal after a resume, and how many networks were evaluated for it."""
    evaluator = FakeEvaluator()
    search(plan(algorithm), SPACE, evaluator, folder / "journal.jsonl", folder / "checkpoint.npz")
    return (folder / "journal.jsonl").read_bytes(), len(evaluator.asked)


def evaluated(lines: bytes) -> int:
    return lines[: lines.rfind(b"\n") + 1].count(b'"groups":')


@settings(max_examples=40)
@given(st.data())
def test_every_state_that_a_kill_can_leave(data):
    """The journal can be cut at any byte after the checkpoint's generation, up to the end of the next one."""
    algorithm = data.draw(st.sampled_from(NAMES))
    run = undisturbed(algorithm)
    generation = data.draw(st.integers(0, len(run.checkpoints) - 1))
    size = data.draw(st.integers(run.sizes[generation], run.sizes[generation + 1]))
    with TemporaryDirectory() as name:
        (Path(name) / "journal.jsonl").write_bytes(run.journal[:size])
        if generation:
            (Path(name) / "checkpoint.npz").write_bytes(run.checkpoints[generation - 1])
        journal, asked = resumed(Path(name), algorithm)
    assert journal == run.journal
    assert asked == evaluated(run.journal) - evaluated(run.journal[:size])


@pytest.mark.parametrize("algorithm", NAMES)
def test_a_search_stopped_after_each_generation(tmp_path, algorithm):
    def stop(_):
        raise KilledError

    run = undisturbed(algorithm)
    evaluator = FakeEvaluator()
    for _ in run.checkpoints:
        with pytest.raises(KilledError):
            search(plan(algorithm), SPACE, evaluator, tmp_path / "journal.jsonl", tmp_path / "checkpoint.npz", stop)
    journal, asked = resumed(tmp_path, algorithm)
    assert journal == run.journal
    assert asked == 0
    assert len(evaluator.asked) == evaluated(run.journal)


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("place", ["evaluate", "append", "checkpoint"])
def test_a_search_that_dies_inside_a_generation(tmp_path, monkeypatch, place, at):
    calls = 0

    def dying(function):
        def call(*arguments):
            nonlocal calls
            calls += 1
            if calls == at:
                raise KilledError
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        if place == "evaluate":
            patch.setattr(FakeEvaluator, "evaluate", dying(FakeEvaluator.evaluate))
        elif place == "append":
            patch.setattr(Journal, "append", dying(Journal.append))
        else:
            patch.setattr(engine, "write_checkpoint", dying(engine.write_checkpoint))
        with pytest.raises(KilledError):
            resumed(tmp_path)
    assert resumed(tmp_path)[0] == undisturbed("nsga2").journal


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "text", "foreign", "older"])
@pytest.mark.parametrize("lines", [None, 25])
def test_without_a_usable_checkpoint_the_journal_is_enough(tmp_path, damage, lines):
    run = undisturbed("nsga2")
    checkpoint = run.checkpoints[-1]
    content = {
        "empty": b"",
        "cut": checkpoint[: len(checkpoint) // 2],
        "flipped": bytes(byte ^ 0xFF if 300 < i < 340 else byte for i, byte in enumerate(checkpoint)),
        "text": b"not a checkpoint",
        "foreign": undisturbed("nsga3").checkpoints[-1],
        "older": run.checkpoints[0],
    }
    if damage != "missing":
        (tmp_path / "checkpoint.npz").write_bytes(content[damage])
    kept = b"".join(run.journal.splitlines(keepends=True)[:lines])
    (tmp_path / "journal.jsonl").write_bytes(kept)
    journal, asked = resumed(tmp_path)
    assert journal == run.journal
    assert asked == evaluated(run.journal) - evaluated(kept)


def test_a_checkpoint_ahead_of_its_journal_is_not_believed(tmp_path):
    run = undisturbed("nsga2")
    (tmp_path / "checkpoint.npz").write_bytes(run.checkpoints[-1])
    (tmp_path / "journal.jsonl").write_bytes(run.journal[: run.sizes[1]])
    assert resumed(tmp_path)[0] == run.journal


def test_a_finished_search_only_reads(tmp_path):
    run = undisturbed("nsga2")
    (tmp_path / "journal.jsonl").write_bytes(run.journal)
    (tmp_path / "checkpoint.npz").write_bytes(run.checkpoints[-1])
    assert resumed(tmp_path) == (run.journal, 0)


def test_a_journal_of_another_search_is_refused_and_left(tmp_path):
    foreign = undisturbed("random").journal.splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join(foreign[15:30]))
    with pytest.raises(RunError, match=r"line 1 of .*journal.jsonl is not what this search gives"):
        resumed(tmp_path)
    assert (tmp_path / "journal.jsonl").read_bytes() == b"".join(foreign[15:30])


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("latency_ms",), "line 4 of .* is damaged .*latency_ms.* is -5"),
        (("latency_ms", "metrics"), r"line 4 of .* is damaged \(latency_ms of network [0-9a-f]{12} is .*, not -5\)"),
        (("error",), "line 4 of .* is damaged .*error.* is -5 among its objectives, and 0"),
    ],
)
def test_a_journal_whose_values_were_changed_is_refused(tmp_path, names, told):
    lines = undisturbed("nsga2").journal.splitlines(keepends=True)
    record = json.loads(lines[3])
    for part in ("objectives", *names[1:]):
        record[part][names[0]] = -5
    lines[3] = json.dumps(record).encode() + b"\n"
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(RunError, match=told):
        resumed(tmp_path)


@contextmanager
def files_of_at_most(size: int):
    """As on a full disk: writing beyond `size` bytes fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_full_disk_stops_the_search_and_costs_nothing_but_time(tmp_path, share):
    run = undisturbed("nsga2")
    with (
        files_of_at_most(int(len(run.journal) * share)),
        pytest.raises(StorageError, match=r"cannot write .*make room"),
    ):
        resumed(tmp_path)
    left = (tmp_path / "journal.jsonl").read_bytes()
    assert len(left) in run.sizes
    assert run.journal.startswith(left)
    assert resumed(tmp_path)[0] == run.journal


@pytest.mark.parametrize("damage", ["genes", "texts", "random", "lines"])
def test_a_checkpoint_of_other_numbers_is_not_believed(tmp_path, damage):
    """Even one whose hash was made anew."""
    run = undisturbed("nsga2")
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(run.checkpoints[1])
    saved = read_checkpoint(path)
    state, random, lines = dict(saved.state), dict(saved.random), saved.lines
    match damage:
        case "genes":
            state["genomes"] = state["genomes"] + 99
        case "texts":
            state["violations"] = state["violations"].astype(str)
        case "random":
            random["has_uint32"] = 2**64
        case "lines":
            lines = "=1+1"
    write_checkpoint(path, replace(saved, state=state, random=random, lines=lines))
    (tmp_path / "journal.jsonl").write_bytes(run.journal)
    assert resumed(tmp_path) == (run.journal, 0)

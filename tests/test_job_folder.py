"""Folders of jobs: what begins, goes on and is refused, and pieces that are made once."""

import json
from pathlib import Path

import pytest

from evo_fair import job_folder
from evo_fair.errors import AuditError, EvoFairError, RunError
from evo_fair.files import sha256_of, write_text
from evo_fair.job_folder import COMPARISONS, FolderKind, Piece, job_in, make_missing, other_job, such_as

RUNS = FolderKind("run", "a search", "run.toml", RunError, newest=3, job="search")
PRUNINGS = FolderKind("pruning", "evo-fair prune", "settings.json", RunError)
AUDITS = FolderKind("audit", "evo-fair audit", "audit.toml", AuditError, early=frozenset({"parts", "plan.csv"}))
KINDS = pytest.mark.parametrize("kind", [RUNS, PRUNINGS, AUDITS], ids=lambda kind: kind.name)
FACTS = {"seed": 3, "shares": (0.5, 0.25), "problem": {"name": "digits", "stages": [{"slots": 2}, {"slots": 1}]}}


@KINDS
def test_a_job_begins_and_goes_on_with_the_same_facts(kind: FolderKind, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "job"
    assert not kind.goes_on(folder, resume=False)
    with pytest.raises(EvoFairError, match="resume 'no' is neither True nor False"):
        kind.goes_on(folder, resume="no")  # type: ignore[arg-type]
    assert not kind.goes_on(folder, resume=True), "there is nothing to go on with"
    facts = kind.start(folder, FACTS, resume=True)
    assert facts == FACTS | {"shares": [0.5, 0.25]}
    written = (folder / kind.file).read_bytes()
    assert kind.goes_on(folder, resume=True)
    assert kind.start(folder, FACTS, resume=True) == kind.read(folder) == facts
    assert (folder / kind.file).read_bytes() == written


@KINDS
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 4}, "seed = 3, not 4"),
        ({"budget": 10}, "budget = nothing, not 10"),
        ({"problem": {"name": "digits", "stages": [{"slots": 2}, {"slots": 9}]}}, "problem.stages[1].slots = 1, not 9"),
        ({"problem": {"name": "adult"}}, "problem.name = 'digits', not 'adult'"),
        ({"plugins": {"own.py": "17"}}, "made without the plugin own.py"),
    ],
)
def test_other_facts_are_refused_by_the_first_that_differs(
    kind: FolderKind, change: dict[str, object], told: str, tmp_path: Path
) -> None:
    kind.begin(tmp_path / "job", FACTS)
    with pytest.raises(kind.error) as refused:
        kind.start(tmp_path / "job", FACTS | change, resume=True)
    assert told in str(refused.value)
    assert str(tmp_path / "job") in str(refused.value)


@KINDS
@pytest.mark.parametrize("known", [{"data": "ab12"}, {"data": {"name": "photos", "fingerprint": "ab12"}}])
def test_other_data_are_told_without_their_hashes(kind: FolderKind, known: dict[str, object], tmp_path: Path) -> None:
    kind.begin(tmp_path / "job", FACTS | known)
    other = json.loads(json.dumps(known).replace("ab12", "cd34"))
    with pytest.raises(kind.error, match=r"was made with other data: give the same samples, .* with --data") as told:
        kind.start(tmp_path / "job", FACTS | other, resume=True)
    assert "cd34" not in str(told.value)


@KINDS
def test_settings_that_are_known_are_compared_before_the_others(kind: FolderKind, tmp_path: Path) -> None:
    kind.begin(tmp_path / "job", FACTS)
    kind.check_settings(tmp_path / "job", {"seed": 3, "problem": FACTS["problem"]})
    for known, told in (
        ({"seed": 4}, "seed = 3, not 4"),
        ({"problem": {"name": "digits"}}, r"problem\.stages\[0\]\.slots = 2, not nothing"),
        ({"budget": 10}, "budget = nothing, not 10"),
        ({"seed": 3, "plugins": {"own.py": "17"}}, "made without the plugin own.py"),
    ):
        with pytest.raises(kind.error, match=told):
            kind.check_settings(tmp_path / "job", known)


@KINDS
def test_a_job_that_is_there_is_not_begun_again(kind: FolderKind, tmp_path: Path) -> None:
    kind.begin(tmp_path / "job", FACTS)
    with pytest.raises(kind.error, match=f"job exists already: continue its {kind.name} with --resume, or choose"):
        kind.start(tmp_path / "job", FACTS, resume=False)


def test_networks_can_be_added_to_a_deployment(tmp_path: Path) -> None:
    RUNS.begin(tmp_path / "deployed", FACTS | {"deploy": {"epochs": 3}})
    with pytest.raises(
        RunError, match="exists already: continue its deployment, or add networks to it, with --resume, or"
    ):
        RUNS.check_new(tmp_path / "deployed")


def test_a_job_that_ended_before_its_first_result_is_begun_again(tmp_path: Path) -> None:
    runs, folder = FolderKind("run", "a search", "run.toml", RunError, log="journal.jsonl"), tmp_path / "job"
    runs.begin(folder, FACTS)
    with pytest.raises(RunError, match="exists already"):
        runs.check_new(folder)  # whose journal is missing may have lost it
    journal = folder / "journal.jsonl"
    journal.touch()
    for resume in (False, True):
        assert not runs.goes_on(folder, resume)
    assert runs.start(folder, FACTS | {"seed": 4}, resume=False)["seed"] == 4
    (folder / "weights.safetensors").touch()
    with pytest.raises(RunError, match="exists already"):
        runs.check_new(folder)
    (folder / "weights.safetensors").unlink()
    journal.write_text("{}\n")
    with pytest.raises(RunError, match="exists already"):
        runs.check_new(folder)


@pytest.mark.parametrize("written", ["header.csv", "header.png", "own/weights.safetensors"])
def test_a_search_that_wrote_what_comes_before_its_first_result_is_begun_again(written: str, tmp_path: Path) -> None:
    runs, folder = job_folder.RUNS, tmp_path / "run"
    runs.begin(folder, FACTS)
    write_text(folder / written, "")
    with pytest.raises(RunError, match="exists already"):
        runs.check_new(folder)  # whose journal is missing may have lost it
    (folder / "journal.jsonl").touch()
    assert runs.start(folder, FACTS | {"seed": 4}, resume=False)["seed"] == 4
    assert sorted(path.name for path in folder.iterdir()) == ["journal.jsonl", "run.toml"]


@KINDS
def test_other_things_are_left_alone(kind: FolderKind, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(kind.error, match=f"exists already and holds something that is no {kind.name}"):
        kind.goes_on(tmp_path, resume=False)
    with pytest.raises(kind.error, match=r"thesis.tex is a file: give a new folder with --out"):
        kind.goes_on(tmp_path / "thesis.tex", resume=False)
    with pytest.raises(kind.error, match=f"holds no {kind.file}, so it is no {kind.name}: give the folder"):
        kind.goes_on(tmp_path, resume=True)
    with pytest.raises(kind.error, match=f"there is no {kind.name} in"):
        kind.goes_on(tmp_path / "thesis.tex", resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def _results(folder: Path) -> Path:
    """A search with a deployment in it, beside a pruning, an audit, a comparison and a folder of none."""
    RUNS.begin(folder / "photos", {"search": {"seed": 0}})
    RUNS.begin(folder / "photos" / "deployed", {"deploy": {"seed": 0}})
    (folder / "photos" / "networks").mkdir()
    for kind in (PRUNINGS, AUDITS, COMPARISONS):
        kind.begin(folder / kind.name, {})
    return folder


def test_a_folder_tells_what_made_it(tmp_path: Path) -> None:
    results = _results(tmp_path)
    made = {"photos": "search", "photos/deployed": "deployment", "photos/networks": "", "nowhere": ""}
    made |= {name: name for name in ("pruning", "audit", "comparison")}
    assert {name: job_in(results / name) for name in made} == made
    (results / "photos" / "run.toml").write_text("[deploy")
    assert job_in(results / "photos") == "search", "what is wrong with it is said when it is read"


def test_the_folder_of_another_job_is_named_as_such_with_the_one_that_is_meant(tmp_path: Path) -> None:
    results = _results(tmp_path)
    with pytest.raises(RunError) as pruning:
        RUNS.read(results / "pruning")
    assert str(pruning.value) == f"{results / 'pruning'} is the folder of a pruning: give that of a search"
    with pytest.raises(AuditError, match=r"deployed is the folder of a deployment: give that of an audit$"):
        AUDITS.read(results / "photos" / "deployed")
    with pytest.raises(RunError, match=r"networks holds no run.toml, so it is no run: .* wrote, such as .*photos$"):
        RUNS.read(results / "photos" / "networks")
    with pytest.raises(AuditError, match=r"holds no audit.toml, so it is no audit: .* wrote, such as .*audit$"):
        AUDITS.read(results)
    deployed = results / "photos" / "deployed"
    told = f"{deployed} is the folder of a deployment: give that of a search, such as {results / 'photos'}"
    assert other_job(deployed, "search") == told
    assert other_job(deployed, "deployment") == other_job(results, "search") == ""
    assert other_job(results / "photos", "deployment").endswith(f"give that of a deployment, such as {deployed}")
    assert such_as(results / "nowhere", "pruning") == ""


def test_every_kind_of_job_is_told_by_its_file(tmp_path: Path) -> None:
    for kind in (job_folder.PRUNINGS, job_folder.AUDITS, COMPARISONS):
        kind.begin(tmp_path / kind.name, {})
        assert job_in(tmp_path / kind.name) == kind.name
    job_folder.RUNS.begin(tmp_path / "run", {"search": {}})
    assert job_in(tmp_path / "run") == "search"


@KINDS
def test_what_a_kill_left_is_no_beginning(kind: FolderKind, tmp_path: Path) -> None:
    (tmp_path / f".{Path(kind.file).stem}.7.tmp.x").write_text("half")
    for name in kind.early - {"parts"}:
        (tmp_path / name).write_text("half")
    (tmp_path / "parts").mkdir()
    assert kind.has_begun(tmp_path) == (not kind.early), "of an audit alone parts are made before its facts"
    if kind.early:
        (tmp_path / "parts" / "00000.npz").write_text("")
        assert kind.has_begun(tmp_path)


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (RUNS, "format = 4", "format 4, and this evo_fair reads up to 3: update it"),
        (RUNS, "seed = 3", "format None"),
        (AUDITS, "format = 2", "format 2, and this evo_fair reads up to 1"),
        (PRUNINGS, '{"format": 9}', "format 9"),
        (PRUNINGS, "[1]", "holds no table of facts"),
        (PRUNINGS, "{", "is not valid JSON"),
    ],
)
def test_facts_that_cannot_be_read_are_refused(kind: FolderKind, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / kind.file).write_text(text)
    with pytest.raises(EvoFairError, match=told):
        kind.goes_on(tmp_path, resume=True)


def test_a_piece_is_made_once_its_card_knows_its_files(tmp_path: Path) -> None:
    onnx, weights = tmp_path / "a.onnx", tmp_path / "a.safetensors"
    piece = Piece(tmp_path / "a.json", {"onnx": onnx, "": weights})
    onnx.write_text("graph")
    weights.write_text("numbers")
    assert not piece.made, "there is no card yet"
    piece.finish({"sha256": sha256_of(weights), "onnx": {"sha256": sha256_of(onnx)}})
    assert piece.made
    onnx.write_text("another graph")
    assert not piece.made


def test_a_card_that_says_something_else_by_now_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    file.write_text("graph")
    piece = Piece(tmp_path / "a.json", {"onnx": file})
    content = {"onnx": {"sha256": sha256_of(file)}, "row": {"accuracy": 0.1 + 0.2, "name": "\u00e4"}}
    piece.finish(content)
    piece.finish(piece.content | {"test": [1, None]})
    assert piece.made, "whoever adds to a card finishes it again"
    for damage in ({"row": {}}, {"row": {"accuracy": 0.3, "name": "\u00e4"}}, {"more": 1}, {"seal": "x"}):
        piece.card.write_text(json.dumps(piece.content | damage))
        assert not piece.made
        piece.finish(content)
    piece.card.write_text(json.dumps(content))
    assert piece.made, "earlier versions sealed none"


def test_what_is_missing_is_made_in_order() -> None:
    there, made, heard = {"b"}, [], []
    make_missing(["a", "b", "c"], there.__contains__, made.append, lambda name, done: heard.append((name, done)))
    assert made == ["a", "c"]
    assert heard == [("a", 1), ("b", 2), ("c", 3)]

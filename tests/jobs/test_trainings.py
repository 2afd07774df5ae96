"""Searches with trainings: chosen, kept, resumed to the same bytes, and taken over by a deployment."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import evo_fair as ef
from evo_fair.evolution import networks_frame, non_dominated
from evo_fair.fairness import METRICS
from evo_fair.jobs.trainings import _no_better_than_one_answer
from evo_fair.proxy import ProxyEvaluator
from evo_fair.proxy.supernets import ensure_supernet, proxy_source
from evo_fair.report import load_run

from ..cli.conftest import problem_file, refusal

__all__ = ["problem_file"]

OPTIONS = {"budget": 24, "population": 8, "jobs": 1}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Interrupts(ef.Listener):
    """Interrupts after so many epochs of single networks."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def tuning(self, network: str, step: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Warned(ef.Listener):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warned(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def run(problem_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ef.Run:
    """A search with six trainings, never interrupted."""
    return ef.search(str(problem_file), out=tmp_path_factory.mktemp("runs") / "run", trainings=6, **OPTIONS)


@pytest.mark.slow
def test_trainings_are_of_feasible_networks_each_once_and_kept(run: ef.Run) -> None:
    table = pd.read_csv(run.path / "trainings.csv", dtype={"id": str})
    assert len(table) == 6
    assert table["id"].is_unique
    assert set(table["epochs"]) == {2}
    known = {record.id for record in run.records if record.feasible}
    assert set(table["id"]) <= known
    kept = {path.name for path in (run.path / "trainings").iterdir()}
    assert kept == {f"{name}.{kind}" for name in table["id"] for kind in ("json", "safetensors")}


@pytest.mark.slow
def test_the_front_is_of_what_is_believed_and_its_networks_are_those_that_are_written(run: ef.Run) -> None:
    beliefs = pd.read_csv(run.path / "beliefs.csv", dtype={"id": str}).set_index("id")
    latency = {record.id: record.objectives["latency_ms"] for record in run.records}
    points = np.column_stack(
        [beliefs["error_believed"], beliefs["unfairness_believed"], [latency[name] for name in beliefs.index]]
    )
    front = set(beliefs.index[non_dominated(points)])
    assert set(run.front["id"]) == front
    assert {path.stem for path in (run.path / "networks").iterdir()} == front
    assert front != set(run.networks["id"][networks_frame(run.records, run.axes)["front"]])
    card = ef.load_run(run.path).believed()
    name = run.front["id"][0]
    assert card[name]["error"]["value"] == beliefs.loc[name, "error_believed"]
    assert f'"value": {beliefs.loc[name, "error_believed"]}' in (run.path / "networks" / f"{name}.json").read_text()
    again = load_run(run.path).front
    columns = ["error", "unfairness", "latency_ms", "error_believed", "error_uncertainty"]
    assert again.columns[1:6].tolist() == columns


@pytest.mark.slow
def test_what_is_believed_of_trained_networks_follows_their_results(run: ef.Run) -> None:
    table = pd.read_csv(run.path / "trainings.csv", dtype={"id": str}).set_index("id")
    beliefs = pd.read_csv(run.path / "beliefs.csv", dtype={"id": str}).set_index("id").loc[table.index]
    frozen = pd.Series({record.id: record.objectives["error"] for record in run.records if record.evaluated})
    off = (beliefs["error_believed"] - table["error"]).abs()
    assert (off < (frozen[table.index] - table["error"]).abs() + 0.02).all()
    assert (off < 3 * (beliefs["error_uncertainty"] + table["error_uncertainty"])).all()


@pytest.mark.slow
def test_findings_are_in_the_folder_and_of_the_run(run: ef.Run) -> None:
    assert [line.split(":")[0] for line in run.findings] == ["error", "unfairness"]
    assert all("6 trained networks" in line for line in run.findings)


@pytest.mark.parametrize(("best", "warned"), [(0.4, True), (0.31, True), (0.29, False)])
@pytest.mark.parametrize("objective", ["error", "accuracy"])
def test_findings_warn_where_always_the_same_answer_does_about_as_well(
    tmp_path: Path, objective: str, best: float, warned: bool
) -> None:
    goal, unfairness = ef.evolution.resolve([objective, "unfairness"])
    labels = np.array([0, 1, 1] + 20 * [1, 0, 2, 1, 1])  # always "b" is right in 3 of 5 of the validation part
    dataset = SimpleNamespace(labels=labels, part=lambda name: np.arange(3, 103), label_names=("a", "b", "c"))
    error = np.array([0.2, best, 0.7])  # the first keeps no limit
    mean = np.column_stack([error if objective == "error" else 1.0 - error, error])
    records = [SimpleNamespace(feasible=feasible) for feasible in (False, True, True)]
    evidence = SimpleNamespace(goals=(goal, unfairness), records=records)
    warning = _no_better_than_one_answer(evidence, SimpleNamespace(mean=mean), dataset)
    assert bool(warning) == warned
    if warned:
        assert f"{objective}: no network" in warning
        assert "'b', which is right for 60.0 % of the 100 samples" in warning


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 2, 5, 9])
def test_interrupted_trainings_end_with_the_same_bytes(
    epochs: int, run: ef.Run, problem_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        ef.search(str(problem_file), out=out, trainings=6, listener=Interrupts(epochs), **OPTIONS)
    ef.search(str(problem_file), out=out, trainings=6, resume=True, **OPTIONS)
    assert contents(out) == contents(run.path)


@pytest.mark.slow
def test_more_trainings_later_are_as_all_at_once(run: ef.Run, problem_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    before = ef.search(str(problem_file), out=out, **OPTIONS)
    assert not (out / "trainings.csv").exists()
    assert "error_believed" in before.front
    for trainings in (3, 4, 6):
        ef.search(str(problem_file), out=out, trainings=trainings, resume=True, **OPTIONS)
    assert contents(out) == contents(run.path)
    ef.search(str(problem_file), out=out, resume=True, **OPTIONS)  # what is there stays
    assert contents(out) == contents(run.path)


@pytest.mark.slow
def test_networks_that_are_written_are_not_written_again(run: ef.Run, problem_file: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run.path, tmp_path / "run")
    networks = out / "networks"
    damaged, stale, gone, *others = sorted(networks.glob("*.onnx"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    card = stale.with_suffix(".json")
    card.write_text(card.read_text().replace('"id": "', '"id": "another-'))
    gone.with_suffix(".json").unlink()

    def places() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in others + [one.with_suffix(".json") for one in others]}

    before = places()
    ef.search(str(problem_file), out=out, trainings=6, resume=True, **OPTIONS)
    assert places() == before
    assert contents(networks) == contents(run.path / "networks")


@pytest.mark.slow
def test_a_round_adds_a_generation_of_new_networks_on_top_of_the_budget(run: ef.Run, problem_file: Path) -> None:
    generations = pd.Series([record.generation for record in run.records]).value_counts().sort_index()
    assert generations.tolist() == [8, 8, 8, 8]
    added = [record for record in run.records if record.generation == 3]
    assert all(record.evaluated for record in added)
    beliefs = pd.read_csv(run.path / "beliefs.csv", dtype={"id": str})
    assert beliefs["id"].tolist() == [record.id for record in run.records]
    problem = ef.load_problem(str(problem_file))
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    source = proxy_source(problem, dataset, space, ensure_supernet(problem, dataset, space).path)
    with ProxyEvaluator(source, dataset, ("class",)) as evaluator:
        counts = evaluator.evaluate(np.array([record.genome for record in added], np.int16))["class"]
    assert [record.metrics["accuracy"] for record in added] == METRICS["accuracy"](counts).tolist()


@pytest.mark.slow
def test_a_run_that_is_broken_off_in_further_trainings_has_not_ended(
    run: ef.Run, problem_file: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(run.path, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        ef.search(str(problem_file), out=out, trainings=7, listener=Interrupts(1), resume=True, **OPTIONS)
    assert "has not ended: 32 networks are evaluated, 8 of them chosen by trainings" in ef.load_run(out).unfinished
    path = out / "beliefs.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))  # as a kill leaves it, journal written
    broken = ef.load_run(out)
    assert broken.beliefs is None
    assert "go by what was read, not by what is believed" in broken.unfinished
    assert len(broken.front)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 3, 8])
def test_a_round_whose_networks_were_not_all_written_is_gone_over_again(
    lines: int, run: ef.Run, problem_file: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(run.path, tmp_path / "run")
    for name, kept in (("journal.jsonl", 24 + lines), ("trainings.csv", 1 + 4)):
        path = out / name
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))
    ef.search(str(problem_file), out=out, trainings=6, resume=True, **OPTIONS)
    assert contents(out) == contents(run.path)


@pytest.mark.slow
def test_a_last_line_that_was_lost_comes_back_though_trainings_follow_it(
    run: ef.Run, problem_file: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(run.path, tmp_path / "run")
    journal = (out / "journal.jsonl").read_bytes()
    (out / "journal.jsonl").write_bytes(journal[:-5])
    ef.search(str(problem_file), out=out, trainings=6, resume=True, **OPTIONS)
    assert contents(out) == contents(run.path)


@pytest.mark.slow
def test_networks_that_trainings_add_keep_the_limits_on_cost(problem_file: Path, tmp_path: Path) -> None:
    limit = "params<=1500"
    found = ef.search(str(problem_file), out=tmp_path / "run", trainings=4, constraints=[limit], **OPTIONS)
    generations = [record.generation for record in found.records]
    added = [record for record in found.records if record.generation == generations[-1]]
    assert sum(record.evaluated for record in found.records) - len(added) == OPTIONS["budget"]
    assert all(record.metrics["params"] <= 1500 for record in added)


@pytest.mark.slow
@pytest.mark.parametrize("trainings", [8, 2])
def test_another_number_of_epochs_is_refused(trainings: int, run: ef.Run, problem_file: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run.path, tmp_path / "run")
    with pytest.raises(ef.RunError, match="had 2 epochs and the seed 0, not 1 and 0"):
        ef.search(str(problem_file), out=out, trainings=trainings, training_epochs=1, resume=True, **OPTIONS)


@pytest.mark.slow
def test_a_damaged_file_of_trainings_is_one_line(run: ef.Run, problem_file: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run.path, tmp_path / "run")
    path = out / "trainings.csv"
    path.write_text(path.read_text().replace(",2,0,", ",2,0,x", 1))
    with pytest.raises(ef.RunError, match=r"trainings.csv, row 1, column 'error': .* is no number") as caught:
        ef.search(str(problem_file), out=out, trainings=8, resume=True, **OPTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_more_trainings_than_networks_train_all_of_them(problem_file: Path, tmp_path: Path) -> None:
    options = {"budget": 3, "population": 3, "jobs": 1}  # fewer than a round, after which there would be more
    hears = Warned()
    run = ef.search(str(problem_file), out=tmp_path / "run", trainings=50, training_epochs=1, listener=hears, **options)
    table = pd.read_csv(run.path / "trainings.csv", dtype={"id": str})
    assert set(table["id"]) == {record.id for record in run.records if record.feasible}
    assert set(table["epochs"]) == {1}
    assert f"{len(table)} of 50 networks were trained" in hears.lines[-1]


@pytest.mark.slow
def test_a_search_of_what_is_known_without_predictions_believes_nothing(problem_file: Path, tmp_path: Path) -> None:
    run = ef.search(str(problem_file), out=tmp_path / "run", objectives=["params", "latency_ms"], **OPTIONS)
    assert not list(run.path.glob("beliefs.csv")) + list(run.path.glob("findings.txt"))
    assert run.findings == []
    assert run.beliefs is None


@pytest.mark.slow
def test_a_deployment_takes_over_what_was_trained(run: ef.Run, tmp_path: Path) -> None:
    trained = pd.read_csv(run.path / "trainings.csv", dtype={"id": str}).set_index("id")
    name = next(name for name in run.front["id"] if name in trained.index)
    other = next(name for name in run.front["id"] if name not in trained.index)
    heard: list[str] = []

    class Heard(ef.Listener):
        def tuning(self, network: str, step: object) -> None:
            heard.append(network)

    ef.deploy(run, networks=[name, other], from_scratch=True, out=tmp_path / "taken", listener=Heard())
    assert set(heard) == {other}
    heard.clear()
    for number, options in enumerate(({"seed": 1}, {"epochs": 1}, {"balance_groups": True})):
        out = tmp_path / f"other{number}"
        ef.deploy(run, networks=[name], from_scratch=True, out=out, listener=Heard(), **options)
    assert len(heard) == 2 + 1 + 2
    shutil.rmtree(shutil.copytree(run.path, tmp_path / "copy") / "trainings")
    ef.deploy(tmp_path / "copy", networks=[name], from_scratch=True, out=tmp_path / "anew")
    for kind in ("onnx", "json"):
        anew, taken = ((tmp_path / place / f"{name}.{kind}").read_bytes() for place in ("anew", "taken"))
        if kind == "onnx":
            assert anew == taken


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--trainings", "-1"], "trainings -1 is negative"),
        (["--training-epochs", "3"], "training epochs 3 without trainings would do nothing"),
        (["--trainings", "2", "--training-epochs", "0"], "epochs 0 is too few"),
        (["--trainings", "2", "--objective", "params", "--objective", "latency_ms"], "would tell nothing: params"),
    ],
)
def test_trainings_that_cannot_be_are_refused_in_a_line(
    options: list[str], told: str, problem_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, "search", problem_file, "--out", tmp_path / "run", *options)
    assert told in line
    assert not (tmp_path / "run").exists()

"""What a search gains: intervals on made-up networks, who is compared with whom, and the whole way on small images."""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import search_gain
import search_gain_report
from PIL import Image
from search_gain import nearest, pairs_of, planned, spread
from search_gain_report import paired
from search_gain_statistics import (
    Difference,
    Trained,
    hypervolume_difference,
    interpolated_difference,
    knots,
    paired_difference,
)
from search_gain_units import Candidate, Unit, Workplace

from evo_fair.errors import EvoFairError, RunError
from evo_fair.evolution import Box, box_around
from evo_fair.files import read_json, write_json
from evo_fair.latency import load_profile
from evo_fair.problem import load_problem
from evo_fair.space import SearchSpace

from ..commands import Commands

Floats = npt.NDArray[np.float64]
SCRIPT = Path(search_gain.__file__)
NETWORKS, SEEDS, SAMPLES, REPLICATES = 12, 2, 400, 150


def exact(points: list[list[float]]) -> Trained:
    """Networks that every resample of the samples leaves as they are."""
    values = np.array(points)
    return Trained(values, np.repeat(values[None], 5, axis=0))


def test_a_difference_is_the_mean_over_pairs_of_means_over_seeds() -> None:
    ours, theirs = exact([[0.8, 0.9], [0.7, 0.7]]), exact([[0.75, 0.75], [0.6, 0.8]])
    found = paired_difference(ours, theirs)  # pairs differ by 0.1 and 0
    assert found.value == pytest.approx(0.05)
    assert found.networks == 2
    assert np.isnan([found.low, found.high]).all(), "two say nothing of others"


def test_an_interval_over_few_networks_is_no_narrower_than_students() -> None:
    ours, theirs = exact([[0.8], [0.7], [0.75]]), exact([[0.7], [0.7], [0.7]])
    found = paired_difference(ours, theirs)
    half = 4.3027 * 0.05 / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.05 - half, 0.05 + half), abs=1e-4)


def test_what_all_pairs_and_seeds_have_more_is_known_exactly() -> None:
    theirs = exact([[0.6, 0.6], [0.7, 0.7], [0.9, 0.9]])
    ours = Trained(theirs.points + 0.03, theirs.resampled + 0.03)
    found = paired_difference(ours, theirs)
    assert (found.value, found.low, found.high) == pytest.approx((0.03, 0.03, 0.03))


def test_a_bias_of_resamples_is_in_the_interval_on_both_sides() -> None:
    """Resamples that all read 0.02 too high for one side: the sample itself may do so, too, or not."""
    theirs = exact([[0.6], [0.7], [0.8]])
    ours = Trained(theirs.points, theirs.resampled + 0.02)
    found = paired_difference(ours, theirs)
    assert (found.value, found.low, found.high) == pytest.approx((0.0, -0.02, 0.02))


def made_up(rng: np.random.Generator, gain: float) -> tuple[Trained, Trained]:
    """Accuracies of pairs whose first ones are `gain` better on average, on samples that are hard or easy for all."""
    difficulty = rng.normal(0, 0.1, SAMPLES)
    weights = rng.multinomial(SAMPLES, np.full(SAMPLES, 1 / SAMPLES), REPLICATES) / SAMPLES
    sides = []
    for more in (gain, 0.0):
        networks = rng.normal(0.7 + more, 0.02, (NETWORKS, 1, 1)) + rng.normal(0, 0.01, (NETWORKS, SEEDS, 1))
        right = rng.random((NETWORKS, SEEDS, SAMPLES)) < np.clip(networks + difficulty, 0, 1)
        sides.append(Trained(right.mean(axis=2), np.einsum("rs,nks->rnk", weights, right)))
    return sides[0], sides[1]


def test_intervals_hold_what_is_true() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(150):
        found = paired_difference(*made_up(rng, 0.02))
        held += found.low <= 0.02 <= found.high
    assert held >= 0.92 * 150


def test_intervals_tell_a_large_gain_from_none() -> None:
    rng = np.random.default_rng(1)
    gains = [paired_difference(*made_up(rng, 0.06)).low > 0 for _ in range(20)]
    assert np.mean(gains) > 0.9


def test_the_hypervolumes_of_like_networks_do_not_differ() -> None:
    rng = np.random.default_rng(2)
    latency = np.geomspace(1, 8, NETWORKS)
    held = 0
    for _ in range(60):
        ours, theirs = (side.complement() for side in made_up(rng, 0.0))
        box = box_around(np.column_stack([np.concatenate([ours.means, theirs.means]), np.tile(latency, 2)]))
        found = hypervolume_difference([ours], latency, [theirs], latency, box)
        held += found.low <= 0 <= found.high
    assert held >= 0.9 * 60


def test_hypervolume_is_a_share_of_the_box() -> None:
    box = Box(np.zeros(3), np.ones(3))
    half = exact([[0.5]])
    found = hypervolume_difference([half, half], np.array([0.5]), [half, half], np.array([0.75]), box)
    assert found == Difference(0.0625, 0.0625, 0.0625, 1)


def test_between_known_networks_lines_are_straight_in_the_logarithm_and_nothing_is_extrapolated() -> None:
    inside, weights = knots(np.array([0.9, 2.0, 4.0, 4.1]), np.array([4.0, 1.0]))
    assert inside.tolist() == [1, 2]
    assert weights == pytest.approx(np.array([[0.5, 0.5], [1.0, 0.0]]))


def test_a_network_is_compared_with_the_known_ones_at_its_latency() -> None:
    ours, known = exact([[0.5], [0.8], [0.9]]), exact([[0.9], [0.6]])
    found = interpolated_difference(ours, np.array([0.5, 2.0, 4.0]), known, np.array([4.0, 1.0]))
    # the first is faster than any known one; the others have 0.8 and 0.9, the line 0.75 and 0.9
    assert found.value == pytest.approx(0.025)
    assert found.networks == 2
    none = interpolated_difference(ours, np.array([5.0, 6.0, 7.0]), known, np.array([4.0, 1.0]))
    assert none.networks == 0
    assert np.isnan([none.value, none.low, none.high]).all()


def test_latencies_are_spread_evenly_in_logarithm_with_both_ends() -> None:
    latency = np.array([8.0, 1.0, 1.01, 1.02, 2.1, 3.9, 1.03])
    assert sorted(latency[spread(latency, 4)]) == [1.0, 2.1, 3.9, 8.0]
    assert len(set(spread(latency, 7).tolist())) == 7


def test_the_nearest_latency_is_taken_once_and_within_three_per_cent() -> None:
    drawn = np.array([0.9, 1.0, 1.01, 2.0])
    assert nearest(np.array([1.0, 1.0, 1.0, 1.95, 1.9]), drawn).tolist() == [1, 2, -1, 3, -1]


def test_random_networks_have_the_latencies_of_the_front_and_are_not_on_it(space: SearchSpace) -> None:
    device = load_profile("raspberry-pi-4")
    front = np.unique(space.sample(np.random.default_rng(0), 40), axis=0)  # all of them are drawn at random, too
    candidates = pairs_of(space, device, front, 6, draws=2000)
    ours, theirs = candidates[:6], candidates[6:]
    assert [one.role for one in candidates] == ["front"] * 6 + ["random"] * 6
    assert [one.pair for one in candidates] == 2 * list(range(6))
    assert {one.name for one in ours} <= set(space.ids(front))
    assert not {one.name for one in theirs} & set(space.ids(front))
    for one, other in zip(ours, theirs, strict=True):
        assert other.latency_ms == pytest.approx(one.latency_ms, rel=0.03)
    assert pairs_of(space, device, front, 6, draws=2000) == candidates
    assert [Candidate.of(read) for read in [{**ours[0].__dict__, "genome": list(ours[0].genome or ())}]] == ours[:1]


def test_too_short_a_front_is_refused(space: SearchSpace) -> None:
    with pytest.raises(EvoFairError, match=r"[012] of the 2 networks of the front have a random one within 3% of"):
        pairs_of(space, load_profile("raspberry-pi-4"), space.sample(np.random.default_rng(5), 2), 3, draws=500)


def test_the_pairs_are_trained_first_seed_by_seed_and_the_fastest_first() -> None:
    slow, fast = Candidate("slow", "front", 2.0, 1, 1), Candidate("fast", "random", 1.0, 1, 1)
    known = Candidate("known", "resnet-18", 0.5, 1, 1)
    units = [unit for unit, _ in planned([known, slow, fast], 4, [0, 1])]
    pairs = ["fast.e4.s0", "slow.e4.s0", "fast.e4.s1", "slow.e4.s1"]
    assert [unit.name for unit in units] == [*pairs, "known.e4.s0", "known.e4.s1"]
    assert units[0] == Unit("fast", 4, 0)


def test_a_pair_of_which_one_is_missing_is_left_out() -> None:
    pairs = [Candidate(f"{role}{pair}", role, 1.0, 1, 1, (), pair) for role in ("front", "random") for pair in (0, 1)]
    known = Candidate("resnet-18", "resnet-18", 1.0, 1, 1)
    found = paired([*pairs, known], {"front0", "random0", "front1", "resnet-18"})
    assert [one.name for one in found] == ["front0", "random0", "resnet-18"]


PROBLEM = """
title = "lamps"
[data]
source = "image_folder"
image_size = 32
min_samples = 1
[fairness]
group = "site"
[space]
stem = { widths = [8, 16], stride = 2 }
[[space.stage]]
slots = 2
kinds = ["MB", "CB"]
widths = [8, 16]
stride = 2
kernels = { MB = [3, 5] }
expansions = [2, 3]
keep_channels = [8, 16, 24]
[training]
epochs = 2
batch_size = 32
[search]
objectives = ["error", "latency_ms"]
"""


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A problem with 120 images of two sites."""
    path = tmp_path_factory.mktemp("lamps")
    rng = np.random.default_rng(0)
    lines = ["file,label,site"]
    for i in range(120):
        pixels = rng.integers(0, 200, (32, 32, 3)) + 55 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path / f"{i}.png")
        lines.append(f"{i}.png,{('dark', 'bright')[i % 2]},{('north', 'south')[i // 2 % 2]}")
    (path / "labels.csv").write_text("\n".join(lines) + "\n")
    (path / "lamps.toml").write_text(PROBLEM)
    return path


def place_of(lamps: Path, out: Path) -> Workplace:
    problem = load_problem(str(lamps / "lamps.toml"), data=lamps)
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    return Workplace(out, out / "work", problem, dataset, space)


def run_of(lamps: Path, folder: Path) -> Path:
    """The folder of a run whose front is a few random networks."""
    place = place_of(lamps, folder)
    genomes = np.unique(place.space.sample(np.random.default_rng(1), 30), axis=0)
    folder.mkdir()
    rows = [
        (name, " ".join(map(str, genome)), 0.5) for name, genome in zip(place.space.ids(genomes), genomes, strict=True)
    ]
    pd.DataFrame(rows, columns=["id", "genome", "error"]).to_csv(folder / "front.csv", index=False)
    (folder / "run.toml").write_text(
        f'format = 1\n[search]\ngroup = "site"\nobjectives = [{{ name = "error", direction = "min" }}]\n'
        f'[space]\nfingerprint = "{place.space.fingerprint}"\n[data]\nfingerprint = "{place.dataset.fingerprint}"\n'
    )
    return folder


@pytest.mark.slow
def test_the_whole_way_from_a_run_to_the_comparison(
    lamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search_gain, "WIDTHS", (0.1, 0.2))
    monkeypatch.setattr(search_gain, "DRAWN", 500)
    monkeypatch.setattr(search_gain_report, "REPLICATES", 50)
    out, run = tmp_path / "out", run_of(lamps, tmp_path / "run")

    def start(*more: object) -> None:
        given = [lamps / "lamps.toml", "--data", lamps, "--out", out, "--networks", 3, *more]
        monkeypatch.setattr(sys, "argv", ["search_gain.py", *map(str, given)])
        search_gain.main()

    with pytest.raises(EvoFairError, match=r"networks\.json does not exist: name the folder of the search"):
        start()
    start("--run", run, "--limit", 1e-6)
    said = capsys.readouterr().out
    assert "trainings are not finished: the same command goes on" in said
    assert "0 pairs of the front and random networks are finished" in said
    assert not list((out / "units").glob("*"))
    start()
    units = sorted((out / "units").iterdir())
    names = {facts["name"] for facts in read_json(out / "networks.json")["networks"]}
    assert len(units) == 2 * len(names)
    assert {"mobilenet-v2-0.1", "resnet-18-0.1"} & names
    written = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert set(written) == {"networks.json", "table.csv", "comparison.csv", "gain.png", "gain.pdf"}
    table = pd.read_csv(out / "table.csv", comment="#")
    assert set(table["network"]) == names
    assert (table["accuracy_low"] <= table["accuracy"]).all()
    comparison = pd.read_csv(out / "comparison.csv", comment="#")
    random = comparison[comparison["front_minus"] == "random, paired"]
    assert random["metric"].tolist() == ["accuracy", "worst_group_accuracy", "unfairness", "hypervolume"]
    roles = table.groupby("role")["accuracy"].mean()
    assert random["difference"].iloc[0] == pytest.approx(roles["front"] - roles["random"])
    changed = [path.stat().st_mtime_ns for path in units]
    start("--run", run, "--report")
    assert [path.stat().st_mtime_ns for path in units] == changed
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == written
    start("--report", "--beside", out)
    beside = (
        pd.read_csv(out / "comparison.csv", comment="#")
        .set_index("front_minus")
        .loc["front of out of the same latency"]
    )
    assert beside["metric"].tolist() == ["accuracy", "worst_group_accuracy", "unfairness"]
    assert beside["networks"].tolist() == [3, 3, 3]
    assert beside["difference"].tolist() == pytest.approx([0, 0, 0])  # a front has nothing more than itself
    facts = read_json(units[0])
    write_json(units[0], {**facts, "made_of": {**facts["made_of"], "data": "others"}})
    with pytest.raises(RunError, match="was trained on other data or by another recipe: remove it"):
        start()
    with pytest.raises(RunError, match=r"made for another space, device or --networks"):
        start("--networks", 4)


@pytest.mark.slow
def test_trainings_beside_each_other_are_those_one_after_the_other(
    lamps: Path, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [lamps / "lamps.toml", "--data", lamps, "--networks", 3, "--seeds", 4, "--epochs", 1]
    chosen = ["--run", run_of(lamps, tmp_path / "run"), "--out", tmp_path / "chosen", "--report"]
    monkeypatch.setattr(search_gain, "WIDTHS", (0.1, 0.2))
    monkeypatch.setattr(sys, "argv", ["search_gain.py", *map(str, [*given, *chosen])])
    search_gain.main()
    written = []
    for threads in (1, 2):
        out = tmp_path / str(threads)
        out.mkdir()
        shutil.copy(tmp_path / "chosen" / "networks.json", out)
        done = commands.start([*given, "--out", out, "--threads", threads], script=str(SCRIPT)).done()
        assert done.returncode == 0, done.stderr
        assert len(list((out / "units").iterdir())) == len(read_json(out / "networks.json")["networks"])
        written.append((out / "comparison.csv").read_bytes())
    assert written[0] == written[1]


@pytest.mark.slow
def test_a_training_that_the_limit_ended_goes_on_to_the_same_predictions(
    lamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, broken = (place_of(lamps, tmp_path / name) for name in ("straight", "broken"))
    genome = tuple(straight.space.smallest().tolist())
    candidate, unit = Candidate("small", "front", 1.0, 1, 1, genome, 0), Unit("small", 3, 0)
    clock = iter([0.0, 0.0, 2.0])
    monkeypatch.setattr("search_gain_units.time.time", lambda: next(clock))
    assert broken.make(unit, candidate, until=1.0) is None
    monkeypatch.undo()
    assert (broken.work / f"{unit.name}.safetensors").is_file()
    resumed, whole = broken.make(unit, candidate), straight.make(unit, candidate)
    assert resumed is not None
    assert whole is not None
    assert (resumed["validation"], resumed["test"]) == (whole["validation"], whole["test"])
    assert not (broken.work / f"{unit.name}.safetensors").exists()


def test_a_front_beside_has_to_be_of_the_same_data_and_recipe(lamps: Path, tmp_path: Path) -> None:
    place, folder, device = place_of(lamps, tmp_path), tmp_path / "others", load_profile("raspberry-pi-4")
    unit = Unit("small", 2, 0)
    with pytest.raises(RunError, match=r"networks\.json does not exist: --beside takes a folder"):
        search_gain.front_beside(place, device, folder, 2, [0])
    candidates = [Candidate("small", "front", 1.0, 1, 1, (0,), 0), Candidate("any", "random", 1.0, 1, 1, (0,), 0)]
    facts = {"networks": [asdict(one) for one in candidates]}
    for other in ({}, {"made_of": {"device": load_profile("odroid-n2-plus").sha256}}):
        write_json(folder / "networks.json", facts | other)
        with pytest.raises(RunError, match="has latencies of another device than raspberry-pi-4: give that one"):
            search_gain.front_beside(place, device, folder, 2, [0])
    write_json(folder / "networks.json", facts | {"made_of": {"device": device.sha256}})
    with pytest.raises(RunError, match=r"small\.e2\.s0\.json is missing: train that front first"):
        search_gain.front_beside(place, device, folder, 2, [0])
    made_of = {**place.made_of(unit, candidates[0]), "space": "another", "genome": [9, 9]}
    path, told = folder / "units" / f"{unit.name}.json", {"made_of": made_of, "test": "01"}
    write_json(path, told)
    assert search_gain.front_beside(place, device, folder, 2, [0]) == {
        Candidate("small", "front of others", 1.0, 1, 1, (0,), None): [told]
    }
    for wrong in (
        {"made_of": {**made_of, "data": "other"}},
        {"made_of": {**made_of, "recipe": {}}},
        {"diverged": "so"},
    ):
        write_json(path, told | wrong)
        with pytest.raises(RunError, match="diverged, or was trained on other data or by another recipe than lamps"):
            search_gain.front_beside(place, device, folder, 2, [0])


def test_a_run_on_another_space_data_or_group_is_refused(lamps: Path, tmp_path: Path) -> None:
    run, place = run_of(lamps, tmp_path / "run"), place_of(lamps, tmp_path)
    text = (run / "run.toml").read_text()
    for old, new, message in (
        (place.space.fingerprint, "else", "is of another space than lamps"),
        (place.dataset.fingerprint, "else", "is of another data than lamps"),
        ('"site"', '"class"', "looked at class, not at site"),
    ):
        (run / "run.toml").write_text(text.replace(old, new))
        with pytest.raises(RunError, match=message):
            search_gain.front_of(place, run)

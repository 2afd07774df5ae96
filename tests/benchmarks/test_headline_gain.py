"""Trainings of `search_gain` count in the headline as its own do, where they were made as it makes them."""

from dataclasses import asdict, replace
from pathlib import Path

import headline_units
import pytest
import search_gain_units
from headline_gain import finished_trainings, judged_genomes
from headline_units import Unit, Workplace
from headline_variants import read_variants
from search_gain_units import FRONT, RANDOM, Candidate
from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import RunError
from evo_fair.files import read_json, write_json
from evo_fair.nets import Supernet
from evo_fair.problem import Problem
from evo_fair.proxy.supernets import StoredSupernet
from evo_fair.space import SearchSpace

OURS = Unit("ours", "scratch", "plain", 1, 0)
KNOWN = Unit("mobilenet-v2-0.1", "scratch", "plain", 1, 0)


@pytest.fixture(scope="module")
def gain(problem: Problem, dataset: Dataset, space: SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `search_gain`: a network of a front, a random one and a known one, trained for an epoch each."""
    folder = tmp_path_factory.mktemp("gain")
    smallest, largest = (tuple(map(int, genome)) for genome in (space.smallest(), space.largest()))
    candidates = [
        Candidate(OURS.network, FRONT, 1.0, 1200, 3400, smallest, 0),
        Candidate("other", RANDOM, 1.0, 1200, 3400, largest, 0),
        Candidate(KNOWN.network, "mobilenet-v2", 2.0, 650, 640),
    ]
    place = search_gain_units.Workplace(folder, folder / "work", problem, dataset, space)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_gain_units, "build_reference", flat)
        for candidate in candidates:
            place.make(search_gain_units.Unit(candidate.name, 1, 0), candidate)
    write_json(folder / "networks.json", {"networks": [asdict(candidate) for candidate in candidates]})
    return folder


@pytest.fixture
def place(
    problem: Problem,
    dataset: Dataset,
    space: SearchSpace,
    stored: StoredSupernet,
    gain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    """The headline's workplace on the digits, without a training of its own."""
    monkeypatch.setattr(headline_units, "build_reference", flat)
    out, work, supernet = tmp_path / "out", tmp_path / "work", Supernet.load(stored.path, space)
    return Workplace(out, work, problem, dataset, space, stored, supernet, judged_genomes(gain), 1.0, gain)


def flat(_name: str, labels: int) -> nn.Module:
    """A known network's stand-in, which takes digits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, labels))


def test_those_of_the_front_and_known_ones_count_with_their_costs(place: Workplace) -> None:
    found = dict(finished_trainings(place))
    assert list(found) == [OURS, KNOWN], "the random one does not count"
    assert (found[KNOWN]["params"], found[KNOWN]["macs"]) == (650, 640)
    variants = read_variants(place, 1)
    assert [(variant.network, variant.ours, len(variant.units)) for variant in variants] == [
        (KNOWN.network, False, 1),
        (OURS.network, True, 1),
    ]


@pytest.mark.parametrize("unit", [OURS, KNOWN], ids=lambda unit: unit.network)
def test_the_headline_trains_the_same_and_its_own_goes_first(place: Workplace, unit: Unit) -> None:
    theirs = dict(finished_trainings(place))[unit]
    own = place.make(unit)
    assert {part: own[part] for part in ("validation", "test")} == {
        part: theirs[part] for part in ("validation", "test")
    }
    assert theirs["onnx_bytes"] == own["onnx_bytes"]
    assert dict(finished_trainings(place))[unit] == own


def test_what_diverged_is_left_out(place: Workplace, tmp_path: Path) -> None:
    gain = copied(place.gain, tmp_path / "gain")
    path = gain / "units" / "ours.e1.s0.json"
    write_json(path, read_json(path) | {"diverged": "in epoch 1"})
    assert list(dict(finished_trainings(replace(place, gain=gain)))) == [KNOWN]


def test_what_was_trained_otherwise_is_refused(place: Workplace, tmp_path: Path) -> None:
    gain = copied(place.gain, tmp_path / "gain")
    path = gain / "units" / f"{KNOWN.network}.e1.s0.json"
    facts = read_json(path)
    write_json(path, facts | {"made_of": facts["made_of"] | {"data": "other"}})
    with pytest.raises(RunError, match=r"mobilenet-v2-0\.1\.e1\.s0\.json was trained on other data"):
        list(finished_trainings(replace(place, gain=gain)))
    with pytest.raises(RunError, match=r"networks\.json does not exist: --gain takes a folder"):
        judged_genomes(tmp_path)


def copied(folder: Path, to: Path) -> Path:
    """The networks and units of a folder of results, in another one."""
    for path in (folder / "networks.json", *(folder / "units").iterdir()):
        write_json(to / path.relative_to(folder), read_json(path))
    return to

"""Which networks the headline trains: chosen by its aims, once, and in an order that is comparable early."""

from argparse import Namespace
from pathlib import Path

import headline
import headline_units
import numpy as np
import pandas as pd
import pytest
from headline import candidates_of, planned, read_candidates, variants_of, with_candidates
from headline_text import _missing
from headline_units import Unit, Workplace, diverged_units, finished_units, labels_of
from headline_variants import Variant, like_of
from torch import nn

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError, NonFiniteError, RunError, UnknownNameError
from evo_fair.export.tuning import Tuning
from evo_fair.files import read_json, write_json
from evo_fair.nets import Supernet
from evo_fair.nets.fair_training import FAIR_TRAINING_CODE
from evo_fair.problem import Problem, Training
from evo_fair.proxy.supernets import StoredSupernet
from evo_fair.space import SearchSpace

# MobileNetV2 has 1,000 parameters and takes 10 ms here.
FRONT = pd.DataFrame(
    [
        ("huge", 0.9, 0.50, 9.0, 900),
        ("compact", 0.8, 0.40, 1.5, 180),  # 5.6 times smaller, 6.7 times faster
        ("quick", 0.7, 0.10, 2.0, 500),  # 5 times faster
        ("small", 0.6, 0.30, 0.9, 45),  # 22 times smaller, 11 times faster
        ("tiny", 0.5, 0.60, 0.8, 10),
    ],
    columns=["id", "accuracy", "unfairness", "latency_ms", "params"],
)


@pytest.fixture
def digits(problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet, tmp_path: Path) -> Workplace:
    """An empty workplace on the digits, where the network 'ours' is the smallest."""
    supernet = Supernet.load(stored.path, space)
    genomes = {"ours": space.smallest()}
    out, work, gain = (tmp_path / name for name in ("out", "work", "gain"))
    return Workplace(out, work, problem, dataset, space, stored, supernet, genomes, 0.5, gain)


def test_each_aim_names_its_best_network_that_no_other_aim_took() -> None:
    assert candidates_of(FRONT, 1, 1000, 10.0) == ["small", "compact", "quick", "huge", "tiny"]
    assert candidates_of(FRONT, 2, 1000, 10.0) == ["small", "tiny", "compact", "quick", "huge"]


def test_an_empty_front_or_no_candidates_are_refused() -> None:
    with pytest.raises(RunError, match="the front is empty"):
        candidates_of(FRONT[:0], 1, 1000, 10.0)
    with pytest.raises(EvoFairError, match="candidates 0: give 1 or more"):
        candidates_of(FRONT, 0, 1000, 10.0)


def test_trainings_come_seed_by_seed_and_only_the_baseline_has_options() -> None:
    asked = Namespace(networks=["mobilenet-v2", "squeezenet", "ours"], starts=None, options=None, seeds=[3, 4])
    units = planned(asked, 7, {"abc": (("scratch", "plain"), ("tuned", "fair"))})
    known = [
        ("mobilenet-v2", "scratch", "plain"),
        ("mobilenet-v2", "scratch", "fair"),
        ("mobilenet-v2", "tuned", "plain"),
        ("mobilenet-v2", "tuned", "fair"),
        ("squeezenet", "scratch", "plain"),
    ]
    variants = [*known, ("abc", "scratch", "plain"), ("abc", "tuned", "fair")]
    assert units == [Unit(*variant, 7, seed) for seed in (3, 4) for variant in variants]
    asked.options = ["balanced"]
    assert planned(asked, 7, {}) == [Unit("mobilenet-v2", "scratch", "balanced", 7, seed) for seed in (3, 4)]
    asked.starts = ["tuned"]
    assert planned(asked, 7, {}) == [Unit("mobilenet-v2", "tuned", "balanced", 7, seed) for seed in (3, 4)]


def test_networks_of_a_fifth_of_the_latency_also_train_from_the_supernet(monkeypatch: pytest.MonkeyPatch) -> None:
    milliseconds = {"mobilenet-v2": 10.0, "quick": 2.0, "slow": 2.1}
    monkeypatch.setattr(headline, "cost", lambda _place, name: (1, milliseconds[name]))
    asked = Namespace(starts=None, options=None)
    place: Workplace = None  # type: ignore[assignment]
    plain = ("scratch", "plain")
    both = {"quick": (plain, ("tuned", "plain"), ("tuned", "fair")), "slow": (plain,)}
    assert variants_of(place, ["quick", "slow"], asked) == both
    asked.options = ["fair", "balanced"]
    assert variants_of(place, ["slow"], asked) == {"slow": (("scratch", "fair"), ("scratch", "balanced"))}
    asked.starts = ["tuned"]
    assert variants_of(place, ["slow"], asked) == {"slow": (("tuned", "fair"), ("tuned", "balanced"))}


def test_candidates_are_those_of_before_unless_the_space_changed(space: SearchSpace, tmp_path: Path) -> None:
    assert read_candidates(tmp_path, space) == {}
    genome = space.smallest().tolist()
    write_json(tmp_path / "candidates.json", {"space": space.fingerprint, "genomes": {"abc": genome}})
    found = read_candidates(tmp_path, space)
    assert {name: (kept.tolist(), kept.dtype) for name, kept in found.items()} == {"abc": (genome, np.int16)}
    write_json(tmp_path / "candidates.json", {"space": "another", "genomes": {}})
    with pytest.raises(RunError, match="is of another search space"):
        read_candidates(tmp_path, space)


def test_a_search_with_a_limit_gives_its_most_accurate_networks() -> None:
    assert headline.most_accurate(FRONT, 2) == ["huge", "compact"]


def test_candidates_and_named_networks_are_trained_together(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = ([*map(int, genome)] for genome in (space.smallest(), space.largest()))
    front = FRONT[:1].assign(id="named", genome=" ".join(map(str, large)))
    monkeypatch.setattr(headline, "read_front", lambda _path: front)
    write_json(tmp_path / "candidates.json", {"space": space.fingerprint, "genomes": {"kept": small}})
    place = Workplace(tmp_path, tmp_path / "work", *[None] * 2, space, None, None, {}, 1.0, tmp_path)  # type: ignore[arg-type]
    asked = Namespace(run=[tmp_path], networks=["ours", "named", "squeezenet"], candidates=2)
    found, ours = with_candidates(place, asked)
    assert ours == ["kept", "named"]
    assert {name: genome.tolist() for name, genome in found.genomes.items()} == {"kept": small, "named": large}
    asked.networks = ["nobody"]
    with pytest.raises(UnknownNameError, match="unknown network 'nobody'"):
        with_candidates(place, asked)
    asked.networks = ["squeezenet"]
    assert with_candidates(place, asked)[1] == []


def test_a_finished_training_is_read_with_what_it_predicts(tmp_path: Path) -> None:
    unit = Unit("abc", "scratch", "plain", 7, 0)
    place = Workplace(tmp_path, tmp_path / "work", *[None] * 8)  # type: ignore[arg-type]
    assert list(finished_units(place.units)) == []
    facts = {"network": "abc", "start": "scratch", "option": "plain", "epochs": 7, "seed": 0, "test": "0613"}
    write_json(place.units / f"{unit.name}.json", facts)
    ((found, kept),) = finished_units(place.units)
    assert found == unit
    assert labels_of(kept, "test").tolist() == [0, 6, 1, 3]


def test_a_known_network_is_tuned_from_one_plain_training_for_all_seeds(
    digits: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train(
        network: nn.Module, _d: Dataset, _g: str, tuning: Tuning, _r: Training, seed: int, *_: object, **__: object
    ) -> None:
        """Adds 1 to the bias, that the next training finds so."""
        bias = network.get_parameter("1.bias").data
        trained.append((seed, tuning.from_scratch, tuning.fairness_weight, float(bias[0])))
        bias += 1

    monkeypatch.setattr(headline_units, "train_network", train)
    monkeypatch.setattr(
        headline_units, "build_reference", lambda _name, n: nn.Sequential(nn.Flatten(), nn.Linear(64, n))
    )
    facts = digits.make(Unit("squeezenet", "tuned", "fair", 2, 1))
    digits.make(Unit("squeezenet", "tuned", "plain", 2, 2))
    first = (0, True, 0.0, 0.0)
    assert trained == [first, (1, False, 0.5, 1.0), (2, False, 0.0, 1.0)]
    assert facts["made_of"]["supernet"] == "none"


def test_a_training_that_diverges_is_finished_and_predicts_nothing(
    digits: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise NonFiniteError("training diverged in epoch 6: the loss is nan")

    monkeypatch.setattr(headline_units, "train_network", diverge)
    unit = Unit("ours", "scratch", "fair", 2, 1)
    assert digits.make(unit)["diverged"] == "training diverged in epoch 6: the loss is nan"
    monkeypatch.setattr(headline_units, "train_network", None)
    assert "diverged" in digits.make(unit)  # not tried again
    path = digits.units / f"{unit.name}.json"
    facts = read_json(path)
    assert facts["made_of"].pop("fair_training_code") == FAIR_TRAINING_CODE
    write_json(path, facts)
    assert "diverged" in digits.make(unit)  # units of before the term was bounded stay
    write_json(path, facts | {"made_of": facts["made_of"] | {"fair_training_code": FAIR_TRAINING_CODE + 1}})
    with pytest.raises(RunError, match="was made of something else"):
        digits.make(unit)
    write_json(path, facts)
    assert list(finished_units(digits.units)) == []
    assert diverged_units(digits.units, 2) == [unit]
    assert diverged_units(digits.units, 3) == []


def test_what_is_missing_and_what_diverged_is_said() -> None:
    way = ("mobilenet-v2", "scratch")
    base = Variant(*way, "plain", tuple(Unit(*way, "plain", 7, seed) for seed in range(2)), {}, {}, {}, 0.0)
    fair = Variant(*way, "fair", (Unit(*way, "fair", 7, 0),), {}, {}, {}, 0.0)
    blank, broken, blank_too, lacking = _missing([base, fair], base, [Unit(*way, "fair", 7, 1)])
    assert broken == "Diverged: mobilenet-v2, fairness term (seed 1)."
    assert lacking.startswith("Not finished yet: mobilenet-v3-small (0 seeds); ")
    assert "mobilenet-v2, trained further, fairness term (0 seeds)" in lacking
    assert "mobilenet-v2, fairness term (" not in lacking
    assert (blank, blank_too) == ("", "")


def test_a_network_of_ours_is_like_mobilenet_that_was_trained_so() -> None:
    plain, further, fair = (
        Variant("mobilenet-v2", start, option, (), {}, {}, {}, 0.0)
        for start, option in (("scratch", "plain"), ("tuned", "plain"), ("tuned", "fair"))
    )
    known = [plain, further, fair]
    ours = {
        (start, option): Variant("abc", start, option, (), {}, {}, {}, 0.0)
        for start in ("scratch", "tuned")
        for option in ("plain", "fair")
    }
    assert like_of(ours["scratch", "plain"], known) is plain
    assert like_of(ours["tuned", "plain"], known) is further
    assert like_of(ours["tuned", "fair"], known) is fair
    assert like_of(ours["scratch", "fair"], known) is None
    assert like_of(plain, known) is None

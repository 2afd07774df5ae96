"""What to measure next: what tells most of a front is chosen first, as the formula for variances says."""

from pathlib import Path

import numpy as np
import pytest

from evo_fair.errors import ProfileError
from evo_fair.latency import load_profile
from evo_fair.latency.measurements import read_layers
from evo_fair.latency.next_measurements import _greedy, campaign_for
from evo_fair.space import SearchSpace

NOISE = 0.1


def left_open(front: np.ndarray, measured: np.ndarray) -> float:
    """The sum of a front's variances after measurements with these slopes, from the inverse of the information."""
    information = np.eye(front.shape[1]) + measured.T @ measured / NOISE**2
    return float(np.trace(front @ np.linalg.inv(information) @ front.T))


def test_each_choice_is_the_one_that_leaves_least_open() -> None:
    rng = np.random.default_rng(0)
    front, candidates = rng.normal(size=(6, 5)), rng.normal(size=(9, 5)) * rng.uniform(0.1, 2, (9, 1))
    chosen = _greedy(front, candidates, NOISE, 4)
    assert len(set(chosen)) == 4
    for step in range(4):
        before = candidates[chosen[:step]]
        left = [
            left_open(front, np.vstack([before, candidates[i]])) if i not in chosen[:step] else np.inf
            for i in range(len(candidates))
        ]
        assert chosen[step] == int(np.argmin(left))


def test_a_front_gives_layers_and_networks_of_its_own(space: SearchSpace) -> None:
    front = space.decode(space.sample(np.random.default_rng(0), 12))
    campaign = campaign_for(load_profile("raspberry-pi-4-pooled"), front, most=10)
    assert len(campaign.names) == len(set(campaign.names)) == len(campaign.table) == 10
    assert campaign.held_out == 0
    rows = {tuple(row) for row in front.reshape(-1, 8).tolist()}
    assert {tuple(row) for row in campaign.table.reshape(-1, 8).tolist()} <= rows | {(0,) * 8}
    assert len(campaign.models()) == 10


def test_a_profile_without_intervals_cannot_tell(space: SearchSpace) -> None:
    front = space.decode(space.sample(np.random.default_rng(0), 2))
    with pytest.raises(ProfileError, match="has no intervals"):
        campaign_for(load_profile("raspberry-pi-4"), front)


def test_a_kit_for_a_run_holds_what_its_front_is_made_of(tmp_path: Path) -> None:
    from evo_fair.cli import main

    run = Path(__file__).parents[2] / "results" / "ham10000"
    arguments = ["calibrate", "--kit", str(tmp_path / "kit"), "--run", str(run), "--device", "raspberry-pi-4-pooled"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)
    names, table = read_layers(tmp_path / "kit" / "layers.csv")
    assert len(names) == len(list((tmp_path / "kit" / "networks").glob("*.onnx"))) == 60
    assert (table[:, 0, 1] == 3).any()

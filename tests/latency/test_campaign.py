"""What is measured: networks that nobody saw stay apart, and a kit needs nothing of evo_fair."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evo_fair.errors import EvoFairError
from evo_fair.latency.campaign import Campaign, make_campaign, write_kit
from evo_fair.latency.measurements import read_measurements
from evo_fair.layers import Op
from evo_fair.space import SearchSpace


@pytest.fixture(scope="module")
def campaign(space: SearchSpace) -> Campaign:
    return make_campaign(space)


def test_held_out_networks_are_in_no_other_part(campaign: Campaign) -> None:
    seen = {rows.tobytes() for rows in campaign.table[:-60]}
    apart = {rows.tobytes() for rows in campaign.table[-60:]}
    assert campaign.held_out == len(apart) == 60
    assert not seen & apart
    assert len(campaign.names) == len(set(campaign.names)) == 220
    assert all(name.startswith("held-out") for name in campaign.names[-60:])
    assert not any(name.startswith("held-out") for name in campaign.names[:-60])


def test_what_is_measured_reaches_beyond_the_space(campaign: Campaign) -> None:
    wild = campaign.table[[name.startswith("beyond") for name in campaign.names]]
    assert set(map(int, np.unique(wild[:, :, 0]))) | {0} == set(map(int, Op))
    assert wild[:, :, 5][wild[:, :, 0] == Op.CONV].max() > 1  # grouped


def test_the_seed_decides(space: SearchSpace, campaign: Campaign) -> None:
    assert (make_campaign(space).table == campaign.table).all()
    other = make_campaign(space, seed=1).table
    assert other.shape != campaign.table.shape or (other != campaign.table).any()


def test_tables_have_a_campaign_too(tabular: SearchSpace) -> None:
    campaign = make_campaign(tabular)
    assert 0 < campaign.held_out < len(campaign.names)
    assert set(np.unique(campaign.table[:, :, 0])) <= {0, int(Op.LINEAR)}


def test_a_kit_measures_by_itself_and_can_be_fitted(campaign: Campaign, tmp_path: Path) -> None:
    few = Campaign(campaign.names[:3], campaign.table[:3], 1)
    kit = tmp_path / "kit"
    write_kit(few, kit)
    assert sorted(path.name for path in kit.iterdir()) == ["README.txt", "layers.csv", "measure.py", "networks"]
    assert "longer where five rounds over all networks do" in (kit / "README.txt").read_text()
    assert "evo_fair" not in (kit / "measure.py").read_text().replace("evo_fair_", "")
    # -I keeps the checkout off the path: the script has to stand alone.
    command = [sys.executable, "-I", str(kit / "measure.py"), "--minutes", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "3 networks, 5 rounds: repeatability" in done.stdout
    measured = read_measurements(kit / "layers.csv", kit / "latency.csv")
    assert measured.names == few.names
    assert (measured.latency_ms > 0).all()


def test_a_kit_overwrites_nothing(campaign: Campaign, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(EvoFairError, match="exists and is not empty: give the kit a folder of its own"):
        write_kit(campaign, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

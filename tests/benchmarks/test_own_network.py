"""Pruned forms of a network beside other pruning: shares of channels for a latency, the whole way on the digits."""

import shutil
from pathlib import Path

import own_network
import pandas as pd
import pytest
from own_network import STEPS, _largest
from safetensors.torch import save_file

from evo_fair.errors import EvoFairError

from ..cli.test_search_module import FILE
from ..commands import Commands
from ..own.conftest import digits_task

SCRIPT = Path(own_network.__file__)


def test_the_largest_share_that_is_fast_enough_is_found() -> None:
    assert _largest(lambda share: 10 * share, 5.0) == 0.5
    assert _largest(lambda share: 10 * share, 4.99) == 0.5 - 1 / STEPS
    with pytest.raises(EvoFairError, match=r"no share of the channels takes at most 0\.05 ms"):
        _largest(lambda share: 10 * share, 0.05)


@pytest.mark.slow
def test_the_script_goes_the_whole_way_and_begins_nothing_twice(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    names: dict[str, object] = {}
    exec(FILE, names)
    network = names["network"]()  # type: ignore[operator]
    digits_task().train(network, 5, 0)
    save_file(
        {name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "w.safetensors"
    )
    options = [
        "--budget",
        "24",
        "--trainings",
        "0",
        "--shares",
        "0.985",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--replicates",
        "20",
        "--jobs",
        "1",
    ]
    options += ["--weights", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")]
    command = ["digits", f"{tmp_path}/mine.py:network", *options]
    first = commands.start(command, script=str(SCRIPT)).done()
    assert first.returncode == 0, first.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv", comment="#")
    assert table["method"].tolist() == ["dense", "front", "uniform", "ballot"]
    assert (table["latency_ms"][1:] <= 0.985 * table["latency_ms"][0]).all()
    assert len(pd.read_csv(tmp_path / "out" / "differences.csv", comment="#")) == 9
    limit = f"latency_ms <= {0.985 * table['latency_ms'][0]:.3g}"
    assert limit in (tmp_path / "out" / "run" / "run.toml").read_text()
    refused = commands.start([*command, "--shares", "0.985", "0.001"], script=str(SCRIPT)).done()
    assert refused.returncode == 2
    assert "the smallest pruned form takes " in refused.stderr
    (tmp_path / "out" / "table.csv").unlink()
    shutil.rmtree(tmp_path / "out" / "run" / "own")  # a report needs no weights
    again = commands.start([*command, "--report", "--seeds", "2"], script=str(SCRIPT)).done()
    assert again.returncode == 0, again.stderr
    assert "3 of 7 are left to make" in again.stdout
    assert pd.read_csv(tmp_path / "out" / "table.csv", comment="#")["seeds"].tolist() == [1] * 4
    assert "1/" not in again.stdout.partition("method")[0]

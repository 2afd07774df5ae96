"""The GPU's benchmark: one line where there is no GPU, and else a row for it beside the CPU's."""

from pathlib import Path

import gpu
import pytest

from evo_fair.nets.device import TorchDevice
from evo_fair.problem import load_problem


@pytest.mark.parametrize("device", ["cuda:99", "cpu", "tpu"])
def test_without_a_gpu_it_says_so_in_one_line(device: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert gpu.main(["--torch-device", device, "--out", str(tmp_path / "gpu.csv")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert f"torch device '{device}'" in printed.err
    assert not (tmp_path / "gpu.csv").exists()


@pytest.mark.slow
def test_both_are_measured_in_one_run() -> None:
    problem = load_problem("digits")
    training = problem.training.model_copy(update={"epochs": 1})
    table = gpu.measure(
        problem.model_copy(update={"training": training}), TorchDevice("cpu", accelerated=True), networks=8, epochs=1
    )
    assert len(table) == 2
    assert table["tau"].tolist()[0] == 1
    assert table["tau"].tolist()[1] > 0.9
    assert (table[["epoch_seconds", "networks_a_second"]] > 0).all(axis=None)

"""Eight-bit networks."""

from pathlib import Path

import numpy as np
import onnx
from typer.testing import CliRunner

from evo_fair.cli import app
from evo_fair.data import Dataset
from evo_fair.export import export_onnx, onnx_logits
from evo_fair.export.quantise import quantise_onnx
from evo_fair.export.reference import open_reference
from evo_fair.problem import Problem
from evo_fair.proxy.supernets import StoredSupernet, proxy_source
from evo_fair.space import SearchSpace


def told(path: Path, device: str) -> str:
    output = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["predict", str(path), "--device", device]).output
    return output.replace("\n", " ")


def test_eight_bits_predict_nearly_the_same(
    problem: Problem, dataset: Dataset, space: SearchSpace, stored: StoredSupernet, tmp_path: Path
) -> None:
    proxy = proxy_source(problem, dataset, space, stored.path).open()
    export_onnx(proxy.network(space.largest()), dataset.input_shape, tmp_path / "a.onnx")
    training = proxy.calibration.contiguous().numpy()
    for name in ("b.onnx", "c.onnx"):
        quantise_onnx(tmp_path / "a.onnx", tmp_path / name, training)
    assert (tmp_path / "b.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx", "c.onnx"]

    x = proxy.samples.contiguous().numpy()
    before, after = (onnx_logits(tmp_path / name, x) for name in ("a.onnx", "b.onnx"))
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.95
    assert 0 < np.abs(before - after).max() < 0.2 * np.ptp(before)

    floats, integers = (open_reference(tmp_path / name, dataset).precision for name in ("a.onnx", "b.onnx"))
    assert (floats, integers) == ("fp32", "int8")
    assert "8-bit integers, the profile was measured in fp32" in told(tmp_path / "b.onnx", "raspberry-pi-4")
    assert "floating-point numbers, the profile was measured in int8" in told(
        tmp_path / "a.onnx", "raspberry-pi-4-int8"
    )
    assert "the profile was measured" not in told(tmp_path / "b.onnx", "raspberry-pi-4-int8")

    stored_as = {tensor.data_type for tensor in onnx.load(tmp_path / "b.onnx").graph.initializer if tensor.dims}
    assert onnx.TensorProto.INT8 in stored_as
    assert (tmp_path / "b.onnx").stat().st_size < (tmp_path / "a.onnx").stat().st_size

"""ONNX files of others: run once before anything is trained, examined only where their card and inputs fit."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.data import Dataset
from evo_fair.deploy.reference import open_reference
from evo_fair.errors import EvoFairError
from evo_fair.files import sha256_of, write_json

SIZES = (1, 8, 8)


def write_reference(path: Path, sizes: tuple[Any, ...], kind: int = TensorProto.FLOAT) -> Path:
    """A linear classifier of the digits' images."""
    nodes = [
        helper.make_node("Cast", ["input"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["output"]),
    ]
    weight = numpy_helper.from_array(np.ones((64, 10), np.float32), "weight")
    ends = (
        (helper.make_tensor_value_info("input", kind, sizes),),
        (helper.make_tensor_value_info("output", TensorProto.FLOAT, [sizes[0], 10]),),
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "linear", *ends, [weight]), opset_imports=[opset], ir_version=9),
        path,
    )
    return path


def card(dataset: Dataset) -> dict[str, Any]:
    return {
        "input": {"shape": list(SIZES), "mean": [0.0], "scale": [1.0]},
        "labels": list(dataset.label_names),
        "data": {"fingerprint": dataset.fingerprint},
    }


def test_a_file_with_a_card_that_fits_is_examined_one_without_is_timed(dataset: Dataset, tmp_path: Path) -> None:
    path = write_reference(tmp_path / "own.onnx", ("batch", *SIZES))
    assert open_reference(path, dataset).scaling is None
    write_json(path.with_suffix(".json"), card(dataset))
    assert open_reference(path, dataset).scaling is not None


def test_a_file_that_is_not_its_card_s_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = write_reference(tmp_path / "own.onnx", ("batch", *SIZES))
    write_json(path.with_suffix(".json"), card(dataset) | {"onnx": {"sha256": sha256_of(path)}})
    assert open_reference(path, dataset).scaling is not None
    content = path.read_bytes()
    place = content.index(np.ones(8, np.float32).tobytes()) + 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])  # a weight's bit
    with pytest.raises(EvoFairError, match=r"own\.onnx is not the file that own\.json was written for: it is damaged"):
        open_reference(path, dataset)


@pytest.mark.parametrize("sizes", [(1, *SIZES), ("batch", 1, 4, 16)])
def test_a_file_that_takes_other_inputs_than_its_card_says_is_timed(
    dataset: Dataset, tmp_path: Path, sizes: tuple[Any, ...]
) -> None:
    path = write_reference(tmp_path / "own.onnx", sizes)
    write_json(path.with_suffix(".json"), card(dataset))
    assert open_reference(path, dataset).scaling is None


def test_a_file_that_cannot_be_timed_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EvoFairError, match=r"there is no file .*gone\.onnx: give the path"):
        open_reference(tmp_path / "gone.onnx", dataset)
    path = write_reference(tmp_path / "bytes.onnx", ("batch", *SIZES), TensorProto.UINT8)
    with pytest.raises(EvoFairError, match=r"bytes\.onnx does not run in ONNX Runtime on float32 inputs .*uint8"):
        open_reference(path, dataset)
    path = write_reference(tmp_path / "free.onnx", ("batch", 1, "height", "width"))
    with pytest.raises(EvoFairError, match=r"free\.onnx does not fix its input's size: export it"):
        open_reference(path, dataset)

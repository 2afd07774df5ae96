"""ONNX files of others: run once before anything is trained, examined only where their card and inputs fit."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.export.reference import open_reference
from evo_fair.files import sha256_of, write_json

from ..latency.onnx_zoo import ZOO
from ..latency.test_onnx_mutations import COUNT, LONGEST_SECONDS, SEED, edited

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


def test_a_file_that_costs_too_much_is_refused_before_it_runs(dataset: Dataset, tmp_path: Path) -> None:
    """A few hundred bytes that speak of tensors of gigabytes, or of loops without end."""
    large = numpy_helper.from_array(np.array([1, 1, 2**15, 2**15], np.int64), "large")
    begin = (helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *SIZES]),)
    end = (helper.make_tensor_value_info("output", TensorProto.FLOAT, None),)
    ones = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "ones")
    cases = {
        "values in memory": [
            helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2, 3]),
            helper.make_node("Expand", ["mean", "large"], ["output"]),
        ],
        "values in memory,": [
            helper.make_node("Expand", ["ones", "large"], ["constant"]),
            helper.make_node("ReduceMean", ["constant"], ["small"]),
            helper.make_node("Add", ["input", "small"], ["output"]),
        ],
    }
    for message, nodes in cases.items():
        graph = helper.make_graph(nodes, "large", begin, end, [large, ones])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / "large.onnx")
        with pytest.raises(EvoFairError, match=rf"has \d\.\de\+09 {message}.* and a reference may have 2\.7e\+08"):
            open_reference(tmp_path / "large.onnx", dataset)


def test_damaged_files_are_refused_or_run(dataset: Dataset, tmp_path: Path) -> None:
    """As many as `tests.latency.test_onnx_mutations` says, by 40: those that are read are run in a process each."""
    ZOO["plain-torch-17"](tmp_path / "whole.onnx")
    for i in range(max(COUNT // 40, 1)):
        content = edited((tmp_path / "whole.onnx").read_bytes(), np.random.default_rng((SEED, i)))
        (tmp_path / "x.onnx").write_bytes(content)
        begun = time.perf_counter()
        try:
            assert open_reference(tmp_path / "x.onnx", dataset).scaling is None
        except EvoFairError as refusal:
            message = str(refusal)
        else:
            message = ""
        assert "\n" not in message
        assert time.perf_counter() - begun < 3 * LONGEST_SECONDS  # with the start of a process

"""Which axis is the batch: found by what operators do along it, else figures are those of the whole input."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from evo_fair.latency.onnx_file import InputShapeError
from evo_fair.latency.onnx_graph import read_onnx

from .onnx_zoo import ZOO, Lambda, conv, encoder, export, integers, recurrent, save, weights


def test_a_batch_of_images_gives_the_figures_of_one(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    export(path, nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 4)), [torch.zeros(1, 3, 16, 16)], free={"x": {0: "n"}})
    one, eight = read_onnx(path), read_onnx(path, (8, 3, 16, 16))
    assert (one.batch, eight.batch) == (1, 8)
    assert one.layers == eight.layers
    assert one.peak_values == eight.peak_values
    assert eight.input_shape == (8, 3, 16, 16)


def test_a_batch_that_the_file_fixes_is_found_by_its_convolutions(tmp_path: Path) -> None:
    export(tmp_path / "x.onnx", conv(3, 8), [torch.zeros(5, 3, 16, 16)])
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.batch == 5
    assert graph.macs == 8 * 27 * 256


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (lambda: recurrent(nn.LSTM), (128, 1, 20), 128 * (64 * 36 + 16 * 5)),
        (lambda: nn.Sequential(nn.Linear(20, 8), nn.ReLU()), (128, 1, 20), 128 * 160),
        (lambda: encoder(batch_first=False), (12, 1, 32), 2 * 12 * (32 * 96 + 32 * 32 + 2 * 32 * 64 + 2 * 12 * 32)),
    ],
)
def test_a_sequence_is_counted_whole(
    module: Callable[[], nn.Module], shape: tuple[int, ...], macs: int, tmp_path: Path
) -> None:
    export(tmp_path / "x.onnx", module(), [torch.zeros(shape)])
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.batch is None
    assert graph.macs == macs


def test_an_image_without_a_batch_is_counted_whole(tmp_path: Path) -> None:
    ZOO["image-without-batch"](tmp_path / "x.onnx")
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.batch is None
    assert graph.macs == 4 * 27 * 14 * 14


def attention() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        return (x.transpose(0, 1) @ x.permute(1, 2, 0)).softmax(-1) @ layers["value"](x).transpose(0, 1)

    return Lambda(run, value=nn.Linear(20, 20))


@pytest.mark.parametrize("module", [lambda: recurrent(nn.GRU), attention])
def test_a_free_axis_that_is_no_batch_is_asked_for(module: Callable[[], nn.Module], tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    export(path, module(), [torch.zeros(9, 1, 20)], free={"x": {0: "t"}})
    with pytest.raises(InputShapeError, match="its input 'x' open, and nothing shows that it is a batch"):
        read_onnx(path)
    assert read_onnx(path, (9, 1, 20)).batch is None


def test_what_is_summed_over_is_no_batch(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("ReduceMean", ["m"], ["y"], axes=[0], keepdims=0),
    ]
    save(tmp_path / "x.onnx", nodes, weights(w=(8, 4)), {"x": [100, 8]})
    graph = read_onnx(tmp_path / "x.onnx", (100, 8))
    assert graph.batch is None
    assert graph.macs == 100 * 32


def test_a_file_for_one_sample_alone_is_read_as_such(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Reshape", ["c", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    constants = [*weights(w=(4, 3, 1, 1), v=(64, 2)), *integers(flat=[1, 64])]
    save(tmp_path / "x.onnx", nodes, constants, {"x": ["N", 3, 4, 4]})
    assert read_onnx(tmp_path / "x.onnx").macs == 4 * 3 * 16 + 128


def test_a_loop_that_runs_once_for_each_row_is_no_batch(tmp_path: Path) -> None:
    """Each of n passes multiplies all n rows."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["h", "w"], ["g"]), helper.make_node("Identity", ["c"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("g", onnx.TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Loop", ["n", "", "x"], ["y"], body=body),
    ]
    save(tmp_path / "x.onnx", nodes, [*weights(w=(8, 8)), *integers(first=0)], {"x": ["N", 8]})
    graph = read_onnx(tmp_path / "x.onnx", (20, 8))
    assert (graph.batch, graph.macs) == (None, 20 * 20 * 8 * 8)
    with pytest.raises(InputShapeError, match="give --input-shape with a size for it"):
        read_onnx(tmp_path / "x.onnx")

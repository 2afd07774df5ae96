"""Multiply-accumulates of operators that are no plain convolution or product, worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from evo_fair.latency.onnx_file import InputShapeError
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx
from evo_fair.layers import Op

from .onnx_zoo import save, weights

Shape = tuple[int, ...]


def of_node(
    path: Path, operator: str, shapes: list[Shape], *, opset: int = 17, domain: str = "", **options: Any
) -> GraphLayers:
    """A network of one operator whose first input is the network's, the others constants."""
    names = ["x", *(f"w{i}" for i in range(1, len(shapes)))]
    node = helper.make_node(operator, names, ["y"], domain=domain, **options)
    save(path, [node], weights(**dict(zip(names[1:], shapes[1:], strict=True))), {"x": list(shapes[0])}, opset=opset)
    return read_onnx(path)


@pytest.mark.parametrize(
    ("equation", "shapes", "macs", "row"),
    [
        ("bij,jk->bik", [(1, 196, 192), (192, 768)], 196 * 192 * 768, (192, 768, 196)),
        ("bhid,bhjd->bhij", [(2, 4, 10, 8), (2, 4, 12, 8)], 2 * 4 * 10 * 12 * 8, (8, 12, 80)),
        ("ij,ij->", [(6, 7), (6, 7)], 42, (42, 1, 1)),
        ("...ij,jk->...ik", [(3, 5, 6, 7), (7, 2)], 3 * 5 * 6 * 7 * 2, (7, 2, 90)),
        ("ij,jk", [(6, 7), (7, 3)], 6 * 7 * 3, (7, 3, 6)),
        ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5, (4, 5, 2)),
    ],
)
def test_einsum_multiplies_every_index_of_a_step(
    equation: str, shapes: list[Shape], macs: int, row: Shape, tmp_path: Path
) -> None:
    layer = of_node(tmp_path / "x.onnx", "Einsum", shapes, equation=equation).layers[0]
    assert layer.macs == macs
    c_in, c_out, rows = row
    assert (layer.row[1], layer.row[2], layer.row[6]) == (c_in, c_out, rows)


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize(("direction", "count"), [("forward", 1), ("bidirectional", 2)])
def test_recurrent_layers_multiply_input_and_state_at_each_step(
    operator: str, gates: int, direction: str, count: int, tmp_path: Path
) -> None:
    shapes = [(50, 1, 10), (count, gates * 16, 10), (count, gates * 16, 16), (count, 2 * gates * 16)]
    graph = of_node(tmp_path / "x.onnx", operator, shapes, hidden_size=16, direction=direction)
    assert graph.macs == 50 * count * gates * 16 * (10 + 16)
    assert graph.params == count * gates * 16 * (10 + 16 + 2)
    assert [s.operator for s in graph.stand_ins] == [operator]
    assert graph.time_at_least
    assert not graph.macs_at_least


def test_convolutions_in_three_dimensions_have_all_their_taps(tmp_path: Path) -> None:
    graph = of_node(tmp_path / "x.onnx", "Conv", [(1, 2, 6, 7, 8), (4, 2, 3, 3, 3)])
    assert graph.macs == 4 * 2 * 27 * 4 * 5 * 6
    assert graph.layers[0].row[0] == Op.CONV


def test_attention_is_two_products(tmp_path: Path) -> None:
    shapes = [(1, 10, 32), (1, 12, 32), (1, 12, 32)]
    graph = of_node(tmp_path / "x.onnx", "MultiHeadAttention", shapes, domain="com.microsoft", num_heads=4)
    assert graph.macs == 2 * 10 * 12 * 32
    shapes = [(1, 10, 32), (32, 96), (96,)]
    graph = of_node(tmp_path / "x.onnx", "Attention", shapes, domain="com.microsoft", num_heads=4)
    assert graph.macs == 10 * 32 * 96 + 2 * 10 * 10 * 32


def test_weights_from_the_left_are_a_product_of_as_many_rows(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["w", "x"], ["y"])
    save(tmp_path / "x.onnx", [node], weights(w=(5, 12)), {"x": [1, 12, 7]})
    layer = read_onnx(tmp_path / "x.onnx").layers[0]
    assert layer.macs == 5 * 12 * 7
    assert layer.row == (Op.CONV, 12, 5, 1, 1, 1, 7, 1)


@pytest.mark.parametrize(
    ("operator", "shapes", "options", "message"),
    [
        ("Conv", [(1, 32, 32, 3), (8, 3, 3, 3)], {}, "its weights are for 3 channels, its input has 32"),
        ("Conv", [(1, 8, 32, 32), (8, 3, 3, 3)], {"group": 2}, "its weights are for 6 channels, its input has 8"),
        ("ConvTranspose", [(1, 8, 9, 9), (4, 8, 3, 3)], {}, "its weights are for 4 channels, its input has 8"),
        ("MatMul", [(1, 9), (8, 3)], {}, "do not fit together"),
        ("LSTM", [(9, 1, 10), (1, 64, 12), (1, 64, 16)], {"hidden_size": 16}, "for 12 features and 16 states"),
        ("Einsum", [(3, 4), (5, 6)], {"equation": "ij,jk->ik"}, ""),
    ],
)
def test_shapes_that_do_not_fit_their_weights_are_refused(
    operator: str, shapes: list[Shape], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputShapeError, match=rf"node 'y' \({operator}\) does not fit its input .*{message}"):
        of_node(tmp_path / "x.onnx", operator, shapes, **options)


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceMax", "ArgMax"])
def test_what_makes_less_than_it_reads_takes_the_time_of_reading(kind: str, tmp_path: Path) -> None:
    axis = {"axis": 1} if kind == "ArgMax" else {"axes": [1]}
    node = helper.make_node(kind, ["c"], ["y"], keepdims=1, **axis)
    conv = helper.make_node("Conv", ["x", "w"], ["c"])
    save(tmp_path / "x.onnx", [conv, node], weights(w=(32, 3, 1, 1)), {"x": [1, 3, 6, 6]}, opset=13)
    layer = read_onnx(tmp_path / "x.onnx").layers[1]
    assert layer.row[:2] + layer.row[6:] == (Op.ACTIVATION, 32, 6, 6)

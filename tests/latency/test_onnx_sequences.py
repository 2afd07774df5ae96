"""Lists of tensors, as scripted networks hold them: what they are cut into and joined to."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from evo_fair.latency.onnx_file import InputShapeError, OnnxFile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.onnx_sequences import infer_sequence
from evo_fair.latency.onnx_value import Value
from evo_fair.latency.onnx_values import infer

from .onnx_zoo import save, weights

Shapes = tuple[tuple[int, ...], ...]
X = Value("x", (1, 6, 4))


def whole(number: int | list[int]) -> Value:
    data = np.array(number, np.int64)
    return Value("n", data.shape, onnx.TensorProto.INT64, data, constant=True)


def listed(*items: tuple[int, ...]) -> Value:
    return Value("s", None, items=items)


def made(kind: str, *inputs: Value | None, **options: int) -> Value:
    names = [f"i{number}" if value is not None else "" for number, value in enumerate(inputs)]
    node = helper.make_node(kind, names, ["y"], **options)
    return infer(OnnxFile(Path("x.onnx"), onnx.ModelProto(ir_version=8), {"": 17}), node, inputs, "")[0]


@pytest.mark.parametrize(
    ("sizes", "options", "items"),
    [
        (None, {"axis": 1}, ((1, 1, 4),) * 6),
        (None, {"axis": -1, "keepdims": 0}, ((1, 6),) * 4),
        (whole(4), {"axis": 1}, ((1, 4, 4), (1, 2, 4))),
        (whole([1, 5]), {"axis": 1}, ((1, 1, 4), (1, 5, 4))),
    ],
)
def test_a_tensor_is_cut_along_an_axis(sizes: Value | None, options: dict[str, int], items: Shapes) -> None:
    given = (X,) if sizes is None else (X, sizes)
    assert made("SplitToSequence", *given, **options).items == items


def test_lists_are_made_added_to_and_taken_from() -> None:
    a, b = (1, 6, 4), (2, 2)
    assert made("SequenceConstruct", X, Value("b", b)).items == (a, b)
    assert made("SequenceEmpty").items == ()
    assert made("SequenceInsert", listed(b), X).items == (b, a)
    assert made("SequenceInsert", listed(b), X, whole(0)).items == (a, b)
    assert made("SequenceErase", listed(a, b)).items == (a,)
    assert made("SequenceErase", listed(a, b), whole(-2)).items == (b,)
    assert made("SequenceAt", listed(a, b), whole(1)).shape == b
    length = made("SequenceLength", listed(a, b))
    assert length.data is not None
    assert int(length.data) == 2
    assert made("OptionalGetElement", made("Optional", X)).shape == a


def test_items_are_joined_along_an_axis_or_a_new_one() -> None:
    assert made("ConcatFromSequence", listed((1, 6, 4), (1, 2, 4)), axis=1).shape == (1, 8, 4)
    assert made("ConcatFromSequence", listed((6, 4), (6, 4)), axis=-1, new_axis=1).shape == (6, 4, 2)
    with pytest.raises(InputShapeError, match="do not fit together"):
        made("ConcatFromSequence", listed((6, 4), (6, 5)), axis=0, new_axis=1)


def test_what_only_the_data_tell_is_left_open_and_places_outside_are_refused() -> None:
    unknown = Value("n", (), onnx.TensorProto.INT64)
    assert made("SequenceAt", listed((1,), (2,)), unknown).shape is None
    assert made("SequenceAt", listed((2,), (2,)), unknown).shape == (2,)
    assert made("SequenceErase", listed((1,), (2,)), unknown).items is None
    assert made("ConcatFromSequence", Value("s"), axis=0).shape is None
    with pytest.raises(LookupError, match="place 2 of 2"):
        made("SequenceAt", listed((1,), (2,)), whole(2))
    with pytest.raises(InputShapeError, match="parts of 5 in all of an axis of 6"):
        infer_sequence(
            helper.make_node("SplitToSequence", ["x", "n"], ["y"], axis=1), "SplitToSequence", [X, whole([5])], X
        )


def test_a_network_that_cuts_and_joins_counts_what_follows(tmp_path: Path) -> None:
    sizes = numpy_helper.from_array(np.array([2, 6], np.int64), "n")
    nodes = [
        helper.make_node("SplitToSequence", ["x", "n"], ["s"], axis=1),
        helper.make_node("ConcatFromSequence", ["s"], ["j"], axis=1),
        helper.make_node("Conv", ["j", "w"], ["y"]),
    ]
    save(tmp_path / "x.onnx", nodes, [*weights(w=(4, 8, 3, 3)), sizes], {"x": [1, 8, 16, 16]})
    graph = read_onnx(tmp_path / "x.onnx")
    assert graph.macs == 4 * 8 * 9 * 14 * 14
    assert not graph.macs_at_least

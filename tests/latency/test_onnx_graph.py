"""ONNX graphs as layer tables: both torch exporters, the usual operators, and what is unknown is said."""

import copy
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from evo_fair.errors import EvoFairError
from evo_fair.latency.onnx_graph import GraphLayers, read_onnx
from evo_fair.layers import Op, params, peak_memory_bytes


class Excite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        return x * functional.hardsigmoid(self.excite(y))


class Inverted(nn.Module):
    def __init__(self, c_in: int, hidden: int, c_out: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.shortcut = stride == 1 and c_in == c_out
        self.body = nn.Sequential(
            nn.Conv2d(c_in, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            activation(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            Excite(hidden),
            nn.Conv2d(hidden, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.plain = Inverted(16, 32, 16, 1, nn.ReLU)
        self.swish = Inverted(16, 48, 24, 2, nn.SiLU)
        self.grouped = nn.Conv2d(24, 48, 3, padding=1, groups=4)
        self.head = nn.Sequential(nn.MaxPool2d(2), nn.Dropout())
        self.classifier = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.grouped(self.swish(self.plain(self.stem(x)))))
        return self.classifier(self.head(x).mean((2, 3)))


EVERYTHING = [
    (Op.CONV, 3, 16, 3, 2, 1, 32, 32),
    (Op.CONV, 16, 32, 1, 1, 1, 16, 16),
    (Op.DEPTHWISE, 32, 32, 3, 1, 32, 16, 16),
    (Op.GLOBAL_POOL, 32, 32, 1, 1, 1, 16, 16),
    (Op.LINEAR, 32, 8, 1, 1, 1, 1, 1),
    (Op.LINEAR, 8, 32, 1, 1, 1, 1, 1),
    (Op.ACTIVATION, 32, 32, 1, 1, 1, 1, 1),
    (Op.MUL, 32, 32, 1, 1, 1, 16, 16),
    (Op.CONV, 32, 16, 1, 1, 1, 16, 16),
    (Op.ADD, 16, 16, 9, 1, 1, 16, 16),
    (Op.CONV, 16, 48, 1, 1, 1, 16, 16),
    (Op.ACTIVATION, 48, 48, 1, 1, 1, 16, 16),  # x * sigmoid(x) is one
    (Op.DEPTHWISE, 48, 48, 3, 2, 48, 16, 16),
    (Op.GLOBAL_POOL, 48, 48, 1, 1, 1, 8, 8),
    (Op.LINEAR, 48, 8, 1, 1, 1, 1, 1),
    (Op.LINEAR, 8, 48, 1, 1, 1, 1, 1),
    (Op.ACTIVATION, 48, 48, 1, 1, 1, 1, 1),
    (Op.MUL, 48, 48, 1, 1, 1, 8, 8),
    (Op.CONV, 48, 24, 1, 1, 1, 8, 8),
    (Op.CONV, 24, 48, 3, 1, 4, 8, 8),
    (Op.POOL, 48, 48, 2, 2, 1, 8, 8),
    (Op.GLOBAL_POOL, 48, 48, 1, 1, 1, 4, 4),
    (Op.LINEAR, 48, 10, 1, 1, 1, 1, 1),
]


def export(path: Path, *, dynamo: bool, folded: bool, batch: bool = False, side: bool = False) -> Path:
    example = (torch.zeros(1, 3, 32, 32),)
    options: dict[str, object] = {"dynamo": dynamo, "input_names": ["x"]}
    if not folded:
        options |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    if batch or side:
        axes = ({0: "batch"} if batch else {}) | ({2: "height", 3: "width"} if side else {})
        options["dynamic_axes"] = {"x": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Everything().eval(), example, path, **options)
    return path


@pytest.mark.parametrize(
    ("dynamo", "folded"),
    [(False, True), (False, False), pytest.param(True, True, marks=pytest.mark.slow)],
)
def test_torch_exports_become_the_table_worked_out_by_hand(dynamo: bool, folded: bool, tmp_path: Path) -> None:
    path = export(tmp_path / "x.onnx", dynamo=dynamo, folded=folded)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert ("BatchNormalization" in operators) is not folded
    graph = read_onnx(path)
    assert [tuple(int(v) for v in layer.row) for layer in graph.layers] == [tuple(map(int, row)) for row in EVERYTHING]
    assert graph.unknown == ()
    network = Everything()
    weights = sum(parameter.numel() for parameter in network.parameters())
    scales = sum(norm.weight.numel() for norm in network.modules() if isinstance(norm, nn.BatchNorm2d))
    assert sum(layer.params for layer in graph.layers) == weights - scales  # a folded norm leaves its shift


@pytest.mark.parametrize(
    ("norm", "moved"),
    [
        (nn.GroupNorm(4, 8), False),
        (nn.GroupNorm(4, 8), True),
        (nn.GroupNorm(4, 8, affine=False), False),
        (nn.InstanceNorm2d(8, affine=True), False),
        (nn.InstanceNorm2d(8, affine=True), True),
        (nn.InstanceNorm2d(8), False),
        (nn.LayerNorm([8, 5, 5]), False),
        (nn.LayerNorm([8, 5, 5]), True),
        (nn.LayerNorm([8, 5, 5], elementwise_affine=False), False),
    ],
)
@pytest.mark.parametrize("trained", [False, True])
def test_what_exporters_make_up_for_a_norm_is_no_parameter(
    norm: nn.Module, moved: bool, trained: bool, tmp_path: Path
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), copy.deepcopy(norm)).eval()
    for parameter in network.parameters() if trained else ():
        nn.init.normal_(parameter)
    torch.onnx.export(network, (torch.zeros(1, 3, 7, 7),), tmp_path / "x.onnx", dynamo=False)
    if moved:  # to the initializers, as the newer exporter and optimisers do
        model = onnx.load(tmp_path / "x.onnx")
        for node in [node for node in model.graph.node if node.op_type == "Constant"]:
            model.graph.initializer.add().CopyFrom(node.attribute[0].t)
            model.graph.initializer[-1].name = node.output[0]
            model.graph.node.remove(node)
        onnx.save(model, tmp_path / "x.onnx")
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert sum(layer.params for layer in read_onnx(tmp_path / "x.onnx").layers) == weights


def test_a_free_batch_is_one_sample(tmp_path: Path) -> None:
    graph = read_onnx(export(tmp_path / "x.onnx", dynamo=False, folded=True, batch=True))
    assert graph.input_shape == (1, 3, 32, 32)
    assert len(graph.layers) == len(EVERYTHING)


def test_dynamic_sizes_need_an_input_shape(tmp_path: Path) -> None:
    path = export(tmp_path / "x.onnx", dynamo=False, folded=True, batch=True, side=True)
    with pytest.raises(EvoFairError, match=r"dynamic shape \(1, 3, height, width\): give --input-shape"):
        read_onnx(path)
    twice = read_onnx(path, (1, 3, 64, 64))
    assert sum(layer.macs for layer in twice.layers if layer.row[0] == Op.DEPTHWISE) == 4 * (32 * 9 * 256 + 48 * 9 * 64)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 3, 32), (1, 4, 32, 32)])
def test_an_input_shape_that_does_not_fit_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = export(tmp_path / "x.onnx", dynamo=False, folded=True)
    with pytest.raises(EvoFairError, match=r"does not fit .*whose input 'x' is \(1, 3, 32, 32\)"):
        read_onnx(path, shape)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00\x01\x02", b"\x08\x07" * 1000])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(EvoFairError, match="is no ONNX model"):
        read_onnx(tmp_path / "x.onnx")
    with pytest.raises(EvoFairError, match="cannot read"):
        read_onnx(tmp_path / "absent.onnx")


def graph_of(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, tuple[int, ...]],
    shape: tuple[int, ...] = (1, 8, 10, 10),
) -> GraphLayers:
    """Saves a graph from `x` to `y` with weights of zeros, and reads it."""
    tensors = [onnx.numpy_helper.from_array(np.zeros(size, np.float32), name) for name, size in weights.items()]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), ("y", None))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains), path)
    return read_onnx(path)


def rows(graph: GraphLayers) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in layer.row) for layer in graph.layers]


def test_a_convolution_without_padding_counts_its_own_output(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2])
    graph = graph_of(tmp_path / "x.onnx", [node], {"w": (16, 8, 5, 5)})
    assert graph.layers[0].macs == 16 * 8 * 25 * 9  # 10x10 leaves 3x3, not the 5x5 of a padded one
    assert rows(graph) == [(Op.CONV, 8, 16, 5, 2, 1, 6, 6)]


def test_windows_that_are_not_square_keep_their_macs(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[0, 3, 0, 3])
    graph = graph_of(tmp_path / "x.onnx", [node], {"w": (16, 8, 1, 7)})
    assert graph.layers[0].macs == 16 * 8 * 7 * 100
    assert rows(graph) == [(Op.CONV, 8, 16, 3, 1, 1, 10, 10)]


def test_a_transposed_convolution_works_at_its_input(tmp_path: Path) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    graph = graph_of(tmp_path / "x.onnx", [node], {"w": (8, 16, 2, 2)})
    assert graph.layers[0].macs == 8 * 16 * 4 * 100
    assert rows(graph) == [(Op.CONV, 8, 16, 2, 1, 1, 10, 10)]


def test_matrix_products_are_linear_layers_or_pixels(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    assert rows(graph_of(tmp_path / "a.onnx", [node], {"w": (12, 5)}, (1, 12))) == [(Op.LINEAR, 12, 5, 1, 1, 1, 1, 1)]
    graph = graph_of(tmp_path / "b.onnx", [node], {"w": (12, 5)}, (1, 7, 12))
    assert rows(graph) == [(Op.CONV, 12, 5, 1, 1, 1, 7, 1)]
    assert graph.layers[0].macs == 7 * 12 * 5


def test_an_activation_is_a_layer_where_two_read_what_it_reads(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["r", "c"], ["y"]),
    ]
    graph = graph_of(tmp_path / "x.onnx", nodes, {"w": (8, 8, 1, 1)})
    assert [row[0] for row in rows(graph)] == [Op.CONV, Op.ACTIVATION, Op.ADD]
    assert rows(graph)[2][3] == 2  # the convolution, two rows back


def test_moving_values_is_not_free(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("Concat", ["x", "t"], ["y"], axis=1),
    ]
    graph = graph_of(tmp_path / "x.onnx", nodes, {})
    assert rows(graph) == [(Op.ACTIVATION, 8, 8, 1, 1, 1, 10, 10), (Op.ACTIVATION, 16, 16, 1, 1, 1, 10, 10)]


def test_an_unknown_operator_is_listed_with_its_traffic(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Magic", ["c"], ["m"], domain="own"),
        helper.make_node("NonMaxSuppression", ["c"], ["y"]),
    ]
    graph = graph_of(tmp_path / "x.onnx", nodes, {"w": (8, 8, 1, 1)})
    assert [(u.operator, u.nodes) for u in graph.unknown] == [("own.Magic", 1), ("NonMaxSuppression", 1)]
    # The convolution moves 1,600 values; each unknown reads 800 and writes what nobody knows.
    assert [u.share for u in graph.unknown] == [pytest.approx(800 / 3200)] * 2


SWIRL = [
    helper.make_node("Conv", ["x", "w"], ["c"]),
    helper.make_node("Swirl", ["c"], ["g"], domain="com.microsoft"),
    helper.make_node("Conv", ["g", "v"], ["d"], strides=[2, 2]),
    helper.make_node("Swirl", ["d"], ["e"], domain="com.microsoft"),
    helper.make_node("Conv", ["e", "u"], ["y"]),
]


def swirl(path: Path, batch: int | str = 1, **stated: tuple[int, ...]) -> Path:
    """A network of three convolutions with two operators between that ONNX knows nothing of."""
    weights = {"w": (16, 8, 1, 1), "v": (16, 16, 3, 3), "u": (4, 16, 1, 1)}
    tensors = [onnx.numpy_helper.from_array(np.zeros(size, np.float32), name) for name, size in weights.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 8, 10, 10))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in stated.items()]
    graph = helper.make_graph(SWIRL, "g", [x], [y], tensors, value_info=values)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains), path)
    return path


def test_shapes_that_the_file_states_reach_behind_an_unknown_operator(tmp_path: Path) -> None:
    path = swirl(tmp_path / "x.onnx", g=(1, 16, 10, 10), e=(1, 16, 4, 4))
    expected = [
        (Op.CONV, 8, 16, 1, 1, 1, 10, 10),
        (Op.CONV, 16, 16, 3, 2, 1, 8, 8),  # inferred from g: 10x10 leaves 4x4
        (Op.CONV, 16, 4, 1, 1, 1, 4, 4),
    ]
    assert rows(read_onnx(path)) == expected
    assert rows(read_onnx(path, (1, 8, 10, 10))) == expected


def test_shapes_that_are_stated_for_another_input_do_not_count(tmp_path: Path) -> None:
    stated = {"g": (7, 16, 10, 10), "e": (7, 16, 4, 4)}
    for path, shape in ((swirl(tmp_path / "a.onnx", 7, **stated), (1, 8, 10, 10)), (swirl(tmp_path / "b.onnx"), None)):
        with pytest.raises(
            EvoFairError, match=r"'g' can't be told .* for want of that of 'g', which com\.microsoft\.Swirl makes"
        ):
            read_onnx(path, shape)


def test_the_operator_is_named_whose_shape_is_missing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Magic", ["x"], ["m"], domain="own"),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["y"]),
    ]
    with pytest.raises(EvoFairError, match=r"the shape of 'r' .* for want of that of 'm', which own\.Magic makes"):
        graph_of(tmp_path / "x.onnx", nodes, {"w": (8, 8, 1, 1)})


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Conv", ["x"], ["y"]),
        helper.make_node("Conv", ["x", "w"], ["y"], group=0),
        helper.make_node("Conv", ["x", "w"], ["y"], strides=[0, 0]),
        helper.make_node("Conv", ["x", "w"], ["y"], group="all"),
        helper.make_node("MatMul", ["x"], ["y"]),
        helper.make_node("MaxPool", ["x"], ["y"]),
    ],
)
def test_a_node_that_lacks_what_onnx_asks_for_is_named(node: onnx.NodeProto, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8, 10, 10)) for name in ("x", "y")]
    weights = [onnx.numpy_helper.from_array(np.zeros((8, 8, 1, 1), np.float32), "w")]
    graph = helper.make_graph([node], "g", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    with pytest.raises(EvoFairError, match=rf"node 'y' \({node.op_type}\) is not as ONNX defines it") as refused:
        read_onnx(path)
    assert "\n" not in str(refused.value)


def test_both_branches_and_their_concatenation_are_alive(tmp_path: Path) -> None:
    """SqueezeNet's fire module, its activations in place."""
    nodes = [
        helper.make_node("Conv", ["x", "s"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "e"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["b", "f"], ["g"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["g"], ["h"]),
        helper.make_node("Concat", ["d", "h"], ["y"], axis=1),
    ]
    weights = {"s": (16, 8, 1, 1), "e": (64, 16, 1, 1), "f": (64, 16, 3, 3)}
    graph = graph_of(tmp_path / "x.onnx", nodes, weights, (1, 8, 16, 16))
    assert graph.peak_values == (64 + 64 + 128) * 256


def test_a_transposed_convolution_makes_what_it_makes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("ConvTranspose", ["c", "t"], ["y"], strides=[2, 2]),
    ]
    weights = {"w": (8, 8, 1, 1), "t": (8, 8, 2, 2)}
    assert graph_of(tmp_path / "x.onnx", nodes, weights, (1, 8, 32, 32)).peak_values == 8 * 32**2 + 8 * 64**2
    assert graph_of(tmp_path / "x.onnx", nodes, weights, (4, 8, 32, 32)).peak_values == 8 * 32**2 + 8 * 64**2


def test_a_long_skip_is_alive_all_the_way(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["b", "v"], ["c"]),
        helper.make_node("Resize", ["c", "", "r"], ["d"]),
        helper.make_node("Concat", ["a", "d"], ["y"], axis=1),
    ]
    tensors = [
        onnx.numpy_helper.from_array(np.zeros((16, 8, 1, 1), np.float32), "w"),
        onnx.numpy_helper.from_array(np.zeros((32, 16, 1, 1), np.float32), "v"),
        onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "r"),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", (1, 8, 16, 16)), ("y", None))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").peak_values == (16 + 32 + 48) * 256


def test_what_is_unknown_takes_room_where_its_shape_is_stated(tmp_path: Path) -> None:
    graph = read_onnx(swirl(tmp_path / "x.onnx", g=(1, 16, 10, 10), e=(1, 16, 4, 4)))
    assert graph.peak_values == 2 * 16 * 100  # c and g


def test_networks_like_the_projects_need_what_their_table_says(tmp_path: Path) -> None:
    graph = read_onnx(export(tmp_path / "x.onnx", dynamo=False, folded=False))
    table = np.array([EVERYTHING], np.int32)
    assert graph.peak_values == peak_memory_bytes(table, 1)[0] - params(table)[0]

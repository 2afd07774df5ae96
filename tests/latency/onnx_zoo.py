"""ONNX files of the kinds that people export: torch's two exporters, graphs as tf2onnx makes them, ONNX Runtime's own.

`ZOO` holds builders by name. Each writes a file and gives the shapes that its inputs need, empty where the file fixes
them all.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

Shapes = dict[str, tuple[int, ...]]
Builder = Callable[[Path], Shapes]

ZOO: dict[str, Builder] = {}
SLOW: set[str] = set()


class Lambda(nn.Module):
    """Layers by name and a function of them and the inputs."""

    def __init__(self, function: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(self.layers, *inputs)


def export(
    path: Path,
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    *,
    opset: int = 17,
    free: dict[str, dict[int, str]] | None = None,
    dynamo: bool = False,
) -> None:
    names = ["x", "z"][: len(inputs)]
    options: dict[str, Any] = {"opset_version": opset, "input_names": names, "dynamo": dynamo}
    if free and dynamo:
        options["dynamic_shapes"] = [
            dict.fromkeys(free.get(name, {}), torch.export.Dim.DYNAMIC) or None for name in names
        ]
        module = Positional(module)
    elif free:
        options["dynamic_axes"] = free
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), tuple(inputs), path, **options)


class Positional(nn.Module):
    """A module whose inputs have names, as exports with dynamic shapes ask for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)


def of_torch(
    name: str,
    module: Callable[[], nn.Module],
    *inputs: tuple[int, ...],
    opsets: Sequence[int] = (17,),
    free: dict[str, dict[int, str]] | None = None,
    shapes: Shapes | None = None,
    dynamo: bool = False,
    integers: bool = False,
    script: bool = False,
) -> None:
    """Enters a module's exports, one by opset."""

    def builder(opset: int) -> Builder:
        def build(path: Path) -> Shapes:
            torch.manual_seed(0)
            built = module()
            examples = [torch.zeros(shape, dtype=torch.long) if integers else torch.randn(shape) for shape in inputs]
            export(path, torch.jit.script(built) if script else built, examples, opset=opset, free=free, dynamo=dynamo)
            return shapes or {}

        return build

    for opset in opsets:
        full = f"{name}-{'dynamo' if dynamo else 'torch'}-{opset}"
        ZOO[full] = builder(opset)
        if dynamo:
            SLOW.add(full)


BATCH = {"x": {0: "batch"}}
IMAGE = {"x": {0: "batch", 2: "height", 3: "width"}}


def conv(c_in: int, c_out: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, **options)


def plain() -> nn.Module:
    return nn.Sequential(
        conv(3, 8, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        conv(8, 16, groups=8),
        nn.SiLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def padded(mode: str) -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(layers["a"](functional.pad(x, (1, 1, 1, 1), mode=mode)))
        return layers["b"](functional.pad(x, (0, 1, 0, 1)))

    return Lambda(run, a=nn.Conv2d(3, 8, 3, stride=2), b=nn.Conv2d(8, 8, 3, stride=2))


def encoder(batch_first: bool = True) -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=batch_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def unet() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        a = functional.relu(layers["a"](x))
        b = functional.relu(layers["b"](functional.max_pool2d(a, 2)))
        up = layers["up"](b)
        up = functional.pad(up, (0, a.shape[3] - up.shape[3], 0, a.shape[2] - up.shape[2]))
        y = layers["c"](torch.cat((a, up), 1))
        return functional.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)

    return Lambda(run, a=conv(3, 8), b=conv(8, 16), up=nn.ConvTranspose2d(16, 8, 2, 2), c=conv(16, 4))


def shuffle() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        x = layers["a"](x)
        n, c, h, w = x.shape
        x = x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)
        return layers["b"](x).mean((2, 3))

    return Lambda(run, a=conv(8, 16, 1, groups=4), b=conv(16, 8, 1, groups=4))


def viewed() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(layers["a"](x))
        return layers["b"](x.permute(0, 2, 3, 1).reshape(x.size(0), -1))

    return Lambda(run, a=conv(3, 4, stride=4), b=nn.Linear(4 * 8 * 8, 6))


def squeezed() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        return layers["c"](functional.relu(layers["b"](layers["a"](x).squeeze(2))).mean(2))

    return Lambda(run, a=nn.Conv2d(1, 16, (40, 3), padding=(0, 1)), b=nn.Conv1d(16, 32, 5), c=nn.Linear(32, 12))


def recurrent(kind: type[nn.RNNBase], **options: Any) -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        return layers["b"](layers["a"](x)[0])

    cell = kind(20, 16, **options)
    return Lambda(run, a=cell, b=nn.Linear(16 * (2 if options.get("bidirectional") else 1), 5))


def einsum_attention() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        q, k, v = layers["qkv"](x).chunk(3, -1)
        weights = torch.einsum("bid,bjd->bij", q, k).softmax(-1)
        return torch.einsum("bij,bjd->bid", weights, v)

    return Lambda(run, qkv=nn.Linear(24, 72))


def tokens() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        positions = layers["position"](torch.arange(x.shape[1]))
        return layers["end"](layers["encoder"](layers["norm"](layers["word"](x) + positions))[:, 0])

    return Lambda(
        run,
        word=nn.Embedding(1000, 32),
        position=nn.Embedding(64, 32),
        norm=nn.LayerNorm(32),
        encoder=encoder(),
        end=nn.Linear(32, 2),
    )


def windows() -> nn.Module:
    """A shifted window, as Swin has them."""

    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        x = layers["embed"](x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        x = torch.roll(x, (-2, -2), (1, 2)).view(n, h // 4, 4, w // 4, 4, c)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = layers["qkv"](layers["norm"](x)).chunk(3, -1)
        x = (q @ k.transpose(1, 2)).softmax(-1) @ v
        x = x.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return layers["end"](x.mean((1, 2)))

    return Lambda(run, embed=nn.Conv2d(3, 12, 4, 4), norm=nn.LayerNorm(12), qkv=nn.Linear(12, 36), end=nn.Linear(12, 3))


def convnext() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        x = layers["stem"](x)
        y = layers["norm"](layers["depthwise"](x).permute(0, 2, 3, 1))
        return x + layers["down"](functional.gelu(layers["up"](y))).permute(0, 3, 1, 2)

    return Lambda(
        run,
        stem=nn.Conv2d(3, 12, 4, 4),
        depthwise=conv(12, 12, 7, groups=12),
        norm=nn.LayerNorm(12),
        up=nn.Linear(12, 48),
        down=nn.Linear(48, 12),
    )


def siamese() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return (layers["a"](x).mean((2, 3)) - layers["a"](z).mean((2, 3))).abs()

    return Lambda(run, a=conv(3, 8))


def fire() -> nn.Module:
    def run(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(layers["s"](x))
        x = torch.cat((layers["a"](x), layers["b"](x)), 1)
        return functional.pixel_shuffle(x, 2)

    return Lambda(run, s=conv(3, 4, 1), a=conv(4, 8, 1), b=conv(4, 8))


class Scripted(nn.Module):
    """A loop that only a compiled module keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(x.size(1) - 9):
            x = torch.tanh(self.a(x))
        return x


of_torch("plain", plain, (1, 3, 32, 32), opsets=(9, 11, 13, 17, 18))
of_torch("plain-batch", plain, (1, 3, 32, 32), free=BATCH)
of_torch("plain-free", plain, (1, 3, 32, 32), free=IMAGE, shapes={"x": (1, 3, 48, 40)})
of_torch("plain", plain, (2, 3, 32, 32), dynamo=True, opsets=(18,))
of_torch("plain-batch", plain, (2, 3, 32, 32), dynamo=True, free=BATCH, opsets=(20,))
for mode in ("constant", "reflect", "replicate"):
    of_torch(f"pad-{mode}", lambda mode=mode: padded(mode), (1, 3, 30, 30), opsets=(11, 17))
of_torch("pad-free", lambda: padded("constant"), (1, 3, 30, 30), free=IMAGE, shapes={"x": (1, 3, 45, 31)})
of_torch("encoder", encoder, (1, 10, 32), opsets=(14, 17))
of_torch("encoder-batch", encoder, (1, 10, 32), free=BATCH)
of_torch("encoder-sequence", lambda: encoder(batch_first=False), (10, 1, 32))
of_torch("encoder", encoder, (1, 10, 32), dynamo=True, opsets=(20,))
of_torch("group-norm", lambda: nn.Sequential(conv(3, 8), nn.GroupNorm(4, 8), nn.ReLU(), conv(8, 8)), (1, 3, 16, 16))
of_torch(
    "group-norm",
    lambda: nn.Sequential(conv(3, 8), nn.GroupNorm(4, 8), nn.ReLU(), conv(8, 8)),
    (1, 3, 16, 16),
    dynamo=True,
    opsets=(21,),
)
of_torch("unet", unet, (1, 3, 34, 38), opsets=(11, 17))
of_torch("unet-free", unet, (1, 3, 34, 38), free=IMAGE, shapes={"x": (1, 3, 30, 50)})
of_torch("shuffle-batch", shuffle, (1, 8, 12, 12), free=BATCH, opsets=(10, 17))
of_torch("shuffle-batch", shuffle, (2, 8, 12, 12), free=BATCH, dynamo=True, opsets=(20,))
of_torch("view", viewed, (1, 3, 32, 32), opsets=(9, 12, 17))
of_torch("view-batch", viewed, (1, 3, 32, 32), free=BATCH, opsets=(9, 17))
of_torch(
    "squeeze-free", squeezed, (1, 1, 40, 100), free={"x": {0: "batch", 2: "mel", 3: "t"}}, shapes={"x": (1, 1, 40, 60)}
)
of_torch("lstm", lambda: recurrent(nn.LSTM, batch_first=True), (1, 30, 20), opsets=(11, 17))
of_torch("lstm-batch", lambda: recurrent(nn.LSTM, batch_first=True), (1, 30, 20), free=BATCH)
of_torch("gru-both-ways", lambda: recurrent(nn.GRU, bidirectional=True), (30, 1, 20))
of_torch("rnn-two-layers", lambda: recurrent(nn.RNN, num_layers=2), (30, 1, 20))
of_torch("einsum", einsum_attention, (1, 14, 24))
of_torch("tokens", tokens, (1, 12), integers=True)
of_torch("windows", windows, (1, 3, 64, 64))
of_torch("windows-batch", windows, (1, 3, 64, 64), free=BATCH)
of_torch("convnext", convnext, (1, 3, 32, 32), opsets=(13, 17))
of_torch("convnext", convnext, (1, 3, 32, 32), dynamo=True, opsets=(20,))
of_torch("siamese", siamese, (1, 3, 32, 32), (1, 3, 32, 32))
of_torch(
    "siamese-free",
    siamese,
    (1, 3, 32, 32),
    (1, 3, 32, 32),
    free={"x": {2: "h", 3: "w"}, "z": {2: "p", 3: "q"}},
    shapes={"x": (1, 3, 20, 24), "z": (1, 3, 28, 16)},
)
of_torch("fire", fire, (1, 3, 20, 20), opsets=(11, 17))
of_torch("conv1d", lambda: nn.Sequential(nn.Conv1d(8, 16, 9, 2), nn.ReLU(), nn.Conv1d(16, 4, 3)), (1, 8, 100))
of_torch("conv3d", lambda: nn.Sequential(nn.Conv3d(2, 6, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2)), (1, 2, 8, 12, 10))
of_torch("transposed", lambda: nn.ConvTranspose2d(8, 12, 3, 2, 1, 1, groups=2), (1, 8, 9, 11))
of_torch("scripted-loop", Scripted, (1, 16), script=True)


def weights(seed: int = 0, **shapes: tuple[int, ...]) -> list[onnx.TensorProto]:
    generator = np.random.default_rng(seed)
    return [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]


def integers(**values: Any) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(value, np.int64), name) for name, value in values.items()]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    inputs: dict[str, Sequence[int | str]],
    *,
    opset: int = 17,
    functions: Sequence[onnx.FunctionProto] = (),
    kind: int = TensorProto.FLOAT,
) -> None:
    starts = [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in inputs.items()]
    ends = [onnx.ValueInfoProto(name="y")]
    ends[0].type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph(list(nodes), "zoo", starts, ends, list(constants))
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("own", 1)]
    onnx.save(
        helper.make_model(graph, opset_imports=domains, functions=list(functions), ir_version=8 if functions else 7),
        path,
    )


def entered(function: Builder) -> Builder:
    """Enters a builder under its name."""
    ZOO[function.__name__.replace("_", "-")] = function
    return function


@entered
def tf_nhwc(path: Path) -> Shapes:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["t", "pads"], ["p"]),
        helper.make_node("Conv", ["p", "w"], ["c"], strides=[2, 2]),
        helper.make_node("Identity", ["c"], ["i"]),
        helper.make_node("Cast", ["i"], ["i2"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["i2"], ["r"]),
        helper.make_node("Transpose", ["r"], ["u"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["u"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["m", "v"], ["f"]),
        helper.make_node("Add", ["f", "b"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"]),
    ]
    constants = [*weights(w=(8, 3, 3, 3), v=(8, 5), b=(5,)), *integers(pads=[0, 0, 0, 0, 0, 0, 1, 1])]
    save(path, nodes, constants, {"x": ["N", 24, 24, 3]})
    return {}


@entered
def tf_free_sizes(path: Path) -> Shapes:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("Shape", ["c"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["int"], to=TensorProto.INT32),
        helper.make_node("Cast", ["int"], ["long"], to=TensorProto.INT64),
        helper.make_node("Slice", ["long", "zero", "one"], ["n"]),
        helper.make_node("Concat", ["n", "minus"], ["target"], axis=0),
        helper.make_node("Reshape", ["c", "target"], ["f"]),
        helper.make_node("Identity", ["f"], ["y"]),
    ]
    constants = [*weights(w=(8, 3, 3, 3)), *integers(zero=[0], one=[1], minus=[-1])]
    save(path, nodes, constants, {"x": ["N", "H", "W", 3]})
    return {"x": (1, 20, 28, 3)}


@entered
def view_of_opset_9(path: Path) -> Shapes:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0, np.int64))),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n"], ["u"], axes=[0]),
        helper.make_node("Concat", ["u", "minus"], ["t"], axis=0),
        helper.make_node("Reshape", ["c", "t"], ["f"]),
        helper.make_node("Slice", ["f"], ["g"], starts=[0], ends=[30], axes=[1]),
        helper.make_node("Gemm", ["g", "v", "b"], ["y"], transB=1),
    ]
    save(
        path,
        nodes,
        [*weights(w=(4, 3, 3, 3), v=(6, 30), b=(6,)), *integers(minus=[-1])],
        {"x": ["N", 3, 10, 10]},
        opset=9,
    )
    return {}


@entered
def upsample_of_opset_9(path: Path) -> Shapes:
    nodes = [
        helper.make_node("Upsample", ["x", "s"], ["u"], mode="nearest"),
        helper.make_node("Conv", ["u", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 3], np.float32), "s")
    save(path, nodes, [*weights(w=(4, 3, 3, 3)), scales], {"x": [1, 3, 10, 10]}, opset=9)
    return {}


@entered
def group_norm_of_opset_21(path: Path) -> Shapes:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GroupNormalization", ["c", "g", "b"], ["n"], num_groups=2),
        helper.make_node("Conv", ["n", "v"], ["y"]),
    ]
    save(path, nodes, weights(w=(8, 3, 1, 1), v=(4, 8, 3, 3), g=(8,), b=(8,)), {"x": [1, 3, 10, 10]}, opset=21)
    return {}


@entered
def fused_by_onnxruntime(path: Path) -> Shapes:
    nodes = [
        helper.make_node(
            "FusedConv", ["x", "w", "b"], ["c"], domain="com.microsoft", activation="Relu", strides=[2, 2]
        ),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("FusedMatMul", ["f", "v"], ["y"], domain="com.microsoft", transB=1, alpha=1.0),
    ]
    save(path, nodes, weights(w=(8, 3, 3, 3), b=(8,), v=(5, 8 * 36)), {"x": [1, 3, 13, 13]})
    return {}


@entered
def optimised_by_onnxruntime(path: Path) -> Shapes:
    import onnxruntime

    source = path.with_suffix(".source.onnx")
    export(source, convnext(), [torch.randn(1, 3, 32, 32)])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return {}


@entered
def nested_functions(path: Path) -> Shapes:
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    inner = helper.make_function(
        "own", "Inner", ["a", "w"], ["b"], [helper.make_node("Conv", ["a", "w"], ["b"], pads=[1] * 4)], domains
    )
    twice = [
        helper.make_node("Inner", ["a", "w"], ["m"], domain="own"),
        helper.make_node("Inner", ["m", "w"], ["b"], domain="own"),
    ]
    outer = helper.make_function("own", "Outer", ["a", "w"], ["b"], twice, domains)
    nodes = [helper.make_node("Outer", ["x", "w"], ["h"], domain="own"), helper.make_node("Relu", ["h"], ["y"])]
    save(path, nodes, weights(w=(3, 3, 3, 3)), {"x": ["N", 3, 10, 10]}, functions=[inner, outer])
    return {}


@entered
def scalar_input(path: Path) -> Shapes:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Mul", ["c", "t"], ["y"])]
    save(path, nodes, weights(w=(8, 3, 3, 3)), {"t": [], "x": ["N", 3, "H", "H"]})
    return {"": (1, 3, 12, 12)}


@entered
def external_weights(path: Path) -> Shapes:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    save(path, nodes, weights(w=(64, 3, 3, 3)), {"x": [1, 3, 12, 12]})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location=path.name + ".data", size_threshold=16)
    return {}


@entered
def image_without_batch(path: Path) -> Shapes:
    nodes = [helper.make_node("Unsqueeze", ["x", "zero"], ["u"]), helper.make_node("Conv", ["u", "w"], ["y"])]
    save(path, nodes, [*weights(w=(4, 3, 3, 3)), *integers(zero=[0])], {"x": [3, 16, 16]})
    return {}


@entered
def boxes_by_nms(path: Path) -> Shapes:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[4, 4]),
        helper.make_node("Reshape", ["c", "boxes"], ["b"]),
        helper.make_node("ReduceMean", ["b"], ["m"], axes=[2], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "one"], ["s"]),
        helper.make_node("NonMaxSuppression", ["b", "s", "most"], ["n"]),
        helper.make_node("Slice", ["n", "two", "three", "one"], ["i"]),
        helper.make_node("Squeeze", ["i", "one"], ["j"]),
        helper.make_node("Gather", ["b", "j"], ["y"], axis=1),
    ]
    constants = [*weights(w=(4, 3, 4, 4)), *integers(boxes=[1, -1, 4], one=[1], two=[2], three=[3], most=5)]
    save(path, nodes, constants, {"x": [1, 3, 16, 16]})
    return {}


@entered
def scan_over_steps(path: Path) -> Shapes:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["m"]),
            helper.make_node("Add", ["m", "step"], ["next"]),
            helper.make_node("Identity", ["next"], ["out"]),
        ],
        "body",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("state", "step")],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("next", "out")],
    )
    start = numpy_helper.from_array(np.zeros((1, 8), np.float32), "start")
    nodes = [helper.make_node("Scan", ["start", "x"], ["last", "y"], num_scan_inputs=1, body=body)]
    save(path, nodes, [*weights(w=(8, 8)), start], {"x": [20, 1, 8]})
    return {}


@entered
def loop_of_products(path: Path) -> Shapes:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "captured"], ["g"]),
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["g"], ["out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, [16, 16]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("g", TensorProto.FLOAT, [16, 16]),
            helper.make_tensor_value_info("out", TensorProto.FLOAT, [16, 16]),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["captured"]),
        helper.make_node("Loop", ["count", "", "w"], ["last", "y"], body=body),
    ]
    save(path, nodes, [*weights(w=(16, 16)), *integers(count=11)], {"x": [16, 16]})
    return {}


@entered
def half_precision(path: Path) -> Shapes:
    half = numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float16), "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["h", "w"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    save(path, nodes, [half], {"x": [1, 3, 10, 10]})
    return {}


def quantised(path: Path, form: str) -> Shapes:
    from onnxruntime.quantization import QuantFormat, quantize_static

    source = path.with_suffix(".source.onnx")
    export(source, plain(), [torch.randn(1, 3, 32, 32)], opset=13)

    class Reader:
        def __init__(self) -> None:
            self.left = [{"x": np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)}]

        def get_next(self) -> dict[str, Any] | None:
            return self.left.pop() if self.left else None

    quantize_static(source, path, Reader(), quant_format=QuantFormat[form])
    return {}


ZOO["quantised-QDQ"] = lambda path: quantised(path, "QDQ")
ZOO["quantised-QOperator"] = lambda path: quantised(path, "QOperator")

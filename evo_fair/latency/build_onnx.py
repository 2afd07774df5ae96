"""Writes layer tables as ONNX networks to be timed: real graphs, weights filled in when a runtime loads them.

A row reads the output of the row before it, or the latest earlier one of its input shape, as in
`evo_fair.layers.peak_memory_bytes`. Every convolution, linear layer and addition but the last row is followed by ReLU,
except where an addition comes next.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from evo_fair.layers import C_IN, C_OUT, GROUPS, H_IN, KERNEL, OP, STRIDE, W_IN, LayerTable, Op

__all__ = ["layers_to_onnx"]

OPSET = 13  # what runtimes on boards have known for years
IR_VERSION = 7
_WEIGHT = 0.01

ImageShape = tuple[int, int, int]


def layers_to_onnx(rows: LayerTable) -> onnx.ModelProto:
    """An ONNX model of one network, rows int32 `[layers, 8]`: `input` to `output`, one sample.

    Weights are constants that cost no space in the file: a runtime computes them once when it loads it.
    """
    rows = rows[rows[:, OP] > 0]
    return _Writer(rows).model()


class _Writer:
    def __init__(self, rows: LayerTable) -> None:
        self.rows = [[int(value) for value in row] for row in rows]
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        first = self.rows[0]
        shape = (first[C_IN], first[H_IN], first[W_IN])
        self.tensors: list[tuple[str, ImageShape]] = [("input", shape)]
        self.flat: set[str] = set()

    def model(self) -> onnx.ModelProto:
        name = ""
        for i, row in enumerate(self.rows):
            name = self._row(i, row)
            self.tensors.append((name, self._shape_behind(row)))
        self._node("Identity", [name], "output")
        start = [1, *self.tensors[0][1]]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, start)],
            [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, None)],
            self.initializers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _row(self, i: int, row: list[int]) -> str:
        op, name = row[OP], f"layer{i}"
        source, shape = self._source(i, row)
        stays = i + 1 == len(self.rows) or self.rows[i + 1][OP] == Op.ADD or self._is_shortcut(i)
        if op in (Op.CONV, Op.DEPTHWISE):
            weights = [row[C_OUT], row[C_IN] // row[GROUPS], row[KERNEL], row[KERNEL]]
            inputs = [self._image(source, shape), *self._weights(name, weights)]
            return self._activated(stays, self._node("Conv", inputs, name, group=row[GROUPS], **_window(row)))
        if op == Op.LINEAR:
            inputs = [self._flat(source, row[C_IN]), *self._weights(name, [row[C_OUT], row[C_IN]])]
            self.flat |= {name, f"{name}.relu"}
            return self._activated(stays, self._node("Gemm", inputs, name, transB=1))
        if op == Op.POOL:
            return self._node("AveragePool", [self._image(source, shape)], name, **_window(row))
        if op == Op.GLOBAL_POOL:
            return self._node("GlobalAveragePool", [self._image(source, shape)], name)
        if op == Op.ADD:
            return self._activated(stays, self._node("Add", [source, self._earlier(i, row, source)], name))
        if op == Op.MUL:
            gate, gate_shape = self.tensors[i]
            if gate == source:
                gate, gate_shape = self._earlier(i, row, source), shape
            gate = self._image(gate, gate_shape) if gate_shape != shape else gate
            return self._node("Mul", [source, gate], name)
        if source in self.flat:
            self.flat.add(name)
        return self._node("HardSigmoid", [source], name)

    def _activated(self, stays: bool, name: str) -> str:
        if stays:
            return name
        return self._node("Relu", [name], f"{name}.relu")

    def _is_shortcut(self, i: int) -> bool:
        """Whether row `i` is a projection that a later addition names and the next row does not read."""
        return any(
            row[OP] == Op.ADD and row[KERNEL] > 1 and j - row[KERNEL] == i and not self._reads(i + 1, i)
            for j, row in enumerate(self.rows[i + 1 : i + 8], i + 1)
        )

    def _reads(self, reader: int, maker: int) -> bool:
        row = self.rows[reader]
        return self._shape_behind(self.rows[maker]) == (row[C_IN], row[H_IN], row[W_IN])

    def _source(self, i: int, row: list[int]) -> tuple[str, ImageShape]:
        wanted = (row[C_IN], row[H_IN], row[W_IN])
        for name, shape in reversed(self.tensors):
            if shape == wanted:
                return name, shape
        return self.tensors[i]

    def _earlier(self, i: int, row: list[int], source: str) -> str:
        """The second operand of an addition or product."""
        if row[OP] == Op.ADD and row[KERNEL] > 1 and i - row[KERNEL] + 1 >= 0:
            return self.tensors[i - row[KERNEL] + 1][0]
        wanted = (row[C_IN], row[H_IN], row[W_IN])
        return next((name for name, shape in reversed(self.tensors) if shape == wanted and name != source), source)

    @staticmethod
    def _shape_behind(row: list[int]) -> ImageShape:
        if row[OP] in (Op.GLOBAL_POOL, Op.LINEAR):
            return row[C_OUT], 1, 1
        return row[C_OUT], -(-row[H_IN] // row[STRIDE]), -(-row[W_IN] // row[STRIDE])

    def _image(self, name: str, shape: ImageShape) -> str:
        return self._reshaped(name, [1, *shape], "image") if name in self.flat else name

    def _flat(self, name: str, features: int) -> str:
        return name if name in self.flat else self._reshaped(name, [1, features], "flat")

    def _reshaped(self, name: str, shape: list[int], suffix: str) -> str:
        output = f"{name}.{suffix}{len(self.nodes)}"
        self._constant(f"{output}.shape", np.array(shape, np.int64))
        return self._node("Reshape", [name, f"{output}.shape"], output)

    def _weights(self, name: str, shape: list[int]) -> tuple[str, str]:
        for part, size in (("weight", shape), ("bias", shape[:1])):
            self._constant(f"{name}.{part}.shape", np.array(size, np.int64))
            value = helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [_WEIGHT])
            self._node("ConstantOfShape", [f"{name}.{part}.shape"], f"{name}.{part}", value=value)
        return f"{name}.weight", f"{name}.bias"

    def _constant(self, name: str, value: npt.NDArray[np.int64]) -> None:
        self.initializers.append(onnx.numpy_helper.from_array(value, name))

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output


def _window(row: list[int]) -> dict[str, Any]:
    """Kernel, stride and a padding that gives the rounded up size."""
    kernel, stride = row[KERNEL], row[STRIDE]
    window: dict[str, Any] = {"kernel_shape": [kernel, kernel], "strides": [stride, stride]}
    if kernel % 2 and kernel >= stride:
        return {**window, "pads": [kernel // 2] * 4}
    return {**window, "auto_pad": "SAME_UPPER"}

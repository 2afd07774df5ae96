"""ONNX graphs of the usual operators as layer tables; what is unknown is listed, never left out in silence.

A graph is read by shape alone: weights are not loaded. Batch norm and simple activations right behind a convolution,
linear layer or addition belong to it, as runtimes fuse them; views cost nothing; what moves or maps values one by one
is an `activation` row.
"""

from pathlib import Path

from evo_fair.latency.onnx_batch import walk_samples
from evo_fair.latency.onnx_file import ShapeOption, open_onnx, reading, settle
from evo_fair.latency.onnx_layers import GraphLayer, GraphLayers, StandIn, UnknownOperator

__all__ = ["GraphLayer", "GraphLayers", "StandIn", "UnknownOperator", "read_onnx"]


def read_onnx(path: str | Path, input_shape: ShapeOption | None = None) -> GraphLayers:
    """Reads an ONNX file as layers; `input_shape` includes the batch, such as `(1, 3, 224, 224)`.

    A network of several inputs takes a shape by name, `{"left": (1, 3, 64, 64)}`; sizes that carry the same name in
    the file need be given once. Figures are those of one sample where the first axis is found to be a batch
    (`GraphLayers.batch`), else of the whole input. Raises `EvoFairError` for a file that is no ONNX model or costs too
    much to read, and for sizes that neither the file nor `input_shape` settles.
    """
    file = open_onnx(Path(path))
    with reading(file.path):
        return walk_samples(file, settle(file, input_shape))

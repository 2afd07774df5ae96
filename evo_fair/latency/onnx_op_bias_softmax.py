"""`com.microsoft.BiasSoftmax`: what ONNX Runtime's optimiser makes of an Add and a Softmax, as in masked attention."""

from evo_fair.latency.onnx_operators import LayerCost, NodeFacts, OwnOperator
from evo_fair.latency.onnx_rows import image_of

__all__ = ["ROWS"]


def _cost(node: NodeFacts) -> LayerCost:
    channels, height, width = image_of(node.outputs[0] or ())
    return LayerCost("activation", channels, channels, h_in=height, w_in=width)


ROWS = {
    "com.microsoft.BiasSoftmax": OwnOperator("com.microsoft.BiasSoftmax", _cost, lambda node: [node.inputs[0] or ()])
}
"""The operators of this file, for `evo_fair.registries.OPERATORS`."""

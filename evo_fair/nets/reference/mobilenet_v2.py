"""MobileNetV2 (Sandler et al. 2018, table 2)."""

from torch import nn

from evo_fair.nets.reference.parts import mobile_network, scaled_channels, stages

__all__ = ["mobilenet_v2"]

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (3, 6, 32, 3, 2),
    (3, 6, 64, 4, 2),
    (3, 6, 96, 3, 1),
    (3, 6, 160, 3, 2),
    (3, 6, 320, 1, 1),
)  # kernel, expansion, channels, blocks, stride of the first


def mobilenet_v2(labels: int, width: float = 1.0) -> nn.Module:
    """MobileNetV2 for a number of labels, its channels scaled by `width`, at most 1.

    The last convolution keeps its 1,280 channels, as section 6.1 of the paper says for widths below 1.
    """
    return mobile_network(stages(STAGES, width), labels, nn.ReLU6, stem=scaled_channels(32, width))

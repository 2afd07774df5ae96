"""EfficientNet-lite0 (Google's TPU repository, 2020): EfficientNet-B0 without squeeze and excitation, with ReLU6."""

from torch import nn

from evo_fair.nets.reference.parts import mobile_network, stages

__all__ = ["efficientnet_lite0"]

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)  # kernel, expansion, channels, blocks, stride of the first


def efficientnet_lite0(labels: int) -> nn.Module:
    """EfficientNet-lite0 for a number of labels; the published training's stochastic depth is left out."""
    return mobile_network(stages(STAGES), labels, nn.ReLU6, epsilon=1e-3)

"""MobileNetV3-small (Howard et al. 2019, table 2)."""

from torch import nn

from evo_fair.nets.reference.parts import InvertedResidual, conv_unit

__all__ = ["mobilenet_v3_small"]

EPSILON = 1e-3
BLOCKS = (
    (3, 16, 16, 8, nn.ReLU, 2),
    (3, 72, 24, 0, nn.ReLU, 2),
    (3, 88, 24, 0, nn.ReLU, 1),
    (5, 96, 40, 24, nn.Hardswish, 2),
    (5, 240, 40, 64, nn.Hardswish, 1),
    (5, 240, 40, 64, nn.Hardswish, 1),
    (5, 120, 48, 32, nn.Hardswish, 1),
    (5, 144, 48, 40, nn.Hardswish, 1),
    (5, 288, 96, 72, nn.Hardswish, 2),
    (5, 576, 96, 144, nn.Hardswish, 1),
    (5, 576, 96, 144, nn.Hardswish, 1),
)  # kernel, hidden, channels, squeezed (a quarter of hidden, in eights), activation, stride


def mobilenet_v3_small(labels: int) -> nn.Module:
    """MobileNetV3-small for a number of labels."""
    layers: list[nn.Module] = [conv_unit(3, 16, 3, 2, 1, nn.Hardswish, EPSILON)]
    c_in = 16
    for kernel, hidden, c_out, squeezed, activation, stride in BLOCKS:
        layers.append(InvertedResidual(c_in, hidden, c_out, kernel, stride, activation, EPSILON, squeezed))
        c_in = c_out
    return nn.Sequential(
        *layers,
        conv_unit(c_in, 576, 1, 1, 1, nn.Hardswish, EPSILON),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(576, 1024),
        nn.Hardswish(),
        nn.Dropout(0.2),
        nn.Linear(1024, labels),
    )

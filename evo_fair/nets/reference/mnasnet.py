"""MnasNet-B1 (Tan et al. 2019), width 1.0: the one without squeeze and excitation, with ReLU."""

from torch import nn

from evo_fair.nets.reference.parts import mobile_network, stages

__all__ = ["mnasnet"]

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 3, 24, 3, 2),
    (5, 3, 40, 3, 2),
    (5, 6, 80, 3, 2),
    (3, 6, 96, 2, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)  # kernel, expansion, channels, blocks, stride of the first


def mnasnet(labels: int) -> nn.Module:
    """MnasNet-B1 for a number of labels."""
    return mobile_network(stages(STAGES), labels, nn.ReLU)

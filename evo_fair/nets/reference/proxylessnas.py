"""ProxylessNAS-mobile (Cai et al. 2019, figure 4), the network found for phones."""

from torch import nn

from evo_fair.nets.reference.parts import mobile_network

__all__ = ["proxylessnas_mobile"]

BLOCKS = (
    (3, 1, 16, 1),
    (5, 3, 32, 2),
    (3, 3, 32, 1),
    (7, 3, 40, 2),
    (3, 3, 40, 1),
    (5, 3, 40, 1),
    (5, 3, 40, 1),
    (7, 6, 80, 2),
    (5, 3, 80, 1),
    (5, 3, 80, 1),
    (5, 3, 80, 1),
    (5, 6, 96, 1),
    (5, 3, 96, 1),
    (5, 3, 96, 1),
    (5, 3, 96, 1),
    (7, 6, 192, 2),
    (7, 6, 192, 1),
    (7, 3, 192, 1),
    (7, 3, 192, 1),
    (7, 6, 320, 1),
)  # kernel, expansion, channels, stride


def proxylessnas_mobile(labels: int) -> nn.Module:
    """ProxylessNAS-mobile for a number of labels; it is published without dropout."""
    return mobile_network(BLOCKS, labels, nn.ReLU6, epsilon=1e-3, dropout=0.0)

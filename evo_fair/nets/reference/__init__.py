"""Well-known networks to compare with, as published but for the number of labels, without any pretrained weights.

Each takes normalised images `[n, 3, height, width]` of any size from 32 pixels and gives logits `[n, labels]`. Batch
norms average with torch's own momentum, whatever the published training used, because ours has fewer steps.
"""

from collections.abc import Callable

from torch import nn

from evo_fair.nets.reference.efficientnet import efficientnet_lite0
from evo_fair.nets.reference.mnasnet import mnasnet
from evo_fair.nets.reference.mobilenet_v2 import mobilenet_v2
from evo_fair.nets.reference.mobilenet_v3 import mobilenet_v3_small
from evo_fair.nets.reference.proxylessnas import proxylessnas_mobile
from evo_fair.nets.reference.resnet import resnet_18
from evo_fair.nets.reference.squeezenet import squeezenet

__all__ = ["REFERENCES"]

REFERENCES: dict[str, Callable[[int], nn.Module]] = {
    "mobilenet-v2": mobilenet_v2,
    "mobilenet-v3-small": mobilenet_v3_small,
    "squeezenet": squeezenet,
    "mnasnet": mnasnet,
    "proxylessnas-mobile": proxylessnas_mobile,
    "resnet-18": resnet_18,
    "efficientnet-lite0": efficientnet_lite0,
}
"""By name, what builds a network for a number of labels; its weights are torch's default until `initialise`d."""

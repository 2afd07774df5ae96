"""Well-known networks to compare with, as published but for the number of labels, without any pretrained weights.

Each takes normalised images `[n, 3, height, width]` of any size from 32 pixels and gives logits `[n, labels]`. Batch
norms average with torch's own momentum, whatever the published training used, because ours has fewer steps.
"""

import re
from collections.abc import Callable
from typing import TypeGuard

from torch import nn

from evo_fair.errors import UnknownNameError
from evo_fair.nets.reference.efficientnet import efficientnet_lite0
from evo_fair.nets.reference.mnasnet import mnasnet
from evo_fair.nets.reference.mobilenet_v2 import mobilenet_v2
from evo_fair.nets.reference.mobilenet_v3 import mobilenet_v3_small
from evo_fair.nets.reference.proxylessnas import proxylessnas_mobile
from evo_fair.nets.reference.resnet import resnet_18
from evo_fair.nets.reference.squeezenet import squeezenet

__all__ = ["LEAST_WIDTH", "REFERENCES", "SCALED", "WIDTHS", "build_reference", "is_reference"]

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

SCALED: dict[str, Callable[[int, float], nn.Module]] = {"mobilenet-v2": mobilenet_v2, "resnet-18": resnet_18}
"""Those that there are in any width, too: `mobilenet-v2-0.35` has about 0.35 times the channels in every layer."""

LEAST_WIDTH = 0.1
WIDTHS = f" ({' and '.join(SCALED)} also in widths from {LEAST_WIDTH} to 1, such as mobilenet-v2-0.35)"
"""What a message on an unknown name adds to the names."""

_WIDTH = re.compile(r"(?P<name>.+)-(?P<width>0\.[0-9]{0,2}[1-9])")
"""A name with a width of up to three decimals. No 0 at its end: each network has one name, and so one place."""


def is_reference(name: object) -> TypeGuard[str]:
    """Whether `build_reference` knows the name."""
    return name in REFERENCES or (isinstance(name, str) and _scaled(name) is not None)


def build_reference(name: str, labels: int) -> nn.Module:
    """The network `name` for a number of labels: one of `REFERENCES`, or one of `SCALED` with its width behind it.

    Raises `UnknownNameError` for any other name, widths that are out of range among them.
    """
    if name in REFERENCES:
        return REFERENCES[name](labels)
    found = _scaled(name)
    if found is None:
        raise UnknownNameError("reference network", name, list(REFERENCES), WIDTHS)
    builder, width = found
    return builder(labels, width)


def _scaled(name: str) -> tuple[Callable[[int, float], nn.Module], float] | None:
    parts = _WIDTH.fullmatch(name)
    if not parts or parts["name"] not in SCALED or float(parts["width"]) < LEAST_WIDTH:
        return None
    return SCALED[parts["name"]], float(parts["width"])

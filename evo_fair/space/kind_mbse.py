"""MBSE: the inverted residual that weighs its channels."""

from evo_fair.space.kinds import KINDS, MB, Channels, Hidden, Kind, KindUnit

__all__ = ["MBSE"]

_EXPAND, _DEPTHWISE, _PROJECT = MB.units

MBSE = Kind(
    "MBSE",
    (
        _EXPAND,
        _DEPTHWISE,
        KindUnit("squeeze", Channels.HIDDEN, Channels.SQUEEZED),
        KindUnit("excite", Channels.SQUEEZED, Channels.HIDDEN),
        _PROJECT,
    ),
    Hidden.EXPANSION,
)
"""MB with squeeze-and-excite behind the depthwise convolution (after Howard et al. 2019, MobileNetV3)."""

KINDS.add(MBSE.name, MBSE)

"""The devices of a search: what `latency_ms`, `latency_ms[NAME]` and `worst_latency` stand for."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from evo_fair.arrays import Floats
from evo_fair.errors import ObjectiveError, UnknownNameError
from evo_fair.layers import LayerTable

__all__ = ["ENDS", "LATENCY", "WORST", "Devices", "Latency", "device_named", "latency_on", "plain_name"]

Latency = Callable[[LayerTable], Floats]

LATENCY, WORST = "latency_ms", "worst_latency"
ENDS = {"latency_ms_low": "least latency", "latency_ms_high": "most latency"}
"""The ends of the first device's intervals, and what they are called."""

_ON_DEVICE = re.compile(r"latency_ms\[(.*)\]", re.DOTALL)


def latency_on(device: str) -> str:
    """What the latency on a device is called where there are several.

    Args:
        device: The device's name.

    Returns:
        `latency_ms[NAME]`.
    """
    return f"{LATENCY}[{device}]"


def device_named(name: str) -> str | None:
    """The device that `latency_ms[NAME]` names.

    Args:
        name: Any name.

    Returns:
        The device's name; None for any other name than a latency's.
    """
    match = _ON_DEVICE.fullmatch(name)
    return match[1] if match else None


def plain_name(name: str) -> str:
    """The name of an objective without its device.

    Args:
        name: Any name.

    Returns:
        `latency_ms` for a latency on a device that is named; any other name as it is.
    """
    return name if device_named(name) is None else LATENCY


@dataclass(frozen=True)
class Devices:
    """The latency models of a search by their devices' names; `latency_ms` alone is that of the first.

    With `by_name` every latency is called `latency_ms[NAME]`. `limits` are the latencies in ms, by device, that
    `worst_latency` is a share of. `ends` measure the first device's `ENDS`, where its profile has intervals.
    """

    latencies: Mapping[str, Latency]
    by_name: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    ends: Mapping[str, Latency] = field(default_factory=dict)

    @classmethod
    def of(cls, latencies: Mapping[str, Latency], names: Iterable[str], limits: Iterable[tuple[str, float]]) -> Self:
        """The devices of a search.

        Latencies are called by their devices where there are several, or where one is
        named so.

        Args:
            latencies: The latency models by device, the first device first.
            names: The names of objectives and constraints.
            limits: Names, and the most that they may be. Those of latencies count, and
                of a device's the smallest.

        Returns:
            The devices.

        Raises:
            UnknownNameError: A limit is on a device that is not there.
        """
        devices = cls(latencies, len(latencies) > 1 or any(device_named(name) is not None for name in names))
        least: dict[str, float] = {}
        for name, most in limits:
            if plain_name(name) == LATENCY:
                device = devices.device(name)
                least[device] = min(most, least.get(device, most))
        return cls(latencies, devices.by_name, least)

    @property
    def first(self) -> str:
        """The device that `latency_ms` alone is about; raises `ObjectiveError` where there is none."""
        for device in self.latencies:
            return device
        raise ObjectiveError("needs a device: name one, such as raspberry-pi-4")

    def device(self, name: str) -> str:
        """The device that the latency `name` is about; raises `UnknownNameError` for one that is not there."""
        named = device_named(name)
        if named is None:
            return self.first
        if named not in self.latencies:
            wanted = f", the devices of this search, for {name!r}"
            raise UnknownNameError("device", named, list(self.latencies), wanted)
        return named

    def name(self, name: str) -> str:
        """The one name of an objective that depends on devices.

        Args:
            name: A name for it.

        Returns:
            The name that stands in the run.

        Raises:
            UnknownNameError: It names a device that is not there.
        """
        return latency_on(self.device(name)) if self.by_name and plain_name(name) == LATENCY else name

    def label(self, name: str) -> str:
        """What an objective is called in tables and figures.

        Args:
            name: Its name.

        Returns:
            The label; empty where a device has no name.
        """
        if name == WORST:
            return "worst latency over its limit"
        device = self.device(name)
        return f"{ENDS.get(name, 'latency')} on {device}" if device else ""

    def function(self, name: str) -> Latency:
        """What measures an objective.

        Args:
            name: Its name.

        Returns:
            A function of the layer table.

        Raises:
            ObjectiveError: It is `worst_latency` without limits, or an interval's end
                without intervals.
        """
        if name == WORST:
            return self._worst()
        device = self.device(name)
        if name not in ENDS:
            return self.latencies[device]
        if name not in self.ends:
            raise ObjectiveError(
                f"is an end of an interval, and the profile of {device or 'this device'} has none: fit it again with "
                "'evo-fair calibrate', or take a device that has them, such as raspberry-pi-4-pooled"
            )
        return self.ends[name]

    def _worst(self) -> Latency:
        """The largest ratio of a latency to its limit, over the devices that have one."""
        if not self.limits:
            example = f"{self.name(LATENCY)} <= 5"
            raise ObjectiveError(
                f"is the largest ratio of a latency to its limit, and no latency has one: add a constraint for each "
                f"device, as in {example!r}"
            )
        for device, most in self.limits.items():
            if most <= 0:
                raise ObjectiveError(f"is a ratio to limits above 0, and that of {device} is {most:g}: raise it")

        def worst(table: LayerTable) -> Floats:
            ratios = [self.latencies[device](table) / most for device, most in self.limits.items()]
            return np.asarray(np.max(ratios, axis=0), np.float64)

        return worst

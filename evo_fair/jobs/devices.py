"""The devices of a job: their profiles, what a search measures on them, and what is written down of them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evo_fair.errors import EvoFairError, quote
from evo_fair.evolution import Constraint, Objective, parse_limit, resolve
from evo_fair.evolution.devices import LATENCY, Devices, device_named, latency_on
from evo_fair.latency import Profile, load_profile

__all__ = ["card_facts", "device_facts", "load_devices", "objectives_on", "recorded_on", "searched_devices"]

_RECORDED = (LATENCY, "params", "macs", "peak_memory_bytes")
"""What is recorded of every network, whether it is an objective or not."""


def load_devices(
    given: str | Path | Sequence[str | Path], recorded: Mapping[str, str] | None = None
) -> tuple[Profile, ...]:
    """The profiles of one device or of several, in their order.

    `recorded` are the hashes by name of a run that is gone on with: a profile that had no intervals when it began is
    taken without them.
    Raises `EvoFairError` for none, and for two that have one name: one of them given twice, or two profiles that
    latencies could not be told apart by.
    """
    several = [given] if isinstance(given, str | os.PathLike) else given
    if isinstance(several, bytes | Mapping) or not isinstance(several, Iterable):
        raise EvoFairError(f"device {quote(given)} is no device: give a name, a path, or a list of them")
    found: dict[str, tuple[str | Path, Profile]] = {}
    for one in several:
        profile = load_profile(one)
        profile = profile.known_as((recorded or {}).get(profile.name)) or profile
        if profile.name in found:
            raise _taken(*found[profile.name], one, profile)
        found[profile.name] = one, profile
    if not found:
        raise EvoFairError(f"device = {quote(given)} names no device: give one, or leave it out")
    return tuple(profile for _, profile in found.values())


def _taken(first: str | Path, known: Profile, second: str | Path, profile: Profile) -> EvoFairError:
    """What is wrong with two devices whose profiles have one name."""
    if str(first) == str(second):
        return EvoFairError(f"device {str(first)!r} is given twice: name each once")
    both = f"devices {str(first)!r} and {str(second)!r}"
    if known.sha256 == profile.sha256:
        return EvoFairError(f"{both} are one profile, {profile.name!r}, given twice: name each once")
    return EvoFairError(f"{both} are two profiles of one name, {profile.name!r}: give one of them another 'name'")


def searched_devices(
    profiles: Sequence[Profile], objectives: Sequence[str | Objective], constraints: Sequence[str | Constraint]
) -> Devices:
    """What latencies stand for in a search; raises `ConstraintError` for a constraint that can't be read."""
    limits = [parse_limit(one.text if isinstance(one, Constraint) else one) for one in constraints]
    names = [one.name if isinstance(one, Objective) else one for one in objectives]
    devices = Devices.of(
        {profile.name: profile.latency_ms for profile in profiles},
        [*names, *(limit.name for limit in limits)],
        [(limit.name, limit.number) for limit in limits if limit.relation == "<="],
    )
    return replace(devices, ends=profiles[0].interval_ends)


def objectives_on(profiles: Sequence[Profile], objectives: Sequence[str]) -> list[str]:
    """A problem's objectives for these devices: its `latency_ms` is one for each, unless the problem names devices."""
    if len(profiles) == 1 or any(device_named(name) is not None for name in objectives):
        return list(objectives)
    own = [latency_on(profile.name) for profile in profiles]
    return [each for name in objectives for each in (own if name == LATENCY else [name])]


def recorded_on(profiles: Sequence[Profile], devices: Devices, goals: Sequence[Objective]) -> tuple[Objective, ...]:
    """The cheap measures beside the objectives `goals`.

    `latency_ms`, that of the first device, is always among them or the goals: tables are read by it.
    """
    names = {goal.name for goal in goals}
    plain = [name for name in _RECORDED if name not in names]
    ends = resolve([name for name in devices.ends if name not in names], devices)
    found = (*ends, *resolve(plain, profiles[0].latency_ms, profiles[0].name))
    if not devices.by_name:
        return found
    by_name = [name for name in map(latency_on, devices.latencies) if name not in names]
    return (*found, *resolve(by_name, devices))


def device_facts(profiles: Sequence[Profile]) -> dict[str, Any]:
    """What `run.toml` says: `device`, which `latency_ms` is about, and of several `devices`, all of them."""
    facts = [{"name": profile.name, "sha256": profile.sha256} for profile in profiles]
    return {"device": facts[0], **({"devices": facts} if len(facts) > 1 else {})}


def card_facts(profiles: Sequence[Profile]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a network's card says of its devices, and their hashes."""
    devices, hashes = {"device": profiles[0].name}, {"profile": profiles[0].sha256}
    if len(profiles) == 1:
        return devices, hashes
    own = {profile.name: profile.sha256 for profile in profiles}
    return {**devices, "devices": list(own)}, {**hashes, "profiles": own}

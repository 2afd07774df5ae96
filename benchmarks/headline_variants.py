"""The variants of the headline: what was trained, alike but for the seed; which have a role, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from headline_gain import finished_trainings
from headline_units import OPTIONS, PARTS, REFERENCE_NAMES, STARTS, Unit, Workplace, labels_of
from seed_noise import ENOUGH, Mean, mean_over_seeds, pooled

from evo_fair.errors import RunError
from evo_fair.export.examine import Examiner
from evo_fair.fairness import METRICS
from evo_fair.files import read_json
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.nets.reference import is_reference

BASELINE = "mobilenet-v2"
BASELINE_WAYS = tuple(product(STARTS, ("plain", "fair")))  # starts and options in which it is trained
DEVICES = ("raspberry-pi-4", "odroid-xu4", "odroid-n2-plus")
GROUPS = ("age_band", "sex")
OVERALL = ("accuracy", "balanced_accuracy")
BY_GROUP = ("worst_group_accuracy", "unfairness")
SMALLER, FASTER, FAIRER = 5.28, 5.75, 0.1514  # FaHaNa's figures (arXiv 2202.11317)
SLOWEST = 5.0  # the fifth of 'fair'
REPLICATES = 2000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """A network, its start and option, with the units that are finished and what is known of its graph."""

    network: str
    start: str
    option: str
    units: tuple[Unit, ...]
    facts: dict[str, Any]  # of the first seed
    predictions: dict[str, npt.NDArray[np.uint8]]  # `[seeds, samples]` by part
    predicted_ms: dict[str, float]
    measured_ms: float

    @property
    def ours(self) -> bool:
        """Whether it is of the front."""
        return not is_reference(self.network)

    @property
    def title(self) -> str:
        """What the table calls it."""
        return title_of(self.network, self.start, self.option)


def title_of(network: str, start: str, option: str) -> str:
    """What the table calls a network that was trained so."""
    tuned = ", trained further" if is_reference(network) else ", from the supernet"
    how = {"plain": "", "fair": ", fairness term", "balanced": ", balanced groups"}[option]
    return f"{network}{tuned if start == 'tuned' else ''}{how}"


def read_variants(place: Workplace, epochs: int) -> list[Variant]:
    """What was trained for so many epochs, known networks first; raises `RunError` where that was on other data."""
    grouped: dict[tuple[str, str, str], list[tuple[Unit, dict[str, Any]]]] = {}
    for unit, facts in finished_trainings(place):
        if facts["made_of"]["data"] != place.dataset.fingerprint:
            raise RunError(
                f"{place.units / unit.name}.json was trained on other data: give those with --data, or another --out"
            )
        if unit.epochs == epochs:
            grouped.setdefault((unit.network, unit.start, unit.option), []).append((unit, facts))
    measured = read_timing(place).get("latency_ms", {})
    profiles = [load_profile(device) for device in DEVICES]
    variants = []
    for (network, start, option), found in grouped.items():
        found.sort(key=lambda item: item[0].seed)
        units = tuple(unit for unit, _ in found)
        labels = {part: np.stack([labels_of(facts, part) for _, facts in found]) for part in PARTS}
        graph = read_onnx(place.architecture(network))
        predicted = {profile.name: predict(graph, profile).latency_ms for profile in profiles}
        milliseconds = float(measured.get(network, np.nan))
        variants.append(Variant(network, start, option, units, found[0][1], labels, predicted, milliseconds))
    return sorted(variants, key=_place)


def _place(variant: Variant) -> tuple[Any, ...]:
    """Known networks come first, what they are in other widths behind each, then those of fronts by size."""
    families = [variant.network.startswith(name) for name in REFERENCE_NAMES]
    family = families.index(True) if any(families) else len(families)
    scaled = variant.network not in REFERENCE_NAMES
    return family, scaled, variant.facts["params"], variant.network, variant.start, OPTIONS.index(variant.option)


def like_of(variant: Variant, variants: Sequence[Variant]) -> Variant | None:
    """The baseline trained like a variant of ours: from its own weights for 'tuned', with the same done for groups."""
    ways = {(v.start, v.option): v for v in variants if v.network == BASELINE}
    return ways.get((variant.start, variant.option)) if variant.ours else None


def seeds_needed(base: Variant) -> int:
    """With how many seeds a variant counts as finished: three, or as many as the baseline if it has fewer."""
    return min(ENOUGH, len(base.units))


def choose(variants: Sequence[Variant], base: Variant, place: Workplace) -> dict[str, Variant]:
    """The variants of ours with a role, by means over seeds on the validation part alone.

    Only variants with three seeds, or as many as the baseline if it has fewer, take part; a role that none fulfils is
    missing.
    """
    device = DEVICES[0]
    means = {v.title: _validation(v, place) for v in variants}
    ours = [v for v in variants if v.ours and len(v.units) >= seeds_needed(base)]
    floor, size, pace = means[base.title]["accuracy"], base.facts["params"], base.predicted_ms[device]

    def unfair(variant: Variant) -> float:
        return means[variant.title]["unfairness"]

    as_accurate = [v for v in ours if means[v.title]["accuracy"] >= floor]
    quick = [v for v in ours if v.predicted_ms[device] <= pace / SLOWEST]
    fairer = [v for v in as_accurate if unfair(v) <= (1 - FAIRER) * means[base.title]["unfairness"]]
    compact = [v for v in ours if v.facts["params"] <= size / SMALLER and v.predicted_ms[device] <= pace / FASTER]

    candidates = {
        "small": min(as_accurate, key=lambda v: (v.facts["params"], unfair(v)), default=None),
        "small and fair": min(fairer, key=lambda v: (v.facts["params"], unfair(v)), default=None),
        "fair": min(quick, key=unfair, default=None),
        "accurate": max(compact, key=lambda v: means[v.title]["accuracy"], default=None),
        "fast": min(as_accurate, key=lambda v: (v.predicted_ms[device], unfair(v)), default=None),
        "for all groups": max(ours, key=lambda v: means[v.title]["worst_group_accuracy"], default=None),
        "for all diagnoses": max(ours, key=lambda v: means[v.title]["balanced_accuracy"], default=None),
        "tiny": min(ours, key=lambda v: (v.facts["params"], unfair(v)), default=None),
    }
    return {role: variant for role, variant in candidates.items() if variant is not None}


def _validation(variant: Variant, place: Workplace) -> dict[str, float]:
    counts = place.dataset.counts(variant.predictions["validation"], "validation", GROUPS[0])
    return {name: float(METRICS[name](counts).mean()) for name in (*OVERALL, *BY_GROUP)}


def read_timing(place: Workplace) -> dict[str, Any]:
    """What the stage `time` wrote; empty before it."""
    path = place.out / "timing.json"
    found: dict[str, Any] = read_json(path, RunError) if path.is_file() else {}
    return found


@dataclass(frozen=True, eq=False)
class Bench:
    """Metrics on the test part; lesions are drawn alike for all variants, what trainings leave uncertain for each."""

    place: Workplace
    variants: Sequence[Variant]

    @cached_property
    def examiner(self) -> Examiner:
        """Draws the lesions, once."""
        return Examiner(self.place.dataset, "test", GROUPS, seed=0, replicates=REPLICATES)

    def values(self, variant: Variant, metric: str, group: str) -> Mean:
        """A metric's mean over seeds; what trainings differ by is known of the variant's own, if they are three.

        Else it is known of all variants with as many.
        """
        resampled = []
        for predictions in variant.predictions["test"]:
            counts = self.examiner.resampled(predictions, group)
            assert counts is not None
            resampled.append(METRICS[metric](counts))
        points = self._points(variant, metric, group)
        return mean_over_seeds(points, np.stack(resampled, axis=1), self._pooled(metric, group))

    def _points(self, variant: Variant, metric: str, group: str) -> Floats:
        counts = self.place.dataset.counts(variant.predictions["test"], "test", group)
        return METRICS[metric](counts)

    @cache  # noqa: B019 - there is one
    def _pooled(self, metric: str, group: str) -> tuple[float, int] | None:
        sound = (one for one in self.variants if min(map(len, map(np.unique, one.predictions["test"]))) > 1)
        return pooled([self._points(one, metric, group) for one in sound])

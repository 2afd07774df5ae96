"""Trainings of `search_gain` in the headline: from nothing, plain, by the same recipe as the headline's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from headline_units import Genomes, Unit, Workplace, finished_units, for_inference
from search_gain_units import RANDOM, Candidate

from evo_fair.errors import RunError
from evo_fair.export.export import export_onnx
from evo_fair.files import read_json

Trained = tuple[Unit, dict[str, Any]]


def finished_trainings(place: Workplace) -> Iterator[Trained]:
    """The finished units of the headline, then those in the `gain` of `place` that it lacks.

    Raises `RunError` for one that was trained otherwise.
    """
    own = dict(finished_units(place.units))
    yield from own.items()
    yield from ((unit, facts) for unit, facts in _gained(place) if unit not in own)


def judged_networks(folder: Path) -> list[Candidate]:
    """The networks that `search_gain` judged in its results `folder`: a front, and known ones in several widths."""
    path = folder / "networks.json"
    if not path.is_file():
        raise RunError(f"{path} does not exist: --gain takes a folder that benchmarks/search_gain.py wrote")
    candidates = map(Candidate.of, read_json(path, RunError)["networks"])
    return [candidate for candidate in candidates if candidate.role != RANDOM]


def judged_genomes(folder: Path) -> Genomes:
    """The genomes of those that are of a front."""
    return {one.name: np.array(one.genome, np.int16) for one in judged_networks(folder) if one.genome is not None}


def _gained(place: Workplace) -> Iterator[Trained]:
    for candidate in judged_networks(place.gain):
        for path in sorted((place.gain / "units").glob(f"{candidate.name}.e*.json")):
            facts = read_json(path, RunError)
            if "diverged" in facts:
                continue
            unit = Unit(facts["network"], "scratch", "plain", facts["epochs"], facts["seed"])
            _check(place, unit, candidate, facts["made_of"], path)
            costs = {"params": candidate.params, "macs": candidate.macs, "onnx_bytes": _bytes_of(place, unit)}
            yield unit, facts | costs


def _bytes_of(place: Workplace, unit: Unit) -> int:
    """How large the file of a trained network is, without its weights: with others, no two tensors of which are alike.

    A file holds tensors that are alike once, as the biases of an untrained network are.
    """
    path = place.work / "filled" / f"{unit.network}.onnx"
    if not path.is_file():
        network = place.network(unit)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.0, generator=generator)
        export_onnx(for_inference(network), place.dataset.input_shape, path)
    return path.stat().st_size


def _check(place: Workplace, unit: Unit, candidate: Candidate, made_of: dict[str, Any], path: Path) -> None:
    """Refuses a training of other data, another recipe or another space, which the headline could not compare."""
    _, recipe = place.training(unit)
    expected = {
        "recipe": recipe.of_one_network(),
        "data": place.dataset.fingerprint,
        "space": None if candidate.genome is None else place.space.fingerprint,
        "genome": None if candidate.genome is None else list(candidate.genome),
    }
    if made_of != expected:
        raise RunError(f"{path} was trained on other data, by another recipe or in another space: give another --gain")

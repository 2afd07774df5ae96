"""What a search gains: networks of its front against random and known ones of equal latency, all trained alike.

    python benchmarks/search_gain.py PROBLEM --run RUN [--data DIR] [--limit MINUTES] [--threads N] [--report]
                                     [--beside RESULTS]

PROBLEM is ham10000, faces, cifar10 or another problem with images and at most ten labels; RUN the folder of a search on
it, whose front is judged. Trained are

  front           networks of the front, spread over its latencies without a look at what the search believes of them
  random          as many random networks: 400,000 are drawn, every gene uniformly, and each network of the front gets
                  the one nearest to it in predicted latency, at most 3 % off; networks of the front that have none,
                  such as the very fastest, are not judged, and the script says so
  mobilenet-v2,   in widths from 0.1 to 1, those within the front's latencies and the next on both sides
  resnet-18

all from nothing, by the problem's own recipe, with each seed, on one thread each: first front and random networks, seed
by seed and the fastest first, then the known ones.
`--threads` trains several beside each other. What the report says is of the test part; see `search_gain_statistics`
for the intervals.

A finished training is a file in results/benchmarks/search_gain/PROBLEM/units/ (what it predicts), the one under way a
checkpoint in work/ beside it: the script goes on where it was broken off, or where `--limit` ended it. The networks
are in networks.json there, so that --run is needed only the first time, or for another front: what was trained for
the former one stays, and counts where it is chosen again. Writes table.csv, comparison.csv and gain.png, .pdf.

--beside names the results of another problem that has the same data and recipe, but another space: the front judged
there is a further row of the comparison, as a family of known networks is. Nothing of it is trained here.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from provenance import run
from rich.console import Console
from scipy.optimize import linear_sum_assignment
from search_gain_report import report
from search_gain_statistics import Floats, Ints
from search_gain_units import FRONT, RANDOM, Candidate, Unit, Workplace

from evo_fair import layers
from evo_fair.errors import EvoFairError, RunError
from evo_fair.evolution import genome_of
from evo_fair.export.export import export_onnx
from evo_fair.files import digest, read_json, write_json
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.latency.profile import Profile
from evo_fair.nets.reference import SCALED
from evo_fair.problem import load_problem
from evo_fair.report import load_run
from evo_fair.space import SearchSpace

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks" / "search_gain"
WIDTHS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0)
DRAWN, BATCH = 400_000, 20_000
TOLERANCE = 0.03
LEAST_NETWORKS = 3


def main() -> None:
    """Chooses, trains what is left to train, reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", help="ham10000, faces, cifar10, or the path of a problem file")
    parser.add_argument("--run", type=Path, help="the folder of the search whose front is judged")
    parser.add_argument("--data", type=Path, help="the folder of the problem's data")
    parser.add_argument("--device", help="whose predicted latency counts; default: the problem's")
    parser.add_argument("--networks", type=int, default=12, help="of the front, and random ones (default 12)")
    parser.add_argument("--epochs", type=int, help="for every network alike; default: the problem's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--limit", type=float, help="minutes after which no epoch begins; default: none")
    parser.add_argument("--threads", type=int, default=1, help="trainings beside each other, a thread each")
    parser.add_argument("--beside", type=Path, help="the folder of such results on the same data with another space")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.relative_to(RESULTS.parents[2])}/PROBLEM")
    parser.add_argument("--work", type=Path, help="for checkpoints; default: work/ in --out")
    arguments = parser.parse_args()
    check(arguments)
    began = time.time()
    place = workplace(arguments)
    device = load_profile(arguments.device or place.problem.search.devices[0])
    candidates = chosen(place, device, arguments)
    epochs = place.problem.training.epochs if arguments.epochs is None else arguments.epochs
    units = planned(candidates, epochs, arguments.seeds)
    beside = {} if arguments.beside is None else front_beside(place, device, arguments.beside, epochs, arguments.seeds)
    if not arguments.report:
        until = float("inf") if arguments.limit is None else began + 60 * arguments.limit
        train(arguments, place, units, until)
    report(place, candidates, units, device.name, beside)


def check(arguments: argparse.Namespace) -> None:
    """Refuses numbers that make no sense."""
    least = {"networks": LEAST_NETWORKS, "epochs": 1, "threads": 1}
    for name, fewest in least.items():
        value = getattr(arguments, name)
        if value is not None and value < fewest:
            raise EvoFairError(f"{name} {value} is too few: give {fewest} or more")
    if arguments.limit is not None and not arguments.limit > 0:
        raise EvoFairError(f"limit {arguments.limit:g}: give minutes above 0, or leave it out; --report trains nothing")
    if min(arguments.seeds) < 0 or len(set(arguments.seeds)) < len(arguments.seeds):
        raise EvoFairError(f"seeds {' '.join(map(str, arguments.seeds))}: give each once, 0 or more")


def workplace(arguments: argparse.Namespace) -> Workplace:
    """The problem with its data, and the folders."""
    problem = load_problem(arguments.problem, data=arguments.data)
    dataset = problem.dataset()
    if problem.space.stem is None:
        raise EvoFairError(f"{problem.name} is a table, which known networks do not take: choose a problem with images")
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    out = arguments.out or RESULTS / problem.name
    return Workplace(out, arguments.work or out / "work", problem, dataset, space)


def chosen(place: Workplace, device: Profile, arguments: argparse.Namespace) -> list[Candidate]:
    """The networks to train: those chosen before, unless another front, number of networks or device is asked for."""
    path = place.out / "networks.json"
    stored: dict[str, Any] = read_json(path, RunError) if path.is_file() else {}
    if arguments.run is None:
        if not stored:
            raise EvoFairError(f"{path} does not exist: name the folder of the search to judge with --run")
        made_of = {**stored.get("made_of", {}), "networks": arguments.networks, "device": device.sha256}
    else:
        genomes = front_of(place, arguments.run)
        front = digest(*(place.space.ids(genomes)))
        space = place.space.fingerprint
        made_of = {"front": front, "space": space, "networks": arguments.networks, "device": device.sha256}
    if stored.get("made_of") == made_of and made_of["space"] == place.space.fingerprint:
        return [Candidate.of(facts) for facts in stored["networks"]]
    if arguments.run is None:
        raise RunError(f"{path} was made for another space, device or --networks: name the search with --run again")
    pairs = pairs_of(place.space, device, genomes, arguments.networks, DRAWN)
    known = known_networks(place, device, [candidate.latency_ms for candidate in pairs if candidate.role == FRONT])
    facts = [asdict(candidate) for candidate in (*pairs, *known)]
    write_json(path, {"made_of": made_of, "run": arguments.run.name, "device": device.name, "networks": facts})
    return [*pairs, *known]


def front_of(place: Workplace, folder: Path) -> Ints:
    """The genomes of a run's front, canonical, each once; raises `RunError` for a run on another space or data."""
    opened = load_run(folder)
    for what, ours in (("space", place.space.fingerprint), ("data", place.dataset.fingerprint)):
        if opened.configuration.get(what, {}).get("fingerprint") != ours:
            raise RunError(f"the run in {folder} is of another {what} than {place.problem.name}: give one of its own")
    group = opened.configuration["search"].get("group")
    if group != place.problem.fairness.group:
        raise RunError(f"the run in {folder} looked at {group}, not at {place.problem.fairness.group}: search again")
    genomes = np.array([genome_of(text) for text in opened.front["genome"]], np.int16)
    if not len(genomes):
        raise RunError(f"the front in {folder} is empty: search again with wider constraints")
    _, first = np.unique(canonical := place.space.canonical(genomes), axis=0, return_index=True)
    return np.asarray(canonical[np.sort(first)])


def front_beside(
    place: Workplace, device: Profile, folder: Path, epochs: int, seeds: list[int]
) -> dict[Candidate, list[dict[str, Any]]]:
    """The front that the results in `folder` judged, and what each of its trainings gave.

    Its role is `front of NAME`. Raises `RunError` where its latencies are of another device, or a training is missing,
    diverged or is of other data or another recipe, since the comparison would be of more than the space.
    """
    path = folder / "networks.json"
    if not path.is_file():
        raise RunError(f"{path} does not exist: --beside takes a folder that this script wrote")
    chosen = read_json(path, RunError)
    if chosen.get("made_of", {}).get("device") != device.sha256:
        raise RunError(f"{path} has latencies of another device than {device.name}: give that one with --device")
    found = {}
    for stored in map(Candidate.of, chosen["networks"]):
        if stored.role == FRONT:
            one = replace(stored, role=f"front of {folder.name}", pair=None)
            found[one] = [place.of_another_space(folder, Unit(stored.name, epochs, seed)) for seed in seeds]
    return found


def pairs_of(space: SearchSpace, device: Profile, front: Ints, networks: int, draws: int) -> list[Candidate]:
    """Networks of the front, spread over its latencies, and a random one of the same latency for each."""
    latency = device.latency_ms(space.decode(front))
    drawn, drawn_latency = random_networks(space, device, front, draws)
    reached = np.flatnonzero(nearest(latency, drawn_latency) >= 0)
    if len(reached) < networks:
        raise EvoFairError(
            f"{len(reached)} of the {len(front)} networks of the front have a random one within {TOLERANCE:.0%} of "
            f"their latency, {networks} are needed: search for longer, or give fewer --networks"
        )
    if len(reached) < len(front):
        left = np.setdiff1d(np.arange(len(front)), reached)
        Console().print(
            f"{len(left)} of {len(front)} networks of the front, of {latency[left].min():.2f} to "
            f"{latency[left].max():.2f} ms, have no random one of their latency and are not judged",
            soft_wrap=True,
        )
    ours = reached[spread(latency[reached], networks)]
    theirs = nearest(latency[ours], drawn_latency)
    if (theirs < 0).any():
        raise EvoFairError(f"too few random networks for {networks} of the front: give fewer --networks")
    return [
        *described(space, device, front[ours], FRONT),
        *described(space, device, drawn[theirs], RANDOM),
    ]


def random_networks(space: SearchSpace, device: Profile, front: Ints, draws: int) -> tuple[Ints, Floats]:
    """Different random networks that are not on the front, and their latencies, in the order of the latter."""
    rng = np.random.default_rng(0)
    found: dict[bytes, float] = {}
    for _ in range(-(-draws // BATCH)):
        genomes = space.sample(rng, min(BATCH, draws))
        found |= dict(zip(map(bytes, genomes), device.latency_ms(space.decode(genomes)).tolist(), strict=True))
    for genome in np.ascontiguousarray(front, np.int16):
        found.pop(genome.tobytes(), None)
    order = sorted(found, key=lambda name: (found[name], name))
    genomes = np.frombuffer(b"".join(order), np.int16).reshape(len(order), len(space.gene_names))
    return genomes, np.array([found[name] for name in order])


def nearest(wanted: Floats, drawn: Floats) -> Ints:
    """For each latency of `wanted` the nearest of `drawn`, which ascends; each is taken once, and -1 means none.

    One that is more than 3 % off is none.
    """
    taken: set[int] = set()
    result = np.full(len(wanted), -1, np.int64)
    for number, value in enumerate(wanted):
        low, high = np.searchsorted(drawn, [value * (1 - TOLERANCE), value * (1 + TOLERANCE)])
        near = low + np.argsort(np.abs(drawn[low:high] - value), kind="stable")[: len(wanted)]
        free = [int(one) for one in near if int(one) not in taken]
        if free:
            result[number] = free[0]
            taken.add(free[0])
    return result


def spread(latency: Floats, count: int) -> Ints:
    """Which of the latencies lie, as well as can be, evenly in logarithm from the lowest to the highest: `[count]`."""
    ratio = np.log(latency)
    wanted = np.linspace(ratio.min(), ratio.max(), count)
    return np.asarray(linear_sum_assignment(np.abs(wanted[:, None] - ratio))[1], np.int64)


def described(space: SearchSpace, device: Profile, genomes: Ints, role: str) -> list[Candidate]:
    """Candidates of one role, numbered as pairs in the order of their genomes."""
    tables = space.decode(genomes)
    facts = zip(
        space.ids(genomes),
        device.latency_ms(tables).tolist(),
        layers.params(tables).tolist(),
        layers.macs(tables).tolist(),
        genomes.tolist(),
        strict=True,
    )
    return [
        Candidate(name, role, ms, params, macs, tuple(genome), pair)
        for pair, (name, ms, params, macs, genome) in enumerate(facts)
    ]


def known_networks(place: Workplace, device: Profile, latency: list[float]) -> list[Candidate]:
    """Known networks in all widths that lie within the latencies, and the next one on either side."""
    found = []
    for family in SCALED:
        row = [_known(place, device, family, width) for width in WIDTHS]
        row.sort(key=lambda candidate: candidate.latency_ms)
        below = [one for one in row if one.latency_ms < min(latency)][-1:]
        above = [one for one in row if one.latency_ms > max(latency)][:1]
        within = [one for one in row if min(latency) <= one.latency_ms <= max(latency)]
        found += [*below, *within, *above]
    return found


def _known(place: Workplace, device: Profile, family: str, width: float) -> Candidate:
    name = family if width == 1 else f"{family}-{width:g}"
    candidate = Candidate(name, family, 0.0, 0, 0)
    path = place.work / "architectures" / f"{name}.onnx"
    export_onnx(place.network(candidate).eval().requires_grad_(False), place.dataset.input_shape, path)
    graph = read_onnx(path)
    return Candidate(name, family, predict(graph, device).latency_ms, graph.params, graph.macs)


Plan = list[tuple[Unit, Candidate]]


def planned(candidates: list[Candidate], epochs: int, seeds: list[int]) -> Plan:
    """All trainings: the pairs, then the known networks, each seed by seed and the fastest first."""
    row = sorted(candidates, key=lambda candidate: candidate.latency_ms)
    pairs = [candidate for candidate in row if candidate.role not in SCALED]
    known = [candidate for candidate in row if candidate.role in SCALED]
    return [(Unit(one.name, epochs, seed), one) for group in (pairs, known) for seed in seeds for one in group]


def train(arguments: argparse.Namespace, place: Workplace, units: Plan, until: float) -> None:
    """Trains what is missing, `--threads` at once, until the time is over."""
    missing = [(unit, candidate) for unit, candidate in units if place.find(unit, candidate) is None]
    if arguments.threads == 1:
        for unit, candidate in missing:
            _say(unit, place.make(unit, candidate, until))
        return
    # Processes, since a training's random numbers are the whole process's.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.threads, context, _begin, (arguments,)) as pool:
        futures = {pool.submit(_make, unit, candidate, until): unit for unit, candidate in missing}
        for future in as_completed(futures):
            _say(futures[future], future.result())


_place: Workplace
"""A process's own."""


def _begin(arguments: argparse.Namespace) -> None:
    global _place
    _place = workplace(arguments)


def _make(unit: Unit, candidate: Candidate, until: float) -> dict[str, Any] | None:
    return _place.make(unit, candidate, until)


def _say(unit: Unit, facts: dict[str, Any] | None) -> None:
    if facts is not None:
        outcome = facts.get("diverged") or f"{facts['cpu_seconds']:,.0f} s of CPU"
        Console().print(f"{unit.name}: {outcome}", soft_wrap=True)


if __name__ == "__main__":
    run(main)

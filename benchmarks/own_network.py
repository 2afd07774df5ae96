"""A trained network's pruned forms: a search's front beside uniform pruning and ballot, at equal latency and training.

    python benchmarks/own_network.py PROBLEM NETWORK [--weights FILE] [--data DIR] [--limit MINUTES] [--report]

NETWORK is a reference network's name (mobilenet-v2, resnet-18), or file.py:function with --weights. It is searched once
(evo-fair search --module), for networks of at most the largest of --shares of its latency; --trainings networks are
really trained meanwhile, for --training-epochs each. Then, for each of --shares, networks of at most that share of the
latency are compared on the test part:

  front    of the search's front the network of the lowest error that is believed, on the validation part, among
           those that take at least nine tenths of the limit: what is believed of networks that guess differs by
           chance, and the others take all of the limit, too
  uniform  the same share of channels everywhere, those of the largest magnitudes (magnitude_l1)
  ballot   evo-fair prune --method ballot, at the lowest sparsity that is fast enough

Each starts from the network's own weights and is trained for --epochs with each seed, at --rate of the recipe's
learning rate, by default that of ballot; the first two as evo-fair deploy --learning-rate does, ballot by its own. With
--distillation all three follow the whole network by that share of the loss.
Intervals are a bootstrap of the test part's units, and of what the seeds leave uncertain of their mean (`seed_noise`;
the network itself is what it is), for the differences of two methods on the
same resamples. `dense` is the network as it was.

The search is a folder in results/benchmarks/own_network/PROBLEM-NETWORK/, a finished training a file in units/ there:
the script goes on where it was broken off, or where --limit ended it. It makes one seed after the other, the small
networks first, and reports of the seeds that are there for all. Writes table.csv and differences.csv.
"""

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from provenance import made_by, run
from rich.console import Console
from seed_noise import Resampling, difference, interval
from torch import nn

import evo_fair as ef
from evo_fair.arrays import Genomes
from evo_fair.data import Dataset
from evo_fair.errors import EvoFairError
from evo_fair.evolution import genome_of
from evo_fair.export.tuning import Tuning, train_network
from evo_fair.files import read_cached_json, write_bytes, write_json, write_text
from evo_fair.jobs.dense import given_network
from evo_fair.jobs.own import GivenNetwork, OwnOrigin, own_of_run
from evo_fair.latency import Profile, load_profile
from evo_fair.nets.distillation import check_distillation
from evo_fair.nets.network import calibrate
from evo_fair.nets.reference import build_reference
from evo_fair.own.layers import exported_rows
from evo_fair.problem import Problem, load_problem
from evo_fair.pruning.ballot import ballot, ballot_scores
from evo_fair.pruning.criteria import criterion_named
from evo_fair.pruning.refine import RATE
from evo_fair.pruning.removal import remove_channels
from evo_fair.pruning.selection import choose
from evo_fair.pruning.structure import Keep
from evo_fair.pruning.task import Dense, Request

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks" / "own_network"
METHODS = ("front", "uniform", "ballot")
SHOWN = ("accuracy", "unfairness", "worst_group_accuracy")
ORDERS = ("magnitude_l1", "taylor")
LEAST = 0.9
"""Of the limit the network of the front takes at least so much: those that it is compared with take all of it."""

STEPS = 128
"""Shares of channels that are tried for a latency: so many equal steps."""


@dataclass(frozen=True)
class Unit:
    """One network: how it was made, the share of the dense latency that it may take, and the seed of its training."""

    method: str
    share: float
    seed: int
    epochs: int
    distillation: float = 0.0

    @property
    def name(self) -> str:
        """That of its files."""
        follows = f"-d{self.distillation:g}" if self.distillation else ""
        return f"{self.method}-{self.share:.4g}-{self.epochs}-{self.seed}{follows}"


@dataclass(frozen=True)
class Place:
    """A searched network, the device that latency is of, and the folder of its units."""

    problem: Problem
    run: ef.Run
    module: str
    profile: Profile
    folder: Path
    rate: float

    @property
    def group(self) -> str:
        """The grouping that the search looked at."""
        return str(self.run.configuration["search"]["group"])

    @property
    def network(self) -> str:
        """What units are told apart by: the searched space's fingerprint."""
        return str(self.run.configuration["space"]["fingerprint"])

    @cached_property
    def dataset(self) -> Dataset:
        """The problem's."""
        return self.problem.dataset()

    @cached_property
    def origin(self) -> OwnOrigin:
        """The network with its weights; a report needs none."""
        configuration = self.run.configuration
        return own_of_run(self.run.path, configuration, self.problem, self.dataset, self.group, self.module)

    @cached_property
    def dense_ms(self) -> float:
        """The latency of the whole network."""
        return self._latency_of(self.origin.space.largest())

    @property
    def least_ms(self) -> float:
        """The latency of its smallest pruned form."""
        return self._latency_of(self.origin.space.smallest())

    def _latency_of(self, genome: Genomes) -> float:
        return float(self.profile.latency_ms(self.origin.space.decode(genome[None]))[0])

    def latency(self, keep: Keep) -> float:
        """That of the network of which these channels stay."""
        groups = self.origin.space.groups
        channels = [int(keep[name].sum()) if name in keep else group.size for name, group in groups.items()]
        present = np.ones((1, len(self.origin.space.blocks)), np.bool_)
        table = self.origin.space.layers.table(np.array([channels], np.int64), present)
        return float(self.profile.latency_ms(table)[0])

    def path(self, unit: Unit, suffix: str) -> Path:
        """A unit's file."""
        return self.folder / f"{unit.name}{suffix}"

    def is_finished(self, unit: Unit) -> bool:
        """Whether its facts, which are written last, are those of this network and data."""
        facts = read_cached_json(self.path(unit, ".json"))
        known = facts.get("network"), facts.get("rate")
        return known == (self.network, self.rate_of(unit))

    def rate_of(self, unit: Unit) -> float:
        """The peak of its training's learning rate, as a share of the recipe's."""
        return {"dense": 0.0, "ballot": RATE}.get(unit.method, self.rate)

    def predictions(self, unit: Unit) -> npt.NDArray[np.uint8]:
        """What it predicts for the test part, uint8 `[samples]`."""
        with np.load(self.path(unit, ".npz")) as kept:
            found: npt.NDArray[np.uint8] = kept["test"]
        return found


def main() -> None:
    """Searches and trains what is left to do, reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", help="a problem's name or file, such as ham10000")
    parser.add_argument("network", help="mobilenet-v2, resnet-18, or file.py:function")
    parser.add_argument("--weights", type=Path, help="the weights of file.py:function, safetensors")
    parser.add_argument("--data", type=Path, help="the folder of the problem's data")
    parser.add_argument("--device", help="the device that latency is of; default: the problem's")
    parser.add_argument("--budget", type=int, default=600, help="networks that the search evaluates (default 600)")
    parser.add_argument("--trainings", type=int, default=12, help="networks that the search trains (default 12)")
    parser.add_argument("--training-epochs", type=int, default=2, help="of each of those (default 2)")
    parser.add_argument("--shares", type=float, nargs="+", default=[1 / 3, 1 / 6], help="of the dense latency")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all three")
    parser.add_argument("--epochs", type=int, default=10, help="of each training (default 10)")
    parser.add_argument("--rate", type=float, default=RATE, help=f"of front and uniform (default {RATE:g})")
    parser.add_argument("--distillation", type=float, default=0.0, help="share of the loss (default 0, none)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each network (default 3)")
    parser.add_argument("--jobs", type=int, help="threads of the search; default: all cores")
    parser.add_argument("--replicates", type=int, default=2000, help="resamples for intervals (default 2000)")
    parser.add_argument("--limit", type=float, default=np.inf, help="minutes after which no training is begun")
    parser.add_argument("--report", action="store_true", help="make nothing, report what is there")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.name}/PROBLEM-NETWORK in results/benchmarks")
    arguments = parser.parse_args()
    check(arguments)
    until = time.time() + 60 * arguments.limit
    place = opened(arguments)
    if not arguments.report:
        check_shares(place, min(arguments.shares))
    units = [
        Unit(method, share, seed, arguments.epochs, arguments.distillation)
        for seed in range(arguments.seeds)
        for share in sorted(arguments.shares)
        for method in METHODS
        if method in arguments.methods
    ]
    dense = Unit("dense", 1.0, 0, 0)
    finish([dense, *units], place, until, arguments.report)
    lacking = {unit.seed for unit in [dense, *units] if not place.is_finished(unit)}
    if there := [unit for unit in units if unit.seed not in lacking]:
        report(place, dense, there, arguments.replicates)


def check(arguments: argparse.Namespace) -> None:
    """Refuses numbers that make no sense."""
    for name in ("budget", "training_epochs", "epochs", "seeds", "replicates"):
        if getattr(arguments, name) < 1:
            raise EvoFairError(f"{name} {getattr(arguments, name)} is too few: give 1 or more")
    if not 0 < arguments.rate < np.inf:
        raise EvoFairError(f"rate {arguments.rate:g} is no share of a learning rate: give one such as 0.2")
    check_distillation(arguments.distillation)
    if "front" not in arguments.methods:
        raise EvoFairError("methods: name front, too, which the others are compared with")
    for share in arguments.shares:
        if not 0 < share < 1:
            raise EvoFairError(f"share {share:g} of the dense latency is outside (0, 1): give one such as 0.333")


def check_shares(place: Place, share: float) -> None:
    """Refuses a share of the latency that no pruned form can keep."""
    limit, least = share * place.dense_ms, place.least_ms
    if least > limit:
        raise EvoFairError(
            f"the smallest pruned form takes {least:.3g} of {place.dense_ms:.3g} ms, not {limit:.3g}: "
            "give larger --shares"
        )


def opened(arguments: argparse.Namespace) -> Place:
    """The network, searched first if it is not yet."""
    problem = load_problem(arguments.problem, data=arguments.data)
    name = arguments.network.rpartition(":")[2]
    out = arguments.out or RESULTS / f"{problem.name}-{name}"
    folder = out / "run"
    profile = load_profile(arguments.device or problem.search.devices[0])
    if not arguments.report:
        dense = GivenNetwork(arguments.network, arguments.weights)
        limit = max(arguments.shares) * latency_of(dense, problem, profile)
        ef.search(
            problem,
            out=folder,
            module=arguments.network,
            weights=arguments.weights,
            orders=ORDERS,
            device=arguments.device,
            objectives=["error", "unfairness", "latency_ms"],
            constraints=[f"latency_ms <= {limit!r}"],
            trainings=arguments.trainings,
            training_epochs=arguments.training_epochs if arguments.trainings else None,
            budget=arguments.budget,
            jobs=arguments.jobs,
            resume=folder.is_dir(),
        )
    return Place(problem, ef.load_run(folder), arguments.network, profile, out / "units", arguments.rate)


def latency_of(given: GivenNetwork, problem: Problem, profile: Profile) -> float:
    """The latency of a whole network, which no weight changes."""
    dataset = problem.dataset()
    if given.reference is not None:
        network = build_reference(given.reference, len(dataset.label_names))
    else:
        network = given_network(given.module, problem.training.seed)
    return float(profile.latency_ms(exported_rows(network, dataset.input_shape)[None])[0])


def finish(units: list[Unit], place: Place, until: float, only_report: bool) -> None:
    """Makes the units that are not there, as long as there is time."""
    left = [unit for unit in units if not place.is_finished(unit)]
    for done, unit in enumerate(left, 1):
        if only_report or time.time() > until:
            print(f"{len(left) - done + 1} of {len(units)} are left to make: the same command goes on")
            return
        began = time.time()
        make(place, unit)
        print(f"{done}/{len(left)} {unit.name}: {time.time() - began:.0f} s", flush=True)


def make(place: Place, unit: Unit) -> None:
    """Prunes and trains a network, and keeps what it predicts."""
    network = MAKERS[unit.method](place, unit)
    task = place.origin.task
    stream = io.BytesIO()
    np.savez_compressed(stream, test=task.predictions(network, "test"))
    rows = exported_rows(network, task.dataset.input_shape)
    write_bytes(place.path(unit, ".npz"), stream.getvalue())
    latency = float(place.profile.latency_ms(rows[None])[0])
    facts = {**asdict(unit), "rate": place.rate_of(unit), "latency_ms": latency}
    write_json(place.path(unit, ".json"), {**facts, "network": place.network})
    place.path(unit, ".checkpoint.safetensors").unlink(missing_ok=True)


def _dense(place: Place, unit: Unit) -> nn.Module:
    del unit
    return place.origin.own.whole


def _front(place: Place, unit: Unit) -> nn.Module:
    limit = unit.share * place.dense_ms
    limits = [f"latency_ms <= {limit!r}", f"latency_ms >= {LEAST * limit!r}"]
    chosen = place.run.operating_point(limits, "error")
    if chosen is None:
        raise EvoFairError(
            f"no network of the front takes {LEAST * limit:.3g} to {limit:.3g} ms: search with a larger --budget"
        )
    genome = genome_of(chosen["genome"])
    return _trained(place, unit, place.origin.beginning().make(genome))


def _uniform(place: Place, unit: Unit) -> nn.Module:
    task, whole = place.origin.task, place.origin.own.whole
    structure = task.structure(whole)
    rng = np.random.default_rng(0)
    scores = criterion_named("magnitude_l1")(whole, structure, task.samples(rng), rng)

    def keep(left: float) -> Keep:
        found = {}
        for name, group in place.origin.space.groups.items():
            found[name] = np.zeros(group.size, np.bool_)
            count = max(2, round(left * group.size))
            found[name][np.argsort(-scores.channels[name], kind="stable")[:count]] = True
        return found

    left = _largest(lambda share: place.latency(keep(share)), unit.share * place.dense_ms)
    network = remove_channels(whole, structure.groups, keep(left))
    calibrate(network, place.origin.calibration)
    return _trained(place, unit, task.settled(network))


def _ballot(place: Place, unit: Unit) -> nn.Module:
    whole = place.origin.own.whole
    task = place.origin.task.following(whole, unit.distillation)
    structure = task.structure(whole)

    def request(left: float) -> Request:
        return Request(1 - left, "structured", "global", unit.seed, unit.epochs)

    scores = ballot_scores(whole, structure, task, request(1.0))

    def latency(left: float) -> float:
        return place.latency(choose(whole, structure, scores, 1 - left, "structured", "global").keep or {})

    left = _largest(latency, unit.share * place.dense_ms)
    pruned = ballot(Dense(whole, None, place.problem.training.epochs), task, request(left))
    return remove_channels(pruned.network, structure.groups, pruned.mask.keep or {}).eval()


MAKERS: dict[str, Callable[[Place, Unit], nn.Module]] = {
    "dense": _dense,
    "front": _front,
    "uniform": _uniform,
    "ballot": _ballot,
}


def _largest(latency: Callable[[float], float], limit: float) -> float:
    """The largest share of channels, in steps, whose network keeps the limit; latency rises with it."""
    low, high = 0, STEPS  # low keeps the limit, or nothing does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if latency(middle / STEPS) <= limit else (low, middle)
    if low == 0:
        raise EvoFairError(f"no share of the channels takes at most {limit:.3g} ms: give larger --shares")
    return low / STEPS


def _trained(place: Place, unit: Unit, network: nn.Module) -> nn.Module:
    """The network trained as `evo-fair deploy` does."""
    task, rate = place.origin.task, place.rate * place.problem.training.learning_rate
    tuning = Tuning(epochs=unit.epochs, learning_rate=rate, distillation=unit.distillation)
    recipe = tuning.recipe(place.problem.training)
    checkpoint, whole = place.path(unit, ".checkpoint.safetensors"), place.origin.own.whole
    given = (task.dataset, task.group, tuning, recipe, unit.seed, task.scaling)
    train_network(network, *given, checkpoint=checkpoint, whole=whole)
    return network.eval()


def report(place: Place, dense: Unit, units: list[Unit], replicates: int) -> None:
    """Writes and shows the table, and the differences of the front's networks from the others."""
    test = Resampling(place.dataset, place.group, replicates)
    entries = {("dense", 1.0): [dense]}
    for unit in units:
        entries.setdefault((unit.method, unit.share), []).append(unit)
    values = {key: test.means(np.stack([place.predictions(unit) for unit in of]), SHOWN) for key, of in entries.items()}
    rows = []
    for (method, share), of in entries.items():
        latency = float(np.mean([read_cached_json(place.path(unit, ".json"))["latency_ms"] for unit in of]))
        row: dict[str, Any] = {"method": method, "share": share, "latency_ms": latency, "seeds": len(of)}
        for name, mean in values[method, share].items():
            value, low, high = interval(mean)
            row |= {name: value, f"{name}_low": max(0.0, low), f"{name}_high": high}
        rows.append(row)
    differences = []
    for share in dict.fromkeys(unit.share for unit in units):
        for other in (*dict.fromkeys(unit.method for unit in units if unit.method != "front"), "dense"):
            theirs = values[other, 1.0 if other == "dense" else share]
            for name in SHOWN:
                value, low, high = difference(values["front", share][name], theirs[name])
                differences.append(
                    {"share": share, "less": other, "metric": name, "value": value, "low": low, "high": high}
                )
    how = made_by("python benchmarks/own_network.py", ("numpy", "torch"))
    distilled = "-distilled" if any(unit.distillation for unit in units) else ""
    for title, frame in (("table", pd.DataFrame(rows)), ("differences", pd.DataFrame(differences))):
        text = frame.to_csv(index=False, float_format="%.5g", lineterminator="\n")
        write_text(place.folder.parent / f"{title}{distilled}.csv", f"# {how}\n{text}")
        Console(width=200).print(frame.to_string(index=False))


if __name__ == "__main__":
    run(main)

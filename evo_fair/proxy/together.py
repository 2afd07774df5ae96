"""Makes networks of a frozen supernet with torch, many together: blocks that several begin with run once.

What comes out is to the bit what `Proxy.network` and `predict_logits` give of each network alone: the same operations
on the same arrays, and a number of threads that changes the time only. On the CPU the search evaluates by kernels of
its own, and the networks that leave it are torch's; on an accelerator it evaluates so.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from evo_fair.arrays import Float32s
from evo_fair.nets import Network, Supernet
from evo_fair.nets.device import CPU, TorchDevice
from evo_fair.nets.inputs import Normalised
from evo_fair.nets.memory import give_back
from evo_fair.nets.moments import mean_and_variance
from evo_fair.nets.network import UnitModule
from evo_fair.nets.predict import BATCH
from evo_fair.nets.threads import torch_threads
from evo_fair.nets.topology import run_block
from evo_fair.proxy.branching import do_all
from evo_fair.space import Block, Unit, units_of

__all__ = ["MadeNetwork", "make_networks", "threads_for"]

T = TypeVar("T")

_NORMED = 64
"""Images whose batch norm is computed at a time on the CPU."""

_ROOM = 2**31
"""Bytes that the features of all threads may take together, about."""


class MadeNetwork(NamedTuple):
    """A network, calibrated and with its batch norms folded, and its logits `[samples, labels]`."""

    network: Network
    logits: Float32s


@dataclass(eq=False)
class _Node:
    """A beginning that some networks share; `units` are the modules of its last block, `networks` those that end."""

    blocks: tuple[Block, ...] = ()
    parent: "_Node | None" = None
    children: "dict[Block, _Node]" = field(default_factory=dict)
    units: dict[str, UnitModule] = field(default_factory=dict)
    networks: list[int] = field(default_factory=list)

    def all_units(self) -> dict[str, UnitModule]:
        """The modules of all blocks, in order, by their names in a `Network`."""
        before = {} if self.parent is None else self.parent.all_units()
        return before | {Network.key(self.blocks[-1], name): unit for name, unit in self.units.items()}


def make_networks(
    supernet: Supernet,
    calibration: torch.Tensor,
    samples: torch.Tensor | Normalised,
    genomes: Sequence[npt.ArrayLike],
    threads: int = 1,
    device: TorchDevice = CPU,
) -> list[MadeNetwork]:
    """The networks of `genomes`, each `[genes]`, and what they say of the normalised `samples` `[n, ...]`.

    Batch norms get the statistics of the normalised inputs `calibration` `[m, ...]`. Networks share the modules of the
    blocks that they begin with. On another `device` are supernet, calibration and samples, and the networks, too.
    """
    threads = threads_for(supernet, threads, len(calibration))
    batch = device.batch(BATCH, samples.shape[1:])
    root = _Node()
    ends = []
    for number, genome in enumerate(genomes):
        node = root
        for block in supernet.space.architecture(genome):
            if block not in node.children:
                node.children[block] = _Node((*node.blocks, block), node)
            node = node.children[block]
        node.networks.append(number)
        ends.append(node)

    def calibrate(at: tuple[_Node, torch.Tensor]) -> Iterable[tuple[_Node, torch.Tensor]]:
        node, x = at
        with torch.no_grad():
            node.units = _blank_units(supernet, node.blocks[-1])
            y = _calibrated(node, x, len(x) if device.accelerated else _NORMED)
            for unit in node.units.values():
                unit.fold()
                unit.requires_grad_(False)
        return [(child, y) for child in node.children.values()]

    give_back(calibration.nbytes)
    with device.at_work():
        _run([(child, calibration) for child in root.children.values()], calibrate, threads)
    give_back(calibration.nbytes)
    networks = [_assembled(supernet, node) for node in ends]
    logits = np.empty((len(ends), len(samples), supernet.space.labels), np.float32)
    said: list[tuple[list[int], int, torch.Tensor]] = []  # read at the end: each reading makes an accelerator wait

    def read(numbers: list[int], first: int, found: torch.Tensor) -> None:
        logits[numbers, first : first + batch] = found.cpu().numpy()

    @torch.inference_mode()
    def predict(at: tuple[_Node, int, torch.Tensor | None]) -> Iterable[tuple[_Node, int, torch.Tensor | None]]:
        node, first, x = at
        if x is None:
            y = samples[first : first + batch]
        else:
            y = run_block(node.blocks[-1], x, lambda _, unit, x: node.units[unit.name](x), torch.relu_)
        if node.networks:
            features = y.mean((2, 3)) if y.dim() == 4 else y
            found = networks[node.networks[0]].classifier(features)
            if device.accelerated:
                said.append((node.networks, first, found))
            else:
                read(node.networks, first, found)
        return [(child, first, y) for child in node.children.values()]

    begin: list[tuple[_Node, int, torch.Tensor | None]] = [(root, at, None) for at in range(0, len(samples), batch)]
    with device.at_work():
        _run(begin, predict, threads)
        for one in said:
            read(*one)
    return [MadeNetwork(*made) for made in zip(networks, logits, strict=True)]


def threads_for(supernet: Supernet, threads: int, images: int = BATCH) -> int:
    """How many of `threads` have room to run a network of the supernet on so many images at a time, 1 at least."""
    space = supernet.space
    sizes = {block.name: max(1, block.h_in) * max(1, block.w_in) for block in space.architecture(space.largest())}
    largest, size = 0, 1
    for block in space.largest_blocks():
        size = sizes.get(block.name, size)  # a slot that the largest network skips is as the one before it
        largest = max(largest, *(unit.c_out * size for unit in units_of(block)))
    return max(1, min(threads, _ROOM // (8 * largest * images)))


def _blank_units(supernet: Supernet, block: Block) -> dict[str, UnitModule]:
    """The modules of a block with their weights, not calibrated yet."""
    units = {}
    for unit in units_of(block):
        with torch.device("meta"):  # the initial weights would only be thrown away
            module = UnitModule(unit)
        module.fill(*supernet.slices(block, unit))
        units[unit.name] = module.eval()
    return units


def _calibrated(node: _Node, x: torch.Tensor, normed: int) -> torch.Tensor:
    """Gives the batch norms of a node's block the statistics of their inputs; returns the block's output.

    Batch norms are computed of `normed` images at a time.
    """

    def apply(_: Block, unit: Unit, x: torch.Tensor) -> torch.Tensor:
        module = node.units[unit.name]
        y: torch.Tensor = module.layer(x)
        assert not isinstance(module.norm, nn.Identity)
        module.norm.running_mean, module.norm.running_var = mean_and_variance(y)
        for first in range(0, len(y), normed):  # in place: there is no room for two of large images
            y[first : first + normed] = module.norm(y[first : first + normed])
        return y

    return run_block(node.blocks[-1], x, apply, torch.relu_)


def _assembled(supernet: Supernet, node: _Node) -> Network:
    classifier = supernet.classifier(node.blocks[-1].c_out)
    return Network.of_units(node.blocks, node.all_units(), classifier).eval().requires_grad_(False)


def _run(begin: Sequence[T], work: Callable[[T], Iterable[T]], threads: int) -> None:
    """Does all pieces of work, and those that each gives, on so many threads."""
    with torch_threads(1):
        do_all(begin, lambda piece, _: work(piece), range(threads), _on_one_thread)


def _on_one_thread(work: Callable[[], None]) -> None:
    with torch_threads(1):  # sums depend on it, and a new thread has a number of its own
        work()

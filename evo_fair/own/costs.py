"""What layers say that a network needs, beside what its file has: one that is not made of plain layers needs other."""

from collections.abc import Collection

from torch import nn

from evo_fair.errors import PruningError
from evo_fair.layers import macs, params, peak_memory_bytes
from evo_fair.own.layers import exported_graph
from evo_fair.own.network import OwnNetwork

__all__ = ["doubtful_costs"]

_NEAR = {"params": 0.01, "macs": 0.01, "peak_memory_bytes": 0.05}
"""By what share the two may differ: a bias that a layer lacks is counted with it."""


def doubtful_costs(own: OwnNetwork, input_shape: tuple[int, ...], asked: Collection[str]) -> str:
    """What to say of costs that layer tables tell otherwise than the whole network's file; empty where there are none.

    Layers that are used twice count twice in tables, kernels as squares, and normalisations not at all. Raises
    `PruningError` where one of those costs is `asked` for, by an objective or a limit: the search would go by it.
    """
    in_file = _in_file(own.whole, input_shape)
    table = own.space.layers.whole[None]
    by_layers = {"params": params(table), "macs": macs(table), "peak_memory_bytes": peak_memory_bytes(table)}
    counted = {name: int(values[0]) for name, values in by_layers.items()}
    off = [name for name, most in _NEAR.items() if abs(counted[name] - in_file[name]) > most * in_file[name]]
    told = ", ".join(f"{name} {counted[name]:,} (in its file {in_file[name]:,})" for name in off)
    if wanted := [name for name in off if name in asked]:
        raise PruningError(
            f"{' and '.join(wanted)} can be no objective or limit here, for the network is not made of plain layers: "
            f"counted by these it has {told}; search by latency_ms, which is told by its files"
        )
    return (
        f"{told}: figures of this search count plain layers, and 'evo-fair predict' each network's file" if off else ""
    )


def _in_file(network: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    graph = exported_graph(network, input_shape)
    return {
        "params": graph.params,
        "macs": graph.macs,
        "peak_memory_bytes": 4 * (graph.peak_values + graph.params),
    }

"""A network that people bring, trained, as a search space: channels leave it, its weights stay."""

from evo_fair.own.evaluator import OWN_CODE, NetworkEvaluator
from evo_fair.own.network import (
    DEFAULT_ORDERS,
    OwnNetwork,
    channel_orders,
    check_orders,
    check_searchable,
    check_traceable,
    open_network,
    prunable_groups,
)
from evo_fair.own.space import NetworkSpace, Orders

__all__ = [
    "DEFAULT_ORDERS",
    "OWN_CODE",
    "NetworkEvaluator",
    "NetworkSpace",
    "Orders",
    "OwnNetwork",
    "channel_orders",
    "check_orders",
    "check_searchable",
    "check_traceable",
    "open_network",
    "prunable_groups",
]

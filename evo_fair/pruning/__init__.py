"""Fair pruning: criteria of importance, masks and physically removed channels, treatments, and methods made of them."""

from evo_fair.pruning.criteria import CRITERIA, Criterion, Scores, criterion_named
from evo_fair.pruning.removal import Mask, apply_mask, channel_mask, masked, remove_channels
from evo_fair.pruning.samples import Samples
from evo_fair.pruning.selection import SCOPES, STRUCTURES, check_sparsity, choose, choose_given, count_kept
from evo_fair.pruning.structure import ChannelGroup, Member, Structure
from evo_fair.pruning.trace import trace_structure

__all__ = [
    "CRITERIA",
    "SCOPES",
    "STRUCTURES",
    "ChannelGroup",
    "Criterion",
    "Mask",
    "Member",
    "Samples",
    "Scores",
    "Structure",
    "apply_mask",
    "channel_mask",
    "check_sparsity",
    "choose",
    "choose_given",
    "count_kept",
    "criterion_named",
    "masked",
    "remove_channels",
    "trace_structure",
]

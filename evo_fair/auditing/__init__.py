"""Audits of pruning: what it costs each class and group, over many pruned networks."""
